"""Plans: the order of steps that loses nothing. Each function returns the whole remaining road from where we stand.

Killed after any step, the next run sees how far it came and asks for the rest: every step is idempotent.
"""

from __future__ import annotations

from dataclasses import replace

from replclus.failover.candidates import Elected
from replclus.failover.decision import (
    Action,
    CatchUp,
    CloseForWrites,
    Configure,
    Detach,
    Fence,
    Follow,
    FreeSenders,
    OpenForWrites,
    Plan,
    Promote,
    Publish,
    Reconnect,
    Salvage,
    Seed,
    Step,
    StopReceiving,
    Swap,
    Together,
    WaitApplied,
)
from replclus.failover.diagnose import process_gone
from replclus.failover.durability import lost_relay_log, old_primary_fenced
from replclus.failover.view import ClusterView, Work
from replclus.model.gtid import GtidSet
from replclus.model.record import (
    FAILOVERS_KEPT,
    ClusterRecord,
    Member,
    MemberState,
    Operation,
    OperationKind,
    Phase,
    Request,
)
from replclus.model.spec import Durability

FIRST_FOLLOWERS = 3
"""So many replicas attach to a new primary at once, before it is made known; more of them slow each other down."""


def claim_failover(view: ClusterView, reason: str, *, wanted: str | None = None) -> Plan:
    """Claim the epoch, then fence the old primary and revoke every replica's right to acknowledge, all at once.

    One that is fenced already, because it came back read-only, is left running: it will be needed as a replica.
    """
    record = view.record
    operation = Operation(
        kind=OperationKind.FAILOVER,
        phase=Phase.REVOKE,
        old_primary=record.primary,
        reason=reason,
        wanted=wanted,
        position=record.operation.position if record.operation else None,
    )
    unasked = record.operation is None and (record.request is None or record.request.done is not None)
    times = (*record.failovers, view.wall_s)[-FAILOVERS_KEPT:] if unasked else record.failovers
    claimed = replace(record, epoch=record.epoch + 1, operation=operation, failovers=times)
    fence = () if old_primary_fenced(view, record.primary) else (Fence(record.primary),)
    return Plan(
        f"failover from {record.primary}: {reason}",
        (Swap(claimed, f"failover from {record.primary}"), _revoke_everyone(view, *fence)),
    )


def revoke_rest(view: ClusterView, names: tuple[str, ...]) -> Plan:
    """Replicas that still receive although the epoch is claimed."""
    actions = tuple(StopReceiving(name) for name in names)
    return Plan(f"revoking {', '.join(names)}", (Together(actions, enough=len(actions)),))


def promote(view: ClusterView, elected: Elected) -> Plan:
    """Name the elected node in the record, then carry it through."""
    record, operation = view.record, view.record.operation
    assert operation is not None
    decided = replace(
        record,
        primary=elected.name,
        ackers=frozenset(attachable(view, elected.name)),
        doubtful=(),
        floor=str(elected.received),
        operation=replace(
            operation,
            phase=Phase.PROMOTE,
            fenced=old_primary_fenced(view, operation.old_primary),
            position=str(elected.received),
        ),
    )
    what = f"{elected.name} is elected, it received everything the others did"
    if elected.catch_up_from is not None:
        what = f"{elected.name} is elected, and gets from {elected.catch_up_from} what it lacks"
    steps = (*_catch_up(view, elected.name, elected.catch_up_from), *_salvage(view, decided, operation.old_primary))
    return Plan(what, (Swap(decided, what), *steps, *_carry_through(view, decided)))


def _catch_up(view: ClusterView, name: str, source: str | None) -> tuple[Step, ...]:
    """Whoever may be promoted gets what it lacks from whoever may not. Both have been detached from the old primary."""
    if source is None:
        return ()
    timeout_s = view.spec.timings.drain_timeout_s
    return (
        WaitApplied(source, timeout_s),
        Follow(name, source),
        CatchUp(name, source, timeout_s),
    )


def _salvage(view: ClusterView, decided: ClusterRecord, old: str) -> tuple[Step, ...]:
    """Where the primary alone acknowledged, its files may hold what no replica has; where one did, nothing there counts."""
    if view.record.durability is Durability.LOSSLESS or old == decided.primary or not process_gone(view, old):
        return ()
    drain = WaitApplied(decided.primary, view.spec.timings.drain_timeout_s)
    return (drain, Salvage(decided.primary, old, view.spec.timings.salvage_timeout_s))


def complete(view: ClusterView, *, catch_up_from: str | None = None) -> Plan:
    """The record names the new primary already: finish what was begun."""
    record, primary = view.record, view.record.primary
    # Who has come back meanwhile may be attached too, and then acknowledges: into the record first.
    decided = replace(record, ackers=record.ackers | set(attachable(view, primary)))
    entered: tuple[Step, ...] = ()
    if decided.ackers != record.ackers:
        entered = (Swap(decided, f"{', '.join(sorted(decided.ackers - record.ackers))} may acknowledge commits"),)
    steps = (*entered, *_catch_up(view, primary, catch_up_from), *_carry_through(view, decided))
    return Plan(f"completing the promotion of {primary}", steps)


def reopen(view: ClusterView, reason: str) -> Plan:
    """The primary is read-only and nobody has more than it: a new epoch of the same primary, by the same road."""
    record = view.record
    operation = Operation(
        kind=OperationKind.FAILOVER, phase=Phase.PROMOTE, old_primary=record.primary, reason=reason, fenced=True
    )
    # Nobody was detached from it: who acknowledged before may still do so.
    ackers = record.ackers | set(attachable(view, record.primary))
    # Replicas that were restarted as well may have lost what they had acknowledged. The primary has it.
    primary = view.facts(record.primary)
    assert primary is not None
    floor = str(primary.received)
    reopened = replace(record, epoch=record.epoch + 1, operation=operation, ackers=ackers, doubtful=(), floor=floor)
    return Plan(
        f"reopening {record.primary}: {reason}",
        (Swap(reopened, f"{record.primary} goes on as primary"), *_carry_through(view, reopened)),
    )


def claim_switchover(view: ClusterView, target: str) -> Plan:
    """The courteous first half: writes end on the old primary, then the target catches up."""
    record, timings = view.record, view.spec.timings
    operation = Operation(
        kind=OperationKind.SWITCHOVER,
        phase=Phase.REVOKE,
        old_primary=record.primary,
        reason=f"switchover to {target}",
        wanted=target,
    )
    claimed = replace(record, epoch=record.epoch + 1, operation=operation)
    others = tuple(StopReceiving(member.name) for member, _ in view.serving_replicas() if member.name != target)
    catching_up = CatchUp(target, record.primary, timings.drain_timeout_s)
    return Plan(
        f"switchover from {record.primary} to {target}",
        (
            Swap(claimed, f"switchover from {record.primary} to {target}"),
            CloseForWrites(record.primary, timings.read_only_deadline_s),
            Together((catching_up, *others), enough=len(others)),
        ),
    )


def abandon(view: ClusterView, reason: str, *, reopen_old: bool) -> Plan:
    """Give up before anyone was promoted: the old primary stays what it is."""
    record, operation = view.record, view.record.operation
    assert operation is not None
    answered = _answered(record.request, done=False, answer=reason)
    kept = replace(record, epoch=record.epoch + 1, operation=None, request=answered)
    steps: list[Step] = [Swap(kept, f"{operation.kind} given up: {reason}")]
    if reopen_old:
        steps.append(OpenForWrites(record.primary))
    return Plan(f"giving up: {reason}", tuple(steps))


def answer(view: ClusterView, text: str, *, done: bool) -> Plan:
    """Tell the person who asked."""
    request = _answered(view.record.request, done=done, answer=text)
    return Plan(text, (Swap(replace(view.record, request=request), text),))


def follow(view: ClusterView, member: Member) -> Plan:
    """Attach `member` to the primary: into the ackers first, because from then on it may acknowledge.

    One that acknowledged before it was restarted may have lost some of that. It is doubtful, in the record as well, until it
    has applied a beat that was sent after it was attached: then it has everything before.
    """
    record, facts = view.record, view.facts(member.name)
    steps: list[Step] = []
    if member.name not in record.ackers:
        steps.append(Swap(replace(record, ackers=record.ackers | {member.name}), f"{member.name} may acknowledge commits"))
    elif facts is not None and lost_relay_log(facts):
        doubted = record.without_doubt(member.name)
        doubted = replace(doubted, doubtful=tuple(sorted((*doubted.doubtful, (member.name, view.newest_beat)))))
        steps.append(Swap(doubted, f"{member.name} was restarted: it counts again when it has fetched what it may have lost"))
    steps.append(_follow(view, member.name, record.primary))
    return Plan(f"{member.name} follows {record.primary}", tuple(steps))


def _follow(view: ClusterView, name: str, source: str) -> Follow:
    known = view.facts(source)
    return Follow(name, source, None if known is None else known.received)


def trust(view: ClusterView, name: str) -> Plan:
    what = f"{name} has fetched again what it may have lost"
    return Plan(what, (Swap(view.record.without_doubt(name), what),))


def _without_acker(view: ClusterView, record: ClusterRecord, name: str) -> ClusterRecord:
    """`record` without this acker. What it acknowledged may for now be on it and on the primary alone: nobody who has less than
    the primary may ever be elected after it."""
    primary = view.facts(record.primary)
    left = replace(record.without_doubt(name), ackers=record.ackers - {name})
    return left if primary is None or name not in record.ackers else replace(left, floor=str(primary.received))


def remove_acker(view: ClusterView, name: str) -> Plan:
    record = view.record
    what = f"{name} is away and no longer counts among those who acknowledge commits"
    return Plan(what, (Swap(_without_acker(view, record, name), what),))


def close(view: ClusterView, name: str, reason: str) -> Plan:
    return Plan(reason, (CloseForWrites(name, view.spec.timings.step_timeout_s),))


def quarantine(view: ClusterView, member: Member, why: str) -> Plan:
    """Out of reads, out of elections, out of replication, until a person (or a rebuild) lets it back."""
    shut = replace(member, state=MemberState.QUARANTINED, why=why)
    record = _without_acker(view, view.record.with_member(shut), member.name)
    return Plan(f"{member.name} is quarantined: {why}", (Swap(record, f"{member.name} quarantined: {why}"), Detach(member.name)))


def fence(name: str, reason: str) -> Plan:
    return Plan(reason, (Fence(name),))


def free_senders(view: ClusterView, name: str) -> Plan:
    source = view.record.primary
    return Plan(f"{name} gets nothing from {source}: ending what {source} still sends in vain", (FreeSenders(name, source),))


def configure(name: str, reason: str) -> Plan:
    return Plan(reason, (Configure(name),))


def stop_acknowledging(name: str, reason: str) -> Plan:
    """It goes on applying what it has, and acknowledges nothing more."""
    return Plan(reason, (StopReceiving(name),))


def reconnect(view: ClusterView, name: str) -> Plan:
    return Plan(f"{name} connects anew, to see whether {view.record.primary} lets it in", (Reconnect(name),))


def begin_rebuild(view: ClusterView, member: Member, why: str) -> Plan:
    """Into the record first: it takes part in nothing from here on, whatever becomes of the rebuild."""
    rebuilding = replace(member, state=MemberState.REBUILDING, why=why)
    record = _without_acker(view, view.record.with_member(rebuilding), member.name)
    answer = f"{member.name} is being rebuilt: `replclus status` shows when it is back"
    record = replace(record, request=_answered(record.request, done=True, answer=answer))
    return Plan(f"{member.name} is rebuilt: {why}", (Swap(record, f"{member.name} is rebuilt: {why}"), Detach(member.name)))


def seed(node: str, source: str, extra: GtidSet | None) -> Plan:
    return Plan(f"{node} gets a copy of {source}", (Seed(node, source, extra),))


def end_rebuild(view: ClusterView, member: Member, work: Work) -> Plan:
    """It is a member as any other again, with the identity that it has now; the next tick attaches it."""
    back = replace(member, state=MemberState.ACTIVE, why="", server_id=work.server_id, uuid=work.uuid)
    what = f"{member.name} is rebuilt: {work.what}"
    return Plan(what, (Swap(view.record.with_member(back), what),))


def pause(view: ClusterView, *, paused: bool, what: str) -> Plan:
    """Whoever lets the watchdog go on has looked at what happened: the failovers so far count no more."""
    record = replace(view.record, paused=paused, failovers=view.record.failovers if paused else ())
    return Plan(what, (Swap(replace(record, request=_answered(record.request, done=True, answer=what)), what),))


def readmit(view: ClusterView, member: Member) -> Plan:
    """A person asked to judge `member` anew; the next tick does."""
    record = view.record.with_member(replace(member, state=MemberState.ACTIVE, why=""))
    request = _answered(record.request, done=True, answer=f"{member.name} is judged anew")
    return Plan(f"{member.name} is judged anew", (Swap(replace(record, request=request), f"{member.name} is judged anew"),))


def change_state(view: ClusterView, member: Member, state: MemberState, what: str) -> Plan:
    """A person wants it so. Applications hear of it at once, by the pulse, whether or not a watchdog goes on beating."""
    record = view.record.with_member(replace(member, state=state, why=""))
    request = _answered(record.request, done=True, answer=what)
    return Plan(what, (Swap(replace(record, request=request), what), Publish(record.primary)))


def _revoke_everyone(view: ClusterView, *also: Action) -> Step:
    """A fence that takes its time is not waited for where revocation is enough: where a replica acknowledges every commit."""
    revoked = tuple(StopReceiving(member.name) for member, _ in view.serving_replicas())
    actions = (*also, *revoked)
    lossless = view.record.durability is Durability.LOSSLESS
    return Together(actions, enough=len(revoked) if lossless and revoked else len(actions))


def attachable(view: ClusterView, primary: str) -> tuple[str, ...]:
    """Who can follow `primary` at once: everyone who answers, is closed for writes, and has nothing that `primary` lacks.

    That is the whole judgement of a server that returns, so an old primary that is back already is no special case.
    """
    source = view.facts(primary)
    if source is None:
        return ()
    found = []
    for member in view.record.members:
        facts = view.facts(member.name)
        if facts is None or facts.writable or member.name == primary or not member.admitted or view.stranger(facts):
            continue
        if source.received.contains(facts.received):
            found.append(member.name)
    return tuple(found)


def _carry_through(view: ClusterView, decided: ClusterRecord) -> tuple[Step, ...]:
    """From "the record names the primary" to "the record names it and nothing is in progress".

    A few followers attach while the primary opens, because its first commits wait for whichever comes first; where there are
    many, the rest would only be in their way. A server that was the primary until now comes last: its old role ends slowly.
    """
    primary = decided.primary
    old = decided.operation.old_primary if decided.operation else None
    followers = sorted(attachable(view, primary), key=lambda name: name == old)
    first, rest = followers[:FIRST_FOLLOWERS], followers[FIRST_FOLLOWERS:]
    finished = replace(
        decided,
        operation=None,
        request=_answered(decided.request, done=True, answer=f"{primary} is primary of epoch {decided.epoch}"),
    )
    opening: tuple[Action, ...] = (OpenForWrites(primary), *(_follow(view, name, primary) for name in first))
    later = (Together(tuple(_follow(view, name, primary) for name in rest), enough=0),) if rest else ()
    return (
        WaitApplied(primary, view.spec.timings.drain_timeout_s),
        Promote(primary),
        Together(opening, enough=min(1, len(first))),
        Publish(primary),
        *later,
        Swap(finished, f"{primary} is primary"),
    )


def _answered(request: Request | None, *, done: bool, answer: str) -> Request | None:
    """The request with its answer, if one is open."""
    return request if request is None or request.done is not None else replace(request, done=done, answer=answer)
