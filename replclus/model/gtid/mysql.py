"""MySQL GTID sets: `uuid[:tag]:numbers`, as in `gtid_executed`, `gtid_purged` and `Retrieved_Gtid_Set`.

A server names the transactions it has one by one, holes included, so plain set algebra is the whole truth: what one
set has and another lacks was never executed there (or was executed with `sql_log_bin=0`, which no GTID tells of).
Tags came with 8.3. Format: https://dev.mysql.com/doc/refman/9.7/en/replication-gtids-concepts.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Self

from replclus.errors import GtidSyntaxError
from replclus.model.gtid.intervals import Interval, OriginSet

# The servers refuse the largest 64-bit number itself.
SEQUENCE_MAX = 2**63 - 2

# Explicit ASCII classes: `\d`, `\s` and IGNORECASE would let through digits and letters of other scripts.
_UUID = re.compile(r"\s*([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})\s*", re.ASCII)
_ITEM = re.compile(r":\s*(?:([0-9]+)\s*(?:-\s*([0-9]+)\s*)?|([A-Za-z_][A-Za-z0-9_]{0,31})\s*)", re.ASCII)
_BLANK = re.compile(r"\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class MysqlGtidSet(OriginSet[tuple[str, str]]):
    """An immutable set of transactions, keyed by `(uuid, tag)` in lower case; the tag is `""` where there is none.

    `str()` is letter for letter what a server prints: origins sorted, tags of one uuid behind each other, `,\\n`
    between uuids.
    """

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what a server prints, or a person types: any case, order, overlap and white space.

        Stricter than the servers in what they silently drop: a uuid or tag without numbers, a reversed interval, an
        empty item between commas. GtidSyntaxError names the text and where it is.
        """
        if _BLANK.fullmatch(text):
            return cls()
        pairs: dict[tuple[str, str], list[Interval]] = {}
        position = 0
        while True:
            uuid = _UUID.match(text, position)
            if uuid is None:
                start = _BLANK.match(text, position)
                raise _error(text, start.end() if start else position, "expected a server UUID")
            position = _parse_numbers(text, uuid.end(), uuid[1].lower(), pairs)
            if position == len(text):
                return cls.of(pairs)
            position += 1

    def beyond(self, other: OriginSet[Any]) -> Self:
        """What `self` has and `other` lacks. See `MariadbGtidSet.beyond`, where this differs from `subtract`."""
        return self.subtract(other)

    def __str__(self) -> str:
        texts: list[str] = []
        current = ""
        for (uuid, tag), intervals in self.ranges:
            if uuid != current:
                texts.append(f",\n{uuid}" if current else uuid)
                current = uuid
            if tag:
                texts.append(f":{tag}")
            texts.extend(f":{first}" if first == last else f":{first}-{last}" for first, last in intervals)
        return "".join(texts)


def _parse_numbers(text: str, position: int, uuid: str, pairs: dict[tuple[str, str], list[Interval]]) -> int:
    """Read `:1-3:5:tag:7` from `position`, just behind a uuid, into `pairs`; the place of the comma or end after it."""
    into: list[Interval] | None = None
    expected = "expected ':' and a sequence number or tag"
    while item := _ITEM.match(text, position):
        position = item.end()
        if (tag := item[3]) is not None:
            into = None
            expected = "expected ':' and a sequence number"
            if (following := _ITEM.match(text, position)) is None or following[3] is not None:
                break
            into = pairs.setdefault((uuid, tag.lower()), [])
            continue
        if into is None:
            into = pairs.setdefault((uuid, ""), [])
        first = _number(text, item, 1)
        last = first if item[2] is None else _number(text, item, 2)
        if last < first:
            raise _error(text, item.start(1), "the interval ends before it starts")
        into.append((first, last))
        expected = "expected ':', ',' or the end"
    if into is None or (position < len(text) and text[position] != ","):
        raise _error(text, position, expected)
    return position


def _number(text: str, item: re.Match[str], group: int) -> int:
    digits = item[group]
    # Length first: int() on a megabyte of digits is slow, and refused with another error by Python itself.
    number = int(digits) if len(digits) <= 20 else 0
    if not 1 <= number <= SEQUENCE_MAX:
        raise _error(text, item.start(group), f"sequence numbers go from 1 to {SEQUENCE_MAX}")
    return number


def _error(text: str, position: int, problem: str) -> GtidSyntaxError:
    return GtidSyntaxError("MySQL", problem, text=text, position=position)
