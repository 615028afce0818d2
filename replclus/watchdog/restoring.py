"""Rebuilds run in the background: a copy of a server takes minutes, and the watchdog goes on watching meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from replclus.errors import ReplclusError
from replclus.events import Event, Progress, Report
from replclus.failover.view import Work
from replclus.model.gtid import GtidSet
from replclus.model.record import ClusterRecord
from replclus.watchdog.board import Board

AT_ONCE_MAX = 2
"""So many servers are copied at the same time: each costs its donor disk and network."""
STOP_S_MAX = 10.0


class Salvaged(Protocol):
    """What became of the transactions that only the dead primary had: one sentence, for the report."""

    @property
    def sentence(self) -> str: ...


class Returned(Protocol):
    """How a rebuild ended. `how` says what was done, `why` what was in the way; the identity is the server's afterwards."""

    @property
    def ok(self) -> bool: ...
    @property
    def how(self) -> str: ...
    @property
    def why(self) -> str: ...
    @property
    def server_id(self) -> int: ...
    @property
    def uuid(self) -> str | None: ...


class Restorer(Protocol):
    """Brings data to servers; `replclus.provision` does it, and whoever starts a watchdog hands it in."""

    def bring_back(
        self, record: ClusterRecord, node: str, donor: str, extra: GtidSet | None, report: Report, stop: threading.Event
    ) -> Returned:
        """Export `extra`, then make `node` equal to `donor`. It ends read-only and detached. `stop` breaks it off."""
        ...

    def salvage(self, record: ClusterRecord, node: str, dead: str, timeout_s: float) -> Salvaged:
        """Apply to `node` what `dead` committed and nobody received."""
        ...


@dataclass(slots=True)
class _Running:
    thread: threading.Thread
    work: Work


class Workers:
    """The rebuilds that this watchdog runs. Safe to use from any thread."""

    def __init__(self, restorer: Restorer | None, board: Board, report: Report) -> None:
        self._restorer = restorer
        self._board = board
        self._report = report
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}

    def begin(self, record: ClusterRecord, node: str, donor: str, extra: GtidSet | None) -> None:
        """Start to rebuild `node`; nothing if that is under way, or as many as may run at once are."""
        with self._lock:
            busy = sum(not running.work.ended for running in self._running.values())
            if node in self._running or busy >= AT_ONCE_MAX:
                return
            thread = threading.Thread(target=self._run, args=(record, node, donor, extra), name=f"rebuild-{node}", daemon=True)
            self._running[node] = _Running(thread, Work(what=f"from {donor}"))
            thread.start()

    def works(self, rebuilding: Iterable[str]) -> dict[str, Work]:
        """What runs or has ended, of the nodes that the record calls rebuilding; the rest is forgotten."""
        wanted = set(rebuilding)
        with self._lock:
            for node in [node for node, running in self._running.items() if running.work.ended and node not in wanted]:
                del self._running[node]
            return {node: running.work for node, running in self._running.items() if node in wanted}

    def stop(self) -> None:
        """Break off what runs. The record still says that it is to be done, and the next watchdog begins anew."""
        self._stop.set()
        with self._lock:
            threads = [running.thread for running in self._running.values()]
        for thread in threads:
            thread.join(STOP_S_MAX)

    def _run(self, record: ClusterRecord, node: str, donor: str, extra: GtidSet | None) -> None:
        if self._restorer is None:
            self._end(node, Work(ended=True, what="this process cannot rebuild servers"))
            return
        try:
            done = self._restorer.bring_back(record, node, donor, extra, lambda event: self._tell(node, event), self._stop)
        except Exception as error:
            # Also a mistake of ours must not leave it rebuilding for ever.
            self._end(node, Work(ended=True, what=str(error) if isinstance(error, ReplclusError) else repr(error)))
            return
        if self._stop.is_set() and not done.ok:
            return
        what = done.how if done.ok else done.why
        self._end(node, Work(ended=True, ok=done.ok, what=what, server_id=done.server_id, uuid=done.uuid))

    def _tell(self, node: str, event: Event) -> None:
        if isinstance(event, Progress):
            self._set(node, Work(what=event.what))
        self._report(event)

    def _end(self, node: str, work: Work) -> None:
        self._set(node, work)
        self._board.ring()

    def _set(self, node: str, work: Work) -> None:
        with self._lock:
            if node in self._running:
                self._running[node].work = work
