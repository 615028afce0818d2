"""The laws of the design, judged by what really is: by transactions, not by the GTIDs that decisions see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replclus.failover import machine
from replclus.failover.decision import Act, Decision, Fence, Plan, Promote, Refuse, Swap, Together
from replclus.failover.invariants import (
    Violation,
    drained_before_promotion,
    epochs_only_grow,
    one_writer,
    quarantined_never_promoted,
    record_first,
)
from replclus.failover.view import ClusterView
from replclus.model.record import ClusterRecord, MemberState, OperationKind, Phase, RequestKind
from tests.simulation.clock import BEAT_QUANTA, QUANTUM_S

if TYPE_CHECKING:
    from tests.simulation.servers import Server
    from tests.simulation.watchdog import Watchdog
    from tests.simulation.world import World

__all__ = ["Violation"]

HEALTHY_QUANTA = 15
"""A primary that has been able to acknowledge for so long must not be failed over: no evidence is older than that."""


# ---- at every moment -------------------------------------------------------------------------------------------------


def check(world: World) -> None:
    accepting = [server for server in world.servers.values() if could_acknowledge(world, server)]
    if world.lossless:
        if len(accepting) > 1:
            one_writer(server.name for server in accepting)
        for server in accepting:
            nothing_acknowledged_is_missing(world, server)
        nobody_else_acknowledges(world)
    primary = world.servers[world.record.primary]
    if primary.alive and primary.writable and not primary.opened_by_person and world.record.operation is None:
        nothing_acknowledged_is_missing(world, primary)


def could_acknowledge(world: World, server: Server) -> bool:
    """Is there any way in which a client's write here may be answered OK, now or when links heal and servers thaw?"""
    if not (server.alive and server.writable) or server.opened_by_person or server.unsafe_by_person or server.offline:
        return False
    if not server.source_on:
        return True
    name = server.name
    return any(o.source == name and o.receiver and o.alive and o.ack_on for o in world.servers.values() if o is not server)


def nobody_else_acknowledges(world: World) -> None:
    """Whoever is not an acker by the record is not asked when the primary is lost."""
    record = world.record
    for server in world.servers.values():
        if server.acking and server.source == record.primary and server.name not in record.ackers:
            raise Violation(f"{server.name} acknowledges commits of {record.primary}, and is no acker by the record")


def nothing_acknowledged_is_missing(world: World, server: Server) -> None:
    lost = world.acknowledged & ~server.everything
    if lost:
        raise Violation(f"{server.name} takes writes and lacks what was acknowledged: {world.transactions.spell(lost)}")


# ---- decisions and plans ---------------------------------------------------------------------------------------------


def total(view: ClusterView) -> Decision:
    """A decision never raises."""
    try:
        decision = machine.tick(view)
    except Exception as error:
        raise Violation(f"the decision raised {error!r}") from error
    record = view.record
    asked = record.request is not None and record.request.done is None
    if isinstance(decision, Act) and record.paused and record.operation is None and not asked:
        raise Violation(f"paused by a person, and acts all the same: {decision.why}")
    return decision


def plan_is_lawful(view: ClusterView, plan: Plan) -> None:
    drained_before_promotion(plan)
    record_first(plan)
    record = view.record
    for step in plan.steps:
        if isinstance(step, Swap):
            record = step.record
        actions = step.actions if isinstance(step, Together) else (step,)
        for action in actions:
            if isinstance(action, Promote) and not record.member(action.node).admitted:
                raise Violation(f"{action.node} is {record.member(action.node).state.value} and is promoted")
            if isinstance(action, Promote) and action.node != record.primary:
                raise Violation(f"{action.node} is promoted, and the record names {record.primary}")
            if isinstance(action, Fence) and action.node == record.primary and record.operation is None:
                raise Violation(f"{action.node}, the primary, is fenced before anything was claimed")


def record_changes_lawfully(world: World, before: ClusterRecord, after: ClusterRecord) -> None:
    epochs_only_grow(before, after)
    quarantined_never_promoted(after)
    if ClusterRecord.from_json(after.to_json()) != after:
        raise Violation("the record does not survive its own document")
    for member in after.members:
        was = before.member(member.name)
        if member.state is MemberState.QUARANTINED and was.state not in (MemberState.QUARANTINED, MemberState.REBUILDING):
            _quarantined_for_a_reason(world, after, member.name)
    _one_primary_per_epoch(world, after)
    _no_false_doubt(world, before, after)
    claim = after.operation
    if claim is not None and claim.phase is Phase.REVOKE and before.operation is None:
        if claim.kind is OperationKind.FAILOVER:
            _no_false_failover(world, before, claim.reason)
        elif claim.wanted is not None and not before.member(claim.wanted).admitted:
            raise Violation(f"a switchover to {claim.wanted}, which is {before.member(claim.wanted).state.value}")


def _one_primary_per_epoch(world: World, record: ClusterRecord) -> None:
    """Once it serves, nobody else ever does in its epoch."""
    if record.operation is None and world.primary_of.setdefault(record.epoch, record.primary) != record.primary:
        raise Violation(f"{record.primary} is primary of epoch {record.epoch}, and {world.primary_of[record.epoch]} was before")


def _no_false_doubt(world: World, before: ClusterRecord, after: ClusterRecord) -> None:
    """A replica at work was not restarted: taking it for one stands in the way of a failover for nothing.

    Not judged where there are two watchdogs: the other one may have set it to work since this one looked.
    """
    for name, _ in set(after.doubtful) - set(before.doubtful):
        server = world.servers[name]
        if len(world.watchdogs) == 1 and server.running and (server.receiver or server.applier):
            raise Violation(f"{name} is taken for restarted, and is at work")


def _quarantined_for_a_reason(world: World, record: ClusterRecord, name: str) -> None:
    server, primary = world.servers[name], world.servers[record.primary]
    if server.foreign_since is not None or "cannot apply" in record.member(name).why:
        return
    if name != primary.name and not server.everything & ~primary.everything and not world.broken(server):
        raise Violation(f"{name} is quarantined, and {primary.name} has all that it has")


def _no_false_failover(world: World, before: ClusterRecord, reason: str) -> None:
    request = before.request
    forced = request is not None and request.done is None and request.kind is RequestKind.FAILOVER and request.force
    healthy_for = world.now - world.unhealthy_at
    # No evidence against a primary is older than its being one.
    long_enough = healthy_for > HEALTHY_QUANTA or world.unhealthy_at < world.settled_at
    if world.lossless and long_enough and not forced and can_serve(world):
        able = f"it has been able to acknowledge for {healthy_for} quanta"
        raise Violation(f"failover from {before.primary} because {reason}, and {able}")


def can_serve(world: World) -> bool:
    """Can the primary of the record acknowledge a write at this very moment?"""
    primary = world.servers[world.record.primary]
    if not primary.running or primary.hung or primary.locked or not primary.writable:
        return False
    name, both = primary.name, world.network.both
    if not primary.source_on:
        # Semi-sync was switched off behind the cluster's back: it is of use as long as anybody reaches it.
        return any(both(name, other) for other in (*world.servers, *world.watchdogs) if other != name)
    return any(
        o.source == name and o.acking and o.running and not o.hung and _in_time(world, o, name) for o in world.servers.values()
    )


def _in_time(world: World, acker: Server, primary: str) -> bool:
    """Do its acknowledgements arrive, and so soon that two commits in a row are done within the deadline of one beat?"""
    return world.network.both(acker.name, primary) and 2 * world.network.delay(acker.name, primary) < BEAT_QUANTA


# ---- single steps ----------------------------------------------------------------------------------------------------


def nothing_diverged_is_attached(dog: Watchdog, server: Server, source: str) -> None:
    """What the watchdog attaches has nothing that the source lacks, as far as it could know when it decided."""
    world = dog.world
    extra = dog.had.get(server.name, 0) & server.everything & ~world.servers[source].everything
    if dog.sight.observations[server.name].facts is not None and server.foreign_since is not None:
        seen = dog.sight.observations[server.name]
        if seen.full_at > server.foreign_since * QUANTUM_S:
            raise Violation(f"{server.name} is another cluster's, and is attached")
    if server.source != source and told_apart(world, extra, world.servers[source]):
        raise Violation(f"{server.name} is attached to {source}, which lacks {world.transactions.spell(extra)}")


def told_apart(world: World, extra: int, source: Server) -> bool:
    """Can anybody see that `source` lacks `extra`? A GTID that a server gave out twice, because its tail had been cut off in
    between, hides it from everybody; see docs/guarantees.md."""
    gtids = world.transactions.gtids
    return bool(extra) and not (extra & twins(world) == extra and gtids(source.everything).contains(gtids(extra)))


def twins(world: World) -> int:
    return sum(world.transactions.twins)


# ---- when everything has healed --------------------------------------------------------------------------------------


def explained(world: World) -> bool:
    """A server that was made anew took with it what it had acknowledged, and one that a person wrote to is no candidate: while
    the primary is lost, only a person may go on without them. The refusal says so."""
    refusals = [dog.decision.why for dog in world.watchdogs.values() if isinstance(dog.decision, Refuse)]
    if any("was elected and lacks" in why for why in refusals):
        return True  # Two servers failed one after the other: docs/decisions/0019.
    refused = bool(refusals)
    servers = world.servers.values()
    return refused and any(
        server.foreign_since is not None or server.everything & world.transactions.errant for server in servers
    )


def unsettled(world: World) -> str | None:
    """What is still missing from a cluster at rest; None if nothing is."""
    record = world.record
    if record.operation is not None:
        return f"a {record.operation.kind.value} is in progress"
    if record.request is not None and record.request.done is None:
        return f"the request for a {record.request.kind.value} was not answered"
    primary = world.servers[record.primary]
    if not primary.writable:
        return f"{primary.name}, the primary, is read-only"
    for member in record.replicas:
        server = world.servers[member.name]
        if member.admitted and not (server.source == primary.name and server.receiver and server.applier and server.connected):
            return f"{server.name} does not follow"
        extra = server.everything & ~primary.everything
        if member.admitted and told_apart(world, extra, primary):
            return f"{server.name} follows, and has {world.transactions.spell(extra)}"
        if member.state is MemberState.REBUILDING:
            return f"{server.name} is being rebuilt"
        if server.writable and server.foreign_since is None:
            return f"{server.name} is writable"
    return None
