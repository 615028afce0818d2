"""Many threads that open and close connections all the time, while the primary changes: what is left behind?"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, cycle
from pathlib import Path
from typing import Any, NamedTuple

import replclus
from replclus.dbapi import registry
from tests.clusters import Cluster, eventually
from tests.integration.dbapi_world import account
from tests.load.failovers import bring_back, fail_over, switch_over

PAUSE_S = 0.03
IDLE_MAX = 32
# A thread that has not finished a turn for this long is stuck: no failover takes as long, nor does a statement wait so long.
STUCK_S = 45.0
FAILOVER_TIMEOUT_S = 30.0


class AtRest(NamedTuple):
    """Connections to one node: those the pools keep, those somebody holds, and those the server has."""

    idle: int
    in_use: int
    on_server: int

    @property
    def leaked(self) -> bool:
        """The watcher has one of its own, which no pool counts."""
        return self.in_use > 0 or self.idle > IDLE_MAX or self.on_server > self.idle + 1


@dataclass
class Found:
    """`resident_mb`: after the warm-up and at the end. `at_rest`: what each node has when all threads have ended."""

    turns: int = 0
    errors: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    stuck: list[str] = field(default_factory=list)
    primaries: list[str] = field(default_factory=list)
    resident_mb: tuple[float, float] = (0.0, 0.0)
    threads_left: int = 0
    at_rest: dict[str, AtRest] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)

    def summary(self) -> str:
        before, after = self.resident_mb
        rest = ", ".join(f"{node} {r.idle}/{r.in_use}/{r.on_server}" for node, r in self.at_rest.items())
        return (
            f"{self.turns:,} connections opened, used and closed, over primaries {' '.join(self.primaries)}; "
            f"{len(self.errors)} errors, {len(self.stuck)} threads stuck, the slowest turn {self.slowest_s:.2f} s; "
            f"resident {before:.1f} MB, in the end {after:.1f} MB; at rest (idle/in use/by the server): {rest}; "
            f"after the pool: {sum(self.after.values())}; threads left: {self.threads_left}"
        )


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def seen_by_server(cluster: Cluster, name: str) -> int:
    sql = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app'"
    return int(cluster.rows(name, sql)[0][0])


def at_rest(cluster: Cluster, name: str) -> AtRest:
    counts = [pool.counts().get(name, (0, 0)) for pool in registry._pools.values()]
    return AtRest(sum(idle for idle, _ in counts), sum(used for _, used in counts), seen_by_server(cluster, name))


class Pooled:
    """`threads` threads; each turn opens a connection, writes, reads back, and closes it."""

    def __init__(self, cluster: Cluster, threads: int) -> None:
        self._cluster, self._threads = cluster, threads
        self._keywords = {
            **account(cluster), "autocommit": True, "track_outcome": True, "failover_timeout": FAILOVER_TIMEOUT_S
        }  # fmt: skip
        self._stop = threading.Event()
        self._last_turn = [time.monotonic()] * threads
        self._turns = [0] * threads
        self.found = Found()

    def run(self, *, seconds: float, failover_every_s: float, warm_up_s: float) -> Found:
        before, found = threading.active_count(), self.found
        with self._working():
            time.sleep(warm_up_s)
            warm = resident_mb()
            self._disturb(time.monotonic() + seconds - warm_up_s, failover_every_s)
        found.turns = sum(self._turns)
        found.resident_mb = (warm, resident_mb())
        names = self._cluster.sandbox.names
        found.at_rest = {name: at_rest(self._cluster, name) for name in names}
        registry.shut_down()
        eventually(lambda: not any(seen_by_server(self._cluster, name) for name in names), "every connection is closed")
        found.after = {name: seen_by_server(self._cluster, name) for name in names}
        eventually(lambda: threading.active_count() <= before, "every watching thread has ended")
        found.threads_left = threading.active_count() - before
        return found

    @contextmanager
    def _working(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._work, args=(number,), daemon=True) for number in range(self._threads)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(timeout=STUCK_S)
            self.found.stuck += [thread.name for thread in threads if thread.is_alive()]

    def _work(self, number: int) -> None:
        for turn in count():
            if self._stop.wait(PAUSE_S):
                return
            try:
                self._turn(f"p{number}.{turn}")
            except Exception as error:
                self.found.errors.append(f"p{number}.{turn}: {error!r}")
            now = time.monotonic()
            self.found.slowest_s = max(self.found.slowest_s, now - self._last_turn[number])
            self._last_turn[number] = now
            self._turns[number] += 1

    def _turn(self, name: str) -> None:
        with replclus.connect(**self._keywords) as connection:
            cursor: Any = connection.cursor()
            cursor.execute("INSERT INTO ledger VALUES (%s)", (name,))
            cursor.execute("SELECT COUNT(*) FROM ledger WHERE id = %s", (name,))
            if cursor.fetchone() != (1,):
                self.found.errors.append(f"{name} not read back on {cursor.route}")

    def _disturb(self, until: float, every_s: float) -> None:
        """Kill the primary and bring it back, then move it by hand, and so on: each at least once, however busy the machine."""
        for number, kind in enumerate(cycle(("kill", "switchover"))):
            if number >= 2 and time.monotonic() + every_s > until:
                break
            due = time.monotonic() + every_s
            if kind == "kill":
                bring_back(self._cluster, fail_over(self._cluster))
            else:
                switch_over(self._cluster)
            self.found.primaries.append(self._cluster.record.primary)
            self._look_for_stuck_threads()
            time.sleep(max(0.0, due - time.monotonic()))
        time.sleep(max(0.0, until - time.monotonic()))

    def _look_for_stuck_threads(self) -> None:
        now = time.monotonic()
        self.found.stuck += [f"p{number}" for number, last in enumerate(self._last_turn) if now - last > STUCK_S]
