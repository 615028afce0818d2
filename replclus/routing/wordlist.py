"""Word lists, written the way a person reads them."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of `text`, which blanks and line ends separate."""
    return frozenset(text.split())
