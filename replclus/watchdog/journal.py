"""Events go into the journal behind the watchdog's back: a disk that is slow to sync must not slow a failover down."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from replclus.errors import StoreError
from replclus.events import Event, Report, Warned
from replclus.store import Store

WAITING_MAX = 10_000
"""Events that may wait for the disk. Beyond that the newest are dropped from the journal, never from the report."""


class Journal(threading.Thread):
    """Passes every event on to `report` at once, and to the store's journal when the disk allows it."""

    def __init__(self, store: Store, report: Report, wall: Callable[[], float] = time.time) -> None:
        super().__init__(name="journal", daemon=True)
        self._store = store
        self._report = report
        self._wall = wall
        self._waiting: queue.Queue[tuple[float, Event] | None] = queue.Queue(WAITING_MAX)
        self._telling = threading.Lock()
        self._failing = False

    def tell(self, event: Event) -> None:
        """From any thread; listeners hear one event at a time."""
        with self._telling:
            self._report(event)
        try:
            self._waiting.put_nowait((self._wall(), event))
        except queue.Full:
            return

    def stop(self) -> None:
        """Write what is waiting, then end."""
        self._waiting.put(None)
        self.join(timeout=5.0)

    def run(self) -> None:
        while (item := self._waiting.get()) is not None:
            try:
                self._store.append(*item)
            except StoreError as error:
                self._complain(error)
            else:
                self._failing = False

    def _complain(self, error: StoreError) -> None:
        """Once per outage of the disk. The failover itself does not need the journal."""
        if not self._failing:
            self._failing = True
            with self._telling:
                self._report(Warned(what=f"the journal cannot be written: {error}"))
