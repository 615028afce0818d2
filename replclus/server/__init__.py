"""Acts on one server: its SQL session, the process that runs it, and the host where that process lives."""
