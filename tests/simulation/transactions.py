"""Transactions of a world: what really is, apart from the GTIDs by which servers speak of it.

Every transaction has an index, and a set of them is an integer with one bit each: a world takes the union of two sets
thousands of times. A GTID may lie where a transaction cannot: after a tail was cut off, a server gives out a number a second
time, and MariaDB's lists say nothing about holes. Laws are judged by indices, decisions see GTIDs only.
"""

from __future__ import annotations

from replclus.model.gtid import GtidSet, MariadbGtidSet, MysqlGtidSet
from replclus.model.gtid.intervals import Intervals, normalise
from replclus.model.spec import Flavour
from replclus.model.topology import PulseRow


def uuid_of(server: int) -> str:
    return f"00000000-0000-0000-0000-{server:012d}"


class Transactions:
    """`beats` maps the bit of a transaction to the pulse row that it wrote; `beat_bits` are all of those."""

    def __init__(self, flavour: Flavour, servers: int) -> None:
        self.mysql = flavour is Flavour.MYSQL
        self.origins: list[int] = []
        self.numbers: list[int] = []
        self.beats: dict[int, PulseRow] = {}
        self.beat_bits = 0
        self.errant = 0
        self.twins: dict[int, int] = {}
        """For a transaction whose GTID was given out twice: all that carry it."""
        self._of_origin = [0] * servers
        self._plain = [True] * servers
        """Are this origin's numbers 1, 2, 3 … in the order of their indices (MySQL), or at least rising (MariaDB)?"""
        self._named: dict[tuple[int, int], list[int]] = {}
        self._ranges: dict[tuple[int, int], Intervals] = {}
        self._sets: dict[int, GtidSet] = {}
        self._keys = [(uuid_of(i), "") for i in range(servers)]

    def new(self, origin: int, number: int) -> int:
        """A transaction of the server `origin`; returns its bit."""
        index = len(self.origins)
        bit = 1 << index
        earlier = self._of_origin[origin]
        last = self.numbers[earlier.bit_length() - 1] if earlier else 0
        self._plain[origin] &= number == last + 1 if self.mysql else number > last
        self.origins.append(origin)
        self.numbers.append(number)
        self._of_origin[origin] |= bit
        named = self._named.setdefault((origin, number), [])
        named.append(bit)
        if len(named) > 1:
            for twin in named:
                self.twins[twin] = sum(named)
        return bit

    def number(self, bit: int) -> int:
        return self.numbers[bit.bit_length() - 1]

    def highest(self, bits: int, origin: int | None = None) -> int:
        """The highest sequence number in `bits`, of one origin or of all (one GTID domain); 0 if there is none."""
        if origin is not None:
            bits &= self._of_origin[origin]
        return max((self.numbers[index] for index in indices(bits)), default=0)

    def of_origin(self, origin: int) -> int:
        return self._of_origin[origin]

    def last_in_domain(self, bits: int) -> int:
        """The transaction with the highest number, as a bit: MariaDB's position (one GTID domain)."""
        top = 1 << (bits.bit_length() - 1)
        if all(self._plain):
            return top
        return max((1 << index for index in indices(bits)), key=self.number, default=0)

    def twins_of(self, bits: int) -> int:
        """Whatever cannot be told from something in `bits` by its GTID, `bits` apart."""
        same = 0
        for twin, all_ in self.twins.items():
            if bits & twin:
                same |= all_
        return same & ~bits

    def gtids(self, bits: int) -> GtidSet:
        """`bits` as a server would print them."""
        found = self._sets.get(bits)
        if found is None:
            parts = [(o, self._intervals(o, bits & mine)) for o, mine in enumerate(self._of_origin) if bits & mine]
            if self.mysql:
                found = MysqlGtidSet(tuple((self._keys[origin], intervals) for origin, intervals in parts))
            else:
                found = MariadbGtidSet(tuple(((0, origin + 1), intervals) for origin, intervals in parts))
            self._sets[bits] = found
        return found

    def _intervals(self, origin: int, bits: int) -> Intervals:
        top = bits.bit_length()
        if self._plain[origin] and (not self.mysql or bits == self._of_origin[origin] & ((1 << top) - 1)):
            return ((1, self.numbers[top - 1]),)
        key = (origin, bits)
        found = self._ranges.get(key)
        if found is None:
            numbers = [self.numbers[index] for index in indices(bits)]
            found = normalise([(n, n) for n in numbers]) if self.mysql else ((1, max(numbers)),)
            self._ranges[key] = found
        return found

    def spell(self, bits: int) -> str:
        """For people."""
        return ", ".join(f"n{self.origins[i] + 1}:{self.numbers[i]}(#{i})" for i in indices(bits)) or "nothing"


def indices(bits: int) -> list[int]:
    found = []
    while bits:
        low = bits & -bits
        found.append(low.bit_length() - 1)
        bits ^= low
    return found


def lowest(bits: int, count: int) -> int:
    """The `count` transactions of `bits` that are oldest."""
    taken = 0
    while bits and count:
        low = bits & -bits
        taken |= low
        bits ^= low
        count -= 1
    return taken
