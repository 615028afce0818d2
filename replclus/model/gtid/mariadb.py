"""MariaDB positions: lists of `domain-server-sequence`, as in `gtid_binlog_state`, `gtid_slave_pos`, `Gtid_IO_Pos`.

What such a list says. Within a domain one counter numbers all transactions, whichever server they come from, and
`gtid_strict_mode` keeps it rising. `gtid_binlog_state` holds the last number *per origin server*: `0-1-95,0-3-105` is
a history in which server 3 took over from server 1 at some point after 95. So a set here is, for each (domain,
server), everything that server originated up to a number. Merge `gtid_binlog_state`, `gtid_slave_pos` and, for what
was received, `Gtid_IO_Pos`; a position alone names only the last origin of each domain. `gtid_current_pos` leaves out
other servers' transactions and is of no use.

What it cannot say, all of it under `gtid_strict_mode=ON`, without which none of this holds:

* Which numbers an origin really used. Server 3 above counts as 1..105. Comparing is unaffected; `beyond` trims it.
* What a seeded server has. A backup or dump starts an empty binlog: only the last GTID is known (`gtid_slave_pos`), not
  the earlier origins. Such a server seems to lack them: it looks behind, or incomparable once it has written itself.
  The error is towards refusing. So seed the history too: `RESET MASTER`, then `SET GLOBAL gtid_binlog_state` to the
  donor's state as read before the copy, merged with the copy's position.
* That an origin lost numbers and used higher ones later. After `0-1-96..100` was cut off and server 1 promoted again at
  106, its state covers a stranded copy of 0-1-100. Only the servers notice, on connecting (error 1236).

https://mariadb.com/kb/en/gtid/
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Self

from replclus.errors import GtidSyntaxError
from replclus.model.gtid.intervals import Interval, OriginSet, difference, normalise, overlap, size

ID_MAX = 2**32 - 1
SEQUENCE_MAX = 2**64 - 1

_ITEM = re.compile(r"\s*([0-9]+)-([0-9]+)-([0-9]+)(?:\.\.([0-9]+))?\s*", re.ASCII)
_BLANK = re.compile(r"\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class MariadbGtidSet(OriginSet[tuple[int, int]]):
    """An immutable set of transactions, keyed by `(domain id, server id)`. The module's docstring says what it means.

    `str()` writes everything an origin did up to a number the way servers do, `0-1-100`, and any other range as
    `0-1-96..100`, which is for people and for `parse`, not for servers.
    """

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a comma-separated list as servers print it, or as `str()` does. Several entries of one origin add up.

        Sequence 0 (`0-1-0`) is a position before the first transaction and adds nothing.
        GtidSyntaxError names the text and where it is.
        """
        if _BLANK.fullmatch(text):
            return cls()
        pairs: dict[tuple[int, int], list[Interval]] = {}
        position = 0
        while True:
            item = _ITEM.match(text, position)
            if item is None:
                start = _BLANK.match(text, position)
                raise _error(text, start.end() if start else position, "expected domain-server-sequence")
            origin = (_number(text, item, 1, ID_MAX), _number(text, item, 2, ID_MAX))
            number = _number(text, item, 3, SEQUENCE_MAX)
            first, last = (1, number) if item[4] is None else (number, _number(text, item, 4, SEQUENCE_MAX))
            if item[4] is not None and not 1 <= first <= last:
                raise _error(text, item.start(3), "a range starts at 1 or later and does not end before it starts")
            pairs.setdefault(origin, []).extend([(first, last)] if last else [])
            position = item.end()
            if position == len(text):
                return cls.of(pairs)
            if text[position] != ",":
                raise _error(text, position, "expected ',' or the end")
            position += 1

    def position(self) -> str:
        """The last GTID of each domain, as `gtid_slave_pos` and `MASTER_GTID_WAIT` want it.

        Two origins with the same number are a divergence; the higher server id is taken, so that the answer is one.
        """
        last: dict[int, tuple[int, int]] = {}
        for (domain, server), intervals in self.ranges:
            last[domain] = max(last.get(domain, (0, 0)), (intervals[-1][1], server))
        return ",".join(f"{domain}-{server}-{sequence}" for domain, (sequence, server) in sorted(last.items()))

    def beyond(self, other: OriginSet[Any]) -> Self:
        """The part of `self` after the last point that both are known to share: what lag and loss are counted in.

        In strict mode a server that has a GTID has all that came before it in that domain. So `0-1-95,0-3-105` is
        96..105 beyond `0-1-95`, where `subtract` must answer 1..105; and `0-1-500,0-3-1000` is nothing beyond the
        `0-3-1005` of a seeded server. Always a part of `self - other`. It trusts strict mode: an errant transaction
        that somebody made replication skip over shows in `subtract` only, so judge safety by `contains`, `subtract`
        and `compare`.
        """
        shared: dict[int, int] = {}
        for one, two in ((self, other), (other, self)):
            known = dict(two.ranges)
            for (domain, server), intervals in one.ranges:
                last = intervals[-1][1]
                if overlap(((last, last),), known.get((domain, server), ())):
                    shared[domain] = max(last, shared.get(domain, 0))
        extra = self.subtract(other).ranges
        return self.of({origin: difference(pairs, ((1, shared.get(origin[0], 0)),)) for origin, pairs in extra})

    def count(self) -> int:
        """How many sequence numbers are used, whoever used them: in strict mode a domain gives out each number once.

        Exact for one history from its start, and for `beyond`; two diverged histories in one set count overlaps once.
        """
        domains: dict[int, list[Interval]] = {}
        for (domain, _), intervals in self.ranges:
            domains.setdefault(domain, []).extend(intervals)
        return sum(size(normalise(pairs)) for pairs in domains.values())

    def __str__(self) -> str:
        return ",".join(
            f"{domain}-{server}-{last}" if first == 1 else f"{domain}-{server}-{first}..{last}"
            for (domain, server), intervals in self.ranges
            for first, last in intervals
        )


def _number(text: str, item: re.Match[str], group: int, most: int) -> int:
    digits = item[group]
    # Length first: int() on a megabyte of digits is slow, and refused with another error by Python itself.
    number = int(digits) if len(digits) <= 20 else most + 1
    if number > most:
        raise _error(text, item.start(group), f"this number goes up to {most}")
    return number


def _error(text: str, position: int, problem: str) -> GtidSyntaxError:
    return GtidSyntaxError("MariaDB", problem, text=text, position=position)
