"""What an acknowledged write is worth, and what that forbids. The only place, with `dialect`, that speaks of semi-sync.

lossless: a commit is acknowledged after one of the *ackers* has it on disk. So (1) nobody may be promoted while an acker
is unheard, because the missing one may be the only holder of an acknowledged write; and (2) nobody may be promoted while
the old primary could still get an acknowledgement: either it is fenced, or every acker has stopped receiving from it.

available: writes are acknowledged by the primary alone. A promotion may lose the newest; the loss is stated first.
"""

from __future__ import annotations

from replclus.failover.diagnose import originated_by, process_gone
from replclus.failover.view import ClusterView
from replclus.model.gtid import GtidSet
from replclus.model.observation import Facts, Reach
from replclus.model.record import ClusterRecord, Member
from replclus.model.spec import Durability


def old_primary_fenced(view: ClusterView, old: str) -> bool:
    """Can `old` accept no write any more? Its process is gone, it was fenced in this epoch, or it is back and read-only."""
    operation = view.record.operation
    if operation is not None and operation.old_primary == old and operation.fenced:
        return True
    facts = view.facts(old)
    returned_closed = facts is not None and not facts.writable and facts.semi_sync.waiting == 0 and not view.stranger(facts)
    return process_gone(view, old) or returned_closed or view.remembered(old).fenced_in == view.record.epoch


def revoked(facts: Facts) -> bool:
    """This replica has stopped receiving, so it acknowledges nothing more."""
    return facts.channel is None or not facts.channel.receiver.running


def regressed(view: ClusterView, node: str) -> bool:
    """Did `node` once report to have received more than it has now? What it lost may have been acknowledged."""
    facts, highest = view.facts(node), view.remembered(node).highest_received
    return facts is not None and highest is not None and not facts.received.contains(highest)


def errant(view: ClusterView, member: Member, facts: Facts) -> GtidSet:
    """What this server wrote itself and the cluster does not know: it was written to behind the primary's back.

    Measured against what the primary last told; if it never told us anything, against what the other replicas have. A
    former primary's own transactions are in both, because nobody is promoted without them.
    """
    known = view.primary.facts
    own = originated_by(facts, facts.executed)
    if known is not None and member.name != view.record.primary:
        return own.subtract(known.received)
    others = [other for name, other in view.answering_replicas() if name.name != member.name]
    for other in others:
        own = own.subtract(other.received)
    return own if others else own.subtract(own)


def blockers(view: ClusterView, old: str, *, fenced: bool) -> tuple[str, ...]:
    """Why nobody may take over from `old` yet; empty when someone may."""
    if view.record.durability is Durability.AVAILABLE:
        return ()
    reasons = []
    told = _is_told_by(view, old)
    for name in sorted(view.record.ackers - {old}):
        facts = view.facts(name)
        if facts is None:
            seen = view.seen(name)
            reasons.append(
                f"{name} may be the only one to hold acknowledged writes and cannot be asked ({seen.error or seen.reach.value}):"
                f" bring it back, or run `replclus failover --force` to accept the loss"
            )
        elif view.stranger(facts):
            reasons.append(
                f"{name} held acknowledged writes, and is another server now: it does not carry this cluster's identity"
            )
        elif not told and regressed(view, name):
            reasons.append(
                f"{name} has less than it once had received and may have lost acknowledged writes:"
                f" compare it with its relay logs, or run `replclus failover --force` to accept the loss"
            )
        elif not told and (lost_relay_log(facts) or view.record.beat_to_see(name) is not None):
            reasons.append(
                f"{name} was restarted and may have lost what it had acknowledged and not applied:"
                f" bring {old} back, or run `replclus failover --force` to accept the loss"
            )
        elif not fenced and not revoked(facts):
            reasons.append(f"{old} is not fenced and {name} still receives from it")
    return tuple(reasons)


def _is_told_by(view: ClusterView, old: str) -> bool:
    """Is `old` back, closed, and has a replica all that it has? Then nothing that it acknowledged is missing."""
    facts = view.facts(old)
    if facts is None or facts.writable or view.stranger(facts):
        return False
    return any(other.received.contains(facts.received) for _, other in view.serving_replicas())


def lost_relay_log(facts: Facts) -> bool:
    """Does neither of its threads run? Then it was restarted, and may have lost what it had acknowledged and not applied.

    MariaDB throws that away when replication starts. MySQL keeps it, but its relay log is not synced at each commit, so a
    machine that lost its power has lost the end of it. Whom we detach keeps its applier running, and an applier that broke
    holds what it has.
    """
    channel = facts.channel
    return channel is None or not (channel.receiver.running or channel.applier.running or channel.applier.errno)


def removable_acker(view: ClusterView, name: str) -> bool:
    """May `name` leave the ackers without a promise broken?

    It must be certain that it acknowledges nothing more (a server that starts anew does not replicate by itself, but one
    that merely does not answer us may still be attached), and a beat sent after that must have been committed: then
    another acker holds everything that `name` may have acknowledged.
    """
    silent_since = view.remembered(name).silent_since
    timings = view.spec.timings
    if silent_since is None or view.now - silent_since < timings.acker_grace_s:
        return False
    gone = process_gone(view, name) or (view.seen(name).reach is Reach.REFUSED and not _may_be_attached(view, name))
    others = view.record.ackers - {name}
    return gone and bool(others) and view.pulse.committed_at > silent_since + timings.pulse_deadline_s


def _may_be_attached(view: ClusterView, name: str) -> bool:
    """Does the primary count more replicas that acknowledge than those we see attached to it? A firewall may refuse only us."""
    primary = view.facts(view.record.primary)
    if primary is None:
        return True
    others = [facts for member, facts in view.answering_replicas() if member.name != name]
    attached = sum(facts.channel is not None and facts.channel.receiver.connected for facts in others)
    return primary.semi_sync.clients > attached


def elected_position(record: ClusterRecord, family: type[GtidSet]) -> GtidSet | None:
    """What whoever was elected must have before it serves; None where nobody was."""
    operation = record.operation
    return None if operation is None or operation.position is None else family.parse(operation.position)


def missing_from(record: ClusterRecord, best: GtidSet) -> str | None:
    """A sentence if `best` lacks what whoever was elected last had received; None if it has all of it.

    Also when that one serves already: its replicas may be far behind, and then it alone holds what earlier ones acknowledged.
    """
    known = elected_position(record, type(best))
    if known is None and record.floor is not None and record.durability is Durability.LOSSLESS:
        known = type(best).parse(record.floor)
    if known is None or best.contains(known):
        return None
    return f"{record.primary} is lost, and nobody else has all that it had received when it was elected ({known})"
