"""Election: by what a replica has *received*, because that is what may have been acknowledged."""

from __future__ import annotations

from dataclasses import dataclass

from replclus.failover.durability import errant, missing_from
from replclus.failover.view import ClusterView
from replclus.model.gtid import Comparison, GtidSet, compare
from replclus.model.observation import Facts
from replclus.model.record import Member


@dataclass(frozen=True, slots=True)
class Elected:
    """`received` is what it must have before it is promoted; `catch_up_from` has what it lacks of that, None if nothing."""

    name: str
    received: GtidSet
    catch_up_from: str | None = None


@dataclass(frozen=True, slots=True)
class NobodyElectable:
    """Reasons, one sentence each."""

    reasons: tuple[str, ...]


def elect(view: ClusterView, *, wanted: str | None = None) -> Elected | NobodyElectable:
    """The replica that should be the next primary.

    Nobody may have received something that the elected one lacks; what a replica wrote itself behind the primary's back
    does not count, and such a replica is passed over. If nobody who has everything may be promoted, or if another one was
    asked for, that one first catches up. Among equals the one that was asked for wins, then the higher `priority`, then the
    one that has applied more, then the first in the record.
    """
    voters = list(view.serving_replicas())  # one that is being drained of reads still holds data, and votes
    if not voters:
        return NobodyElectable(("no replica answers",))
    clean = {member.name: facts.received.subtract(errant(view, member, facts)) for member, facts in voters}
    best = clean[voters[0][0].name]
    for received in clean.values():
        if compare(received, best) is Comparison.AHEAD:
            best = received
    behind = [name for name, received in clean.items() if not best.contains(received)]
    if behind:
        return NobodyElectable(
            (f"{', '.join(behind)} received transactions that the most advanced replica lacks: they have diverged",)
        )
    if not view.forced and (lost := missing_from(view.record, best)):
        return NobodyElectable((lost,))
    reasons = [reason for member, facts in voters if (reason := unfit(view, member, facts))]
    fit = [(member, facts) for member, facts in voters if unfit(view, member, facts) is None]
    complete = [(member, facts) for member, facts in fit if facts.received.contains(best)]
    if wanted is not None:
        fit = [(member, facts) for member, facts in fit if member.name == wanted]
        complete = [(member, facts) for member, facts in complete if member.name == wanted]
    source = source_of(view, best)
    if not complete and source is None:
        fit = []
    if not fit:
        return NobodyElectable(tuple(reasons) or (f"{wanted} does not answer",))
    member, facts = max(complete or fit, key=lambda pair: _preference(view, *pair))
    return Elected(member.name, best, None if facts.received.contains(best) else source)


def source_of(view: ClusterView, wanted: GtidSet) -> str | None:
    """A replica from which another one could get all of `wanted`: it has it, and can apply it. None if there is none."""
    for member, facts in view.serving_replicas():
        if facts.received.contains(wanted) and unsound(view, member, facts) is None:
            return member.name
    return None


def unfit(view: ClusterView, member: Member, facts: Facts) -> str | None:
    """Why this replica may not become primary although it has all the data; None if it may."""
    if reason := unsound(view, member, facts):
        return reason
    return None if view.spec.node(member.name).candidate else f"{member.name} is marked `candidate = false`"


def unsound(view: ClusterView, member: Member, facts: Facts) -> str | None:
    """Why nobody may build on what this replica has; None if it is sound."""
    if all(node.name != member.name for node in view.spec.nodes):
        return f"{member.name} is no longer in the configuration"
    if extra := errant(view, member, facts):
        return f"{member.name} has transactions of its own that nobody else has: {extra}"
    if facts.channel is not None and facts.channel.applier.errno:
        applier = facts.channel.applier
        return f"{member.name} cannot apply what it received (error {applier.errno}: {applier.error})"
    return None


def _preference(view: ClusterView, member: Member, facts: Facts) -> tuple[int, int, int]:
    order = [other.name for other in view.record.members]
    priority = view.spec.node(member.name).priority
    return (priority, facts.executed.count(), -order.index(member.name))
