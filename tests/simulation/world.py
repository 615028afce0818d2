"""A seeded world: servers, links, clients and a watchdog, all in one thread, all decided by one random source.

It models what the deciding room relies on: semi-synchronous commits that wait for an attached replica, received but
unapplied transactions, restarts that come back read-only and detached, an unacknowledged tail, partitions per pair, a
host that may or may not be ours. Actions of a plan are carried out one by one; between any two of them anything may
happen, the watchdog's own death included.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from pathlib import Path

from replclus.failover import invariants, machine
from replclus.failover.decision import (
    Act,
    Action,
    CloseForWrites,
    Detach,
    Fence,
    Follow,
    OpenForWrites,
    Plan,
    Promote,
    Publish,
    StopReceiving,
    Swap,
    WaitApplied,
    WaitCaughtUp,
)
from replclus.failover.view import ClusterView, NodeHistory, PulseHealth
from replclus.model.gtid import MysqlGtidSet
from replclus.model.observation import Applier, Channel, Facts, Identity, Observation, Reach, Receiver, SemiSync, Version
from replclus.model.record import ClusterRecord, Member, MemberState
from replclus.model.spec import ClusterSpec, Durability, Flavour, NodeSpec
from replclus.model.topology import PulseRow

TICK_S = 0.1
NOBODY = MysqlGtidSet()
WATCHDOG = "watchdog"


@dataclass
class SimServer:
    """`executed` is the binlog, `relay` what was received (it contains what was applied), `visible` what clients were told."""

    name: str
    alive: bool = True
    writable: bool = False
    semi_sync: bool = False
    executed: MysqlGtidSet = NOBODY
    relay: MysqlGtidSet = NOBODY
    source: str | None = None
    receiving: bool = False
    next_number: int = 1

    @property
    def received(self) -> MysqlGtidSet:
        return self.executed.union(self.relay)

    def uuid(self) -> str:
        return f"00000000-0000-0000-0000-{int(self.name[1:]):012d}"


class StepFailedError(Exception):
    """An essential action did not succeed; the rest of the plan is dropped."""


@dataclass
class World:
    seed: int
    nodes: int = 4
    partitions: bool = False
    restarts_trim_tail: bool = True
    random: random.Random = field(init=False)
    now: float = 0.0
    faults_left: int = 2
    acknowledged: MysqlGtidSet = NOBODY
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311  a seeded world, not a secret
        names = [f"n{i + 1}" for i in range(self.nodes)]
        self.servers = {name: SimServer(name) for name in names}
        self.cut: set[frozenset[str]] = set()
        self.spec = ClusterSpec(name="shop", nodes=tuple(self._node(name) for name in names))
        members = tuple(
            Member(name=name, host=name, port=3306, server_id=i, uuid=self.servers[name].uuid()) for i, name in enumerate(names)
        )
        self.record = ClusterRecord(
            version=1,
            cluster_id="c1",
            name="shop",
            flavour=Flavour.MYSQL,
            durability=Durability.LOSSLESS,
            epoch=1,
            primary="n1",
            members=members,
            ackers=frozenset(names[1:]),
        )
        self.servers["n1"].writable = self.servers["n1"].semi_sync = True
        for name in names[1:]:
            self.servers[name].source, self.servers[name].receiving = "n1", True
        self.forget()

    def _node(self, name: str) -> NodeSpec:
        """Where partitions are played, nobody's host is ours: the watchdog has to do without a fence."""
        return NodeSpec(name=name, host=name, process_dir=None if self.partitions else Path("/nowhere"))

    # ---- the watchdog ------------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """A new watchdog process: it knows the record, and nothing else."""
        self.silent_since: dict[str, float] = {}
        self.highest: dict[str, MysqlGtidSet] = {}
        self.operation_since = (None, self.now)
        self.beat_failing: float | None = None
        self.beat_at = float("-inf")

    def tick(self) -> str:
        """One turn of the watchdog, in a world that does not hold still. Returns the verdict."""
        self.now += TICK_S
        self._beat()
        view = self.view()
        decision = machine.tick(view)
        said = f"{decision.verdict}: {decision.why}"
        if not self.log or not self.log[-1].endswith(said):
            self.log.append(f"{self.now:.1f} {said}")
        if isinstance(decision, Act):
            self._carry_out(decision.plan)
        return decision.verdict

    def _carry_out(self, plan: Plan) -> None:
        invariants.drained_before_promotion(plan)
        invariants.record_first(plan)
        for action in plan.actions():
            self.disturb()
            if self.random.random() < 0.02:
                self.log.append(f"  the watchdog is killed before {action}")
                self.forget()
                return
            try:
                self._perform(action)
            except StepFailedError as error:
                self.log.append(f"  {type(action).__name__} {action.node} failed: {error}")
                if action.essential:
                    return
            self.check()

    def _perform(self, action: Action) -> None:
        self.log.append(f"  {type(action).__name__} {action.node or ''}")
        if isinstance(action, Swap):
            invariants.epochs_only_grow(self.record, action.record)
            invariants.quarantined_never_promoted(action.record)
            for name in action.record.ackers - self.record.ackers:
                self.highest.pop(name, None)
            self.record = replace(action.record, version=self.record.version + 1)
            return
        server = self.servers[action.node]
        if isinstance(action, Fence) and self.spec.node(action.node).process_dir is not None:
            self.kill(action.node)
            return
        if not self.reachable(WATCHDOG, action.node):
            raise StepFailedError("no answer")
        match action:
            case Fence() | CloseForWrites():
                server.writable = False
            case StopReceiving() | Detach():
                server.receiving = False
            case WaitApplied():
                server.executed = server.received
            case WaitCaughtUp(source=source):
                self._fetch(server)
                if not server.received.contains(self.servers[source].executed):
                    raise StepFailedError("not caught up")
            case Promote():
                server.source, server.receiving, server.semi_sync = None, False, True
                server.executed = server.received
            case OpenForWrites():
                server.writable = True
            case Publish(node):
                if not self.commit(node):
                    raise StepFailedError("nobody acknowledged the first beat")
            case Follow(source=source):
                server.writable = False
                server.executed = server.received
                server.source, server.receiving, server.semi_sync = source, True, False

    def view(self) -> ClusterView:
        observations, history = {}, {}
        for name in self.servers:
            seen = self._observe(name)
            observations[name] = seen
            if seen.reach.alive:
                self.silent_since.pop(name, None)
            else:
                self.silent_since.setdefault(name, self.now)
            if seen.facts is not None:
                received = self.servers[name].received
                if name not in self.highest or received.contains(self.highest[name]):
                    self.highest[name] = received
            history[name] = NodeHistory(silent_since=self.silent_since.get(name), highest_received=self.highest.get(name))
        key = (self.record.epoch, self.record.operation)
        if key != self.operation_since[0]:
            self.operation_since = (key, self.now)
        return ClusterView(
            spec=self.spec,
            record=self.record,
            observations=observations,
            now=self.now,
            pulse=PulseHealth(committed_at=self.beat_at, failing_since=self.beat_failing),
            history=history,
            operation_since=self.operation_since[1],
        )

    def _observe(self, name: str) -> Observation:
        server = self.servers[name]
        host_known = self.spec.node(name).process_dir is not None
        alive = server.alive if host_known else None
        if not self.linked(WATCHDOG, name):
            return Observation(node=name, at=self.now, reach=Reach.TIMED_OUT, process_alive=alive)
        if not server.alive:
            return Observation(node=name, at=self.now, reach=Reach.REFUSED, process_alive=alive)
        channel = None
        if server.source is not None:
            connected = server.receiving and self.reachable(name, server.source)
            receiver = Receiver(running=server.receiving, connected=connected)
            channel = Channel(source_host=server.source, source_port=3306, receiver=receiver, applier=Applier(running=True))
        facts = Facts(
            identity=Identity(flavour=Flavour.MYSQL, version=Version(9, 7, 4), server_id=1, cluster_id="c1", uuid=server.uuid()),
            writable=server.writable,
            executed=server.executed,
            received=server.received,
            channel=channel,
            semi_sync=SemiSync(source_enabled=server.semi_sync, clients=self._attached(name)),
            pulse=PulseRow(beat=1, epoch=1, primary="n1", routing_ttl_ms=1000, topology=""),
        )
        return Observation(node=name, at=self.now, reach=Reach.ANSWERED, facts=facts, full_at=self.now, process_alive=alive)

    def _beat(self) -> None:
        """The pulse goes to the primary that the record names, unless that is being changed."""
        if self.record.operation is not None:
            self.beat_failing = None
            return
        if self.reachable(WATCHDOG, self.record.primary) and self.commit(self.record.primary):
            self.beat_at, self.beat_failing = self.now, None
        elif self.beat_failing is None:
            self.beat_failing = self.now

    # ---- the world ---------------------------------------------------------------------------------------------------

    def linked(self, one: str, other: str) -> bool:
        return frozenset((one, other)) not in self.cut

    def reachable(self, one: str, other: str) -> bool:
        return self.servers[other].alive and self.linked(one, other)

    def commit(self, name: str) -> bool:
        """A client's write on `name`: True if it was acknowledged."""
        server = self.servers[name]
        if not server.alive or not server.writable:
            return False
        written = MysqlGtidSet.parse(f"{server.uuid()}:{server.next_number}")
        server.next_number += 1
        server.executed = server.executed.union(written)
        acks = 0
        for replica in self.servers.values():
            attached = replica.source == name and replica.receiving and replica.alive and self.linked(replica.name, name)
            if attached and self.random.random() < 0.9:
                self._fetch(replica)
                acks += 1
        if server.semi_sync and acks == 0:
            return False
        self.acknowledged = self.acknowledged.union(written)
        return True

    def _fetch(self, replica: SimServer) -> None:
        source = self.servers.get(replica.source or "")
        if source is not None and replica.receiving and source.alive and self.linked(replica.name, source.name):
            replica.relay = replica.relay.union(source.executed)

    def kill(self, name: str) -> None:
        self.servers[name].alive = self.servers[name].writable = False

    def start(self, name: str) -> None:
        """As its host's service manager would: read-only, detached, and (where the tail is cut off) without what nobody has."""
        server = self.servers[name]
        if server.alive:
            return
        server.alive, server.writable, server.receiving = True, False, False
        if self.restarts_trim_tail:
            elsewhere = NOBODY
            for other in self.servers.values():
                if other is not server:
                    elsewhere = elsewhere.union(other.received)
            server.executed = server.executed.intersection(elsewhere.union(self.acknowledged))

    def disturb(self) -> None:
        """Clients write, replicas fetch and apply, and now and then something breaks."""
        for server in self.servers.values():
            if self.random.random() < 0.5:
                self.commit(server.name)
            if server.alive and self.random.random() < 0.5:
                self._fetch(server)
            if server.alive and self.random.random() < 0.3:
                server.executed = server.received
        if self.faults_left and self.random.random() < 0.08:
            self.faults_left -= 1
            self._break_something()
        for name, server in self.servers.items():
            if not server.alive and self.random.random() < 0.03:
                self.start(name)

    def _break_something(self) -> None:
        names = list(self.servers)
        if self.partitions and self.random.random() < 0.7:
            inside = {name for name in (*names, WATCHDOG) if self.random.random() < 0.5}
            self.cut = {frozenset((a, b)) for a in inside for b in (*names, WATCHDOG) if b not in inside}
            self.log.append(f"  cut off: {sorted(inside)}")
            return
        victim = self.record.primary if self.random.random() < 0.6 else self.random.choice(names)
        self.log.append(f"  {victim} is killed")
        self.kill(victim)

    def heal(self) -> None:
        self.cut, self.faults_left = set(), 0
        for name in self.servers:
            self.start(name)

    # ---- the laws ----------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """At every moment: whoever could acknowledge a write now holds every write that was ever acknowledged."""
        accepting = [name for name, server in self.servers.items() if server.alive and server.writable and self._acks(name)]
        invariants.one_writer(accepting)
        for name in accepting:
            invariants.acknowledged_survive(self.servers[name].received, self.acknowledged)

    def _acks(self, name: str) -> bool:
        if not self.servers[name].semi_sync:
            return True
        return self._attached(name) > 0

    def _attached(self, name: str) -> int:
        return sum(
            replica.source == name and replica.receiving and replica.alive and self.linked(replica.name, name)
            for replica in self.servers.values()
        )

    def settled(self) -> bool:
        """One writer, everyone else replicating from it, nothing in progress.

        Who is quarantined must really have what the primary lacks (a tail that nobody acknowledged and nobody cut off).
        """
        primary = self.servers[self.record.primary]
        shut = {member.name for member in self.record.members if member.state is MemberState.QUARANTINED}
        others = [server for server in self.servers.values() if server is not primary and server.name not in shut]
        attached = all(server.source == primary.name and server.receiving and not server.writable for server in others)
        complete = all(server.received.contains(self.acknowledged) for server in others)
        if any(primary.received.contains(self.servers[name].received) for name in shut):
            raise invariants.Violation(f"{shut} quarantined without a reason")
        alone = bool(shut) and not others  # nobody is left to acknowledge: writes wait, as promised
        return primary.writable and attached and complete and (self.record.operation is None or alone)
