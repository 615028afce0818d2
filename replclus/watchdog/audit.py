"""Which statement changed which server, and what for: `Server(audit=…)` tells, the journal remembers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from replclus.events import Mutated, Report


class Auditor:
    """An `Audit` for servers. `note` gets each statement as a Mutated event, and must not take time."""

    def __init__(self, note: Report) -> None:
        self._note = note
        self._doing = threading.local()

    @contextmanager
    def during(self, step: str, epoch: int) -> Iterator[None]:
        """What this thread sends meanwhile is part of `step`."""
        self._doing.step, self._doing.epoch = step, epoch
        try:
            yield
        finally:
            del self._doing.step, self._doing.epoch

    def __call__(self, node: str, statement: str) -> None:
        step, epoch = getattr(self._doing, "step", ""), getattr(self._doing, "epoch", 0)
        self._note(Mutated(node=node, statement=statement, epoch=epoch, step=step))
