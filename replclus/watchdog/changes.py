"""Says when a change of the primary begins and how it ends, and how long nobody could write."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from replclus.events import ChangeBegun, ChangeGivenUp, PrimaryChanged, Report, Sight
from replclus.failover.candidates import Elected, elect
from replclus.failover.decision import Plan, Swap
from replclus.failover.diagnose import doubted_since
from replclus.failover.status import expected_loss
from replclus.failover.view import NEVER, ClusterView
from replclus.model.record import ClusterRecord, Operation, OperationKind, Phase


@dataclass(frozen=True, slots=True)
class _Open:
    """A change in progress. `since` is when writes ended, as far as this watchdog knows."""

    kind: OperationKind
    old: str
    since: float | None


class Changes:
    """Belongs to one watchdog's loop, which calls `watch` each tick, and `begin` and `end` around each plan."""

    def __init__(self, report: Report, clock: Callable[[], float] = time.monotonic) -> None:
        self._report = report
        self._clock = clock
        self._doubted_since: float | None = None
        self._open: _Open | None = None

    def watch(self, view: ClusterView) -> None:
        """Remember since when the primary is doubted; an operation that somebody else began is said to go on."""
        operation = view.record.operation
        if operation is None:
            self._doubted_since = doubted_since(view)
        elif self._open is None:
            self._open = _Open(operation.kind, operation.old_primary, None)
            self._tell(view, view.record, operation, resumed=True)

    def begin(self, view: ClusterView, plan: Plan) -> None:
        """If this plan claims a new epoch, say so, with all that is known: nothing was touched yet."""
        for action in plan.actions():
            if isinstance(action, Swap) and action.record.operation is not None and action.record.epoch > view.record.epoch:
                operation = action.record.operation
                if self._open is None:
                    asked = operation.kind is OperationKind.SWITCHOVER or self._doubted_since is None
                    self._open = _Open(operation.kind, operation.old_primary, self._clock() if asked else self._doubted_since)
                self._tell(view, action.record, operation, resumed=False)
                return

    def end(self, before: ClusterRecord, after: ClusterRecord) -> None:
        """If the plan that turned `before` into `after` ended a change, say how."""
        change = self._open
        if change is None or after.operation is not None:
            return
        self._open = None
        if before.epoch == after.epoch and before.operation is None:
            return  # the claim failed: somebody else changed the record
        operation = before.operation
        if operation is not None and operation.phase is Phase.REVOKE and after.primary == operation.old_primary:
            self._report(ChangeGivenUp(kind=operation.kind, epoch=after.epoch, primary=after.primary))
            return
        outage_ms = None if change.since is None else (self._clock() - change.since) * 1000
        kind = operation.kind if operation is not None else change.kind
        self._report(PrimaryChanged(kind=kind, old=change.old, new=after.primary, epoch=after.epoch, outage_ms=outage_ms))

    def _tell(self, view: ClusterView, claimed: ClusterRecord, operation: Operation, *, resumed: bool) -> None:
        candidate = _candidate(view, claimed, operation)
        since = None if resumed else self._doubted_since
        self._report(
            ChangeBegun(
                kind=operation.kind,
                epoch=claimed.epoch,
                old=operation.old_primary,
                why=operation.reason,
                candidate=candidate,
                loss=expected_loss(view, candidate).sentence,
                doubted_for_ms=0.0 if since is None else (view.now - since) * 1000,
                resumed=resumed,
                seen=tuple(_sight(view, member.name) for member in view.record.members),
            )
        )


def _candidate(view: ClusterView, claimed: ClusterRecord, operation: Operation) -> str | None:
    """Who would take over, by what is known at this moment."""
    if operation.phase is Phase.PROMOTE or operation.kind is OperationKind.SWITCHOVER:
        return claimed.primary if operation.phase is Phase.PROMOTE else operation.wanted
    elected = elect(view, wanted=operation.wanted)
    return elected.name if isinstance(elected, Elected) else None


def _sight(view: ClusterView, name: str) -> Sight:
    seen = view.seen(name)
    channel = seen.facts.channel if seen.facts is not None else None
    places = {(member.host, member.port): member.name for member in view.record.members}
    fed_by = None
    if seen.answered and channel is not None and channel.receiver.connected:
        at = (channel.source_host, channel.source_port)
        fed_by = places.get(at, f"{at[0]}:{at[1]}")
    return Sight(
        node=name,
        reach=seen.reach.value,
        age_ms=None if seen.at == NEVER else (view.now - seen.at) * 1000,
        error=seen.error,
        writable=seen.answered and seen.facts is not None and seen.facts.writable,
        received=str(seen.facts.received) if seen.facts is not None else "",
        fed_by=fed_by,
        process={True: "running", False: "gone", None: ""}[seen.process_alive],
    )
