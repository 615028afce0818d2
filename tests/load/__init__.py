"""Applications under load, and what they may believe afterwards: shared by tests, which run a slice, and by campaigns.

`python -m tests.load.campaign --help` runs the full size; the Makefile has a target for each.
"""
