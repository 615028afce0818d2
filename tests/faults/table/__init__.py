"""The faults, a module for each part of the catalogue. `catalogue.load_table` reads them all."""
