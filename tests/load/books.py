"""What applications were told, and whether it is true: the audit after a load.

Two witnesses. `ledger` has a unique id per write, so one that ran twice is a duplicate key, and one that was lost is missing.
`counters` has a row per thread that each write adds one to, so that a write that ran twice without anybody noticing is counted.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.clusters import Cluster

SLOW_S = 0.1
TABLES = (
    "CREATE TABLE app.ledger (id VARCHAR(60) PRIMARY KEY)",
    "CREATE TABLE app.counters (id VARCHAR(40) PRIMARY KEY, n INT NOT NULL DEFAULT 0)",
)


@dataclass
class Books:
    """Of all threads together; `list.append` and `Counter` updates by one thread each need no lock."""

    acknowledged: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    rolled_back: list[str] = field(default_factory=list)
    # What conn.outcome() said of a write whose answer was lost, by the id of the write.
    resolved: dict[str, str] = field(default_factory=dict)
    # What contradicts a promise, in words.
    wrong: list[str] = field(default_factory=list)
    # Per counter: how often adding one was acknowledged, and how often nobody could say.
    added: Counter[str] = field(default_factory=Counter)
    perhaps_added: Counter[str] = field(default_factory=Counter)
    reads: Counter[str] = field(default_factory=Counter)
    # Calls that took long: when they began and ended, on the monotonic clock, and what they were.
    slow: list[tuple[float, float, str]] = field(default_factory=list)

    def note_call(self, began: float, what: str) -> None:
        ended = time.monotonic()
        if ended - began > SLOW_S:
            self.slow.append((began, ended, what))

    def longest(self) -> tuple[float, str]:
        return max(((ended - began, what) for began, ended, what in self.slow), default=(0.0, "none"))

    def summary(self) -> str:
        seconds, what = self.longest()
        reads = " ".join(f"{node} {number:,}" for node, number in sorted(self.reads.items()))
        return (
            f"{len(self.acknowledged):,} acknowledged, {len(self.unknown)} unknown, {len(self.rolled_back)} transactions lost, "
            f"{len(self.wrong)} contradictions; reads {reads}; the longest call took {seconds:.2f} s ({what})"
        )


def audit(cluster: Cluster, books: Books, prefix: str = "") -> list[str]:
    """Every contradiction between the books and the tables of the present primary, in words. Empty if all is well.

    `prefix` is that of the load, where several loads have left their rows.
    """
    primary = cluster.record.primary
    there = {row[0] for row in cluster.rows(primary, f"SELECT id FROM app.ledger WHERE id LIKE '{prefix}%'")}
    counted = {row[0]: row[1] for row in cluster.rows(primary, f"SELECT id, n FROM app.counters WHERE id LIKE '{prefix}%'")}
    known = {*books.acknowledged, *books.unknown, *books.rolled_back}
    found = [*books.wrong]
    found += [f"{name} was acknowledged and is lost" for name in books.acknowledged if name not in there]
    found += [f"{name} was said to be rolled back and is there" for name in books.rolled_back if name in there]
    found += [f"{name} is there and nobody wrote it" for name in there - known]
    found += [
        f"outcome() said {said} of {name}, which is {'there' if name in there else 'not there'}"
        for name, said in books.resolved.items()
        if said != "unknown" and (said == "committed") != (name in there)
    ]
    return found + list(_miscounted(books, counted))


def _miscounted(books: Books, counted: dict[str, int]) -> Iterable[str]:
    for name, number in counted.items():
        least = books.added[name]
        most = least + books.perhaps_added[name]
        if not least <= number <= most:
            yield f"counter {name} is {number}, by what was acknowledged it must be from {least} to {most}"
