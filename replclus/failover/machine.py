"""The machine: one moment of a cluster in, one decision out. Total, and pure."""

from __future__ import annotations

from typing import assert_never

from replclus.failover import candidates, diagnose, plan, remedies
from replclus.failover.decision import Act, Decision, Refuse, Stay, Wait
from replclus.failover.durability import blockers, elected_position, old_primary_fenced, revoked
from replclus.failover.problems import TABLE
from replclus.failover.requests import consider
from replclus.failover.view import ClusterView
from replclus.model.record import Operation, OperationKind, Phase, RequestKind
from replclus.model.spec import Durability

WHILE_PAUSED = frozenset({RequestKind.PAUSE, RequestKind.RESUME, RequestKind.SWITCHOVER, RequestKind.FAILOVER})
"""What a person may ask of a paused watchdog: what only a person decides anyway."""


def tick(view: ClusterView) -> Decision:
    """What is to be done now: what was begun first, then what a person asked for, then the table from the top."""
    record = view.record
    if record.forming:
        return Refuse(("`replclus init` has not finished: run it again",))
    if overslept := diagnose.overslept(view):
        return Wait(f"nobody has looked at {', '.join(overslept)} for too long", reread=overslept)
    if record.operation is not None:
        return _continue(view, record.operation)
    if not view.asked_since_change(record.primary):
        return Wait(f"{record.primary} must be asked again, now that it is primary", reread=(record.primary,))
    asked = record.request if record.request is not None and record.request.done is None else None
    if asked is not None and record.paused and asked.kind not in WHILE_PAUSED:
        return Act(plan.answer(view, "the watchdog is paused: `replclus resume` first", done=False))
    if asked is not None:
        return consider(view, asked)
    return Stay("paused by a person") if record.paused else _first_of_table(view)


def _first_of_table(view: ClusterView) -> Decision:
    """The first decision that is more than "stay". A refusal keeps no second writer open: those rows are judged all the same."""
    reasons: list[Stay | Refuse] = []
    refused = False
    for row in TABLE:
        if refused and row.remedy is not remedies.close_replica:
            continue
        for node, _ in row.find(view):
            decision = row.remedy(view, node or view.record.primary)
            match decision:
                case Act() | Wait():
                    return decision
                case Refuse():
                    reasons.insert(0, decision)
                    refused = True
                case Stay():
                    reasons.append(decision)
                case never:
                    assert_never(never)
    return reasons[0] if reasons else Stay("all is as it should be")


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
    facts = view.facts(primary)
    if facts is not None:
        must_have = elected_position(view.record, type(facts.received))
        if must_have is None or facts.received.contains(must_have) or view.forced:
            return Act(plan.complete(view))
        source = candidates.source_of(view, must_have)
        if source is None:
            return Refuse((f"{primary} was elected and lacks what others had received ({must_have}): bring them back",))
        return Act(plan.complete(view, catch_up_from=source))
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
    alone = view.record.durability is Durability.AVAILABLE
    if alone and back is not None and back.writable and not fenced and view.record.request is None:
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
            case never:
                assert_never(never)
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
        case never:
            assert_never(never)
