"""`replclus init`: look, judge, plan, do. Killed anywhere and run again, it looks again and does what is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

from replclus.errors import ConfigError, PreflightFailed
from replclus.events import Event, Report, Warned
from replclus.model.record import ClusterRecord
from replclus.model.spec import ClusterSpec
from replclus.provision import hosts as account_hosts
from replclus.provision.inspection import Inspection, Unfit
from replclus.provision.look import Access, Connect, audit_to, connect_with, inspect, side_by_side
from replclus.provision.planning import plan
from replclus.provision.preflight import complaints, warnings
from replclus.provision.rebuild import rebuild_record
from replclus.provision.steps import Phase, Step
from replclus.provision.work import Work
from replclus.server.server import Server
from replclus.store import Store
from replclus.store.secrets import Secrets, create_secrets, load_secrets


@dataclass(frozen=True, slots=True)
class InitReport:
    """`steps` were taken, or would be (`--dry-run`); `changed` says that something was."""

    changed: bool
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found of every server, and the hosts that our accounts should be for."""

    seen: tuple[Inspection | Unfit, ...]
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Situation:
    """What was found, and what follows from it. `lost`: the record is gone, and this is what the servers say it was."""

    record: ClusterRecord | None
    seen: tuple[Inspection, ...]
    phases: tuple[Phase, ...]
    lost: bool = False


def _nobody(event: Event) -> None:
    """Hears nothing."""


def bootstrap(
    spec: ClusterSpec,
    store: Store,
    *,
    secrets: Secrets | None = None,
    dry_run: bool = False,
    report: Report = _nobody,
    connect: Connect | None = None,
    resolve: account_hosts.Resolve = account_hosts.resolve,
    new_id: Callable[[], str] = lambda: str(uuid4()),
    wall: Callable[[], float] = time.time,
) -> InitReport:
    """Make the running, empty servers of `spec` a cluster, or finish what an earlier run began.

    `secrets` are those of the state directory if not given; they are made up there once every server has passed. Raises
    PreflightFailed with every complaint about every server, before anything is touched; ConfigError without an admin
    account; Locked while a watchdog drives the cluster and there is something to do; ExecutionFailed if a step fails.
    """
    if spec.admin is None:
        raise ConfigError("is missing: `init` needs an administrator's account on every server", where="accounts.admin")
    known = secrets or load_secrets(spec.state_dir)
    sent: list[tuple[float, Event]] = []
    audit = audit_to(lambda event: sent.append((wall(), event)), "init", 1)
    access = Access(spec, spec.admin, known, connect or connect_with(spec, audit))
    with _administrators(access) as servers:
        found = _look(access, store, servers, resolve)
        for node, sentence in warnings(spec, found.record, found.seen):
            report(Warned(node=node, what=sentence))
        steps = tuple(step for phase in found.phases for step in phase)
        if dry_run or not (steps or found.lost):
            return InitReport(changed=False, steps=steps)
        with store.lock("replclus init"):
            if store.load() != (None if found.lost else found.record):
                found = _look(access, store, servers, resolve)
            if found.lost and found.record is not None:
                store.create(found.record)
                says = f"epoch {found.record.epoch}, primary {found.record.primary}"
                report(Warned(what=f"the record was lost and is rebuilt from what the servers say: {says}"))
            work = Work(
                access=access,
                secrets=known or create_secrets(spec.state_dir),
                store=store,
                servers=servers,
                seen={one.name: one for one in found.seen},
                record=found.record,
                report=report,
                new_id=new_id,
                wall=wall,
            )
            try:
                work.carry_out(found.phases)
            finally:
                store.append(*sent)
        return InitReport(changed=True, steps=tuple(step for phase in found.phases for step in phase))


def examine(
    spec: ClusterSpec,
    record: ClusterRecord | None,
    secrets: Secrets | None,
    *,
    connect: Connect | None = None,
    resolve: account_hosts.Resolve = account_hosts.resolve,
) -> Examination:
    """Look at every server as the administrator, and judge nothing. Reads only. ConfigError without an admin account."""
    if spec.admin is None:
        raise ConfigError("is missing: an administrator's account is needed on every server", where="accounts.admin")
    access = Access(spec, spec.admin, secrets, connect or connect_with(spec))
    with _administrators(access) as servers:
        seen = tuple(_inspect_all(access, servers, record.primary if record else spec.first_primary.name))
    fit = tuple(one for one in seen if isinstance(one, Inspection))
    return Examination(seen, account_hosts.account_hosts(spec, (one.seen_from for one in fit), resolve))


@contextmanager
def _administrators(access: Access) -> Iterator[dict[str, Server]]:
    """A server a node, which connects when it is first asked."""
    servers = {node.name: access.connect(node, access.admin) for node in access.spec.nodes}
    try:
        yield servers
    finally:
        for server in servers.values():
            server.close()


def _look(access: Access, store: Store, servers: dict[str, Server], resolve: account_hosts.Resolve) -> _Situation:
    """Reads only. PreflightFailed if there is anything to complain about."""
    spec = access.spec
    record = store.load()
    seen = _inspect_all(access, servers, record.primary if record else spec.first_primary.name)
    fit = tuple(one for one in seen if isinstance(one, Inspection))
    lost = record is None and len(fit) == len(seen) and _is_ours(fit)
    if lost and access.secrets is not None:
        record = rebuild_record(spec, access.secrets, connect=access.connect)
    if against := complaints(spec, record, seen):
        raise PreflightFailed(against)
    wanted = account_hosts.account_hosts(spec, (one.seen_from for one in fit), resolve)
    return _Situation(record, fit, plan(spec, record, fit, wanted), lost)


def _inspect_all(access: Access, servers: dict[str, Server], primary: str) -> list[Inspection | Unfit]:
    """In the order of the configuration. The primary is asked last, so that nobody seems to have more than it only because
    what a killed `init` was doing went on in between."""
    replicas = [name for name in servers if name != primary]
    found = dict(zip(replicas, side_by_side(lambda name: inspect(servers[name], access), replicas), strict=True))
    return [found[name] if name in found else inspect(server, access) for name, server in servers.items()]


def _is_ours(seen: tuple[Inspection, ...]) -> bool:
    """Is this our cluster, although there is no record of it? It is if every server lets us in by the passwords that only
    its own `init` knew."""
    ids = {one.identity.cluster_id for one in seen}
    return len(ids) == 1 and None not in ids and all(one.ours for one in seen)
