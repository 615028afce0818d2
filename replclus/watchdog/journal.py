"""Events go into the journal behind the watchdog's back: a disk that is slow to sync must not slow a failover down."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence

from replclus.errors import StoreError
from replclus.events import Event, Report, Warned
from replclus.store import Store

WAITING_MAX = 10_000
"""Events that may wait for the disk. Beyond that the newest are dropped from the journal, never from the report."""

BATCH_MAX = 500
"""Events that go to the disk together: the record waits for at most one such write."""

Written = Callable[[Sequence[Event]], None]


def _nothing(events: Sequence[Event]) -> None:
    """Nobody waits for the journal."""


class Journal(threading.Thread):
    """Passes every event on to `report` at once, and to the store's journal when the disk allows it.

    `written` is called from the journal's own thread with what has reached the disk.
    """

    def __init__(self, store: Store, report: Report, wall: Callable[[], float] = time.time, written: Written = _nothing) -> None:
        super().__init__(name="journal", daemon=True)
        self._store = store
        self._report = report
        self._wall = wall
        self._written = written
        self._waiting: queue.Queue[tuple[float, Event] | None] = queue.Queue(WAITING_MAX)
        self._telling = threading.Lock()
        self._failing = False

    def tell(self, event: Event) -> None:
        """From any thread; listeners hear one event at a time."""
        with self._telling:
            self._report(event)
        self.note(event)

    def note(self, event: Event) -> None:
        """For the journal alone: nobody is told, nothing is waited for."""
        try:
            self._waiting.put_nowait((self._wall(), event))
        except queue.Full:
            return

    def stop(self) -> None:
        """Write what is waiting, then end."""
        self._waiting.put(None)
        self.join(timeout=5.0)

    def run(self) -> None:
        going_on = True
        while going_on:
            batch = self._next_batch()
            going_on = None not in batch
            entries = [item for item in batch if item is not None]
            if not entries:
                continue
            try:
                self._store.append(*entries)
                self._written([event for _, event in entries])
            except StoreError as error:
                self._complain(f"the journal cannot be written: {error}")
            except OSError as error:
                self._complain(f"a report cannot be written: {error}")
            else:
                self._failing = False

    def _next_batch(self) -> list[tuple[float, Event] | None]:
        """Waits for the first; takes along whatever waits behind it."""
        batch = [self._waiting.get()]
        while batch[-1] is not None and len(batch) < BATCH_MAX:
            try:
                batch.append(self._waiting.get_nowait())
            except queue.Empty:
                break
        return batch

    def _complain(self, what: str) -> None:
        """Once per outage of the disk. The failover itself does not need the journal."""
        if not self._failing:
            self._failing = True
            with self._telling:
                self._report(Warned(what=what))
