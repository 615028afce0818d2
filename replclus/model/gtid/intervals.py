"""Sets of transaction numbers as sorted, disjoint intervals, and maps of them. Both GTID families stand on this.

`Intervals` is a tuple of inclusive `(first, last)` pairs: `1 <= first <= last`, ascending, at least one number missing
between neighbours. That form is unique, so two sets are equal exactly when their tuples are. Every operation walks its
operands once; a replica that applies in parallel can have thousands of holes, and is compared several times a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

Interval = tuple[int, int]
Intervals = tuple[Interval, ...]

# What numbers its own transactions: (uuid, tag) on MySQL, (domain id, server id) on MariaDB.
OriginT = TypeVar("OriginT", tuple[str, str], tuple[int, int])


def normalise(pairs: Iterable[Interval]) -> Intervals:
    """The union of inclusive pairs, which may be unsorted, overlapping or adjacent. Linear when they come sorted."""
    merged: list[Interval] = []
    first = last = 0
    for start, end in sorted(pairs):
        if merged and start <= last + 1:
            if end > last:
                last = end
                merged[-1] = (first, last)
        else:
            first, last = start, end
            merged.append((first, last))
    return tuple(merged)


def difference(left: Intervals, right: Intervals) -> Intervals:
    """The numbers of `left` that are not in `right`."""
    rest: list[Interval] = []
    index = 0
    for first, last in left:
        while index < len(right) and right[index][1] < first:
            index += 1
        cursor, hole = first, index
        while hole < len(right) and right[hole][0] <= last:
            if right[hole][0] > cursor:
                rest.append((cursor, right[hole][0] - 1))
            cursor = right[hole][1] + 1
            hole += 1
        if cursor <= last:
            rest.append((cursor, last))
        # The last hole may reach into the next interval, so it is looked at again.
        index = max(index, hole - 1)
    return tuple(rest)


def overlap(left: Intervals, right: Intervals) -> Intervals:
    """The numbers in both."""
    common: list[Interval] = []
    i = j = 0
    while i < len(left) and j < len(right):
        first, last = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if first <= last:
            common.append((first, last))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return tuple(common)


def size(intervals: Intervals) -> int:
    """How many numbers there are."""
    return sum(last - first + 1 for first, last in intervals)


@dataclass(frozen=True, slots=True)
class OriginSet(Generic[OriginT]):
    """Transactions, grouped by the origin that numbered them. The algebra that both families share.

    `ranges` is sorted by origin and has no empty entry; it is made by `of`, never by hand. Operands of different
    families raise TypeError: no MySQL position says anything about a MariaDB one.
    """

    ranges: tuple[tuple[OriginT, Intervals], ...] = ()

    @classmethod
    def of(cls, pairs: Mapping[OriginT, Iterable[Interval]]) -> Self:
        """The set of these inclusive `(first, last)` pairs, in any order."""
        merged = ((origin, normalise(pairs[origin])) for origin in sorted(pairs))
        return cls(tuple((origin, intervals) for origin, intervals in merged if intervals))

    def union(self, other: OriginSet[Any]) -> Self:
        theirs = self._same_family(other)
        ours = dict(self.ranges)
        return self.of({origin: ours.get(origin, ()) + theirs.get(origin, ()) for origin in ours | theirs})

    def subtract(self, other: OriginSet[Any]) -> Self:
        theirs = self._same_family(other)
        rest = ((origin, difference(intervals, theirs.get(origin, ()))) for origin, intervals in self.ranges)
        return type(self)(tuple((origin, intervals) for origin, intervals in rest if intervals))

    def intersection(self, other: OriginSet[Any]) -> Self:
        theirs = self._same_family(other)
        both = ((origin, overlap(intervals, theirs.get(origin, ()))) for origin, intervals in self.ranges)
        return type(self)(tuple((origin, intervals) for origin, intervals in both if intervals))

    def without(self, origins: Callable[[OriginT], bool]) -> Self:
        """What is left when everything from these origins is taken out."""
        return type(self)(tuple((origin, intervals) for origin, intervals in self.ranges if not origins(origin)))

    def contains(self, other: OriginSet[Any]) -> bool:
        """Whether every transaction of `other` is here too. Every set contains itself and the empty set."""
        ours = dict(self.ranges)
        return not any(difference(intervals, ours.get(origin, ())) for origin, intervals in self._same_family(other).items())

    def count(self) -> int:
        """How many transactions there are. Not `len()`: MySQL's numbers go past what `len()` may return."""
        return sum(size(intervals) for _, intervals in self.ranges)

    @property
    def is_empty(self) -> bool:
        return not self.ranges

    def __bool__(self) -> bool:
        return bool(self.ranges)

    __or__ = union
    __sub__ = subtract
    __and__ = intersection
    __ge__ = contains

    def __le__(self, other: OriginSet[Any]) -> bool:
        self._same_family(other)
        return other.contains(self)

    def _same_family(self, other: OriginSet[Any]) -> dict[OriginT, Intervals]:
        if type(other) is not type(self):
            raise TypeError(f"cannot combine {type(self).__name__} with {type(other).__name__}")
        return dict(other.ranges)
