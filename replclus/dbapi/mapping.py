"""From what the nodes answered to the map that statements are routed by. Pure: no clock, no socket.

Which map is right: the one with the highest epoch that any node has seen, and only if the node it names agrees, that is,
answers that it is writable and carries that epoch itself. Where the pulse cannot be read, roles are discovered instead:
exactly one writable node is the primary.

Whose map is right, where nodes of different clusters answer: that of most of the nodes we were told to begin with.

How long it may be written by: until `fresh_until`, which moves on with every new beat, or, where no watchdog beats, with
every answer of the primary itself, as long as no node knows better (`_fresh_until`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from replclus.dbapi.failures import NOT_LET_IN
from replclus.model.topology import PulseRow, Role, Topology, TopologyNode

Address = tuple[str, int]

NEVER = -math.inf
DEFAULT_TTL_S = 5.0
# A replica further behind than this serves nobody, whatever consistency was asked for.
ROTATION_LAG_MS = 10_000
_WINDOW_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A server as applications know it. `socket` comes from their own configuration, never from the map."""

    name: str
    host: str
    port: int
    socket: str | None = None
    weight: int = 1

    @property
    def address(self) -> Address:
        return self.host, self.port


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one node last said. Times are seconds of our monotonic clock; `asked_at` is when the question left.

    `error` is empty exactly when the node answered. `topology` is `pulse.topology` understood, or None.
    """

    asked_at: float
    error: str = ""
    errno: int = 0
    writable: bool = False
    pulse: PulseRow | None = None
    topology: Topology | None = None

    @property
    def reached(self) -> bool:
        return not self.error


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterMap:
    """Who is who. Maps are compared by identity on the way of every statement, so an unchanged one is kept.

    `term` grows with every change of the primary: the epoch, and a count of the changes that were discovered without one.
    """

    term: tuple[int, int] = (-1, 0)
    primary: Node | None = None
    replicas: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """What is remembered from one chart to the next.

    `primary` is the name in the newest pulse. `newest` is the highest (epoch, beat) seen anywhere, `newest_at` when it was
    asked for. `advancing`: beats were seen to grow, so a watchdog was at work. `offset_s` is our clock minus the beats'
    clock, the least seen in the present and in the previous window of ten seconds: the least is the truest, because
    news only ever arrives late.
    """

    cluster_id: str = ""
    topology: Topology | None = None
    primary: str = ""
    ttl_s: float = DEFAULT_TTL_S
    newest: tuple[int, int] = (-1, -1)
    newest_at: float = NEVER
    advancing: bool = False
    offset_s: tuple[float, float] = (math.inf, math.inf)
    window_since: float = NEVER
    last_primary: Address | None = None
    discovered: int = 0

    def as_of(self, answer: Answer) -> float:
        """When, on our clock, this node's data was certainly up to date; NEVER if that cannot be told."""
        if answer.pulse is None or not self.advancing or answer.pulse.beat < 0:
            return NEVER
        return answer.pulse.beat / 1000 + min(self.offset_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """`why_no_primary` is one clause per obstacle, empty when there is a primary.

    `barred` is the number of the error with which the primary of the map refuses our account, 0 if it does not. `outside`
    says of every node that serves nothing why it does not, a clause that begins with its name.
    """

    map: ClusterMap
    knowledge: Knowledge
    nodes: tuple[Node, ...]
    fresh_until: float
    why_no_primary: str = ""
    barred: int = 0
    outside: Mapping[Address, str] = field(default_factory=dict)


def chart(known: Knowledge, previous: ClusterMap, seeds: Sequence[Node], answers: Mapping[Address, Answer]) -> Chart:
    """`answers` holds the latest one of every node that was asked at least once."""
    known = _learn(known, seeds, answers)
    nodes = _nodes(known.topology, seeds)
    epoch = known.newest[0]
    if epoch >= 0:
        primary, why = _primary_of_map(known, nodes, answers)
    elif any(answer.topology is not None for answer in answers.values()):
        primary, why = None, _whose_is_whose(nodes, answers)
    else:
        primary, why = _discover(nodes, answers)
    if primary is not None and primary.address != known.last_primary:
        known = replace(known, last_primary=primary.address, discovered=known.discovered + 1)
    # Without a primary the last term stays: nothing has been decided yet.
    term = previous.term if primary is None else (epoch, known.discovered)
    others = [node for node in nodes if primary is None or node.address != primary.address]
    reasons = {node.address: why_outside(node, known, answers.get(node.address)) for node in others}
    replicas = tuple(node for node in others if not reasons[node.address])
    outside = {address: reason for address, reason in reasons.items() if reason} | _foreign_seeds(seeds, known, answers)
    now = ClusterMap(term=max(term, previous.term), primary=primary, replicas=replicas)
    return Chart(
        map=previous if now == previous else now,
        knowledge=known,
        nodes=nodes,
        fresh_until=NEVER if primary is None else _fresh_until(known, nodes, answers, answers[primary.address]),
        why_no_primary=why,
        barred=0 if primary is not None else _barred(known, nodes, answers),
        outside=outside,
    )


def _learn(known: Knowledge, seeds: Sequence[Node], answers: Mapping[Address, Answer]) -> Knowledge:
    """Take in the pulses of our cluster."""
    ours = _ours(known.cluster_id, seeds, answers)
    if ours != known.cluster_id:
        known = Knowledge(cluster_id=ours, last_primary=known.last_primary, discovered=known.discovered)
    told = [answer for answer in answers.values() if answer.pulse is not None]
    for answer in sorted(told, key=lambda answer: answer.asked_at):
        if not _foreign(answer, known):
            known = _hear(known, answer)
    return known


def _ours(known: str, seeds: Sequence[Node], answers: Mapping[Address, Answer]) -> str:
    """The id of the cluster that we were sent to; what was known if that is not certain.

    Each seed has one vote: the cluster that it says it belongs to, or, while it is silent, the one whose map names it.
    More than half of them decide. Before anything is known a single claim is enough too, once every seed has been asked:
    the first node to answer may be a stranger, and a write must not go there.
    """
    maps = {answer.topology.cluster_id: answer.topology for answer in answers.values() if answer.topology is not None}
    if not maps:
        return known
    votes = [_vote(seed, answers.get(seed.address), maps.values()) for seed in seeds]
    for cluster_id in maps:
        if 2 * votes.count(cluster_id) > len(seeds):
            return cluster_id
    if not known and len(maps) == 1 and all(seed.address in answers for seed in seeds):
        return next(iter(maps))
    return known


def _vote(seed: Node, answer: Answer | None, maps: Collection[Topology]) -> str:
    if answer is not None and answer.topology is not None:
        return answer.topology.cluster_id
    return next((m.cluster_id for m in maps if any((node.host, node.port) == seed.address for node in m.nodes)), "")


def _foreign(answer: Answer, known: Knowledge) -> bool:
    return answer.topology is not None and answer.topology.cluster_id != known.cluster_id


def _foreign_seeds(seeds: Sequence[Node], known: Knowledge, answers: Mapping[Address, Answer]) -> dict[Address, str]:
    """Seeds of which our cluster's map knows nothing, because they belong to another one."""
    found = {seed.address: (seed, answers.get(seed.address)) for seed in seeds}
    return {
        address: f"{seed.name} belongs to another cluster ({answer.topology.cluster_id})"
        for address, (seed, answer) in found.items()
        if known.cluster_id and answer is not None and answer.topology is not None and _foreign(answer, known)
    }


def _whose_is_whose(nodes: Sequence[Node], answers: Mapping[Address, Answer]) -> str:
    """Why no cluster was chosen."""
    unasked = [node.name for node in nodes if node.address not in answers]
    if unasked:
        return f"{', '.join(unasked)} not asked yet, and what the others say is not enough to tell which cluster is meant"
    claims = [
        f"{node.name} to {topology.cluster_id}"
        for node in nodes
        if (answer := answers[node.address]).reached and (topology := answer.topology) is not None
    ]
    return f"the nodes belong to different clusters ({', '.join(claims)}): connect to the nodes of one"


def _hear(known: Knowledge, answer: Answer) -> Knowledge:
    pulse = answer.pulse
    assert pulse is not None
    stamp = (pulse.epoch, pulse.beat)
    if stamp <= known.newest:
        return known
    offset = answer.asked_at - pulse.beat / 1000
    current, before = known.offset_s
    if answer.asked_at - known.window_since > _WINDOW_S:
        offsets, since = (offset, current), answer.asked_at
    else:
        offsets, since = (min(current, offset), before), known.window_since
    return replace(
        known,
        topology=answer.topology or known.topology,
        primary=pulse.primary,
        ttl_s=pulse.routing_ttl_ms / 1000,
        newest=stamp,
        newest_at=answer.asked_at,
        advancing=known.advancing or known.newest[1] >= 0,
        offset_s=offsets,
        window_since=since,
    )


def _nodes(topology: Topology | None, seeds: Sequence[Node]) -> tuple[Node, ...]:
    """The map's nodes, with the sockets our own configuration has for them; before there is a map, our own list."""
    if topology is None:
        return tuple(seeds)
    sockets = {seed.address: seed.socket for seed in seeds}
    return tuple(
        Node(name=n.name, host=n.host, port=n.port, socket=sockets.get((n.host, n.port)), weight=n.weight) for n in topology.nodes
    )


def _primary_of_map(known: Knowledge, nodes: Sequence[Node], answers: Mapping[Address, Answer]) -> tuple[Node | None, str]:
    node = next((node for node in nodes if node.name == known.primary), None)
    if node is None:
        return None, f"{known.primary}, the primary of epoch {known.newest[0]}, is not among the nodes we know"
    answer = answers.get(node.address)
    if answer is None:
        return None, f"{node.name} has not been asked yet"
    if not answer.reached:
        return None, f"{node.name}, the primary of epoch {known.newest[0]}, does not answer: {answer.error}"
    if not answer.writable:
        return None, f"{node.name}, the primary of epoch {known.newest[0]}, is read-only"
    if answer.pulse is not None and answer.pulse.epoch != known.newest[0]:
        return None, f"{node.name} is still in epoch {answer.pulse.epoch} of {known.newest[0]}"
    return node, ""


def _discover(nodes: Sequence[Node], answers: Mapping[Address, Answer]) -> tuple[Node | None, str]:
    """The only writable node, if there is exactly one."""
    writable = [node for node in nodes if (a := answers.get(node.address)) is not None and a.reached and a.writable]
    if len(writable) == 1:
        return writable[0], ""
    if writable:
        return None, f"{' and '.join(node.name for node in writable)} are all writable"
    return None, "no node that answers is writable"


def _barred(known: Knowledge, nodes: Sequence[Node], answers: Mapping[Address, Answer]) -> int:
    node = next((node for node in nodes if node.name == known.primary), None)
    answer = answers.get(node.address) if node is not None else None
    return answer.errno if answer is not None and answer.errno in NOT_LET_IN else 0


def why_outside(node: Node, known: Knowledge, answer: Answer | None) -> str:
    """Why no read goes to this node, which is not the primary; empty if reads may go there.

    A writable one may be an old primary that nobody has fenced yet, so it serves nobody.
    """
    if answer is None:
        return f"{node.name} has not been asked yet"
    if not answer.reached:
        return f"{node.name} {'refuses this account' if answer.errno in NOT_LET_IN else 'does not answer'}: {answer.error}"
    if _foreign(answer, known):
        return f"{node.name} belongs to another cluster"
    if answer.writable:
        return f"{node.name} accepts writes, and is not the primary"
    listed = _listed(node, known.topology)
    if listed is not None and listed.role not in (Role.REPLICA, Role.PRIMARY):
        return f"{node.name} is {listed.role.value}"
    if listed is not None and not listed.serving:
        return f"{node.name} is taken out of reads: it is being drained, or does not replicate"
    if known.newest[0] < 0:
        return ""
    if answer.pulse is None:
        return f"{node.name} has no pulse of this cluster, or does not show it to this account"
    lag_ms = known.newest[1] - answer.pulse.beat
    return f"{node.name} is {lag_ms / 1000:.1f} s behind" if lag_ms > ROTATION_LAG_MS else ""


def _listed(node: Node, topology: Topology | None) -> TopologyNode | None:
    if topology is None:
        return None
    return next((other for other in topology.nodes if other.name == node.name), None)


def _fresh_until(known: Knowledge, nodes: Sequence[Node], answers: Mapping[Address, Answer], primary: Answer) -> float:
    """Until when this map may be written by.

    A beat proves that the watchdog stood by this epoch. Without beats the primary's own word counts, unless beats have been
    seen and stopped: then either the watchdog rests, or we and the primary are cut off together while another one is
    being made. Most nodes must be in sight, none of them knowing a higher epoch, to rule that out.
    """
    by_beat = known.newest_at + known.ttl_s
    reached = sum(1 for node in nodes if (a := answers.get(node.address)) is not None and a.reached)
    if known.advancing and 2 * reached <= len(nodes):
        return by_beat
    return max(by_beat, primary.asked_at + known.ttl_s)
