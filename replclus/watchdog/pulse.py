"""The pulse: one row, written on the primary every tick, with a deadline."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from replclus.errors import ServerError
from replclus.failover.view import PulseHealth
from replclus.model.spec import Account, NodeSpec, Timings
from replclus.model.topology import PulseRow, Topology
from replclus.server.server import Server
from replclus.watchdog.board import Board


class BeatClock:
    """Beats are milliseconds that only grow, also across watchdogs and when the wall clock is set back."""

    def __init__(self, wall: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._zero_ms = wall() * 1000 - clock() * 1000
        self._last = 0
        self._lock = threading.Lock()

    def start_after(self, beat: int) -> None:
        """Every later beat is greater than `beat`."""
        with self._lock:
            behind_ms = beat - (self._zero_ms + self._clock() * 1000)
            if behind_ms > 0:
                self._zero_ms += behind_ms
            self._last = max(self._last, beat)

    def newest(self) -> int:
        """No beat given out so far is greater."""
        with self._lock:
            return self._last

    def next(self) -> int:
        with self._lock:
            self._last = max(self._last + 1, int(self._zero_ms + self._clock() * 1000))
            return self._last


@dataclass(frozen=True, slots=True)
class Aim:
    """Where the pulse goes, and the map that it carries."""

    node: NodeSpec
    topology: Topology


SLOWEST_OVER_S = 10.0
"""How far back the slowest beat is remembered."""
OUTCOME_AGE_S = 24 * 3600
OUTCOME_ROWS_MAX = 1000
PURGE_EVERY_S = 600.0


class Pulse(threading.Thread):
    """Writes beats to wherever it is aimed; holds still while it is aimed at nothing.

    Now and then it also drops the tokens of tracked writes that crashed applications left behind.
    """

    def __init__(
        self,
        account: Account,
        timings: Timings,
        board: Board,
        beats: BeatClock,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name="pulse", daemon=True)
        self._account = account
        self._timings = timings
        self._board = board
        self._beats = beats
        self._clock = clock
        self._aim: Aim | None = None
        self._server: Server | None = None
        self._health = PulseHealth()
        self._pending_since: float | None = None
        self._slow: deque[tuple[float, float]] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._purged_at = clock()

    @property
    def health(self) -> PulseHealth:
        with self._lock:
            since = self._clock() - SLOWEST_OVER_S
            slowest = max((took for at, took in self._slow if at >= since), default=0.0)
            return replace(self._health, pending_since=self._pending_since, slowest_s=slowest)

    def aim(self, node: NodeSpec, topology: Topology) -> None:
        with self._lock:
            if self._aim is None or self._aim.node != node:
                self._health = PulseHealth()
                self._slow.clear()
                self._drop_server()
            self._aim = Aim(node, topology)

    def hold(self) -> None:
        """No more beats until it is aimed again; one in flight is broken off."""
        with self._lock:
            self._aim = None
            self._health = PulseHealth()
            self._pending_since = None
            self._drop_server()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()
        self.hold()

    def take_leave(self) -> str | None:
        """Stop, after one last beat that grants no lease: nobody watches from now on, so nobody will replace the primary.

        Only for who still drives the cluster. What kept the beat from being written, if anything did: then the primary turns
        itself read-only when its lease is over.
        """
        with self._lock:
            aim = self._aim
        self.stop()
        if self.ident is not None:
            self.join(self._timings.pulse_deadline_s)
        if aim is None or not self._timings.lease_s:
            return None
        row = pulse_row(aim.topology, self._beats.next(), self._timings)
        server = self._connect(aim.node)
        try:
            server.beat(replace(row, lease_ms=0), self._timings.pulse_deadline_s)
        except ServerError as error:
            return f"{aim.node.name} could not be told that nobody watches it any more: {error.message}"
        finally:
            server.close()
        return None

    def run(self) -> None:
        while not self._stopping:
            started = self._clock()
            with self._lock:
                aim = self._aim
            if aim is not None:
                self._beat(aim)
            self._wake.wait(max(0.0, self._timings.tick_s - (self._clock() - started)))
        self._drop_server()

    def _beat(self, aim: Aim) -> None:
        with self._lock:
            if self._aim is not aim:
                return
            if self._server is None:
                self._server = self._connect(aim.node)
            server = self._server
            sent_at = self._pending_since = self._clock()
        try:
            server.beat(pulse_row(aim.topology, self._beats.next(), self._timings), self._timings.pulse_deadline_s)
            if sent_at - self._purged_at > PURGE_EVERY_S:
                self._purged_at = sent_at
                server.purge_outcomes(OUTCOME_AGE_S, OUTCOME_ROWS_MAX)
        except ServerError as error:
            self._failed(aim, sent_at, error.message)
        else:
            with self._lock:
                if self._aim is not None and self._aim.node == aim.node:
                    now, self._pending_since = self._clock(), None
                    # Beats that failed before it were slow as well: nothing was committed since the first of them was sent.
                    began = sent_at if self._health.failing_since is None else self._health.failing_since
                    self._health = PulseHealth(committed_at=now, sent_at=sent_at)
                    self._note_slow(now, now - began)

    def _failed(self, aim: Aim, sent_at: float, why: str) -> None:
        with self._lock:
            if self._aim is None or self._aim.node != aim.node:
                return
            first = self._health.failing_since is None
            since = sent_at if self._health.failing_since is None else self._health.failing_since
            self._pending_since = None
            self._health = replace(self._health, failing_since=since, error=why)
        if first:
            self._board.ring()

    def _note_slow(self, at: float, took_s: float) -> None:
        """Kept so that the first is the slowest, and what is too old to matter is gone."""
        while self._slow and (self._slow[-1][1] <= took_s):
            self._slow.pop()
        self._slow.append((at, took_s))
        while self._slow[0][0] < at - SLOWEST_OVER_S:
            self._slow.popleft()

    def _connect(self, node: NodeSpec) -> Server:
        timings = self._timings
        return Server(
            node,
            self._account,
            clock=self._clock,
            connect_timeout_s=timings.connect_timeout_s,
            timeout_s=timings.pulse_deadline_s,
        )

    def _drop_server(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.abort()


def pulse_row(topology: Topology, beat: int, timings: Timings) -> PulseRow:
    return PulseRow(
        beat=beat,
        epoch=topology.epoch,
        primary=topology.primary,
        routing_ttl_ms=int(timings.routing_ttl_s * 1000),
        topology=topology.to_json(),
        lease_ms=1000 * timings.lease_s,
    )
