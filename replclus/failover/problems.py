"""Situations are rows of `TABLE`: what it is called, one sentence, how bad, how to recognise it, what to do about it.

The rows are in order: the first one whose remedy is not "stay" decides a tick. Adding a situation is adding a row;
docs/failover.md is generated from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from replclus.failover import diagnose, remedies, symptoms
from replclus.failover.decision import Decision
from replclus.failover.symptoms import Match
from replclus.failover.view import ClusterView


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


TABLE: tuple[Situation, ...] = (
    Situation(
        "Paused",
        Severity.WARNING,
        "A person has paused the watchdog.",
        symptoms.paused,
        remedies.stay("paused by a person: `replclus resume` ends it"),
    ),
    Situation(
        "AllSilent",
        Severity.CRITICAL,
        "No server answers; the watchdog may be the isolated one.",
        symptoms.all_silent,
        remedies.stay("we see nobody, so we judge nobody"),
    ),
    Situation(
        "PrimaryDead",
        Severity.CRITICAL,
        "The primary is gone: two independent signals agree.",
        symptoms.about_primary(diagnose.primary_dead, symptoms.dead_sentence),
        remedies.fail_over,
    ),
    Situation(
        "PrimarySilent",
        Severity.WARNING,
        "Only the watchdog cannot reach the primary; replicas are still fed by it.",
        symptoms.about_primary(diagnose.only_we_cannot_see_it, symptoms.silent_sentence),
        remedies.ask_witness,
    ),
    Situation(
        "PrimaryFrozen",
        Severity.CRITICAL,
        "The primary hangs: no answer, no commit, and no replica is fed by it.",
        symptoms.about_primary(diagnose.primary_frozen, lambda view: "hangs: no answer, no commit, and no replica is fed by it"),
        remedies.fail_over,
    ),
    Situation(
        "PrimarySuspect",
        Severity.WARNING,
        "The primary does not answer or lost a beat, and the evidence is not complete yet.",
        symptoms.about_primary(symptoms.suspect, symptoms.suspect_sentence),
        remedies.ask_again,
    ),
    Situation(
        "TooManyConnections",
        Severity.WARNING,
        "The primary refuses connections because it has too many; it is alive.",
        symptoms.about_primary(symptoms.overloaded, lambda view: f"has no connection left for us ({symptoms.cause(view)})"),
        remedies.stay("a server with too many connections is not dead"),
    ),
    Situation(
        "PrimaryTurnsUsAway",
        Severity.CRITICAL,
        "The primary is alive, and does not let the watchdog in.",
        symptoms.about_primary(symptoms.turns_us_away, lambda view: f"is alive, and does not let us in ({symptoms.cause(view)})"),
        remedies.stay("a server that speaks is not dead; `replclus init` repairs the watchdog's account"),
    ),
    Situation(
        "PrimaryForeign",
        Severity.CRITICAL,
        "Where the primary was, a server of another cluster answers.",
        symptoms.about_primary(
            symptoms.primary_is_foreign, lambda view: "is another server now: it does not carry this cluster's identity"
        ),
        remedies.leave_foreign_primary,
    ),
    Situation(
        "PrimaryReadOnly",
        Severity.CRITICAL,
        "The primary answers, but accepts no writes: it was restarted, or closed by hand.",
        symptoms.about_primary(symptoms.closed, lambda view: "accepts no writes"),
        remedies.reopen,
    ),
    Situation(
        "SemiSyncBlocked",
        Severity.CRITICAL,
        "Commits wait for an acknowledgement, and no replica is attached to give one.",
        symptoms.about_primary(diagnose.commits_blocked, lambda view: "waits for an acknowledgement that no replica can give"),
        remedies.stay("replicas are attached as they return"),
    ),
    Situation(
        "PrimaryWriteStalled",
        Severity.CRITICAL,
        "The primary answers, but commits nothing within the deadline.",
        symptoms.about_primary(diagnose.writes_stalled, symptoms.stalled_sentence),
        remedies.fail_over_stalled,
    ),
    Situation(
        "SemiSyncOff",
        Severity.CRITICAL,
        "The primary acknowledges commits that no replica may have.",
        symptoms.about_primary(symptoms.unsafe_primary, lambda view: "acknowledges commits without waiting for a replica"),
        remedies.restore_settings,
    ),
    Situation(
        "NoCandidate",
        Severity.WARNING,
        "No replica answers that could take over or acknowledge.",
        symptoms.no_candidate,
        remedies.stay("no replica answers"),
    ),
    Situation(
        "AckerRegressed",
        Severity.CRITICAL,
        "A replica has less than it once had received; it may have lost acknowledged writes.",
        symptoms.acker_regressed,
        remedies.stay("it fetches again what it lost while the primary lives"),
    ),
    Situation(
        "TwoWriters",
        Severity.CRITICAL,
        "Two servers accept writes; the record's epoch says which of them may.",
        symptoms.each_replica(symptoms.two_writers),
        remedies.close_replica,
    ),
    Situation(
        "ReplicaWritable",
        Severity.CRITICAL,
        "A replica accepts writes; the record says who may.",
        symptoms.each_replica(symptoms.is_writable),
        remedies.close_replica,
    ),
    Situation(
        "ForeignServer",
        Severity.CRITICAL,
        "Where a replica was, a server of another cluster answers.",
        symptoms.each_replica(symptoms.is_foreign),
        remedies.quarantine_foreign,
    ),
    Situation(
        "ServerIdTaken",
        Severity.CRITICAL,
        "A replica has another member's `server_id`: the two would keep each other from receiving.",
        symptoms.each_replica(symptoms.has_anothers_id),
        remedies.quarantine_anothers_id,
    ),
    Situation(
        "ReplicaErrant",
        Severity.CRITICAL,
        "A replica executed transactions of its own.",
        symptoms.each_replica(symptoms.has_errant),
        remedies.quarantine_errant,
    ),
    Situation(
        "ReplicaDetached",
        Severity.WARNING,
        "A replica replicates from nobody, or from the wrong source; it is judged, then attached.",
        symptoms.each_replica(symptoms.is_detached),
        remedies.judge_and_attach,
    ),
    Situation(
        "ReplicaSqlBroken",
        Severity.CRITICAL,
        "A replica cannot apply a transaction. Errors are never skipped.",
        symptoms.each_replica(symptoms.applier_broken),
        remedies.quarantine_broken,
    ),
    Situation(
        "ReplicaLeftBehind",
        Severity.CRITICAL,
        "A replica needs transactions that the primary's binary log no longer has.",
        symptoms.each_replica(symptoms.is_left_behind),
        remedies.quarantine_left_behind,
    ),
    Situation(
        "ReplicaIoStopped",
        Severity.WARNING,
        "A replica does not receive from the primary.",
        symptoms.each_replica(symptoms.receiver_stopped),
        remedies.restart_replication,
    ),
    Situation(
        "ReplicaStarved",
        Severity.WARNING,
        "A replica is connected, or tries to be, and gets nothing from a primary that answers.",
        symptoms.each_replica(symptoms.is_starved),
        remedies.free_senders,
    ),
    Situation(
        "ReplicaSqlStopped",
        Severity.WARNING,
        "A replica has stopped applying, without an error.",
        symptoms.each_replica(symptoms.applier_stopped),
        remedies.restart_replication,
    ),
    Situation(
        "Misconfigured",
        Severity.WARNING,
        "A server has lost settings that it must have.",
        symptoms.drifted,
        remedies.restore_settings,
    ),
    Situation(
        "Rebuilding",
        Severity.WARNING,
        "A server's data is being replaced by a copy of the cluster's.",
        symptoms.rebuilding,
        remedies.go_on_rebuilding,
    ),
    Situation(
        "AckerDoubtful",
        Severity.WARNING,
        "A replica that acknowledges was restarted; what it had not applied may be lost on it.",
        symptoms.doubtful,
        remedies.trust_again,
    ),
    Situation("ReplicaDown", Severity.WARNING, "A replica does not answer.", symptoms.down, remedies.forget_absent_acker),
    Situation(
        "NobodyGetsIn",
        Severity.WARNING,
        "A server answers on connections that it has, and lets nobody new in.",
        symptoms.shut,
        remedies.stay("a server without room for new connections is not dead"),
    ),
    Situation(
        "ReplicaLagging",
        Severity.WARNING,
        "A replica is far behind.",
        symptoms.each_replica(symptoms.is_lagging),
        remedies.stay("it catches up by itself"),
    ),
    Situation(
        "Quarantined",
        Severity.WARNING,
        "A server is kept out of reads, elections and replication.",
        symptoms.each_replica(symptoms.is_quarantined),
        remedies.stay("a quarantine ends by `replclus rejoin` or a rebuild"),
    ),
    Situation(
        "Draining",
        Severity.INFO,
        "A replica takes no reads, because a person said so.",
        symptoms.each_replica(symptoms.is_draining),
        remedies.stay("`replclus undrain` ends it"),
    ),
)
