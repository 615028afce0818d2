"""What a person may ask for, and when the answer is no. A refusal changes nothing but the answer."""

from __future__ import annotations

from typing import assert_never

from replclus.failover import candidates, diagnose, plan
from replclus.failover.decision import Act, Action, Decision, Swap, Wait
from replclus.failover.durability import blockers, errant
from replclus.failover.remedies import foreign, put_aside
from replclus.failover.view import ClusterView, lag_ms
from replclus.model.record import Member, MemberState, Request, RequestKind

LAG_MS_MAX = 10_000
"""A switchover target may be this far behind when it begins; the drain then has its own bound."""
CONNECTING_S = 2.0
"""A target that is just connecting to the primary is waited for so long."""


def consider(view: ClusterView, request: Request) -> Decision:
    match request.kind:
        case RequestKind.SWITCHOVER:
            return _switchover(view, request)
        case RequestKind.FAILOVER:
            return _failover(view, request)
        case RequestKind.REJOIN:
            return _rejoin(view, request)
        case RequestKind.DRAIN:
            return _drain(view, request)
        case RequestKind.UNDRAIN:
            return _undrain(view, request)
        case RequestKind.REBUILD:
            return _rebuild(view, request)
        case RequestKind.PAUSE:
            return _pause(view, paused=True)
        case RequestKind.RESUME:
            return _pause(view, paused=False)
        case never:
            assert_never(never)


def _no(view: ClusterView, reason: str) -> Decision:
    return Act(plan.answer(view, reason, done=False))


def _switchover(view: ClusterView, request: Request) -> Decision:
    primary = view.facts(view.record.primary)
    if primary is None:
        return _no(view, f"{view.record.primary} does not answer, so nothing can be handed over: use `replclus failover`")
    if not primary.writable:
        return _no(view, f"{view.record.primary} accepts no writes at present, try again when `replclus status` is clean")
    target = request.to or _best_target(view)
    if target is None:
        return _no(view, "no replica is fit to take over")
    if soon := _soon_known(view, target):
        return soon
    if reason := _unfit_target(view, target):
        return _no(view, reason)
    return Act(plan.claim_switchover(view, target))


def _soon_known(view: ClusterView, target: str) -> Wait | None:
    """A target that was not looked at lately is looked at first, and one that is just connecting gets a moment for it."""
    if target not in [member.name for member in view.record.replicas]:
        return None
    seen, facts = view.seen(target), view.facts(target)
    if view.now - seen.full_at > view.spec.timings.tick_s and seen.answered:
        return Wait(f"looking at {target}", reread=(target,))
    receiver = facts.channel.receiver if facts is not None and facts.channel is not None else None
    connecting = receiver is not None and receiver.running and not receiver.connected
    if connecting and view.now - view.remembered(target).fed_at < CONNECTING_S:
        return Wait(f"{target} is connecting to {view.record.primary}", reread=(target,))
    return None


def _best_target(view: ClusterView) -> str | None:
    """The most preferred replica among those that could take over now."""
    match candidates.elect(view):
        case candidates.Elected(name=name):
            return name
        case candidates.NobodyElectable():
            return next((m.name for m, _ in view.serving_replicas() if _unfit_target(view, m.name) is None), None)
        case never:
            assert_never(never)


def _unfit_target(view: ClusterView, target: str) -> str | None:
    """Why nobody should hand over to `target` now; None if it is fit."""
    names = [member.name for member in view.record.members]
    if target not in names:
        return f"there is no node {target}; the members are {', '.join(names)}"
    if target == view.record.primary:
        return f"{target} is primary already"
    member = view.record.member(target)
    if member.state is MemberState.QUARANTINED:
        return f"{target} is quarantined: {member.why}"
    facts = view.facts(target)
    if facts is None:
        return f"{target} does not answer ({view.seen(target).error or view.seen(target).reach.value})"
    if view.stranger(facts):
        return f"{target} is not the server that was admitted: {foreign(facts.identity.cluster_id)}"
    if reason := candidates.unfit(view, member, facts):
        return reason
    if not view.follows(facts, view.record.primary) or facts.channel is None or not facts.channel.receiver.connected:
        return f"{target} does not receive from {view.record.primary}"
    lag = lag_ms(view, target)
    if lag is None or lag > LAG_MS_MAX:
        return f"{target} is {'an unknown time' if lag is None else f'{lag} ms'} behind; at most {LAG_MS_MAX} ms are waited for"
    return None


def _failover(view: ClusterView, request: Request) -> Decision:
    old = view.record.primary
    facts = view.facts(old)
    if facts is not None and facts.writable and not diagnose.writes_stalled(view) and not request.force:
        return _no(view, f"{old} is healthy: use `replclus switchover`, or --force to kill it")
    if diagnose.only_we_cannot_see_it(view) and not request.force:
        return _no(view, f"{old} does not answer us, but its replicas are fed by it: repair the path to it, or use --force")
    # The claim fences it, or detaches everyone from it.
    against = () if request.force else blockers(view, old, fenced=True)
    if against:
        return _no(view, "; ".join(against))
    if request.to is not None and request.to not in [member.name for member in view.record.replicas]:
        return _no(view, f"{request.to} is not a replica of this cluster")
    match candidates.elect(view, wanted=request.to):
        case candidates.NobodyElectable(reasons):
            return _no(view, "; ".join(reasons))
        case candidates.Elected():
            return Act(plan.claim_failover(view, "asked for by a person", wanted=request.to))
        case never:
            assert_never(never)


def _drain(view: ClusterView, request: Request) -> Decision:
    """It takes no new reads. It goes on replicating, acknowledging and voting."""
    member = _member(view, request)
    if member is None:
        return _no(view, _unknown(view, request))
    if member.name == view.record.primary:
        return _no(view, f"{member.name} is the primary and must serve: `replclus switchover` first")
    if member.state is MemberState.DRAINING:
        return Act(plan.answer(view, f"{member.name} takes no reads already", done=True))
    if not member.admitted:
        return _no(view, f"{member.name} is {member.state.value}: it takes no reads anyway")
    if not request.force and not any(
        other.name != member.name and serving(view, other) for other in view.record.replicas if other.admitted
    ):
        why = f"{member.name} is the last replica that serves, so all reads would go to {view.record.primary}"
        return _no(view, f"{why}: --force accepts that")
    return Act(plan.change_state(view, member, MemberState.DRAINING, f"{member.name} takes no more reads"))


def _undrain(view: ClusterView, request: Request) -> Decision:
    member = _member(view, request)
    if member is None:
        return _no(view, _unknown(view, request))
    if member.state is MemberState.ACTIVE:
        return Act(plan.answer(view, f"{member.name} is not being drained", done=True))
    if member.state is not MemberState.DRAINING:
        return _no(view, f"{member.name} is {member.state.value}, not draining: `replclus rejoin` has it judged")
    return Act(plan.change_state(view, member, MemberState.ACTIVE, f"{member.name} takes reads again"))


def _rebuild(view: ClusterView, request: Request) -> Decision:
    """Whatever state it is in: its extra transactions are exported, its data is replaced."""
    member = _member(view, request)
    if member is None:
        return _no(view, _unknown(view, request))
    if member.name == view.record.primary:
        return _no(view, f"{member.name} is the primary, from which the others are rebuilt: `replclus switchover` first")
    if member.state is MemberState.REBUILDING:
        return _no(view, f"{member.name} is being rebuilt already")
    facts = view.facts(member.name)
    if facts is not None and view.stranger(facts) and facts.identity.cluster_id:
        return _no(view, f"{member.name} belongs to another cluster ({facts.identity.cluster_id}), so it is not touched")
    if view.facts(view.record.primary) is None:
        return _no(view, f"{view.record.primary} does not answer, so there is nothing to rebuild {member.name} from")
    acknowledging = view.record.ackers & set(diagnose.witnesses(view).feeding)
    if acknowledging == {member.name} and not request.force:
        return _no(view, f"nobody but {member.name} acknowledges commits, so all writes would wait: --force accepts that")
    step = put_aside(view, member.name, "a person asked for it")
    if not any(isinstance(action, Swap) for action in _actions(step)):
        return step
    return Act(plan.begin_rebuild(view, member, "a person asked for it"))


def _actions(decision: Decision) -> tuple[Action, ...]:
    return decision.plan.actions() if isinstance(decision, Act) else ()


def _pause(view: ClusterView, *, paused: bool) -> Decision:
    if view.record.paused == paused and not (view.record.failovers and not paused):
        return Act(plan.answer(view, "the watchdog is paused already" if paused else "the watchdog is not paused", done=True))
    what = "the watchdog is paused: it repairs nothing and nobody takes over" if paused else "the watchdog goes on"
    return Act(plan.pause(view, paused=paused, what=what))


def _member(view: ClusterView, request: Request) -> Member | None:
    return next((member for member in view.record.members if member.name == request.to), None)


def _unknown(view: ClusterView, request: Request) -> str:
    return f"there is no node {request.to}; the members are {', '.join(member.name for member in view.record.members)}"


def serving(view: ClusterView, member: Member) -> bool:
    """May applications be sent there? The primary always; a replica while it applies what the primary writes, and only that."""
    if member.name == view.record.primary:
        return True
    facts = view.facts(member.name)
    if facts is None or member.state is not MemberState.ACTIVE or not view.follows(facts, view.record.primary):
        return False
    return facts.channel is not None and facts.channel.applier.running and not errant(view, member, facts)


def _rejoin(view: ClusterView, request: Request) -> Decision:
    member = _member(view, request)
    if member is None:
        return _no(view, _unknown(view, request))
    if member.name == view.record.primary:
        return _no(view, f"{member.name} is the primary")
    if member.state is MemberState.REBUILDING:
        return _no(view, f"{member.name} is being rebuilt: it comes back by itself when that has ended")
    if view.facts(member.name) is None:
        seen = view.seen(member.name)
        return _no(view, f"{member.name} does not answer ({seen.error or seen.reach.value}): start it first")
    return Act(plan.readmit(view, member))
