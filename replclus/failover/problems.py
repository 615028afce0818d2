"""Situations are rows of `TABLE`: what it is called, one sentence, how bad, how to recognise it, what to do about it.

The rows are in order: the first one whose remedy is not "stay" decides a tick. Adding a situation is adding a row;
docs/failover.md is generated from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from replclus.failover import diagnose, remedies
from replclus.failover.decision import Decision
from replclus.failover.durability import regressed
from replclus.failover.view import ClusterView, lag_ms
from replclus.model.observation import Facts, Reach
from replclus.model.record import Member, MemberState
from replclus.model.spec import Durability


class Severity(StrEnum):
    CRITICAL = "critical"  # the cluster takes no writes, or may lose some
    WARNING = "warning"  # it works, with less than it should have
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that matched. `node` is None when it concerns the whole cluster."""

    code: str
    severity: Severity
    sentence: str
    node: str | None

    def to_dict(self) -> dict[str, str | None]:
        return {"code": self.code, "sentence": self.sentence, "node": self.node}


LAGGING_MS = 5000
NO_PLACE_TO_GO_ON = frozenset({1236, 13114})
"""ER_MASTER_FATAL_ERROR_READING_BINLOG, and its number in the error log of MySQL 8.0 and later."""

Match = tuple[str | None, str]
"""The node that a situation was found on, and the details that complete its sentence."""


@dataclass(frozen=True, slots=True)
class Situation:
    """`summary` is for the manual; `find` yields a match for each node it is true of; `remedy` decides about one match."""

    code: str
    severity: Severity
    summary: str
    find: Callable[[ClusterView], Iterator[Match]]
    remedy: Callable[[ClusterView, str], Decision]


def find_problems(view: ClusterView) -> tuple[Problem, ...]:
    """Everything that is wrong, in table order."""
    return tuple(Problem(row.code, row.severity, sentence, node) for row in TABLE for node, sentence in row.find(view))


# ---- the primary ---------------------------------------------------------------------------------------------------


def _about_primary(
    condition: Callable[[ClusterView], bool], sentence: Callable[[ClusterView], str]
) -> Callable[[ClusterView], Iterator[Match]]:
    def find(view: ClusterView) -> Iterator[Match]:
        if condition(view):
            yield view.record.primary, f"{view.record.primary} {sentence(view)}"

    return find


def _cause(view: ClusterView) -> str:
    return view.primary.error or view.primary.reach.value


def _dead_sentence(view: ClusterView) -> str:
    return f"is dead: {diagnose.why_failed(view)}"


def _silent_sentence(view: ClusterView) -> str:
    return f"does not answer us ({_cause(view)}), but its replicas are fed by it"


def _suspect(view: ClusterView) -> bool:
    if diagnose.beat_lost(view) or (diagnose.beat_late(view) and not diagnose.writes_stalled(view) and view.primary.answered):
        return True
    explained = (diagnose.primary_dead, diagnose.primary_frozen, diagnose.only_we_cannot_see_it, diagnose.everyone_silent)
    return diagnose.primary_silent(view) and not any(known(view) for known in explained)


def _stalled_sentence(view: ClusterView) -> str:
    lock = ": a global lock is in the way" if diagnose.writes_locked(view) else ""
    return f"answers, but has committed nothing for {diagnose.stalled_for_s(view):.1f} s{lock}"


def _suspect_sentence(view: ClusterView) -> str:
    if diagnose.beat_lost(view):
        return f"lost a beat ({view.pulse.error})"
    return "is slow to commit" if view.primary.answered else f"does not answer ({_cause(view)})"


def _closed(view: ClusterView) -> bool:
    facts = view.facts(view.record.primary)
    return facts is not None and not facts.writable and view.record.operation is None


def _all_silent(view: ClusterView) -> Iterator[Match]:
    if diagnose.everyone_silent(view):
        yield None, "no server answers: either all are down, or this watchdog is cut off"


def _turns_us_away(view: ClusterView) -> bool:
    return view.primary.reach in (Reach.DENIED, Reach.FAILED)


def _overloaded(view: ClusterView) -> bool:
    return view.primary.reach is Reach.OVERLOADED


# ---- replicas ------------------------------------------------------------------------------------------------------


def _each_replica(
    condition: Callable[[ClusterView, Member, Facts], str | None],
) -> Callable[[ClusterView], Iterator[Match]]:
    """A matcher that asks `condition` about every answering replica; a sentence is a match, None is not.

    One that is being rebuilt has its own row, and no other.
    """

    def find(view: ClusterView) -> Iterator[Match]:
        for member, facts in view.answering_replicas():
            if member.state is MemberState.REBUILDING:
                continue
            if sentence := condition(view, member, facts):
                yield member.name, f"{member.name} {sentence}"

    return find


def _two_writers(view: ClusterView, member: Member, facts: Facts) -> str | None:
    primary = view.facts(view.record.primary)
    if not facts.writable or view.stranger(facts) or primary is None or not primary.writable:
        return None
    what = f"accepts writes, and so does {view.record.primary}, the primary of epoch {view.record.epoch}"
    if facts.semi_sync.waiting:
        what += "; commits wait there that nobody will acknowledge: restart it, and they are cut off"
    return what


def _is_writable(view: ClusterView, member: Member, facts: Facts) -> str | None:
    """A stranger is nobody we may change."""
    if not facts.writable or view.stranger(facts) or _two_writers(view, member, facts):
        return None
    return f"accepts writes although {view.record.primary} is primary"


def _is_foreign(view: ClusterView, member: Member, facts: Facts) -> str | None:
    if not member.admitted or not view.stranger(facts):
        return None
    return remedies.foreign(facts.identity.cluster_id)


def _has_anothers_id(view: ClusterView, member: Member, facts: Facts) -> str | None:
    return remedies.anothers_id(view, member, facts) if member.admitted and not view.stranger(facts) else None


def _primary_is_foreign(view: ClusterView) -> bool:
    facts = view.facts(view.record.primary)
    return facts is not None and view.stranger(facts)


def _rebuilding(view: ClusterView) -> Iterator[Match]:
    for member in view.record.replicas:
        if member.state is MemberState.REBUILDING:
            work = view.works.get(member.name)
            done = f": {work.what}" if work is not None and work.what else ""
            yield member.name, f"{member.name} is being rebuilt, because {member.why}{done}"


def _paused(view: ClusterView) -> Iterator[Match]:
    if view.record.paused:
        yield None, "the watchdog is paused by a person: nothing is repaired, and nobody takes over"


def _drifted(view: ClusterView) -> Iterator[Match]:
    for member in view.record.members:
        facts = view.facts(member.name)
        if facts is not None and facts.drift and member.admitted and not view.stranger(facts):
            yield member.name, f"{member.name} has lost settings that it must have: {', '.join(facts.drift)}"


def _unsafe_primary(view: ClusterView) -> bool:
    """Would it acknowledge commits that no replica has?"""
    facts = view.facts(view.record.primary)
    lossless = view.record.durability is Durability.LOSSLESS and view.record.operation is None
    return lossless and facts is not None and facts.writable and not facts.semi_sync.source_active


def _is_lagging(view: ClusterView, member: Member, facts: Facts) -> str | None:
    lag = lag_ms(view, member.name)
    if lag is None or lag < LAGGING_MS or not member.admitted:
        return None
    return f"is {lag / 1000:.0f} s behind"


def _is_quarantined(view: ClusterView, member: Member, facts: Facts) -> str | None:
    return f"is quarantined: {member.why}" if member.state is MemberState.QUARANTINED else None


def _is_draining(view: ClusterView, member: Member, facts: Facts) -> str | None:
    return "takes no reads, because a person said so" if member.state is MemberState.DRAINING else None


def _is_detached(view: ClusterView, member: Member, facts: Facts) -> str | None:
    if not member.admitted or view.stranger(facts) or view.follows(facts, view.record.primary):
        return None
    if _has_anothers_id(view, member, facts):
        return None  # it is being put aside
    if facts.channel is None:
        return "replicates from nobody"
    return f"replicates from {facts.channel.source_host}:{facts.channel.source_port}, not from {view.record.primary}"


def _is_left_behind(view: ClusterView, member: Member, facts: Facts) -> str | None:
    """The source said that it does not have the place to go on from: purged, or never had."""
    if not member.admitted or not view.follows(facts, view.record.primary) or facts.channel is None:
        return None
    receiver = facts.channel.receiver
    if receiver.running or receiver.errno not in NO_PLACE_TO_GO_ON or not view.primary.answered:
        return None
    return f"needs what {view.record.primary} does not have any more (error {receiver.errno}: {receiver.error})"


def _receiver_stopped(view: ClusterView, member: Member, facts: Facts) -> str | None:
    if not member.admitted or not view.follows(facts, view.record.primary) or facts.channel is None:
        return None
    put_aside = (_has_errant, _has_anothers_id, _is_left_behind)
    if facts.channel.applier.errno or any(found(view, member, facts) for found in put_aside):
        return None  # one of those rows deals with it
    receiver = facts.channel.receiver
    if not receiver.running:
        return f"has stopped receiving{f' (error {receiver.errno}: {receiver.error})' if receiver.errno else ''}"
    if receiver.errno and not receiver.connected and view.primary.answered:
        return f"cannot receive (error {receiver.errno}: {receiver.error})"
    return None


def _is_starved(view: ClusterView, member: Member, facts: Facts) -> str | None:
    """It is connected, or tries to be, and has got nothing for longer than both ends take to give a connection up."""
    if not member.admitted or not view.follows(facts, view.record.primary) or facts.channel is None:
        return None
    timings = view.spec.timings
    given_up_s = timings.replica_net_timeout_s + timings.connect_retry_s + timings.connect_timeout_s
    unfed_s = diagnose.unfed_for_s(view, member.name)
    if not facts.channel.receiver.running or not view.primary.answered or unfed_s < given_up_s:
        return None
    return f"has received nothing for {unfed_s:.0f} s, though it tries"


def _applier_broken(view: ClusterView, member: Member, facts: Facts) -> str | None:
    if facts.channel is None or not facts.channel.applier.errno:
        return None
    return f"cannot apply (error {facts.channel.applier.errno}: {facts.channel.applier.error})"


def _applier_stopped(view: ClusterView, member: Member, facts: Facts) -> str | None:
    follows = member.admitted and view.follows(facts, view.record.primary)
    if _has_anothers_id(view, member, facts):
        return None  # it is being put aside
    if not follows or facts.channel is None or facts.channel.applier.running or facts.channel.applier.errno:
        return None
    return "has stopped applying"


def _has_errant(view: ClusterView, member: Member, facts: Facts) -> str | None:
    """Only while it follows, and only against facts of the primary that are newer than its own."""
    primary = view.facts(view.record.primary)
    if primary is None or not view.follows(facts, view.record.primary) or not member.admitted or view.stranger(facts):
        return None
    if view.primary.full_at < view.seen(member.name).full_at:
        return None
    extra = diagnose.of_others(view, facts.executed.subtract(primary.executed))
    return f"has transactions that {view.record.primary} has not: {extra}" if extra else None


def _acker_regressed(view: ClusterView) -> Iterator[Match]:
    for name in sorted(view.record.ackers):
        if regressed(view, name):
            yield name, f"{name} has less than it once had received"


def _doubtful(view: ClusterView) -> Iterator[Match]:
    for name, _ in view.record.doubtful:
        yield name, f"{name} was restarted, and fetches again what it may have lost"


def _down(view: ClusterView) -> Iterator[Match]:
    for member in view.record.replicas:
        seen = view.seen(member.name)
        if member.state is MemberState.REBUILDING:
            continue
        if not seen.answered and not diagnose.everyone_silent(view):
            yield member.name, f"{member.name} does not answer ({seen.error or seen.reach.value})"


def _no_candidate(view: ClusterView) -> Iterator[Match]:
    left = any(True for _ in view.serving_replicas())
    if view.record.durability is Durability.LOSSLESS and not left and not diagnose.everyone_silent(view):
        yield None, "no replica is left: nobody can acknowledge a write or take over"


TABLE: tuple[Situation, ...] = (
    Situation(
        "Paused",
        Severity.WARNING,
        "A person has paused the watchdog.",
        _paused,
        remedies.stay("paused by a person: `replclus resume` ends it"),
    ),
    Situation(
        "AllSilent",
        Severity.CRITICAL,
        "No server answers; the watchdog may be the isolated one.",
        _all_silent,
        remedies.stay("we see nobody, so we judge nobody"),
    ),
    Situation(
        "PrimaryDead",
        Severity.CRITICAL,
        "The primary is gone: two independent signals agree.",
        _about_primary(diagnose.primary_dead, _dead_sentence),
        remedies.fail_over,
    ),
    Situation(
        "PrimarySilent",
        Severity.WARNING,
        "Only the watchdog cannot reach the primary; replicas are still fed by it.",
        _about_primary(diagnose.only_we_cannot_see_it, _silent_sentence),
        remedies.stay("the replicas still receive from the primary"),
    ),
    Situation(
        "PrimaryFrozen",
        Severity.CRITICAL,
        "The primary hangs: no answer, no commit, and no replica is fed by it.",
        _about_primary(diagnose.primary_frozen, lambda view: "hangs: no answer, no commit, and no replica is fed by it"),
        remedies.fail_over,
    ),
    Situation(
        "PrimarySuspect",
        Severity.WARNING,
        "The primary does not answer or lost a beat, and the evidence is not complete yet.",
        _about_primary(_suspect, _suspect_sentence),
        remedies.ask_again,
    ),
    Situation(
        "TooManyConnections",
        Severity.WARNING,
        "The primary refuses connections because it has too many; it is alive.",
        _about_primary(_overloaded, lambda view: f"has no connection left for us ({_cause(view)})"),
        remedies.stay("a server with too many connections is not dead"),
    ),
    Situation(
        "PrimaryTurnsUsAway",
        Severity.CRITICAL,
        "The primary is alive, and does not let the watchdog in.",
        _about_primary(_turns_us_away, lambda view: f"is alive, and does not let us in ({_cause(view)})"),
        remedies.stay("a server that speaks is not dead; `replclus init` repairs the watchdog's account"),
    ),
    Situation(
        "PrimaryForeign",
        Severity.CRITICAL,
        "Where the primary was, a server of another cluster answers.",
        _about_primary(_primary_is_foreign, lambda view: "is another server now: it does not carry this cluster's identity"),
        remedies.leave_foreign_primary,
    ),
    Situation(
        "PrimaryReadOnly",
        Severity.CRITICAL,
        "The primary answers, but accepts no writes: it was restarted, or closed by hand.",
        _about_primary(_closed, lambda view: "accepts no writes"),
        remedies.reopen,
    ),
    Situation(
        "SemiSyncBlocked",
        Severity.CRITICAL,
        "Commits wait for an acknowledgement, and no replica is attached to give one.",
        _about_primary(diagnose.commits_blocked, lambda view: "waits for an acknowledgement that no replica can give"),
        remedies.stay("replicas are attached as they return"),
    ),
    Situation(
        "PrimaryWriteStalled",
        Severity.CRITICAL,
        "The primary answers, but commits nothing within the deadline.",
        _about_primary(diagnose.writes_stalled, _stalled_sentence),
        remedies.fail_over_stalled,
    ),
    Situation(
        "SemiSyncOff",
        Severity.CRITICAL,
        "The primary acknowledges commits that no replica may have.",
        _about_primary(_unsafe_primary, lambda view: "acknowledges commits without waiting for a replica"),
        remedies.restore_settings,
    ),
    Situation(
        "NoCandidate",
        Severity.WARNING,
        "No replica answers that could take over or acknowledge.",
        _no_candidate,
        remedies.stay("no replica answers"),
    ),
    Situation(
        "AckerRegressed",
        Severity.CRITICAL,
        "A replica has less than it once had received; it may have lost acknowledged writes.",
        _acker_regressed,
        remedies.stay("it fetches again what it lost while the primary lives"),
    ),
    Situation(
        "TwoWriters",
        Severity.CRITICAL,
        "Two servers accept writes; the record's epoch says which of them may.",
        _each_replica(_two_writers),
        remedies.close_replica,
    ),
    Situation(
        "ReplicaWritable",
        Severity.CRITICAL,
        "A replica accepts writes; the record says who may.",
        _each_replica(_is_writable),
        remedies.close_replica,
    ),
    Situation(
        "ForeignServer",
        Severity.CRITICAL,
        "Where a replica was, a server of another cluster answers.",
        _each_replica(_is_foreign),
        remedies.quarantine_foreign,
    ),
    Situation(
        "ServerIdTaken",
        Severity.CRITICAL,
        "A replica has another member's `server_id`: the two would keep each other from receiving.",
        _each_replica(_has_anothers_id),
        remedies.quarantine_anothers_id,
    ),
    Situation(
        "ReplicaErrant",
        Severity.CRITICAL,
        "A replica executed transactions of its own.",
        _each_replica(_has_errant),
        remedies.quarantine_errant,
    ),
    Situation(
        "ReplicaDetached",
        Severity.WARNING,
        "A replica replicates from nobody, or from the wrong source; it is judged, then attached.",
        _each_replica(_is_detached),
        remedies.judge_and_attach,
    ),
    Situation(
        "ReplicaSqlBroken",
        Severity.CRITICAL,
        "A replica cannot apply a transaction. Errors are never skipped.",
        _each_replica(_applier_broken),
        remedies.quarantine_broken,
    ),
    Situation(
        "ReplicaLeftBehind",
        Severity.CRITICAL,
        "A replica needs transactions that the primary's binary log no longer has.",
        _each_replica(_is_left_behind),
        remedies.quarantine_left_behind,
    ),
    Situation(
        "ReplicaIoStopped",
        Severity.WARNING,
        "A replica does not receive from the primary.",
        _each_replica(_receiver_stopped),
        remedies.restart_replication,
    ),
    Situation(
        "ReplicaStarved",
        Severity.WARNING,
        "A replica is connected, or tries to be, and gets nothing from a primary that answers.",
        _each_replica(_is_starved),
        remedies.free_senders,
    ),
    Situation(
        "ReplicaSqlStopped",
        Severity.WARNING,
        "A replica has stopped applying, without an error.",
        _each_replica(_applier_stopped),
        remedies.restart_replication,
    ),
    Situation(
        "Misconfigured",
        Severity.WARNING,
        "A server has lost settings that it must have.",
        _drifted,
        remedies.restore_settings,
    ),
    Situation(
        "Rebuilding",
        Severity.WARNING,
        "A server's data is being replaced by a copy of the cluster's.",
        _rebuilding,
        remedies.go_on_rebuilding,
    ),
    Situation(
        "AckerDoubtful",
        Severity.WARNING,
        "A replica that acknowledges was restarted; what it had not applied may be lost on it.",
        _doubtful,
        remedies.trust_again,
    ),
    Situation("ReplicaDown", Severity.WARNING, "A replica does not answer.", _down, remedies.forget_absent_acker),
    Situation(
        "ReplicaLagging",
        Severity.WARNING,
        "A replica is far behind.",
        _each_replica(_is_lagging),
        remedies.stay("it catches up by itself"),
    ),
    Situation(
        "Quarantined",
        Severity.WARNING,
        "A server is kept out of reads, elections and replication.",
        _each_replica(_is_quarantined),
        remedies.stay("a quarantine ends by `replclus rejoin` or a rebuild"),
    ),
    Situation(
        "Draining",
        Severity.INFO,
        "A replica takes no reads, because a person said so.",
        _each_replica(_is_draining),
        remedies.stay("`replclus undrain` ends it"),
    ),
)
