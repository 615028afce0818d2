"""Who can send to whom. Directions are cut apart: a packet that arrives says nothing about its answer."""

from __future__ import annotations

from collections.abc import Iterable


class Network:
    """`cuts` maps (from, to) to the moment since when nothing passes; `slow` to the number of quanta that everything takes."""

    def __init__(self) -> None:
        self.cuts: dict[tuple[str, str], int] = {}
        self.slow: dict[tuple[str, str], int] = {}

    def passes(self, source: str, target: str) -> bool:
        return (source, target) not in self.cuts

    def both(self, one: str, other: str) -> bool:
        """Can they hold a conversation?"""
        return not self.cuts or ((one, other) not in self.cuts and (other, one) not in self.cuts)

    def cut_for(self, source: str, target: str, now: int) -> int:
        """For how many quanta nothing has passed; 0 if it does."""
        since = self.cuts.get((source, target))
        return 0 if since is None else now - since + 1

    def delay(self, source: str, target: str) -> int:
        return self.slow.get((source, target), 0) if self.slow else 0

    def cut(self, sources: Iterable[str], targets: Iterable[str], now: int) -> None:
        there = tuple(targets)
        for source in sources:
            for target in there:
                if source != target:
                    self.cuts.setdefault((source, target), now)

    def part(self, one: Iterable[str], other: Iterable[str], now: int) -> None:
        """Nothing passes between the two sides, in either direction."""
        here, there = tuple(one), tuple(other)
        self.cut(here, there, now)
        self.cut(there, here, now)

    def heal(self) -> None:
        self.cuts.clear()
        self.slow.clear()
