"""How a situation is recognised. Each function says of which nodes it is true, with the sentence that tells so.

`problems.TABLE` puts them into order, and says what is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from replclus.failover import diagnose, remedies
from replclus.failover.durability import regressed
from replclus.failover.view import ClusterView, lag_ms
from replclus.model.observation import Facts, Reach
from replclus.model.record import Member, MemberState
from replclus.model.spec import Durability

LAGGING_MS = 5000
NO_PLACE_TO_GO_ON = frozenset({1236, 13114})
"""ER_MASTER_FATAL_ERROR_READING_BINLOG, and its number in the error log of MySQL 8.0 and later."""

Match = tuple[str | None, str]
"""The node that a situation was found on, and the details that complete its sentence."""


# ---- the primary ---------------------------------------------------------------------------------------------------


def about_primary(
    condition: Callable[[ClusterView], bool], sentence: Callable[[ClusterView], str]
) -> Callable[[ClusterView], Iterator[Match]]:
    def find(view: ClusterView) -> Iterator[Match]:
        if condition(view):
            yield view.record.primary, f"{view.record.primary} {sentence(view)}"

    return find


def cause(view: ClusterView) -> str:
    return view.primary.error or view.primary.reach.value


def dead_sentence(view: ClusterView) -> str:
    return f"is dead: {diagnose.why_failed(view)}"


def silent_sentence(view: ClusterView) -> str:
    return f"does not answer us ({cause(view)}), but its replicas are fed by it"


def suspect(view: ClusterView) -> bool:
    if diagnose.beat_lost(view) or (diagnose.beat_late(view) and not diagnose.writes_stalled(view) and view.primary.answered):
        return True
    explained = (diagnose.primary_dead, diagnose.primary_frozen, diagnose.only_we_cannot_see_it, diagnose.everyone_silent)
    return diagnose.primary_silent(view) and not any(known(view) for known in explained)


def stalled_sentence(view: ClusterView) -> str:
    lock = ": a global lock is in the way" if diagnose.writes_locked(view) else ""
    return f"answers, but has committed nothing for {diagnose.stalled_for_s(view):.1f} s{lock}"


def suspect_sentence(view: ClusterView) -> str:
    if diagnose.beat_lost(view):
        return f"lost a beat ({view.pulse.error})"
    return "is slow to commit" if view.primary.answered else f"does not answer ({cause(view)})"


def closed(view: ClusterView) -> bool:
    facts = view.facts(view.record.primary)
    return facts is not None and not facts.writable and view.record.operation is None


def all_silent(view: ClusterView) -> Iterator[Match]:
    if diagnose.everyone_silent(view):
        yield None, "no server answers: either all are down, or this watchdog is cut off"


def turns_us_away(view: ClusterView) -> bool:
    return view.primary.reach in (Reach.DENIED, Reach.FAILED)


def overloaded(view: ClusterView) -> bool:
    return view.primary.reach is Reach.OVERLOADED


# ---- replicas ------------------------------------------------------------------------------------------------------


def each_replica(
    condition: Callable[[ClusterView, Member, Facts], str | None],
) -> Callable[[ClusterView], Iterator[Match]]:
    """A matcher that asks `condition` about every answering replica; a sentence is a match, None is not.

    One that is being rebuilt has its own row, and no other. One that was not asked since the primary changed is not judged: a
    step of that change has just altered what is known of it.
    """

    def find(view: ClusterView) -> Iterator[Match]:
        for member, facts in view.answering_replicas():
            if member.state is MemberState.REBUILDING or not view.asked_since_change(member.name):
                continue
            if sentence := condition(view, member, facts):
                yield member.name, f"{member.name} {sentence}"

    return find


def two_writers(view: ClusterView, member: Member, facts: Facts) -> str | None:
    primary = view.facts(view.record.primary)
    if not facts.writable or view.stranger(facts) or primary is None or not primary.writable:
        return None
    what = f"accepts writes, and so does {view.record.primary}, the primary of epoch {view.record.epoch}"
    if facts.semi_sync.waiting:
        what += "; commits wait there that nobody will acknowledge: restart it, and they are cut off"
    return what


def is_writable(view: ClusterView, member: Member, facts: Facts) -> str | None:
    """A stranger is nobody we may change."""
    if not facts.writable or view.stranger(facts) or two_writers(view, member, facts):
        return None
    return f"accepts writes although {view.record.primary} is primary"


def is_foreign(view: ClusterView, member: Member, facts: Facts) -> str | None:
    if not member.admitted or not view.stranger(facts):
        return None
    return remedies.foreign(facts.identity.cluster_id)


def has_anothers_id(view: ClusterView, member: Member, facts: Facts) -> str | None:
    return remedies.anothers_id(view, member, facts) if member.admitted and not view.stranger(facts) else None


def primary_is_foreign(view: ClusterView) -> bool:
    facts = view.facts(view.record.primary)
    return facts is not None and view.stranger(facts)


def rebuilding(view: ClusterView) -> Iterator[Match]:
    for member in view.record.replicas:
        if member.state is MemberState.REBUILDING:
            work = view.works.get(member.name)
            done = f": {work.what}" if work is not None and work.what else ""
            yield member.name, f"{member.name} is being rebuilt, because {member.why}{done}"


def paused(view: ClusterView) -> Iterator[Match]:
    if view.record.paused:
        yield None, "the watchdog is paused by a person: nothing is repaired, and nobody takes over"


def drifted(view: ClusterView) -> Iterator[Match]:
    for member in view.record.members:
        facts = view.facts(member.name)
        if facts is not None and facts.drift and member.admitted and not view.stranger(facts):
            yield member.name, f"{member.name} has lost settings that it must have: {', '.join(facts.drift)}"


def unsafe_primary(view: ClusterView) -> bool:
    """Would it acknowledge commits that no replica has?"""
    facts = view.facts(view.record.primary)
    lossless = view.record.durability is Durability.LOSSLESS and view.record.operation is None
    return lossless and facts is not None and facts.writable and not facts.semi_sync.source_active


def is_lagging(view: ClusterView, member: Member, facts: Facts) -> str | None:
    lag = lag_ms(view, member.name)
    if lag is None or lag < LAGGING_MS or not member.admitted:
        return None
    return f"is {lag / 1000:.0f} s behind"


def is_quarantined(view: ClusterView, member: Member, facts: Facts) -> str | None:
    return f"is quarantined: {member.why}" if member.state is MemberState.QUARANTINED else None


def is_draining(view: ClusterView, member: Member, facts: Facts) -> str | None:
    return "takes no reads, because a person said so" if member.state is MemberState.DRAINING else None


def is_detached(view: ClusterView, member: Member, facts: Facts) -> str | None:
    if not member.admitted or view.stranger(facts) or view.follows(facts, view.record.primary):
        return None
    if has_anothers_id(view, member, facts):
        return None  # it is being put aside
    if facts.channel is None:
        return "replicates from nobody"
    return f"replicates from {facts.channel.source_host}:{facts.channel.source_port}, not from {view.record.primary}"


def is_left_behind(view: ClusterView, member: Member, facts: Facts) -> str | None:
    """The source said that it does not have the place to go on from: purged, or never had."""
    if not member.admitted or not view.follows(facts, view.record.primary) or facts.channel is None:
        return None
    receiver = facts.channel.receiver
    if receiver.running or receiver.errno not in NO_PLACE_TO_GO_ON or not view.primary.answered:
        return None
    return f"needs what {view.record.primary} does not have any more (error {receiver.errno}: {receiver.error})"


def receiver_stopped(view: ClusterView, member: Member, facts: Facts) -> str | None:
    if not member.admitted or not view.follows(facts, view.record.primary) or facts.channel is None:
        return None
    put_aside = (is_foreign, has_errant, has_anothers_id, is_left_behind)
    if facts.channel.applier.errno or any(found(view, member, facts) for found in put_aside):
        return None  # one of those rows deals with it
    receiver = facts.channel.receiver
    if not receiver.running:
        return f"has stopped receiving{f' (error {receiver.errno}: {receiver.error})' if receiver.errno else ''}"
    if receiver.errno and not receiver.connected and view.primary.answered:
        return f"cannot receive (error {receiver.errno}: {receiver.error})"
    return None


def is_starved(view: ClusterView, member: Member, facts: Facts) -> str | None:
    """It is connected, or tries to be, and has got nothing for longer than both ends take to give a connection up."""
    if not member.admitted or not view.follows(facts, view.record.primary) or facts.channel is None:
        return None
    timings = view.spec.timings
    given_up_s = timings.replica_net_timeout_s + timings.connect_retry_s + timings.connect_timeout_s
    unfed_s = diagnose.unfed_for_s(view, member.name)
    if not facts.channel.receiver.running or not view.primary.answered or unfed_s < given_up_s:
        return None
    return f"has received nothing for {unfed_s:.0f} s, though it tries"


def applier_broken(view: ClusterView, member: Member, facts: Facts) -> str | None:
    if facts.channel is None or not facts.channel.applier.errno:
        return None
    return f"cannot apply (error {facts.channel.applier.errno}: {facts.channel.applier.error})"


def applier_stopped(view: ClusterView, member: Member, facts: Facts) -> str | None:
    follows = member.admitted and view.follows(facts, view.record.primary)
    if is_foreign(view, member, facts) or has_anothers_id(view, member, facts):
        return None  # it is being put aside
    if not follows or facts.channel is None or facts.channel.applier.running or facts.channel.applier.errno:
        return None
    return "has stopped applying"


def has_errant(view: ClusterView, member: Member, facts: Facts) -> str | None:
    """Only while it follows, and only against facts of the primary that are newer than its own."""
    primary = view.facts(view.record.primary)
    if primary is None or not view.follows(facts, view.record.primary) or not member.admitted or view.stranger(facts):
        return None
    if view.primary.full_at < view.seen(member.name).full_at:
        return None
    extra = diagnose.of_others(view, facts.executed.subtract(primary.executed))
    return f"has transactions that {view.record.primary} has not: {extra}" if extra else None


def shut(view: ClusterView) -> Iterator[Match]:
    """Of those that answer on a connection that is there already, and did before we knocked."""
    for member in view.record.members:
        remembered = view.remembered(member.name)
        since = remembered.answering_since
        if remembered.shut_out and view.facts(member.name) is not None and since is not None and since < remembered.knocked_at:
            yield member.name, f"{member.name} answers, and lets nobody new in: {remembered.shut_out}"


def acker_regressed(view: ClusterView) -> Iterator[Match]:
    for name in sorted(view.record.ackers):
        if regressed(view, name):
            yield name, f"{name} has less than it once had received"


def doubtful(view: ClusterView) -> Iterator[Match]:
    for name, _ in view.record.doubtful:
        yield name, f"{name} was restarted, and fetches again what it may have lost"


def down(view: ClusterView) -> Iterator[Match]:
    for member in view.record.replicas:
        seen = view.seen(member.name)
        if member.state is MemberState.REBUILDING:
            continue
        if not seen.answered and not diagnose.everyone_silent(view):
            yield member.name, f"{member.name} does not answer ({seen.error or seen.reach.value})"


def no_candidate(view: ClusterView) -> Iterator[Match]:
    left = any(True for _ in view.serving_replicas())
    if view.record.durability is Durability.LOSSLESS and not left and not diagnose.everyone_silent(view):
        yield None, "no replica is left: nobody can acknowledge a write or take over"
