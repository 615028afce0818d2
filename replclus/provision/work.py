"""Carrying out a plan: phase after phase, the steps of one phase side by side, each told of before and after."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import assert_never

from replclus.dialect import AccountRole, Statement, quote_identifier
from replclus.errors import ExecutionFailed, ServerError
from replclus.events import Event, RecordChanged, Report, StepDone, StepFailed, StepStarted
from replclus.model.observation import Facts
from replclus.model.record import ClusterRecord, Member, MemberState
from replclus.model.spec import Account, ClusterSpec, Durability
from replclus.model.topology import PulseRow, Role, Topology, TopologyNode
from replclus.provision import optionfile
from replclus.provision.inspection import Inspection, Unfit
from replclus.provision.look import OPTION_FILE, Access, inspect, side_by_side
from replclus.provision.startup import persist_startup
from replclus.provision.steps import (
    Admit,
    BecomeSource,
    Configure,
    CreateAccounts,
    CreateApplication,
    Describe,
    Detach,
    Follow,
    ForgetHistory,
    InstallLease,
    InstallPlugins,
    OpenPrimary,
    Phase,
    Step,
    Verify,
)
from replclus.server.server import Server
from replclus.store import Store
from replclus.store.secrets import Secrets

FOLLOW_S_MAX = 10.0
_AGAIN_S = 0.02

_DROP_OWN_SCHEMA = Statement("DROP DATABASE IF EXISTS replclus")


@dataclass(slots=True)
class Work:
    """One run. `servers` are open as the administrator, one a node; `record` is what the store holds now."""

    access: Access
    secrets: Secrets
    store: Store
    servers: Mapping[str, Server]
    seen: Mapping[str, Inspection]
    record: ClusterRecord | None
    report: Report
    new_id: Callable[[], str]
    wall: Callable[[], float]
    clock: Callable[[], float] = time.monotonic
    _quiet: threading.Lock = field(default_factory=threading.Lock)
    _beat: int = 0

    @property
    def spec(self) -> ClusterSpec:
        return self.access.spec

    def carry_out(self, phases: tuple[Phase, ...]) -> None:
        """ExecutionFailed with the first failure, once every step of its phase has ended."""
        for phase in phases:
            side_by_side(self._told, phase)

    def _told(self, step: Step) -> None:
        self._say(StepStarted(step=step.name, node=step.node))
        began = self.clock()
        try:
            self._do(step)
        except (ServerError, ExecutionFailed, OSError) as error:
            why = error.message if isinstance(error, ServerError) else str(error)
            self._say(StepFailed(step=step.name, node=step.node, why=why))
            raise error if isinstance(error, ExecutionFailed) else ExecutionFailed(step.name, step.node, why) from error
        self._say(StepDone(step=step.name, node=step.node, took_ms=(self.clock() - began) * 1000))

    def _say(self, event: Event) -> None:
        with self._quiet:
            self.report(event)

    def _do(self, step: Step) -> None:
        match step:
            case Describe():
                self._describe(step)
            case Admit():
                self._admit()
            case Configure():
                self._configure(self.servers[step.node], step)
            case InstallPlugins():
                with self.servers[step.node].administration():
                    self.servers[step.node].install_semi_sync()
            case CreateAccounts():
                own = ((AccountRole.REPLICATION, self.secrets.replication), (AccountRole.WATCHDOG, self.secrets.watchdog))
                self._create(self.servers[step.node], own, step.hosts)
            case CreateApplication():
                if self.spec.app is not None:
                    account = ((AccountRole.APPLICATION, self.spec.app.account),)
                    self._create(self.servers[step.node], account, step.hosts, self.spec.app.schema)
            case InstallLease():
                with self.servers[step.node].administration():
                    self.servers[step.node].install_lease()
            case Detach():
                # Nothing on it counts yet, so nothing needs to be applied first, as `forget_source` would see to.
                for statement in self.servers[step.node].dialect.forget_source():
                    self.servers[step.node].run(statement)
            case ForgetHistory():
                with self.servers[step.node].administration():
                    self.servers[step.node].run(_DROP_OWN_SCHEMA)
                    self.servers[step.node].reset_history()
            case BecomeSource():
                self.servers[step.node].become_source(step.durability)
            case Follow():
                self._follow(self.servers[step.node], step)
            case OpenPrimary():
                self._open(self.servers[step.node], step)
            case Verify():
                self._verify(step)
            case never:
                assert_never(never)

    # ---- the record ------------------------------------------------------------------------------------------------
    def _describe(self, step: Describe) -> None:
        """The first record, or that of an interrupted `init` under a changed configuration. The cluster id stays."""
        members = tuple(self._member(name, MemberState.JOINING) for name in step.nodes)
        ackers = frozenset(step.nodes) - {step.primary}
        before = self.record
        described = ClusterRecord(
            version=1,
            cluster_id=before.cluster_id if before else self.new_id(),
            name=self.spec.name,
            flavour=self.seen[step.primary].identity.flavour,
            durability=self.spec.durability,
            epoch=before.epoch if before else 1,
            primary=step.primary,
            members=members,
            ackers=ackers,
        )
        if before is None:
            self.store.create(described)
            self.record = described
        else:
            self.record = self.store.cas(before.version, described)
        self._say_record("described, nobody is admitted yet")

    def _admit(self) -> None:
        record = self._known()
        members = tuple(replace(member, state=MemberState.ACTIVE) for member in record.members)
        self.record = self.store.cas(record.version, replace(record, members=members))
        self._say_record(f"{', '.join(member.name for member in members)} admitted")

    def _member(self, name: str, state: MemberState) -> Member:
        node, who = self.spec.node(name), self.seen[name].identity
        return Member(name=name, host=node.host, port=node.port, server_id=who.server_id, uuid=who.uuid, state=state)

    def _known(self) -> ClusterRecord:
        """The record, which by now there is: it is written first."""
        assert self.record is not None
        return self.record

    def _say_record(self, what: str) -> None:
        record = self._known()
        self._say(RecordChanged(version=record.version, epoch=record.epoch, primary=record.primary, what=what))

    # ---- every server ----------------------------------------------------------------------------------------------
    def _configure(self, server: Server, step: Configure) -> None:
        """Look again first: new plugins brought new settings."""
        now = inspect(server, self.access)
        if isinstance(now, Unfit):
            raise ExecutionFailed(step.name, step.node, now.sentence)
        if now.lines_missing and now.option_file is not None and now.node.process_dir is not None:
            optionfile.save(now.node.process_dir / OPTION_FILE, optionfile.merged(now.option_file, now.lines_missing))
        for setting in now.unmet:
            if setting.dynamic:
                server.set_global(setting, setting.value)
        if step.persist:
            for statement in persist_startup(server.dialect):
                server.run(statement)

    def _create(
        self,
        server: Server,
        accounts: Iterable[tuple[AccountRole, Account]],
        hosts: tuple[str, ...],
        schema: str | None = None,
    ) -> None:
        with server.administration():
            for (role, account), host in product(accounts, hosts):
                for statement in server.dialect.account_statements(role, account, host, schema=schema):
                    server.run(statement)

    # ---- becoming a cluster ----------------------------------------------------------------------------------------
    def _follow(self, server: Server, step: Follow) -> None:
        server.follow(self.spec.node(step.source), self.secrets.replication, self.spec.timings, self.spec.durability)
        self._until(server, step, _is_fed)

    def _open(self, server: Server, step: OpenPrimary) -> None:
        server.open_for_writes()
        server.run_script("pulse")
        server.run_script("identity", {"cluster_id": self._known().cluster_id})
        if step.schema is not None:
            server.run(Statement(f"CREATE DATABASE IF NOT EXISTS {quote_identifier(step.schema)}"))
        before = server.pulse()
        self._beat = max(int(self.wall() * 1000), before.beat + 1 if before else 0)
        self._as_watchdog(step.node, lambda watchdog: watchdog.beat(self._pulse(), self.spec.timings.step_timeout_s))

    def _pulse(self) -> PulseRow:
        record = self._known()
        nodes = tuple(
            TopologyNode(
                name=node.name,
                host=node.host,
                port=node.port,
                role=Role.PRIMARY if node.name == record.primary else Role.REPLICA,
                weight=node.weight,
            )
            for node in self.spec.nodes
        )
        topology = Topology(cluster_id=record.cluster_id, epoch=record.epoch, primary=record.primary, nodes=nodes)
        return PulseRow(
            beat=self._beat,
            epoch=record.epoch,
            primary=record.primary,
            routing_ttl_ms=round(self.spec.timings.routing_ttl_s * 1000),
            topology=topology.to_json(),
        )

    def _verify(self, step: Verify) -> None:
        """As the watchdog, so that its rights are proven as well."""
        good = self._is_primary if step.node == step.primary else self._is_replica
        self._as_watchdog(step.node, lambda server: self._until(server, step, good))

    def _is_primary(self, facts: Facts) -> str | None:
        semi_sync = facts.semi_sync
        if not facts.writable:
            return "does not accept writes"
        if self.spec.durability is Durability.LOSSLESS and not (semi_sync.source_active and not semi_sync.waiting):
            return "waits for no acknowledgement, or for one that does not come"
        return None

    def _is_replica(self, facts: Facts) -> str | None:
        if facts.writable:
            return "accepts writes"
        if self.spec.durability is Durability.LOSSLESS and not facts.semi_sync.replica_enabled:
            return "does not acknowledge"
        if trouble := _is_fed(facts):
            return trouble
        if facts.pulse is None or facts.pulse.beat < self._beat:
            return "has not received the pulse"
        return None

    def _until(self, server: Server, step: Step, trouble: Callable[[Facts], str | None]) -> None:
        """Look until `trouble` has nothing to say any more, for at most FOLLOW_S_MAX seconds."""
        end = self.clock() + FOLLOW_S_MAX
        while True:
            seen = server.observe()
            found = trouble(seen.facts) if seen.answered and seen.facts else f"does not answer: {seen.error}"
            if found is None:
                return
            if self.clock() >= end:
                raise ExecutionFailed(step.name, step.node, f"after {FOLLOW_S_MAX:g} s it {found}")
            time.sleep(_AGAIN_S)

    def _as_watchdog(self, node: str, work: Callable[[Server], None]) -> None:
        server = self.access.connect(self.spec.node(node), self.secrets.watchdog)
        try:
            work(server)
        finally:
            server.close()


def _is_fed(facts: Facts) -> str | None:
    """What keeps this replica from being fed and applying; None if nothing does."""
    channel = facts.channel
    if channel is None:
        return "replicates from nobody"
    if not channel.receiver.connected:
        return f"is not fed by {channel.source_host}:{channel.source_port} ({channel.receiver.error or 'connecting'})"
    if not channel.applier.running:
        return f"does not apply ({channel.applier.error or 'stopped'})"
    return None
