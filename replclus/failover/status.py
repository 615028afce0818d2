"""What a cluster looks like to a person, and to the routers: derived from a view, never stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from replclus.failover import candidates
from replclus.failover.durability import blockers
from replclus.failover.problems import Problem, find_problems
from replclus.failover.remedies import can_be_fenced, too_many_failovers
from replclus.failover.requests import serving
from replclus.failover.view import ClusterView, lag_ms
from replclus.model.record import Member, MemberState
from replclus.model.spec import Durability
from replclus.model.topology import Role, Topology, TopologyNode

STEP_MS: Mapping[str, float] = {
    "Fence": 10.0,
    "StopReceiving": 10.0,
    "WaitApplied": 5.0,
    "Promote": 40.0,
    "OpenForWrites": 10.0,
}
"""What the steps of a promotion take on an idle machine, until they were measured on this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """`lag_ms` is None where it is unknown; `source` is the name of the node it replicates from, or `host:port` of a stranger.

    `lease_armed`: a primary that will turn itself read-only when nobody reaches it; None where that is not known.
    """

    name: str
    host: str
    port: int
    role: Role
    writable: bool
    source: str | None
    lag_ms: int | None
    position: str
    problems: tuple[Problem, ...]
    lease_armed: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "host": self.host,
            "port": self.port,
            "role": self.role.value,
            "writable": self.writable,
            "source": self.source,
            "lag_ms": self.lag_ms,
            "position": self.position,
            "lease_armed": self.lease_armed,
            "problems": [problem.to_dict() for problem in self.problems],
        }


@dataclass(frozen=True, slots=True)
class Loss:
    """What a failover is expected to cost. `transactions` and `ms` of acknowledged writes; None where nobody can know."""

    transactions: int | None
    ms: int | None
    sentence: str


NOTHING_LOST = Loss(0, 0, "no acknowledged write")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a failover would come to now: `verdict` is promote, refuse or wait; `blockers` are what stands against it.

    `expected_duration_ms` counts from the death of the primary to the first write on the new one; None without a candidate.
    """

    verdict: str
    candidate: str | None
    why: str
    expected_loss: Loss | None = None
    expected_duration_ms: int | None = None
    blockers: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        loss = self.expected_loss
        return {
            "verdict": self.verdict,
            "candidate": self.candidate,
            "why": self.why,
            "expected_loss": None
            if loss is None
            else {"transactions": loss.transactions, "ms": loss.ms, "sentence": loss.sentence},
            "expected_duration_ms": self.expected_duration_ms,
            "blockers": list(self.blockers),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """`cluster_id` is empty, `epoch` 0 and `primary` None before `init`."""

    cluster: str
    cluster_id: str
    epoch: int
    primary: str | None
    durability: Durability
    problems: tuple[Problem, ...]
    nodes: tuple[NodeStatus, ...]
    if_primary_failed_now: Verdict

    def to_dict(self) -> dict[str, Any]:
        return {
            "cluster": self.cluster,
            "cluster_id": self.cluster_id,
            "epoch": self.epoch,
            "primary": self.primary,
            "durability": self.durability.value,
            "problems": [problem.to_dict() for problem in self.problems],
            "nodes": [node.to_dict() for node in self.nodes],
            "if_primary_failed_now": self.if_primary_failed_now.to_dict(),
        }


def status(view: ClusterView, measured: Mapping[str, float] = STEP_MS) -> Status:
    """`measured`: how many milliseconds each kind of step took when it was last carried out here."""
    record = view.record
    problems = find_problems(view)
    return Status(
        cluster=record.name,
        cluster_id=record.cluster_id,
        epoch=record.epoch,
        primary=record.primary,
        durability=record.durability,
        problems=problems,
        nodes=tuple(_node_status(view, member, problems) for member in record.members),
        if_primary_failed_now=if_primary_failed_now(view, measured),
    )


def if_primary_failed_now(view: ClusterView, measured: Mapping[str, float] = STEP_MS) -> Verdict:
    """The decision that `machine.tick` would come to if the primary were lost at this moment."""
    record = view.record
    if record.operation is not None:
        why = f"a {record.operation.kind.value} is in progress"
        return Verdict("wait", None, why, blockers=(why,))
    against: tuple[str, ...] = ("the watchdog is paused: run `replclus resume`",) if record.paused else ()
    tired = too_many_failovers(view)
    against += (*((tired,) if tired else ()), *blockers(view, record.primary, fenced=True))
    elected = candidates.elect(view)
    if isinstance(elected, candidates.NobodyElectable):
        against += elected.reasons
        return Verdict("refuse", None, "; ".join(against), blockers=against)
    name = elected.name
    loss, took_ms = expected_loss(view, name), expected_duration_ms(view, name, measured)
    if against:
        return Verdict("refuse", None, "; ".join(against), loss, None, against)
    fenceable = can_be_fenced(view, record.primary)
    how = "its host can stop the old primary" if fenceable else "every acknowledging replica can be detached from it"
    why = f"{name} has received the most, {how}; expected loss: {loss.sentence}; expected duration: {took_ms} ms"
    return Verdict("promote", name, why, loss, took_ms)


def expected_loss(view: ClusterView, candidate: str | None) -> Loss:
    """What would be lost if `candidate` took over with what it has received by now. Counts acknowledged writes only.

    In `available` mode the primary acknowledges alone, so everything that it executed and the candidate has not received
    would be gone: counted by GTID, and in time by the beats that have not arrived.
    """
    if view.record.durability is Durability.LOSSLESS and not view.forced:
        return NOTHING_LOST
    primary, replica = view.seen(view.record.primary).facts, view.seen(candidate).facts if candidate else None
    if primary is None or replica is None:
        return Loss(None, None, "unknown, because the primary was never seen" if primary is None else "unknown")
    transactions = primary.executed.beyond(replica.received).count()
    if not transactions:
        return Loss(0, 0, "nothing that is known")
    ms = None if primary.pulse is None or replica.pulse is None else max(0, primary.pulse.beat - replica.pulse.beat)
    span = "" if ms is None else f" of the last {ms} ms"
    about = "" if view.facts(view.record.primary) is not None else "at least "
    return Loss(transactions, ms, f"{about}{transactions} transactions{span}")


def expected_duration_ms(view: ClusterView, candidate: str, measured: Mapping[str, float] = STEP_MS) -> int:
    """From a killed primary to the first write on `candidate`: seen at the next tick, then step after step.

    What the candidate has received and not yet applied takes it about as long as it lags behind.
    """
    took = {**STEP_MS, **measured}
    revoking = max(took["Fence"], took["StopReceiving"])
    applying = max(took["WaitApplied"], float(lag_ms(view, candidate) or 0))
    opening = took["Promote"] + took["OpenForWrites"]
    return round(view.spec.timings.tick_s * 1000 + revoking + applying + opening)


def routing_map(view: ClusterView) -> Topology:
    """The map that goes out with every pulse."""
    record = view.record
    return Topology(
        cluster_id=record.cluster_id,
        epoch=record.epoch,
        primary=record.primary,
        nodes=tuple(
            TopologyNode(
                name=member.name,
                host=member.host,
                port=member.port,
                role=role(view, member),
                weight=_weight(view, member),
                serving=serving(view, member),
            )
            for member in record.members
        ),
    )


def role(view: ClusterView, member: Member) -> Role:
    if member.state is MemberState.QUARANTINED:
        return Role.QUARANTINED
    if member.state in (MemberState.JOINING, MemberState.REBUILDING):
        return Role.UNPROVISIONED
    if not view.seen(member.name).reach.alive:
        return Role.DOWN
    return Role.PRIMARY if member.name == view.record.primary else Role.REPLICA


def _weight(view: ClusterView, member: Member) -> int:
    return next((node.weight for node in view.spec.nodes if node.name == member.name), 1)


def _node_status(view: ClusterView, member: Member, problems: tuple[Problem, ...]) -> NodeStatus:
    facts = view.facts(member.name)
    source = None
    if facts is not None and facts.channel is not None:
        at = (facts.channel.source_host, facts.channel.source_port)
        known = {(other.host, other.port): other.name for other in view.record.members}
        source = known.get(at, f"{at[0]}:{at[1]}")
    return NodeStatus(
        name=member.name,
        host=member.host,
        port=member.port,
        role=role(view, member),
        writable=facts is not None and facts.writable,
        source=source,
        lag_ms=0 if member.name == view.record.primary and facts else lag_ms(view, member.name),
        position=str(facts.executed) if facts is not None else "",
        problems=tuple(problem for problem in problems if problem.node == member.name),
        lease_armed=facts.lease_armed if facts is not None and view.seen(member.name).answered else None,
    )
