"""What is left to be done, purely: the record and what the servers show in, phases of steps out.

Nothing is remembered between two runs but the record. The first transaction that counts is the identity row on the
primary: as long as it is not there, everything is empty and begins again; once it is there, the primary's history is the
truth, and the replicas are attached to it.
"""

from __future__ import annotations

from collections.abc import Sequence

from replclus.model.record import ClusterRecord
from replclus.model.spec import ClusterSpec, Flavour
from replclus.provision.inspection import Inspection
from replclus.provision.steps import (
    Admit,
    Configure,
    CreateAccounts,
    Describe,
    Detach,
    Follow,
    ForgetHistory,
    InstallPlugins,
    OpenPrimary,
    Phase,
    Step,
    Verify,
)

OWN_USERS = ("replclus_repl", "replclus_watchdog")


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
        tuple(step for one in seen for step in _configure(one)),
        tuple(InstallPlugins(node=one.name) for one in seen if one.plugins_missing),
        tuple(_accounts(spec, one, hosts) for one in seen if not admitted or not _has_accounts(spec, one, hosts)),
        *forming,
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


def _configure(one: Inspection) -> tuple[Step, ...]:
    unmet = tuple(wish for wish in one.unmet if wish.dynamic)
    lines = one.lines_missing
    return (Configure(node=one.name, settings=unmet, lines=lines),) if unmet or lines else ()


def _accounts(spec: ClusterSpec, one: Inspection, hosts: tuple[str, ...]) -> Step:
    users = OWN_USERS if spec.app is None else (*OWN_USERS, spec.app.account.user)
    return CreateAccounts(node=one.name, users=users, hosts=hosts)


def _has_accounts(spec: ClusterSpec, one: Inspection, hosts: tuple[str, ...]) -> bool:
    wanted = {(user, host) for user in OWN_USERS for host in hosts}
    if spec.app is not None:
        wanted |= {(spec.app.account.user, host) for host in spec.app.hosts}
    return one.ours and wanted <= one.accounts


def _forming(spec: ClusterSpec, record: ClusterRecord | None, seen: Sequence[Inspection]) -> tuple[Phase, ...]:
    primary = spec.first_primary.name
    replicas = tuple(one for one in seen if one.name != primary)
    opened = any(one.name == primary and one.identity.cluster_id is not None for one in seen)
    anew = tuple(one for one in (replicas if opened else seen) if _must_begin_anew(one, opened))
    return (
        tuple(Detach(node=one.name) for one in anew if one.facts.channel is not None),
        tuple(ForgetHistory(node=one.name) for one in anew),
        tuple(Follow(node=one.name, source=primary) for one in replicas),
        (OpenPrimary(node=primary, schema=spec.app.schema if spec.app else None),),
        tuple(Verify(node=node.name, primary=primary) for node in spec.nodes),
        (Admit(nodes=tuple(node.name for node in spec.nodes)),),
    )


def _must_begin_anew(one: Inspection, opened: bool) -> bool:
    """Has it a history of its own that must go? Not if the primary is open and this server got what it has from there."""
    if opened and one.identity.cluster_id is not None:
        return False
    return bool(one.facts.received) or one.facts.channel is not None or one.own_schema or one.identity.cluster_id is not None


def flavour_of(seen: Sequence[Inspection]) -> Flavour:
    """The flavour of a cluster that passed preflight."""
    return seen[0].identity.flavour
