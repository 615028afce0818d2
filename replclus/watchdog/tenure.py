"""Since when the record says what it says: what was asked before tells nothing about a primary that was not one yet."""

from __future__ import annotations

from replclus.failover.view import NEVER
from replclus.model.record import ClusterRecord, Phase


class Tenure:
    """`since`: when the present epoch and phase were first seen, for ClusterView.operation_since, on the watchdog's clock.

    NEVER for a cluster that a watchdog finds at rest when it begins: nothing was asked yet that could be too old.
    """

    def __init__(self) -> None:
        self.since = NEVER
        self._present: tuple[int, Phase | None] | None = None

    def note(self, record: ClusterRecord, at: float) -> None:
        """The record as it was seen at `at`; the same epoch and phase as before change nothing."""
        present = (record.epoch, record.operation.phase if record.operation else None)
        if present != self._present:
            found_at_rest = self._present is None and record.operation is None
            self._present, self.since = present, NEVER if found_at_rest else at
