"""What has happened in this process, counted, for `connection.statistics()` and `replclus.statistics()`.

Statements are counted by each logical connection, without a lock, in a dictionary that only it writes to. Everything else is
rare beside them and goes into the `Tally` of the watcher, which all connections to one cluster share.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol
from weakref import WeakSet

from replclus.dbapi.route import Routed

Happening = Literal[
    "held",  # a statement waited for a primary that may be written to
    "retried",  # a statement was sent again after its connection broke, or after a server refused it
    "failover",  # another node became the primary
    "ejected",  # a node was put out of reads after a failure
    "waited",  # a read waited for its replica to catch up with the session, and it did
    "behind",  # it waited in vain and went elsewhere
    "no_room",  # the pool, or the server, had no connection left
    "made",  # a physical connection was opened
    "reused",  # one was taken from the pool
    "discarded",  # one was closed
]


class Count(NamedTuple):
    """How often something happened, and for how many seconds altogether, if it takes time."""

    times: int = 0
    seconds: float = 0.0


NEVER = Count()


class Counting(Protocol):
    """A logical connection, which counts its statements itself."""

    statements: dict[Routed, int]


class Tally:
    """Any thread may add."""

    def __init__(self) -> None:
        self._live: WeakSet[Counting] = WeakSet()
        self._begin()

    def _begin(self) -> None:
        # Reentrant, because a connection that is collected as garbage counts too, in whatever thread that happens.
        self._lock = threading.RLock()
        self._counts: dict[tuple[Happening, str], Count] = {}
        self._settled: dict[Routed, int] = {}

    def add(self, what: Happening, node: str, seconds: float = 0.0) -> None:
        with self._lock:
            before = self._counts.get((what, node), NEVER)
            self._counts[what, node] = Count(before.times + 1, before.seconds + seconds)

    def follow(self, connection: Counting) -> None:
        with self._lock:
            self._live.add(connection)

    def settle(self, connection: Counting) -> None:
        """Take over what a connection has counted so far, because it may not be there any more when somebody asks."""
        with self._lock:
            _add(self._settled, connection.statements)
            connection.statements.clear()

    def counts(self) -> dict[tuple[Happening, str], Count]:
        with self._lock:
            return self._counts.copy()

    def statements(self) -> dict[Routed, int]:
        """Of all connections, closed or open."""
        with self._lock:
            found = self._settled.copy()
            for connection in list(self._live):
                _add(found, connection.statements.copy())
        return found

    def after_fork(self) -> None:
        """In the child: what the parent has counted stays the parent's."""
        self._begin()
        for connection in list(self._live):
            connection.statements.clear()


def _add(to: dict[Routed, int], more: Mapping[Routed, int]) -> None:
    for routed, times in more.items():
        to[routed] = to.get(routed, 0) + times


class Metric(NamedTuple):
    """One number with its labels, as exporters want it. `kind` is `counter` (only grows) or `gauge`."""

    name: str
    kind: Literal["counter", "gauge"]
    labels: Mapping[str, str]
    value: float


class Links(NamedTuple):
    """Physical connections to one node, now."""

    idle: int = 0
    in_use: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Of one cluster as this process has met it.

    `cluster` is its id, empty while unknown. `statements`: how many were answered without an error, by node, target and
    reason, as in `Route`. `counts`: what happened, by event and node; the events are listed in `Happening`.
    `pool`: physical connections now, by node.
    """

    cluster: str
    statements: Mapping[Routed, int]
    counts: Mapping[tuple[Happening, str], Count]
    pool: Mapping[str, Links]

    def count(self, what: Happening, node: str | None = None) -> Count:
        """On `node`, or on all of them."""
        found = [count for (happened, where), count in self.counts.items() if happened == what and node in (None, where)]
        return Count(sum(count.times for count in found), sum(count.seconds for count in found))

    def metrics(self) -> Iterator[Metric]:
        """Everything, in the names and kinds that Prometheus expects."""
        base = {"cluster": self.cluster}
        for (node, target, reason), times in self.statements.items():
            labels = {**base, "node": node, "target": target, "reason": reason}
            yield Metric("replclus_statements_total", "counter", labels, times)
        for (what, node), count in self.counts.items():
            labels = {**base, "node": node}
            yield Metric(f"replclus_{what}_total", "counter", labels, count.times)
            if what in ("held", "waited", "behind"):
                yield Metric(f"replclus_{what}_seconds_total", "counter", labels, count.seconds)
        for node, rest in self.pool.items():
            yield Metric("replclus_connections_idle", "gauge", {**base, "node": node}, rest.idle)
            yield Metric("replclus_connections_in_use", "gauge", {**base, "node": node}, rest.in_use)
