"""A seeded world: servers, links, clients, people and watchdogs, in one thread, decided by one seed.

First the safety phase, in which the script's faults happen; then everything heals, and the cluster must
come to rest within a bound. The laws are checked after every quantum.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path

from replclus.failover.invariants import Violation
from replclus.model.record import ClusterRecord, Member, Request, RequestKind
from replclus.model.spec import ClusterSpec, Durability, Flavour, NodeSpec, OnDivergence, Timings
from replclus.model.topology import PulseRow
from tests.simulation import hands, laws
from tests.simulation.clients import Clients
from tests.simulation.clock import (
    BEAT_QUANTA,
    CLOSE_QUANTA,
    DRAIN_QUANTA_MAX,
    GRACE_QUANTA,
    PROBE_QUANTA,
    QUANTUM_S,
    RESTART_QUANTA,
    STALL_QUANTA,
    STARVE_QUANTA,
    STEP_QUANTA,
    TTL_QUANTA,
)
from tests.simulation.network import Network
from tests.simulation.servers import CLUSTER, PORT, Server
from tests.simulation.transactions import Transactions, uuid_of
from tests.simulation.watchdog import Watchdog

TIMINGS = Timings(
    # A hair more than a quantum, so that what was seen in the last one is not older than a tick.
    tick_s=QUANTUM_S + 0.001,
    connect_timeout_s=PROBE_QUANTA * QUANTUM_S,
    probe_timeout_s=PROBE_QUANTA * QUANTUM_S,
    pulse_deadline_s=BEAT_QUANTA * QUANTUM_S,
    routing_ttl_s=TTL_QUANTA * QUANTUM_S,
    step_timeout_s=STEP_QUANTA * QUANTUM_S,
    read_only_deadline_s=CLOSE_QUANTA * QUANTUM_S,
    drain_timeout_s=DRAIN_QUANTA_MAX * QUANTUM_S,
    acker_grace_s=GRACE_QUANTA * QUANTUM_S,
    starve_s=STARVE_QUANTA * QUANTUM_S,
    stall_s=STALL_QUANTA * QUANTUM_S,
)
LIVENESS_QUANTA_MAX = 250
AT_REST_QUANTA = 4
SERVICE_QUANTA = 5
OPERATOR_QUANTA = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a world is made of. `ours` has one flag a node: can its host kill it? `cuts_tails`: does it start without ghosts?"""

    flavour: Flavour
    durability: Durability
    ours: tuple[bool, ...]
    cuts_tails: bool
    on_divergence: OnDivergence = OnDivergence.QUARANTINE
    watchdogs: int = 1
    lease: bool = True


class World:
    """`acknowledged` is what clients were told is safe, on a promise of this cluster's durability."""

    def __init__(self, seed: int, setting: Setting, *, talkative: bool = False) -> None:
        self.seed, self.setting = seed, setting
        self.flavour = setting.flavour
        self.lossless = setting.durability is Durability.LOSSLESS
        self.luck = random.Random(seed)  # noqa: S311  a seeded world, not a secret
        self.now = 0
        self.log: list[str] | None = [] if talkative else None
        count = len(setting.ours)
        self.transactions = Transactions(setting.flavour, count)
        self.network = Network()
        self.servers = {f"n{i + 1}": Server(self, i) for i in range(count)}
        self.ours = dict(zip(self.servers, setting.ours, strict=True))
        self.acknowledged = 0
        self.unhealthy_at = 0
        # When the last change of the primary ended.
        self.settled_at = 0
        self.primary_of = {1: "n1"}
        self.mail: list[tuple[int, Server, Server, int]] = []
        self.spec = ClusterSpec(
            name="shop",
            nodes=tuple(
                NodeSpec(name=name, host=name, process_dir=Path("/nowhere") if ours else None) for name, ours in self.ours.items()
            ),
            durability=setting.durability,
            timings=TIMINGS,
            on_divergence=setting.on_divergence,
        )
        self.record = self._record()
        self._attach()
        self.lock_holder = "w1"
        self.watchdogs = {f"w{i + 1}": Watchdog(self, f"w{i + 1}") for i in range(setting.watchdogs)}
        self.clients = Clients(self)
        self.store_fails = 0
        self._to_start: list[tuple[int, Server]] = []

    def _record(self) -> ClusterRecord:
        names = list(self.servers)
        mysql = self.flavour is Flavour.MYSQL
        return ClusterRecord(
            version=1,
            cluster_id=CLUSTER,
            name="shop",
            flavour=self.flavour,
            durability=self.setting.durability,
            epoch=1,
            primary="n1",
            members=tuple(
                Member(name=name, host=name, port=PORT, server_id=i + 1, uuid=uuid_of(i) if mysql else None)
                for i, name in enumerate(names)
            ),
            ackers=frozenset(names[1:]),
        )

    def _attach(self) -> None:
        first, *others = self.servers.values()
        first.writable, first.source_on, first.leased = True, self.lossless, self.setting.lease
        for server in others:
            server.source, server.receiver, server.applier = first.name, True, True
            server.ack_on = self.lossless
            server.connected, server.acking = True, self.lossless

    def tell(self, what: str) -> None:
        if self.log is not None:
            self.log.append(f"{self.now * QUANTUM_S:5.1f}  {what}")

    # ---- one quantum -------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """A quantum of everybody's work, in any order."""
        self.now += 1
        self.luck.seed(self.seed * 1_000_003 + self.now)
        if self.mail:
            self._deliver()
        if self._to_start and self._to_start[0][0] <= self.now:
            self.start(self._to_start.pop(0)[1])
        servers = list(self.servers.values())
        if self.luck.random() < 0.5:
            servers.reverse()
        first, second = (self._serve, self._watch) if self.luck.random() < 0.5 else (self._watch, self._serve)
        first(servers)
        second(servers)
        laws.check(self)
        if not laws.can_serve(self):
            self.unhealthy_at = self.now

    def _serve(self, servers: list[Server]) -> None:
        self.clients.work()
        for server in servers:
            server.work()

    def _watch(self, servers: list[Server]) -> None:
        for dog in self.watchdogs.values():
            dog.work()

    def post(self, delay: int, replica: Server, source: Server, bits: int) -> None:
        """An acknowledgement that takes its time."""
        self.mail.append((self.now + delay, replica, source, bits))

    def _deliver(self) -> None:
        due = [letter for letter in self.mail if letter[0] <= self.now]
        self.mail = [letter for letter in self.mail if letter[0] > self.now]
        for _, replica, source, bits in due:
            if source.alive and self.network.passes(replica.name, source.name):
                source.acks |= bits

    # ---- what servers and watchdogs ask of the world -------------------------------------------------------------------

    def completed(self, server: Server, bits: int) -> None:
        """`server` has committed `bits` and tells its clients so."""
        if server.opened_by_person or server.unsafe_by_person or server.offline:
            return
        if self.lossless or (server.name == self.record.primary and self.record.operation is None):
            self.acknowledged |= bits

    def carry_out(self, server: Server, what: str, source: str) -> None:
        hands.statement(server, what, source, lossless=self.lossless)

    @property
    def beat_number(self) -> int:
        """Milliseconds, as a BeatClock gives them out."""
        return self.now * 100

    def beat_row(self, primary: str, epoch: int) -> PulseRow:
        return PulseRow(beat=self.beat_number, epoch=epoch, primary=primary, routing_ttl_ms=TTL_QUANTA * 100, topology="")

    def beat_waits(self, server: Server) -> bool:
        return bool(server.waiting & self.transactions.beat_bits) or any(row is not None for row in server.stuck)

    def swap(self, expected: int, record: ClusterRecord, what: str) -> ClusterRecord | None:
        """Compare-and-swap; None on a conflict, and when the store does not say whether it succeeded."""
        fails, self.store_fails = self.store_fails, max(0, self.store_fails - 1)
        if expected != self.record.version or fails == 1:
            self.tell(f"{what}: the record was not changed")
            return None
        before, self.record = self.record, replace(record, version=expected + 1)
        self.tell(f"{what} (epoch {record.epoch}, ackers {','.join(sorted(record.ackers))})")
        if before.primary != record.primary or (before.operation is None and record.operation is not None):
            self.unhealthy_at = self.now
        if before.operation is not None and record.operation is None:
            self.settled_at = self.now
        if not self.lossless and before.primary != record.primary:
            self._account_for_loss(before, record)
        return self.record if fails == 0 else None

    def _account_for_loss(self, before: ClusterRecord, after: ClusterRecord) -> None:
        """`available` promises nothing across a failover; a switchover loses nothing either way."""
        operation = after.operation
        if operation is not None and operation.kind.value == "failover":
            self.acknowledged &= self.servers[after.primary].everything

    def broken(self, server: Server) -> bool:
        """Is its applier broken, or has a person told it to forget?"""
        return bool(server.applier_errno)

    def kill(self, server: Server) -> None:
        """Fenced by the watchdog. Its host starts it again in a while."""
        if server.alive:
            server.kill()
            self._to_start.append((self.now + RESTART_QUANTA, server))

    def start(self, server: Server, *, lose_relay: bool = False) -> None:
        """As its host's service manager does, with the commits cut off that nobody acknowledged where that is set up."""
        keep: int | None = None
        if self.setting.cuts_tails and self.lossless and self.ours[server.name]:
            keep = self._may_keep(server)
        server.start(keep=keep, lose_relay=lose_relay)

    def _may_keep(self, server: Server) -> int | None:
        """`replclus.provision.rejoin` for MySQL; MariaDB drops whatever was not committed."""
        if not server.mysql:
            return 0
        if self.record.operation is not None:
            return None
        if self.record.primary != server.name:
            primary = self.servers[self.record.primary]
            return primary.executed if primary.running and primary.writable else None
        ackers = [self.servers[name] for name in self.record.ackers]
        if not ackers or not all(acker.running for acker in ackers):
            return None
        kept = 0
        for acker in ackers:
            kept |= acker.executed | acker.relay
        return kept

    # ---- the phases --------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Everything works again, and people put right what they did."""
        self.network.heal()
        self.store_fails = 0
        for server in self.servers.values():
            server.unhang()
            if server.frozen:
                server.thaw()
            server.quick = True
            self.start(server)
            if server.applier_errno:
                server.applier_errno, server.applier = 0, True
                server.changed()
        for dog in self.watchdogs.values():
            dog.paused, dog.trap = False, None
            if not dog.alive:
                dog.start()

    def ask(self, kind: RequestKind, to: str | None = None) -> None:
        """A person asks, unless somebody else's request is being worked on."""
        record = self.record
        if record.request is None or record.request.done is not None:
            request = Request(id=f"r{self.now}", kind=kind, to=to)
            self.record = replace(record, request=request, version=record.version + 1)

    def _look_after_servers(self, *, patient: bool) -> None:
        """A host starts its server again. In the end its operator restarts one that hangs open behind its own commits."""
        for server in self.servers.values():
            stuck = server.writable and server.waiting and server.name != self.record.primary
            if stuck and not patient and not self.ours[server.name]:
                self.tell(f"* {server.name} is restarted by its operator")
                server.kill()
            self.start(server)

    def come_to_rest(self) -> None:
        """The liveness phase; raises Violation if it takes too long."""
        rested, why = 0, None
        for quantum in range(LIVENESS_QUANTA_MAX):
            if quantum % SERVICE_QUANTA == 0:
                self._look_after_servers(patient=quantum < OPERATOR_QUANTA)
            if self.record.paused or len(self.record.failovers) >= self.spec.failovers_max:
                self.ask(RequestKind.RESUME)
            self.step()
            why = laws.unsettled(self)
            if why and laws.explained(self):
                why = None
            rested = 0 if why else rested + 1
            if rested >= AT_REST_QUANTA:
                return
        raise Violation(f"everything has healed, and the cluster does not come to rest: {why}")
