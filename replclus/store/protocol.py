"""What the rest of replclus may ask of a store, whatever keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from replclus.events import Event
from replclus.model.record import ClusterRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One event that happened. `at` is wall time in seconds since 1970, `event` is `Event.to_dict()`."""

    seq: int
    at: float
    code: str
    event: Mapping[str, Any]


class Lock(Protocol):
    """The right to drive a cluster. Leaving its `with` block gives it back; so does the end of the process."""

    def held(self) -> bool:
        """Do we still own it? Asked before every action, so it must be cheap."""

    def release(self) -> None:
        """Idempotent."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class Store(Protocol):
    """Keeps one ClusterRecord and a journal. Every call is bounded in time and safe from any thread.

    After a StoreError that is not a Conflict the outcome of a change is unknown: `load` tells.
    """

    def load(self) -> ClusterRecord | None:
        """The record, or None if there is none. Raises Damaged, or StoreError if a newer replclus wrote it."""

    def create(self, record: ClusterRecord) -> None:
        """Write the first record as it is. Conflict if there is one."""

    def cas(self, expected_version: int, new: ClusterRecord) -> ClusterRecord:
        """Replace the record of version `expected_version` by `new`, with version `expected_version + 1`.

        Returns what was written. Conflict if the version is another one, or there is no record. StoreError if the epoch
        would fall or the cluster would become another one: whoever computed that is wrong.
        """

    def lock(self, who: str) -> Lock:
        """Take the right to drive the cluster, or raise Locked, which says who has it. Does not wait."""

    def append(self, *entries: tuple[float, Event]) -> None:
        """Add events with their wall times to the journal, all or none. It forgets its oldest entries beyond a bound."""

    def journal(self, limit: int) -> tuple[JournalEntry, ...]:
        """The newest `limit` entries, oldest first."""

    def close(self) -> None:
        """Idempotent. The next call opens the store again."""
