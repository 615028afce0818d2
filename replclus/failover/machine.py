"""The machine: one moment of a cluster in, one decision out. Total, and pure."""

from __future__ import annotations

from typing import assert_never

from replclus.failover import candidates, diagnose, plan, remedies
from replclus.failover.decision import Act, Decision, Refuse, Stay, Wait
from replclus.failover.durability import blockers, old_primary_fenced, revoked
from replclus.failover.problems import TABLE
from replclus.failover.requests import consider
from replclus.failover.view import ClusterView
from replclus.model.record import Operation, OperationKind, Phase


def tick(view: ClusterView) -> Decision:
    """What is to be done now: what was begun first, then what a person asked for, then the table from the top."""
    record = view.record
    if record.forming:
        return Refuse(("`replclus init` has not finished: run it again",))
    if record.operation is not None:
        return _continue(view, record.operation)
    if record.paused:
        return Stay("paused by a person")
    if record.request is not None and record.request.done is None:
        return consider(view, record.request)
    reasons_to_stay: list[Stay] = []
    for row in TABLE:
        for node, _ in row.find(view):
            decision = row.remedy(view, node or record.primary)
            if not isinstance(decision, Stay):
                return decision
            reasons_to_stay.append(decision)
    return reasons_to_stay[0] if reasons_to_stay else Stay("all is as it should be")


def _continue(view: ClusterView, operation: Operation) -> Decision:
    """An operation is in progress, begun by us or by a watchdog that died. See how far it came and go on."""
    match operation.phase, operation.kind:
        case Phase.PROMOTE, _:
            return _continue_promotion(view)
        case Phase.REVOKE, OperationKind.FAILOVER:
            return _continue_failover(view, operation)
        case Phase.REVOKE, OperationKind.SWITCHOVER:
            return _continue_switchover(view, operation)
        case never:
            assert_never(never)


def _continue_promotion(view: ClusterView) -> Decision:
    primary = view.record.primary
    if view.facts(primary) is not None:
        return Act(plan.complete(view))
    silent_since = view.remembered(primary).silent_since
    silent_for_s = 0.0 if silent_since is None else view.now - silent_since
    if diagnose.primary_dead(view) or diagnose.primary_frozen(view) or silent_for_s > view.spec.timings.acker_grace_s:
        # Perhaps nobody follows it yet, so nobody can bear witness; `blockers` decides whether it may be left behind.
        return remedies.fail_over(view, primary)
    return Wait(f"{primary} was being promoted and does not answer", reread=remedies.everyone(view))


def _continue_failover(view: ClusterView, operation: Operation) -> Decision:
    """The epoch is claimed. Promote when the old primary can acknowledge nothing more and everyone was heard after that."""
    old = operation.old_primary
    fenced = old_primary_fenced(view, old)
    back = view.facts(old)
    if back is not None and back.writable and not fenced and view.record.request is None:
        return Act(plan.abandon(view, f"{old} answers and is writable again", reopen_old=False))
    stale = tuple(member.name for member, _ in view.serving_replicas() if view.seen(member.name).full_at < view.operation_since)
    if stale:
        return Wait(f"{', '.join(stale)} must be asked again, now that the epoch is claimed", reread=stale)
    receiving = tuple(member.name for member, facts in view.serving_replicas() if not revoked(facts))
    if receiving:
        return Act(plan.revoke_rest(view, receiving))
    against = () if view.forced else blockers(view, old, fenced=fenced)
    if not against:
        match candidates.elect(view, wanted=operation.wanted):
            case candidates.Elected() as elected:
                return Act(plan.promote(view, elected))
            case candidates.NobodyElectable(reasons):
                against = reasons
    if back is not None:
        return Act(plan.abandon(view, f"{old} is there, and nobody can take over: {'; '.join(against)}", reopen_old=False))
    return Refuse(against)


def _continue_switchover(view: ClusterView, operation: Operation) -> Decision:
    """Everyone is revoked and the target has all: promote. Anything else: the old primary is opened again."""
    old, target = operation.old_primary, operation.wanted
    assert target is not None
    before, after = view.facts(old), view.facts(target)
    if before is None:
        if diagnose.primary_dead(view) or diagnose.primary_frozen(view):
            return remedies.fail_over(view, old)
        return Wait(f"{old} does not answer in the middle of a switchover", reread=remedies.everyone(view))
    if after is None:
        return Act(plan.abandon(view, f"{target} does not answer any more", reopen_old=True))
    asked = (old, *(member.name for member, _ in view.serving_replicas()))
    stale = tuple(name for name in asked if view.seen(name).full_at < view.operation_since)
    if stale:
        return Wait(f"{', '.join(stale)} must be asked again", reread=stale)
    receiving = [member.name for member, facts in view.serving_replicas() if not revoked(facts)]
    if before.writable or receiving or not after.received.contains(before.executed):
        return Act(plan.abandon(view, f"{target} could not be made ready in time", reopen_old=True))
    match candidates.elect(view, wanted=target):
        case candidates.Elected() as elected:
            return Act(plan.promote(view, elected))
        case candidates.NobodyElectable(reasons):
            return Act(plan.abandon(view, "; ".join(reasons), reopen_old=True))
