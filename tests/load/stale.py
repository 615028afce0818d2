"""Readers on replicas that are held back on purpose: do they ever see what is older than they may?"""

from __future__ import annotations

import random
import threading
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import replclus
from tests.clusters import Cluster
from tests.integration.dbapi_world import account, hold_back, let_go

# n3 is behind all the time, n2 and n4 now and then.
DELAYED, DELAY_S, HELD = "n3", 1, ("n2", "n4")
READS_PER_WRITE = 4
NEW_CONNECTION_EVERY = 50
WRITE_EVERY_S = 0.01
TABLE = "CREATE TABLE app.clocks (id INT PRIMARY KEY, n BIGINT NOT NULL)"


@dataclass
class Found:
    """What the readers saw, by node, and every read that it was not allowed to show."""

    reads: Counter[str] = field(default_factory=Counter)
    stale: list[str] = field(default_factory=list)
    oldest_ms: float = 0.0
    beat_ms: float = 0.0

    @staticmethod
    def of(cluster: Cluster) -> Found:
        """With every node in it already: threads add to its counts while others add them up."""
        return Found(Counter(dict.fromkeys(cluster.sandbox.names, 0)))

    def summary(self) -> str:
        reads = " ".join(f"{node} {number:,}" for node, number in sorted(self.reads.items()))
        return f"{sum(self.reads.values()):,} reads ({reads}), {len(self.stale)} stale"


def delay(cluster: Cluster, name: str, seconds: int) -> None:
    """Have a replica apply everything this much later."""
    if cluster.sandbox.flavour == "mariadb":
        cluster.run(name, "STOP SLAVE", f"CHANGE MASTER TO MASTER_DELAY = {seconds}", "START SLAVE")
    else:
        change = f"CHANGE REPLICATION SOURCE TO SOURCE_DELAY = {seconds}"
        cluster.run(name, "STOP REPLICA SQL_THREAD", change, "START REPLICA SQL_THREAD")


@contextmanager
def mischief(cluster: Cluster, *, held_s: float) -> Iterator[None]:
    """One replica late all the time, the others stopped from applying in turns, for up to `held_s`."""
    stop, dice = threading.Event(), random.Random(1)  # noqa: S311

    def hold() -> None:
        for turn in count():
            name = HELD[turn % len(HELD)]
            hold_back(cluster, name)
            ended = stop.wait(dice.uniform(0.1, held_s))
            let_go(cluster, name)
            if ended or stop.wait(dice.uniform(0.1, held_s)):
                return

    delay(cluster, DELAYED, DELAY_S)
    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        delay(cluster, DELAYED, 0)


def session_readers(cluster: Cluster, *, threads: int, reads: int) -> Found:
    """Threads that each write a clock of their own, and read it and everybody's, until `reads` reads were made together.

    One's own clock must show exactly what was written last; everybody's sum, since clocks only go on, must never fall. Now and
    then a thread goes on with a new connection, to which it hands the token of the old one.
    """
    found = Found.of(cluster)

    def work(number: int) -> None:
        reader = SessionReader(cluster, number, found)
        while sum(found.reads.values()) < reads:
            reader.turn()
        reader.connection.close()

    _run(work, threads)
    return found


class SessionReader:
    """Every second one commits by itself."""

    def __init__(self, cluster: Cluster, number: int, found: Found) -> None:
        self._keywords = {**account(cluster), "autocommit": number % 2 == 0}
        self._number, self._found = number, found
        self._written, self._total = 0, -1
        self.connection = replclus.connect(**self._keywords)
        self._cursor: Any = self.connection.cursor()
        self._cursor.execute("REPLACE INTO clocks VALUES (%s, 0)", (number,))
        self.connection.commit()

    def turn(self) -> None:
        self._written += 1
        self._cursor.execute("UPDATE clocks SET n = %s WHERE id = %s", (self._written, self._number))
        self.connection.commit()
        if self._written % NEW_CONNECTION_EVERY == 0:
            self._go_on_elsewhere()
        for _ in range(READS_PER_WRITE // 2):
            own = self._read(f"SELECT n FROM clocks WHERE id = {self._number}")
            if own != self._written:
                self._complain(f"wrote {self._written} and read {own}")
            total = self._read("SELECT SUM(n) FROM clocks")
            if total < self._total:
                self._complain(f"saw {self._total} and later {total}")
            self._total = max(self._total, total)
        self.connection.commit()

    def _go_on_elsewhere(self) -> None:
        token = self.connection.causality_token
        self.connection.close()
        self.connection = replclus.connect(**self._keywords, causality_token=token)
        self._cursor = self.connection.cursor()

    def _read(self, sql: str) -> int:
        self._cursor.execute(sql)
        self._found.reads[self._cursor.route.node] += 1
        return int(self._cursor.fetchone()[0])

    def _complain(self, what: str) -> None:
        self._found.stale.append(f"{self._number} {what} on {self._cursor.route}")


def _run(work: Any, threads: int) -> None:
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    started = [threading.Thread(target=guarded, args=(number,)) for number in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    if failures:
        raise failures[0]


class Clock:
    """A row on the primary that is written all the time, past the router, and when each value was known to be there."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._there_at: list[float] = []
        self._stop = threading.Event()
        # The longest time between two beats of the watchdog.
        self.beat_ms = 0.0

    @contextmanager
    def ticking(self) -> Iterator[None]:
        thread = threading.Thread(target=self._tick)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _tick(self) -> None:
        with self._cluster.connect(self._cluster.record.primary) as connection, connection.cursor() as cursor:
            beat, beat_at = -1, time.monotonic()
            for number in count():
                cursor.execute("REPLACE INTO app.clocks VALUES (1000, %s)", (number,))
                self._there_at.append(time.monotonic())
                cursor.execute("SELECT beat FROM replclus.pulse")
                (now,) = cursor.fetchone() or (beat,)
                if now != beat:
                    self.beat_ms = max(self.beat_ms, (time.monotonic() - beat_at) * 1000)
                    beat, beat_at = now, time.monotonic()
                if self._stop.wait(WRITE_EVERY_S):
                    return

    def age_ms(self, value: int, at: float) -> float:
        """For how long the next value had been there at the moment `at`: how old what was seen is at most."""
        return (at - self._there_at[value + 1]) * 1000 if bisect_right(self._there_at, at) > value + 1 else 0.0


def bounded_readers(cluster: Cluster, *, threads: int, seconds: float, bound_ms: float) -> Found:
    """Readers with `consistency="bounded"`: none may be older than the bound and one beat, the longest that there was."""
    found, clock = Found.of(cluster), Clock(cluster)
    until = time.monotonic() + seconds
    older: list[tuple[float, str]] = []

    def work(_number: int) -> None:
        with (
            replclus.connect(**account(cluster), autocommit=True, consistency="bounded", max_lag_ms=bound_ms) as connection,
            connection.cursor() as cursor,
        ):
            while time.monotonic() < until:
                at = time.monotonic()
                cursor.execute("SELECT n FROM clocks WHERE id = 1000")
                age = clock.age_ms(cursor.fetchone()[0], at)
                found.reads[cursor.route.node] += 1
                found.oldest_ms = max(found.oldest_ms, age)
                if age > bound_ms:
                    older.append((age, f"{age:.0f} ms old on {cursor.route}"))
                time.sleep(0.002)

    with clock.ticking():
        time.sleep(2 * DELAY_S)
        until = time.monotonic() + seconds
        _run(work, threads)
    found.beat_ms = clock.beat_ms
    found.stale = [what for age, what in older if age > bound_ms + clock.beat_ms]
    return found
