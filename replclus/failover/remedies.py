"""What to do about a situation. Each remedy answers for one node; together with a matcher it makes a row of the table."""

from __future__ import annotations

from collections.abc import Callable

from replclus.failover import candidates, diagnose, plan
from replclus.failover.decision import Act, Decision, Refuse, Stay, Wait
from replclus.failover.durability import blockers, removable_acker
from replclus.failover.view import ClusterView
from replclus.model.observation import Reach


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
    primary that may yet come back.
    """
    if against := blockers(view, node, fenced=True):
        return Refuse(against)
    match candidates.elect(view):
        case candidates.NobodyElectable(reasons):
            return Refuse(reasons)
        case candidates.Elected():
            return Act(plan.claim_failover(view, diagnose.why_failed(view)))


def ask_again(view: ClusterView, node: str) -> Decision:
    """Ask the servers again, at once."""
    if diagnose.beat_lost(view):
        return Wait(f"{node} lost a beat; looking at it", reread=(node,))
    return Wait(f"{node} is in doubt; asking every server what it sees", reread=everyone(view))


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
    ahead = [member.name for member, facts in view.serving_replicas() if not primary.received.contains(facts.received)]
    if not ahead:
        return Act(plan.reopen(view, "it accepts no writes, and nobody has more than it"))
    return fail_over(view, node)


def may_touch(view: ClusterView, node: str) -> bool:
    """Not yet, if the last remedy for this node just failed."""
    return view.now >= view.remembered(node).not_before


def close_replica(view: ClusterView, node: str) -> Decision:
    """Make it read-only."""
    if not may_touch(view, node):
        return Stay(f"{node} is left alone for a moment after a failed step")
    return Act(plan.close(view, node, f"{node} is no primary and must not accept writes"))


def quarantine_errant(view: ClusterView, node: str) -> Decision:
    """Quarantine it: out of reads, elections and replication."""
    facts, primary = view.facts(node), view.facts(view.record.primary)
    if facts is None or primary is None:
        return Stay(f"{node} or the primary does not answer")
    extra = diagnose.of_others(view, facts.executed.subtract(primary.executed))
    return Act(plan.quarantine(view, view.record.member(node), f"it has transactions of its own: {extra}"))


def judge_and_attach(view: ClusterView, node: str) -> Decision:
    """Attach it if the primary has all that it has; otherwise quarantine it.

    The server itself would not say: a diverged MySQL server follows without any error.
    """
    primary, facts = view.facts(view.record.primary), view.facts(node)
    if primary is None or facts is None:
        return Stay(f"{node} is judged when the primary answers")
    if not may_touch(view, node):
        return Stay(f"{node} is left alone for a moment after a failed step")
    if view.stranger(facts):
        other = facts.identity.cluster_id
        why = (
            f"it belongs to another cluster ({other})"
            if other
            else "it does not carry this cluster's identity: was it made anew?"
        )
        return Act(plan.quarantine(view, view.record.member(node), why))
    if primary.executed.contains(facts.received):
        return Act(plan.follow(view, view.record.member(node)))
    if view.primary.full_at < view.seen(node).full_at:
        return Wait(f"{node} has more than we knew of {view.record.primary}; asking it again", reread=(view.record.primary,))
    extra = facts.received.subtract(primary.executed)
    if not diagnose.of_others(view, extra) and primary.semi_sync.waiting:
        return Stay(f"{node} has what {view.record.primary} is still committing: it is judged when that is done")
    why = f"it has transactions that {view.record.primary} has not: {extra}"
    return Act(plan.quarantine(view, view.record.member(node), why))


def restart_replication(view: ClusterView, node: str) -> Decision:
    """Start what has stopped."""
    if not may_touch(view, node):
        return Stay(f"{node} is left alone for a moment after a failed step")
    if view.primary.reach is not Reach.ANSWERED:
        return Stay("the primary does not answer")
    facts = view.facts(node)
    if facts is not None and facts.channel is not None and facts.channel.receiver.running and facts.channel.applier.running:
        return Stay(f"{node} keeps trying by itself")
    return Act(plan.follow(view, view.record.member(node)))


def forget_absent_acker(view: ClusterView, node: str) -> Decision:
    """Wait for it; once it provably acknowledges nothing more, stop counting it among those who do."""
    if node in view.record.ackers and removable_acker(view, node):
        return Act(plan.remove_acker(view, node))
    return Stay(f"waiting for {node}")
