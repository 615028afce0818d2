"""What a cluster looks like to a person, and to the routers: derived from a view, never stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from replclus.failover import candidates
from replclus.failover.durability import blockers
from replclus.failover.problems import Problem, find_problems
from replclus.failover.remedies import can_be_fenced
from replclus.failover.requests import serving
from replclus.failover.view import ClusterView, lag_ms
from replclus.model.record import Member, MemberState
from replclus.model.spec import Durability
from replclus.model.topology import Role, Topology, TopologyNode


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """`lag_ms` is None where it is unknown; `source` is the name of the node it replicates from, or `host:port` of a stranger."""

    name: str
    host: str
    port: int
    role: Role
    writable: bool
    source: str | None
    lag_ms: int | None
    position: str
    problems: tuple[Problem, ...]

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
            "problems": [problem.to_dict() for problem in self.problems],
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a failover would come to now: `verdict` is promote, refuse or wait."""

    verdict: str
    candidate: str | None
    why: str


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
        verdict = self.if_primary_failed_now
        return {
            "cluster": self.cluster,
            "cluster_id": self.cluster_id,
            "epoch": self.epoch,
            "primary": self.primary,
            "durability": self.durability.value,
            "problems": [problem.to_dict() for problem in self.problems],
            "nodes": [node.to_dict() for node in self.nodes],
            "if_primary_failed_now": {"verdict": verdict.verdict, "candidate": verdict.candidate, "why": verdict.why},
        }


def status(view: ClusterView) -> Status:
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
        if_primary_failed_now=if_primary_failed_now(view),
    )


def if_primary_failed_now(view: ClusterView) -> Verdict:
    """The decision that `machine.tick` would come to if the primary were lost at this moment."""
    record = view.record
    if record.operation is not None:
        return Verdict("wait", None, f"a {record.operation.kind.value} is in progress")
    if record.paused:
        return Verdict("refuse", None, "the watchdog is paused")
    fenceable = can_be_fenced(view, record.primary)
    if against := blockers(view, record.primary, fenced=True):
        return Verdict("refuse", None, "; ".join(against))
    match candidates.elect(view):
        case candidates.NobodyElectable(reasons):
            return Verdict("refuse", None, "; ".join(reasons))
        case candidates.Elected(name=name):
            how = "its host can stop the old primary" if fenceable else "every acknowledging replica can be detached from it"
            loss = (
                "no acknowledged write would be lost"
                if record.durability is Durability.LOSSLESS
                else ("the newest writes may be lost: durability is `available`")
            )
            return Verdict("promote", name, f"{name} has received the most, {how}; {loss}")


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
    if member.state is MemberState.JOINING:
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
    )
