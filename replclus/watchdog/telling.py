"""Everything that hears of what the watchdog does: the listener, the journal with its reports and audit, the hooks."""

from __future__ import annotations

import time
from collections.abc import Callable

from replclus.events import Event, Mutated, Report
from replclus.model.spec import ClusterSpec
from replclus.store import Store
from replclus.watchdog.audit import Auditor
from replclus.watchdog.changes import Changes
from replclus.watchdog.hooks import HookRunner
from replclus.watchdog.journal import Journal
from replclus.watchdog.report_files import ReportFiles


class Telling:
    """Nothing here makes the watchdog wait for a disk or a program. `report` is called by one thread at a time."""

    def __init__(self, spec: ClusterSpec, store: Store, report: Report, clock: Callable[[], float] = time.monotonic) -> None:
        self._journal = Journal(store, report, written=ReportFiles(spec.state_dir, store).written)
        self._hooks = HookRunner(spec.hooks, spec.name, self._journal.tell, clock)
        self.audit = Auditor(self.tell)
        self.changes = Changes(self.tell, clock)

    def tell(self, event: Event) -> None:
        """From any thread. The statements that changed a server are for the journal alone."""
        if isinstance(event, Mutated):
            self._journal.note(event)
            return
        self._journal.tell(event)
        self._hooks.hear(event)

    def start(self) -> None:
        self._journal.start()
        self._hooks.start()

    def stop(self) -> None:
        """Hooks that are due have their turn, within their limit; then what waits for the disk is written."""
        self._hooks.stop()
        self._journal.stop()
