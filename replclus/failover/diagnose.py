"""Evidence: what the observations say about the primary, one question a function.

A failover needs two independent signals: our own probes, and somebody else's view. The replicas' receivers are the
witnesses; where we run the server's host, the host's word about the process counts as one too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from replclus.failover.view import NEVER, ClusterView
from replclus.model.gtid import GtidSet, MariadbGtidSet, MysqlGtidSet
from replclus.model.observation import Facts, Reach, Receiver

SLEPT_TICKS = 5
"""Nobody looks at a server for longer than this beyond a look\'s own bounds, unless this process does not run."""
SLOW_BEATS = 3
"""A server whose disk is slow commits nothing now and then for as long as several commits: MySQL, with fsyncs of 300 ms and
commits of 0.9 s, for 3.6 s when it makes a new redo file."""
DISK_AT_WORK_S, DISK_AT_WORK_PART = 0.45, 2.0
"""A disk that has made something durable within so many seconds is slow, not dead, and gets so many times the time. MySQL,
when each fsync begins to take 300 ms, commits nothing for up to 4.5 s, and InnoDB sees an fsync end each 0.3 s; with a binary
log whose fsync hangs it sees one now and then, from its cleaning up."""
LATE_TICKS = 4
"""A beat that is on its way for so many ticks is late: reason to look around, and nothing more."""


@dataclass(frozen=True, slots=True)
class Witnesses:
    """What the replicas that replicate from the primary say about it.

    `feeding`: their receiver gets something. `cut`: it lost the primary, or got neither an event nor a heartbeat for
    `starve_s`. `stale`: they last spoke before our own doubt began, or were told to connect anew and are still at it, so their
    word counts for nothing yet. `answered`: the primary itself turned them away, which says nothing about commits.
    """

    feeding: tuple[str, ...]
    cut: tuple[str, ...]
    stale: tuple[str, ...]
    answered: tuple[str, ...]


def doubted_since(view: ClusterView) -> float | None:
    """When our own doubt about the primary began: the earliest of failed probes, failed beats and a beat that is late."""
    late = view.pulse.pending_since if beat_late(view) else None
    moments = (view.remembered(view.record.primary).silent_since, view.pulse.failing_since, late)
    return min((moment for moment in moments if moment is not None), default=None)


def witnesses(view: ClusterView) -> Witnesses:
    since = doubted_since(view)
    feeding, cut, stale, answered = [], [], [], []
    for member, facts in view.answering_replicas():
        if not view.follows(facts, view.record.primary) or facts.channel is None:
            continue
        if since is not None and view.seen(member.name).full_at < since:
            stale.append(member.name)
        elif _was_answered(facts.channel.receiver):
            answered.append(member.name)
        elif _connects_anew(view, member.name, facts.channel.receiver):
            stale.append(member.name)
        elif facts.channel.receiver.connected and not starved(view, member.name):
            feeding.append(member.name)
        else:
            cut.append(member.name)
    return Witnesses(tuple(feeding), tuple(cut), tuple(stale), tuple(answered))


def _was_answered(receiver: Receiver) -> bool:
    """Did the source itself turn it away, e.g. for its password? That is no sign of death."""
    return receiver.running and not receiver.connected and 0 < receiver.errno < CLIENT_ERRORS_MIN


def _connects_anew(view: ClusterView, node: str, receiver: Receiver) -> bool:
    """Was it set to work a moment ago, and has neither been let in nor turned away?"""
    trying = receiver.running and not receiver.connected and not receiver.errno
    return trying and view.now - view.remembered(node).step_ended_at < view.spec.timings.connect_timeout_s


def starved(view: ClusterView, node: str) -> bool:
    """When we last looked, had its receiver got nothing for `starve_s`, although an idle primary sends heartbeats?

    Only while beats fail as well: then it was looked at often enough to be sure.
    """
    return doubted_since(view) is not None and unfed_for_s(view, node) >= view.spec.timings.starve_s


def unfed_for_s(view: ClusterView, node: str) -> float:
    """How long its receiver had got nothing when we last looked; 0 if we never saw it get anything."""
    fed_at = view.remembered(node).fed_at
    return 0.0 if fed_at == NEVER else view.seen(node).full_at - fed_at


def of_others(view: ClusterView, extra: GtidSet) -> GtidSet:
    """`extra`, what a replica has beyond the primary, without what the primary itself originated.

    Semi-sync lets a replica receive, acknowledge and even apply a commit before the primary has completed it: on MySQL it
    is then missing from the primary's `gtid_executed` for a moment. Only what others originated is errant for certain.
    """
    primary = view.primary.facts
    return extra if primary is None else extra.subtract(originated_by(primary, extra))


def originated_by(server: Facts, gtids: GtidSet) -> GtidSet:
    """The transactions in `gtids` that `server` wrote itself, not received."""
    identity = server.identity
    match gtids:
        case MysqlGtidSet():
            return gtids.subtract(gtids.without(lambda origin: origin[0] == identity.uuid))
        case MariadbGtidSet():
            return gtids.subtract(gtids.without(lambda origin: origin[1] == identity.server_id))
        case never:
            assert_never(never)


def overslept(view: ClusterView) -> tuple[str, ...]:
    """Whom we have not looked at for longer than a look can take: this process was stopped, or starved. Old news is no proof."""
    timings = view.spec.timings
    oldest = view.now - timings.connect_timeout_s - 2 * timings.probe_timeout_s - SLEPT_TICKS * timings.tick_s
    return tuple(member.name for member in view.record.members if NEVER < view.seen(member.name).at < oldest)


def process_gone(view: ClusterView, node: str) -> bool:
    """The host says that no server process runs there. It cannot write, and it cannot start replicating by itself."""
    return view.seen(node).process_alive is False


def primary_silent(view: ClusterView) -> bool:
    """Our latest probe of the primary brought no sign of life."""
    return not view.primary.reach.alive


def everyone_silent(view: ClusterView) -> bool:
    """We see nobody at all: then we are the isolated one, and may not judge."""
    return not any(view.seen(member.name).reach.alive for member in view.record.members)


def beat_late(view: ClusterView) -> bool:
    """The beat that is on its way takes longer than beats do."""
    since = view.pulse.pending_since
    return since is not None and view.now - since >= LATE_TICKS * view.spec.timings.tick_s


def commits_fail(view: ClusterView) -> bool:
    """Our beats do not come through; or none is sent because the primary is being changed, which is no better evidence."""
    return view.pulse.failing_since is not None or view.record.operation is not None or beat_late(view)


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
    if writes_stalled(view):
        return f"it answers, but has committed nothing for {stalled_for_s(view):.1f} s"
    return "it accepts no writes, and a replica has more than it"


def only_we_cannot_see_it(view: ClusterView) -> bool:
    """We get no answer, and a replica that spoke after our doubt began is still being fed."""
    return primary_silent(view) and not process_gone(view, view.record.primary) and bool(witnesses(view).feeding)


def beat_lost(view: ClusterView) -> bool:
    """A beat just failed, and we have not looked at the primary since."""
    since = view.pulse.failing_since
    return since is not None and view.primary.at < since and view.primary.reach.alive


def commits_blocked(view: ClusterView) -> bool:
    """The primary answers, and commits wait for an acknowledgement that nobody gives, though one may be made to give it.

    A replica that tries in vain to reach the primary is no reason to go on waiting: then writes are stalled.
    """
    facts = view.facts(view.record.primary)
    waiting = facts is not None and facts.writable and facts.semi_sync.waiting > 0
    if not waiting or beat_lost(view) or witnesses(view).feeding:
        return False
    return not any(reaches_in_vain(view, facts) for _, facts in view.serving_replicas())


def reaches_in_vain(view: ClusterView, facts: Facts) -> bool:
    """Does this replica try to receive from the primary, and is it the path that fails? Being refused is not the path."""
    if facts.channel is None or not view.follows(facts, view.record.primary):
        return False
    receiver = facts.channel.receiver
    return receiver.running and (receiver.errno == 0 or receiver.errno >= CLIENT_ERRORS_MIN)


CLIENT_ERRORS_MIN = 2000
"""Error numbers from here on are the client library's (2003 cannot connect, 2013 lost); smaller ones a server has said."""


def stalled_since(view: ClusterView) -> float | None:
    """Since when a primary that answers and is open has committed nothing; None if it does, or does not answer.

    Not before somebody was there to acknowledge, nor before it could be asked: a primary that was left alone, or out of our
    sight, gets its time when the first one is back, or it is in sight again.
    """
    facts = view.facts(view.record.primary)
    moments = (view.pulse.hanging_since, view.pulse.pending_since if beat_late(view) else None)
    since = min((moment for moment in moments if moment is not None), default=None)
    if facts is None or not facts.writable or since is None or beat_lost(view) or commits_blocked(view):
        return None
    if view.now - view.primary.at > _news_s_max(view):
        return None  # whether it answers now is not known
    present = [
        view.remembered(member.name).receiving_since
        for member, facts in view.serving_replicas()
        if view.follows(facts, view.record.primary) and facts.channel is not None and facts.channel.receiver.running
    ]
    # Beats that failed while we could not reach it, or slept, say nothing about its disk.
    primary = view.remembered(view.record.primary)
    answering_since = since if primary.answering_since is None else primary.answering_since
    return max(since, min(present, default=since), answering_since, primary.executed_at if shows_commits(facts) else NEVER)


def _news_s_max(view: ClusterView) -> float:
    """How old an answer of the primary may be. A hung disk leaves the whole question without an answer, so each look takes its
    whole time before it brings the small one's."""
    timings = view.spec.timings
    hangs = view.primary.at - view.primary.full_at >= timings.probe_timeout_s
    return SLEPT_TICKS * timings.tick_s + (timings.probe_timeout_s if hangs else 0.0)


def shows_commits(server: Facts) -> bool:
    """Does its position grow when a commit has ended? MariaDB's grows before, when it is written to the binary log."""
    return isinstance(server.executed, MysqlGtidSet)


def stalled_for_s(view: ClusterView) -> float:
    since = stalled_since(view)
    return 0.0 if since is None else view.now - since


def writes_stalled(view: ClusterView) -> bool:
    """The primary answers, but commits nothing, and for longer than a beat may take."""
    return stalled_for_s(view) >= view.spec.timings.pulse_deadline_s


def stall_bound_s(view: ClusterView) -> float:
    """How long nothing may be committed before it counts as a failure: a disk that was slow lately, or is, gets more time."""
    stall_s = view.spec.timings.stall_s
    # One that answers only the small question, because the whole one hangs as well, is known as it was.
    at_work = view.primary.full_at - view.remembered(view.record.primary).synced_at <= DISK_AT_WORK_S
    return max(stall_s + SLOW_BEATS * view.pulse.slowest_s, DISK_AT_WORK_PART * stall_s if at_work else 0.0)


def writes_locked(view: ClusterView) -> bool:
    """Somebody holds a global lock, and commits wait for it: a person's doing, not a failure."""
    facts = view.facts(view.record.primary)
    return facts is not None and facts.locked and writes_stalled(view)
