"""Evidence: what the observations say about the primary, one question a function.

A failover needs two independent signals: our own probes, and somebody else's view. The replicas' receivers are the
witnesses; where we run the server's host, the host's word about the process counts as one too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from replclus.failover.view import ClusterView
from replclus.model.gtid import GtidSet, MariadbGtidSet, MysqlGtidSet
from replclus.model.observation import Reach


@dataclass(frozen=True, slots=True)
class Witnesses:
    """What the replicas that replicate from the primary say about it.

    `feeding`: their receiver is connected now. `cut`: it lost the primary. `stale`: they last spoke before our own doubt
    began, so their word counts for nothing yet.
    """

    feeding: tuple[str, ...]
    cut: tuple[str, ...]
    stale: tuple[str, ...]


def doubted_since(view: ClusterView) -> float | None:
    """When our own doubt about the primary began: the earlier of failed probes and failed beats."""
    moments = (view.remembered(view.record.primary).silent_since, view.pulse.failing_since)
    return min((moment for moment in moments if moment is not None), default=None)


def witnesses(view: ClusterView) -> Witnesses:
    since = doubted_since(view)
    feeding, cut, stale = [], [], []
    for member, facts in view.answering_replicas():
        if not view.follows(facts, view.record.primary) or facts.channel is None:
            continue
        if since is not None and view.seen(member.name).full_at < since:
            stale.append(member.name)
        elif facts.channel.receiver.connected:
            feeding.append(member.name)
        else:
            cut.append(member.name)
    return Witnesses(tuple(feeding), tuple(cut), tuple(stale))


def of_others(view: ClusterView, extra: GtidSet) -> GtidSet:
    """`extra`, what a replica has beyond the primary, without what the primary itself originated.

    Semi-sync lets a replica receive, acknowledge and even apply a commit before the primary has completed it: on MySQL it
    is then missing from the primary's `gtid_executed` for a moment. Only what others originated is errant for certain.
    """
    primary = view.primary.facts
    if primary is None:
        return extra
    identity = primary.identity
    match extra:
        case MysqlGtidSet():
            return extra.without(lambda origin: origin[0] == identity.uuid)
        case MariadbGtidSet():
            return extra.without(lambda origin: origin[1] == identity.server_id)
        case never:
            assert_never(never)


def process_gone(view: ClusterView, node: str) -> bool:
    """The host says that no server process runs there. It cannot write, and it cannot start replicating by itself."""
    return view.seen(node).process_alive is False


def primary_silent(view: ClusterView) -> bool:
    """Our latest probe of the primary brought no sign of life."""
    return not view.primary.reach.alive


def everyone_silent(view: ClusterView) -> bool:
    """We see nobody at all: then we are the isolated one, and may not judge."""
    return not any(view.seen(member.name).reach.alive for member in view.record.members)


def commits_fail(view: ClusterView) -> bool:
    """Our beats do not come through; or none is sent because the primary is being changed, which is no better evidence."""
    return view.pulse.failing_since is not None or view.record.operation is not None


def primary_dead(view: ClusterView) -> bool:
    """Gone for certain: nothing listens there, and a second, independent signal agrees."""
    if not primary_silent(view) or everyone_silent(view):
        return False
    if process_gone(view, view.record.primary):
        return True
    seen = witnesses(view)
    lost = view.primary.reach in (Reach.REFUSED, Reach.CLOSED)
    return lost and commits_fail(view) and bool(seen.cut) and not seen.feeding and not seen.stale


def primary_frozen(view: ClusterView) -> bool:
    """It neither answers nor refuses, it commits nothing, and no replica is fed by it any more."""
    if view.primary.reach is not Reach.TIMED_OUT or process_gone(view, view.record.primary):
        return False
    seen = witnesses(view)
    return commits_fail(view) and bool(seen.cut) and not seen.feeding and not seen.stale


def why_failed(view: ClusterView) -> str:
    """The present primary's failure in a few words, for the record and the report."""
    if process_gone(view, view.record.primary):
        return "its process is gone"
    if primary_dead(view):
        return f"{view.primary.error or view.primary.reach.value}, and no replica receives from it any more"
    if primary_frozen(view):
        return "it hangs: no answer, no commit, and no replica is fed by it"
    return "it accepts no writes, and a replica has more than it"


def only_we_cannot_see_it(view: ClusterView) -> bool:
    """We get no answer, and a replica that spoke after our doubt began is still being fed."""
    return primary_silent(view) and not process_gone(view, view.record.primary) and bool(witnesses(view).feeding)


def beat_lost(view: ClusterView) -> bool:
    """A beat just failed, and we have not looked at the primary since."""
    since = view.pulse.failing_since
    return since is not None and view.primary.at < since and view.primary.reach.alive


def commits_blocked(view: ClusterView) -> bool:
    """The primary answers, and commits wait for an acknowledgement that nobody can give."""
    facts = view.facts(view.record.primary)
    waiting = facts is not None and facts.writable and facts.semi_sync.waiting > 0
    return waiting and not beat_lost(view) and not witnesses(view).feeding


def writes_stalled(view: ClusterView) -> bool:
    """The primary answers, but has committed no beat within the deadline."""
    facts = view.facts(view.record.primary)
    failing = view.pulse.failing_since is not None and not beat_lost(view)
    return facts is not None and facts.writable and failing and not commits_blocked(view)
