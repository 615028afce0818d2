"""Nouns: what a cluster is, what was seen of it, what was decided about it. No I/O, no clock."""
