"""What is left to be done, purely: the record and what the servers show in, phases of steps out.

Nothing is remembered between two runs but the record. The first transaction that counts is the identity row on the
primary: as long as it is not there, everything is empty and begins again; once it is there, the primary's history is the
truth, and the replicas are attached to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from replclus.dialect.base import LEASE_VERSION
from replclus.model.record import ClusterRecord
from replclus.model.spec import ClusterSpec
from replclus.provision.inspection import Inspection
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
from replclus.store.secrets import REPLICATION_USER, WATCHDOG_USER

OWN_USERS = (REPLICATION_USER, WATCHDOG_USER)
LEASE_USER = "replclus_lease"


def plan(
    spec: ClusterSpec, record: ClusterRecord | None, seen: Sequence[Inspection], hosts: tuple[str, ...]
) -> tuple[Phase, ...]:
    """The phases that lead from here to a cluster; empty when there is nothing to do.

    Preflight has passed. After admission only settings, files and accounts are brought back: who replicates from whom is
    then the watchdog's alone.
    """
    admitted = record is not None and not record.forming
    forming = () if admitted else _forming(spec, record, seen)
    phases = (
        () if admitted or _describes(record, spec) else (_describe(spec),),
        tuple(InstallPlugins(node=one.name) for one in seen if one.plugins_missing),
        tuple(step for one in seen for step in _configure(one, admitted)),
        tuple(
            CreateAccounts(node=one.name, users=OWN_USERS, hosts=hosts)
            for one in seen
            if not (admitted and one.ours and _has(one, OWN_USERS, hosts))
        ),
        *forming,
        _application(spec, seen, admitted),
        tuple(InstallLease(node=one.name) for one in seen if _wants_lease(spec, one, bool(forming))),
        () if admitted else (Admit(nodes=tuple(node.name for node in spec.nodes)),),
    )
    return tuple(phase for phase in phases if phase)


def _describe(spec: ClusterSpec) -> Step:
    return Describe(nodes=tuple(node.name for node in spec.nodes), primary=spec.first_primary.name)


def _describes(record: ClusterRecord | None, spec: ClusterSpec) -> bool:
    """Does the record of an interrupted `init` still say what the configuration says?"""
    return record is not None and (
        (record.name, record.durability, record.primary) == (spec.name, spec.durability, spec.first_primary.name)
        and [(m.name, m.host, m.port) for m in record.members] == [(n.name, n.host, n.port) for n in spec.nodes]
    )


def _configure(one: Inspection, admitted: bool) -> tuple[Step, ...]:
    unmet = tuple(wish for wish in one.unmet if wish.dynamic)
    lines = one.lines_missing
    persist = one.persists and one.option_file is None and not admitted
    if not (unmet or lines or persist or one.plugins_missing):
        return ()
    return (Configure(node=one.name, settings=unmet, lines=lines, persist=persist),)


def _application(spec: ClusterSpec, seen: Sequence[Inspection], admitted: bool) -> Phase:
    if spec.app is None:
        return ()
    user, hosts = spec.app.account.user, spec.app.hosts
    return tuple(
        CreateApplication(node=one.name, user=user, hosts=hosts) for one in seen if not (admitted and _has(one, (user,), hosts))
    )


def _wants_lease(spec: ClusterSpec, one: Inspection, forming: bool) -> bool:
    """Not where the event scheduler is ruled out. In a cluster in the making it is always made anew."""
    allowed = spec.timings.lease_s > 0 and one.variables.get("event_scheduler") != "DISABLED"
    return allowed and (forming or one.lease != LEASE_VERSION)


def _has(one: Inspection, users: Iterable[str], hosts: tuple[str, ...]) -> bool:
    return {(user, host) for user in users for host in hosts} <= one.accounts


def _forming(spec: ClusterSpec, record: ClusterRecord | None, seen: Sequence[Inspection]) -> tuple[Phase, ...]:
    primary = spec.first_primary.name
    replicas = tuple(one for one in seen if one.name != primary)
    opened = any(one.name == primary and one.identity.cluster_id is not None for one in seen)
    anew = tuple(one for one in (replicas if opened else seen) if _must_begin_anew(one, opened))
    return (
        tuple(Detach(node=one.name) for one in anew if one.facts.channel is not None),
        tuple(ForgetHistory(node=one.name) for one in anew),
        (BecomeSource(node=primary, durability=spec.durability),),
        tuple(Follow(node=one.name, source=primary) for one in replicas),
        (OpenPrimary(node=primary, schema=spec.app.schema if spec.app else None),),
        tuple(Verify(node=node.name, primary=primary) for node in spec.nodes),
    )


def _must_begin_anew(one: Inspection, opened: bool) -> bool:
    """Has it a history of its own that must go? Not if the primary is open and this server got what it has from there."""
    if opened and one.identity.cluster_id is not None:
        return False
    return bool(one.facts.received) or one.facts.channel is not None or one.own_schema or one.identity.cluster_id is not None
