"""What to do about a situation. Each remedy answers for one node; together with a matcher it makes a row of the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from replclus.failover import candidates, diagnose, plan
from replclus.failover.decision import Act, Decision, Refuse, Stay, Swap, Wait
from replclus.failover.durability import blockers, errant, removable_acker, revoked
from replclus.failover.view import NEVER, ClusterView
from replclus.model.gtid import GtidSet
from replclus.model.observation import Facts, Reach
from replclus.model.record import Member
from replclus.model.spec import Durability, OnDivergence


def stay(why: str) -> Callable[[ClusterView, str], Decision]:
    """A remedy that only explains itself."""

    def remedy(view: ClusterView, node: str) -> Decision:
        return Stay(why)

    remedy.__doc__ = f"Nothing: {why}."
    return remedy


def everyone(view: ClusterView) -> tuple[str, ...]:
    return tuple(member.name for member in view.record.members)


def can_be_fenced(view: ClusterView, node: str) -> bool:
    """Is there a way to stop this server that does not need its consent? Today: its host is ours."""
    try:
        return view.spec.node(node).process_dir is not None
    except KeyError:
        return False


def fail_over(view: ClusterView, node: str) -> Decision:
    """Fail over: claim the epoch, fence the old primary, detach its replicas, promote the one that received most.

    Not if it is plain already that nobody could be promoted: a claim that ends in a refusal would detach replicas from a
    primary that may yet come back. Nor if there were too many failovers of late: a cluster that loses one primary after the
    other needs a person.
    """
    if tired := too_many_failovers(view):
        return Refuse((tired,))
    if against := blockers(view, node, fenced=True):
        return Refuse(against)
    match candidates.elect(view):
        case candidates.NobodyElectable(reasons):
            return Refuse(reasons)
        case candidates.Elected():
            return Act(plan.claim_failover(view, diagnose.why_failed(view)))
        case never:
            assert_never(never)


def too_many_failovers(view: ClusterView) -> str | None:
    """A sentence if the record holds as many failovers within the window as may happen without a person."""
    spec, request = view.spec, view.record.request
    asked = view.record.operation is not None or (request is not None and request.done is None)
    recent = [at for at in view.record.failovers if 0 <= view.wall_s - at < spec.failovers_window_s]
    if asked or len(recent) < spec.failovers_max:
        return None
    return (
        f"{len(recent)} failovers within {spec.failovers_window_s} s are enough: find out why, then `replclus resume`,"
        " or `replclus failover` for one more"
    )


def fail_over_stalled(view: ClusterView, node: str) -> Decision:
    """Fail over once nothing was committed for `stall_s` and three times as long as the slowest beat of late took, or for twice
    `stall_s` where the disk is at work. Never if somebody's lock is in the way."""
    if diagnose.writes_locked(view):
        return Stay("somebody holds a global lock: that is a person's doing, and ends with it")
    if view.record.durability is Durability.AVAILABLE and not can_be_fenced(view, node):
        return Refuse((f"{node} answers, and nothing proves that it will accept no write: stop it, then a replica takes over",))
    if diagnose.stalled_for_s(view) < diagnose.stall_bound_s(view):
        return Wait(f"{node} answers, and may only be slow", reread=everyone(view))
    return fail_over(view, node)


def ask_again(view: ClusterView, node: str) -> Decision:
    """Ask the servers again, at once."""
    if diagnose.beat_lost(view):
        return Wait(f"{node} lost a beat; looking at it", reread=(node,))
    return Wait(f"{node} is in doubt; asking every server what it sees", reread=everyone(view))


QUIET_S = 0.3
"""If no replica has got anything new for so long, the primary that we cannot reach may be ending."""


def ask_witness(view: ClusterView, node: str) -> Decision:
    """Nothing, while replicas are fed. But a primary that is being shut down lets nobody in, and may feed those who are connected
    for as long as that takes (MySQL: 8 s of heartbeats). So where it refuses us, and nothing new comes from it, replicas
    connect anew, one after the other: the first that is let in proves that only we are turned away.
    """
    since, seen = diagnose.doubted_since(view), diagnose.witnesses(view)
    fed = Stay("the replicas still receive from the primary")
    news = max((view.remembered(member.name).executed_at for member in view.record.replicas), default=NEVER)
    if view.primary.reach is not Reach.REFUSED or since is None or view.now - max(news, since) < QUIET_S:
        return fed
    if alive := [name for name in seen.answered if view.remembered(name).step_ended_at > since]:
        return Stay(f"{alive[0]} connected anew and was turned away by {node} itself, so it is alive: see what it said")
    asked = [name for name in seen.feeding if view.remembered(name).step_ended_at > since]
    if unknown := (*seen.stale, *(name for name in asked if not may_touch(view, name))):
        return Wait(f"{unknown[0]} connects anew, to see whether {node} lets it in", reread=unknown)
    if asked:
        return Stay(f"{asked[0]} has connected to {node} anew: only we are turned away")
    willing = [name for name in seen.feeding if may_touch(view, name)]
    return Act(plan.reconnect(view, willing[0])) if willing else fed


def reopen(view: ClusterView, node: str) -> Decision:
    """It goes on as primary, in a new epoch, if nobody has more than it; otherwise the best replica takes over."""
    primary = view.facts(node)
    if primary is None:
        return Wait(f"{node} must be asked again", reread=(node,))
    unheard = [name for name in sorted(view.record.ackers) if view.facts(name) is None]
    if unheard:
        return Refuse((f"{node} accepts no writes, and {', '.join(unheard)} cannot be asked whether it has more: bring it back",))
    if primary.channel is not None and primary.channel.receiver.running:
        return Refuse((f"{node} is primary and replicates from {primary.channel.source_host}: run `replclus failover`",))
    # What a replica wrote itself is no reason to make it primary; it is judged when this one is open.
    replicas = [(facts.received, errant(view, member, facts)) for member, facts in view.serving_replicas()]
    if all(primary.received.contains(received.subtract(own)) for received, own in replicas):
        return Act(plan.reopen(view, "it accepts no writes, and nobody has more than it"))
    if any(view.primary.full_at < view.seen(member.name).full_at for member, _ in view.serving_replicas()):
        return Wait(f"somebody has more than we knew of {node}; asking it again", reread=(node,))
    return fail_over(view, node)


def may_touch(view: ClusterView, node: str) -> bool:
    """Not yet, if the last remedy for this node just failed, or nobody has looked at what became of it."""
    remembered = view.remembered(node)
    return view.now >= remembered.not_before and remembered.looked_at >= remembered.step_ended_at


def _resting(node: str) -> Stay:
    return Stay(f"{node} is left alone for a moment: a step there has failed, or what came of it is not known yet")


def close_replica(view: ClusterView, node: str) -> Decision:
    """Make it read-only; fence it where commits wait, because read-only would wait behind them."""
    facts = view.facts(node)
    if not may_touch(view, node) or facts is None:
        return _resting(node)
    if facts.semi_sync.waiting and view.remembered(node).fenced_in == view.record.epoch:
        return Stay(f"{node} is fenced, and cannot be made read-only behind the commits that wait there: restart it")
    if facts.semi_sync.waiting:
        return Act(plan.fence(node, f"{node} is no primary, and commits wait there that nobody may acknowledge"))
    return Act(plan.close(view, node, f"{node} is no primary and must not accept writes"))


def put_aside(view: ClusterView, node: str, why: str) -> Decision:
    """Quarantine, in the order that loses nothing: it acknowledges no more, another acker has all that it acknowledged, and
    only then does it leave the record's ackers."""
    facts, member = view.facts(node), view.record.member(node)
    others = view.record.ackers - {node}
    if facts is not None and node in view.record.ackers and view.facts(view.record.primary) is not None:
        fed = others & set(diagnose.witnesses(view).feeding)
        if others and not fed and not revoked(facts):
            return Stay(f"{node} is put aside when another replica acknowledges: until then all writes would wait")
        if not revoked(facts):
            return Act(plan.stop_acknowledging(node, f"{node} is put aside: {why}"))
        if fed and view.pulse.sent_at <= view.seen(node).full_at:
            return Stay(f"{node} is put aside when another replica has all that it acknowledged")
    return Act(plan.quarantine(view, member, why))


def quarantine_errant(view: ClusterView, node: str) -> Decision:
    """Put it aside, or rebuild it where the configuration says so: its own transactions are exported first."""
    facts, primary = view.facts(node), view.facts(view.record.primary)
    if facts is None or primary is None:
        return Stay(f"{node} or the primary does not answer")
    extra = diagnose.of_others(view, facts.executed.subtract(primary.executed))
    return _diverged(view, view.record.member(node), extra)


def _diverged(view: ClusterView, member: Member, extra: GtidSet) -> Decision:
    return _cannot_follow(view, member, f"it has transactions that {view.record.primary} has not: {extra}")


def _cannot_follow(view: ClusterView, member: Member, why: str) -> Decision:
    """By the policy of the configuration."""
    aside = put_aside(view, member.name, why)
    if view.spec.on_divergence is OnDivergence.QUARANTINE or not _is_quarantine(aside):
        return aside
    return Act(plan.begin_rebuild(view, member, why))


def _is_quarantine(decision: Decision) -> bool:
    return isinstance(decision, Act) and any(isinstance(action, Swap) for action in decision.plan.actions())


def quarantine_broken(view: ClusterView, node: str) -> Decision:
    """Put it aside with its error, which is never skipped; unless nobody else acknowledges: then it goes on doing that."""
    facts = view.facts(node)
    if facts is None or facts.channel is None or not view.record.member(node).admitted:
        return Stay(f"{node} is put aside already")
    if view.facts(view.record.primary) is None:
        return Stay("the primary does not answer: what it received is needed")
    if not view.record.ackers - {node}:
        return Stay(f"nobody but {node} acknowledges commits, and it still does: rebuild it when another replica is there")
    applier = facts.channel.applier
    return put_aside(view, node, f"it cannot apply a transaction (error {applier.errno}: {applier.error})")


def quarantine_left_behind(view: ClusterView, node: str) -> Decision:
    """Put it aside, or rebuild it where the configuration says so: nothing else brings it back."""
    facts = view.facts(node)
    assert facts is not None and facts.channel is not None
    receiver = facts.channel.receiver
    why = f"{view.record.primary} cannot give it what it needs next (error {receiver.errno}: {receiver.error})"
    return _cannot_follow(view, view.record.member(node), why)


def quarantine_foreign(view: ClusterView, node: str) -> Decision:
    """Put it aside: whatever it is, it is not the server that was admitted."""
    facts = view.facts(node)
    assert facts is not None
    return put_aside(view, node, foreign(facts.identity.cluster_id))


def quarantine_anothers_id(view: ClusterView, node: str) -> Decision:
    """Put it aside: a primary sends its log to one of those who have the same id, and cuts off the other."""
    facts = view.facts(node)
    assert facts is not None
    return put_aside(view, node, anothers_id(view, view.record.member(node), facts) or "")


def anothers_id(view: ClusterView, member: Member, facts: Facts) -> str | None:
    """What is wrong with its server_id, if that is not its own but another member's."""
    present = facts.identity.server_id
    others = [other.name for other in view.record.members if other.name != member.name and other.server_id == present]
    if present == member.server_id or not others:
        return None
    return f"it has server_id {present}, which is that of {others[0]}; its own is {member.server_id}"


def foreign(cluster_id: str | None) -> str:
    if cluster_id:
        return f"it belongs to another cluster ({cluster_id})"
    return "it does not carry this cluster's identity: was it made anew?"


def leave_foreign_primary(view: ClusterView, node: str) -> Decision:
    """Nothing, until a person has said where the primary is: what it acknowledged may be on the server that was there."""
    return Refuse((f"{node} is another server now: put the member back, or run `replclus failover --force` to go on without",))


def restore_settings(view: ClusterView, node: str) -> Decision:
    """Set them again."""
    facts = view.facts(node)
    if facts is None or not may_touch(view, node):
        return _resting(node)
    return Act(plan.configure(node, f"{node} gets back {', '.join(facts.drift) or 'its role'}"))


def go_on_rebuilding(view: ClusterView, node: str) -> Decision:
    """Begin, or begin anew, in the background; when it has ended well, the server is a member again, else quarantined."""
    member, work = view.record.member(node), view.works.get(node)
    if work is None:
        source, primary, facts = _donor(view, node), view.facts(view.record.primary), view.facts(node)
        if source is None or primary is None:
            return Stay(f"{node} is rebuilt when the primary answers")
        if not may_touch(view, node):
            return _resting(node)
        known = facts is not None and not view.stranger(facts)
        extra = facts.received.beyond(primary.executed) if facts is not None and known else None
        return Act(plan.seed(node, source, extra or None))
    if not work.ended:
        return Stay(f"{node} is being rebuilt: {work.what}")
    if work.ok:
        back = view.facts(node)
        if back is None or view.stranger(back):
            return Stay(f"{node} is rebuilt, and counts again when it has been seen as it is now")
        return Act(plan.end_rebuild(view, member, work))
    return Act(plan.quarantine(view, member, f"its rebuild failed: {work.what}"))


def _donor(view: ClusterView, node: str) -> str | None:
    """A replica that is up to date, so that the primary is spared; else the primary."""
    primary = view.facts(view.record.primary)
    if primary is None:
        return None
    for member, facts in view.serving_replicas():
        healthy = facts.channel is not None and facts.channel.receiver.connected and facts.channel.applier.running
        if healthy and member.name != node and view.follows(facts, view.record.primary):
            return member.name
    return view.record.primary


def judge_and_attach(view: ClusterView, node: str) -> Decision:
    """Attach it if the primary has all that it has; otherwise quarantine it.

    The server itself would not say: a diverged MySQL server follows without any error.
    """
    primary, facts = view.facts(view.record.primary), view.facts(node)
    if primary is None or facts is None:
        return Stay(f"{node} is judged when the primary answers")
    if not may_touch(view, node):
        return _resting(node)
    if facts.writable:
        return Stay(f"{node} is judged when it is closed: what waits to be committed there may still be cut off")
    if primary.executed.contains(facts.received):
        return Act(plan.follow(view, view.record.member(node)))
    if view.primary.full_at < view.seen(node).full_at:
        return Wait(f"{node} has more than we knew of {view.record.primary}; asking it again", reread=(view.record.primary,))
    extra = facts.received.subtract(primary.executed)
    if not diagnose.of_others(view, extra) and primary.semi_sync.waiting:
        return Stay(f"{node} has what {view.record.primary} is still committing: it is judged when that is done")
    return _diverged(view, view.record.member(node), extra)


def restart_replication(view: ClusterView, node: str) -> Decision:
    """Start what has stopped."""
    if not may_touch(view, node):
        return _resting(node)
    if view.primary.reach is not Reach.ANSWERED:
        return Stay("the primary does not answer")
    facts = view.facts(node)
    if facts is not None and facts.channel is not None and facts.channel.receiver.running and facts.channel.applier.running:
        return Stay(f"{node} keeps trying by itself")
    return Act(plan.follow(view, view.record.member(node)))


def trust_again(view: ClusterView, node: str) -> Decision:
    """Count it again when it has applied a beat that was sent after it was attached."""
    facts, wanted = view.facts(node), view.record.beat_to_see(node)
    if facts is None or facts.pulse is None or wanted is None or facts.pulse.beat <= wanted:
        return Stay(f"{node} is still fetching what it may have lost")
    return Act(plan.trust(view, node))


def free_senders(view: ClusterView, node: str) -> Decision:
    """End the sending threads of the primary that hang: a replica that connects anew is served when they are gone."""
    if not may_touch(view, node):
        return Stay(f"{node} is left alone for a moment after a step that may help")
    return Act(plan.free_senders(view, node))


def forget_absent_acker(view: ClusterView, node: str) -> Decision:
    """Wait for it; once it provably acknowledges nothing more, stop counting it among those who do."""
    if node in view.record.ackers and removable_acker(view, node):
        return Act(plan.remove_acker(view, node))
    return Stay(f"waiting for {node}")
