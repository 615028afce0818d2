"""Safety rules of `replclus.failover`, taken out one at a time: the simulator must find a violation without each of them.

A rule is taken out by putting another function in its place, in every module of the room that knows it by name and in the
table's rows, for the time of a `with` block. Only this process is concerned.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from replclus.failover import candidates, diagnose, durability, machine, plan, problems, remedies
from replclus.failover.candidates import Elected, NobodyElectable
from replclus.failover.decision import Act, Decision, Fence, Plan, Stay, Swap, WaitApplied
from replclus.failover.view import ClusterView, NodeHistory
from replclus.model.record import ClusterRecord, Member, MemberState, Operation
from tests.simulation.play import Outcome, play
from tests.simulation.scripts import story

ROOM = "replclus.failover"
SEEDS_MAX = 1000
"""Within so many seeds every mutant must be found."""

Change = tuple[Any, str, Any]
"""The owner of an attribute, its name, and what is put there."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`rule` is the sentence that holds no more; `changes` says what to put in whose place."""

    rule: str
    changes: Callable[[], list[Change]]


@dataclass(frozen=True, slots=True)
class Found:
    rule: str
    outcome: Outcome | None
    seeds: int


def hunt(mutant: Mutant, first: int = 0, seeds: int = SEEDS_MAX) -> Found:
    """The first seed whose world breaks a law without the rule."""
    for count, seed in enumerate(range(first, first + seeds), 1):
        with without(mutant):
            outcome = play(seed, story(seed))
        # The same world must be lawful with the rule: otherwise the seed says nothing about it.
        if outcome.law is not None and play(seed, story(seed)).law is None:
            return Found(mutant.rule, outcome, count)
    return Found(mutant.rule, None, seeds)


@contextmanager
def without(mutant: Mutant) -> Iterator[None]:
    changes = mutant.changes()
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in changes]
    for owner, name, value in changes:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in reversed(before):
            setattr(owner, name, value)


# ---- how to put something in a function's place ------------------------------------------------------------------------


def _room() -> list[ModuleType]:
    return [module for name, module in list(sys.modules.items()) if name.startswith(ROOM)]


def instead_of(original: Callable[..., Any], put: Callable[..., Any]) -> Callable[[], list[Change]]:
    """Everywhere in the room, also as the remedy of a row."""

    def changes() -> list[Change]:
        places: list[Change] = [
            (module, name, put) for module in _room() for name, value in vars(module).items() if value is original
        ]
        assert places, f"{original.__name__} is not where it was"
        rows = tuple(replace(row, remedy=put) if row.remedy is original else row for row in problems.TABLE)
        return places if rows == problems.TABLE else places + _table(rows)

    return changes


def row_dropped(code: str) -> Callable[[], list[Change]]:
    def changes() -> list[Change]:
        rows = tuple(row for row in problems.TABLE if row.code != code)
        assert len(rows) < len(problems.TABLE), f"there is no row {code}"
        return _table(rows)

    return changes


def row_found_by(code: str, condition: Callable[[ClusterView], bool]) -> Callable[[], list[Change]]:
    """The row about the primary matches when `condition` holds."""

    def find(view: ClusterView) -> Iterator[problems.Match]:
        if condition(view):
            yield view.record.primary, f"{view.record.primary} is said to be {code}"

    return lambda: _table(tuple(replace(row, find=find) if row.code == code else row for row in problems.TABLE))


def _table(rows: tuple[problems.Situation, ...]) -> list[Change]:
    return [(problems, "TABLE", rows), (machine, "TABLE", rows)]


def method(owner: type, name: str, put: Callable[..., Any]) -> Callable[[], list[Change]]:
    return lambda: [(owner, name, put)]


# ---- what is put there -------------------------------------------------------------------------------------------------

_blockers, _promote, _claim = durability.blockers, plan.promote, plan.claim_failover
_carry_through, _tick, _elect, _stalled = (
    plan._carry_through,
    machine.tick,
    candidates.elect,
    diagnose.stalled_since,
)


def _with(view: ClusterView, **changes: Any) -> ClusterView:
    return replace(view, record=replace(view.record, **changes))


def _unheard_do_not_block(view: ClusterView, old: str, *, fenced: bool) -> tuple[str, ...]:
    heard = frozenset(name for name in view.record.ackers if view.facts(name) is not None)
    return _blockers(_with(view, ackers=heard), old, fenced=fenced)


def _anybody(view: ClusterView, *, wanted: str | None = None) -> Elected | NobodyElectable:
    """Whoever comes first, whatever it has."""
    for member, facts in view.serving_replicas():
        if wanted in (None, member.name):
            return Elected(member.name, facts.received)
    return NobodyElectable(("no replica answers",))


def _undrained(view: ClusterView, decided: ClusterRecord) -> tuple[Any, ...]:
    return tuple(step for step in _carry_through(view, decided) if not isinstance(step, WaitApplied))


def _promote_unrecorded(view: ClusterView, elected: Elected) -> Plan:
    whole = _promote(view, elected)
    late = [step for step in whole.steps if isinstance(step, Swap)]
    return Plan(whole.reason, (*(step for step in whole.steps if not isinstance(step, Swap)), *late))


def _same_epoch(view: ClusterView, reason: str, *, wanted: str | None = None) -> Plan:
    whole = _claim(view, reason, wanted=wanted)
    return _swapping(whole, lambda record: replace(record, epoch=view.record.epoch))


def _swapping(whole: Plan, change: Callable[[ClusterRecord], ClusterRecord]) -> Plan:
    steps = tuple(replace(step, record=change(step.record)) if isinstance(step, Swap) else step for step in whole.steps)
    return Plan(whole.reason, steps)


def _fence_first(view: ClusterView, reason: str, *, wanted: str | None = None) -> Plan:
    whole = _claim(view, reason, wanted=wanted)
    return Plan(whole.reason, (Fence(view.record.primary), *whole.steps))


def _follow_unrecorded(view: ClusterView, member: Member) -> Plan:
    """Attached without being entered among the ackers."""
    whole = _follow(view, member)
    return Plan(whole.reason, tuple(step for step in whole.steps if not isinstance(step, Swap)))


_follow = plan.follow


def _gone_is_enough(view: ClusterView, name: str) -> bool:
    """Silent for a moment, and another acker is there: no proof that it is detached, no later beat."""
    return view.remembered(name).silent_since is not None and bool(view.record.ackers - {name})


def _attach_unjudged(view: ClusterView, node: str) -> Decision:
    if view.facts(view.record.primary) is None:
        return Stay("the primary does not answer")
    return Act(plan.follow(view, view.record.member(node)))


def _everyone_attachable(view: ClusterView, primary: str) -> tuple[str, ...]:
    return tuple(m.name for m in view.record.members if m.name != primary and m.admitted and view.facts(m.name) is not None)


def _silence_is_death(view: ClusterView) -> bool:
    return diagnose.primary_silent(view) and not diagnose.everyone_silent(view)


def _unpaused(view: ClusterView) -> Decision:
    return _tick(_with(view, paused=False))


def _all_serving(view: ClusterView) -> Iterator[tuple[Member, Any]]:
    """Also those that are quarantined."""
    return ((member, facts) for member, facts in view.answering_replicas() if member.state is not MemberState.JOINING)


def _stalled_out_of_sight(view: ClusterView) -> float | None:
    name = view.record.primary
    history = {**view.history, name: replace(view.history.get(name, NodeHistory()), answering_since=None)}
    return _stalled(replace(view, history=history))


def _rash_switchover(view: ClusterView, operation: Operation) -> Decision:
    """The target takes over whether or not the old primary is closed and everyone detached."""
    match _elect(view, wanted=operation.wanted):
        case Elected() as elected:
            return Act(plan.promote(view, elected))
        case NobodyElectable(reasons):
            return Act(plan.abandon(view, "; ".join(reasons), reopen_old=True))


def _touch_unseen(view: ClusterView, node: str) -> bool:
    """Whether or not anybody has looked at what the last step did."""
    return view.now >= view.remembered(node).not_before


def _leave_open(view: ClusterView, node: str) -> Decision:
    return Stay(f"{node} stays as it is")


def _never(*_: Any, **__: Any) -> bool:
    return False


def _always(*_: Any, **__: Any) -> bool:
    return True


MUTANTS: tuple[Mutant, ...] = (
    Mutant("an acker that cannot be asked forbids a promotion", instead_of(durability.blockers, _unheard_do_not_block)),
    Mutant("nobody is promoted while a replica still receives", instead_of(durability.revoked, _always)),
    Mutant("the one that has received most is elected", instead_of(candidates.elect, _anybody)),
    Mutant("whoever is promoted has applied everything", instead_of(plan._carry_through, _undrained)),
    Mutant("the record names a primary before any server is told", instead_of(plan.promote, _promote_unrecorded)),
    Mutant("a claim raises the epoch", instead_of(plan.claim_failover, _same_epoch)),
    Mutant("the claim comes before the fence", instead_of(plan.claim_failover, _fence_first)),
    Mutant("an acker is in the record before it is attached", instead_of(plan.follow, _follow_unrecorded)),
    Mutant("an acker is forgotten only when it is provably detached", instead_of(durability.removable_acker, _gone_is_enough)),
    Mutant("who returns is judged before it follows", instead_of(remedies.judge_and_attach, _attach_unjudged)),
    Mutant("who follows a new primary has nothing that it lacks", instead_of(plan.attachable, _everyone_attachable)),
    Mutant("silence alone is not death", row_found_by("PrimaryDead", _silence_is_death)),
    Mutant("a paused watchdog does nothing", instead_of(machine.tick, _unpaused)),
    Mutant("a quarantined server is no candidate", method(ClusterView, "serving_replicas", _all_serving)),
    Mutant("a server of another cluster is no candidate and never attached", method(ClusterView, "stranger", _never)),
    Mutant("a stall counts only while the primary was in sight", instead_of(diagnose.stalled_since, _stalled_out_of_sight)),
    Mutant("a switchover waits for the old primary to close", instead_of(machine._continue_switchover, _rash_switchover)),
    Mutant("a replica with transactions of its own is put aside", row_dropped("ReplicaErrant")),
    Mutant("nobody is judged by what was seen before our last step there", instead_of(remedies.may_touch, _touch_unseen)),
    Mutant("a replica that accepts writes is closed", instead_of(remedies.close_replica, _leave_open)),
)
