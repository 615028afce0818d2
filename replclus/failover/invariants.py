"""The laws. Each is a function that returns, or raises `Violation` with the sentence of the law that was broken.

They are used by the executor's assertions, by the scenario tests and by the simulator; docs/guarantees.md is written
from them.
"""

from __future__ import annotations

from collections.abc import Iterable

from replclus.failover.decision import OpenForWrites, Plan, Promote, Swap, Together, WaitApplied
from replclus.model.gtid import GtidSet
from replclus.model.record import ClusterRecord


class Violation(AssertionError):
    """A law was broken. This is a defect of replclus, never of its surroundings."""


def epochs_only_grow(before: ClusterRecord, after: ClusterRecord) -> None:
    """The epoch never falls, and a different primary means a later epoch."""
    claimed = before.operation is not None and after.epoch == before.epoch
    if after.epoch < before.epoch:
        raise Violation(f"epoch {after.epoch} after epoch {before.epoch}")
    if after.primary != before.primary and after.epoch == before.epoch and not claimed:
        raise Violation(f"{after.primary} became primary in {before.primary}'s epoch {before.epoch}")


def one_writer(writable: Iterable[str]) -> None:
    """At most one node accepts client writes."""
    names = sorted(writable)
    if len(names) > 1:
        raise Violation(f"{' and '.join(names)} accept writes at the same time")


def acknowledged_survive(promoted: GtidSet, acknowledged: GtidSet) -> None:
    """The promoted position contains every position acknowledged under the policy."""
    if not promoted.contains(acknowledged):
        raise Violation(f"acknowledged transactions are missing: {acknowledged.subtract(promoted)}")


def drained_before_promotion(plan: Plan) -> None:
    """Whoever is promoted has applied everything it received, and opens for writes last."""
    order = [(type(action), action.node) for action in plan.actions()]
    for kind, node in order:
        if kind is not Promote:
            continue
        drained = order.index((WaitApplied, node)) if (WaitApplied, node) in order else len(order)
        opened = order.index((OpenForWrites, node)) if (OpenForWrites, node) in order else -1
        if not drained < order.index((Promote, node)) < opened:
            raise Violation(f"{node} is promoted before it has applied everything, or opened before it is promoted")


def record_first(plan: Plan) -> None:
    """A primary is named in the record before any server is told."""
    primaries = []
    for step in plan.steps:
        if isinstance(step, Swap):
            primaries.append(step.record.primary)
        elif not isinstance(step, Together) and isinstance(step, Promote) and primaries and step.node != primaries[-1]:
            raise Violation(f"{step.node} is promoted, but the record names {primaries[-1]}")


def quarantined_never_promoted(record: ClusterRecord) -> None:
    """An errant or foreign node is never primary, and never acknowledges."""
    for member in record.members:
        if not member.admitted and (member.name == record.primary or member.name in record.ackers):
            raise Violation(f"{member.name} is {member.state.value}, and primary or acker all the same")
