"""`replclus status`: the cluster at a glance."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group
from rich.live import Live

from replclus import config as configuration
from replclus.cli import terminal
from replclus.cli.opened import load_or_rebuild
from replclus.cli.options import Config, Json
from replclus.cli.tree import render
from replclus.failover.problems import Problem, Severity
from replclus.failover.status import NodeStatus, Status, Verdict, status
from replclus.model.observation import Observation
from replclus.model.spec import ClusterSpec, NodeSpec
from replclus.model.topology import Role
from replclus.store import SqliteStore
from replclus.store.secrets import load_secrets
from replclus.watchdog import observe_once
from replclus.watchdog.once import look
from replclus.watchdog.report import last_step_ms
from replclus.watchdog.report_files import ENTRIES_MAX

WATCH_EVERY_S = 1.0
NO_PRIMARY = "there is no primary: the cluster was never initialised"


def status_command(
    config: Config = None,
    as_json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every second until Ctrl-C.")] = False,
) -> None:
    """Show who is primary, who follows, how far behind, what is wrong, and what would happen if the primary failed now."""
    if not watch:
        _show(see(config), as_json)
    elif as_json:
        while True:
            terminal.emit(see(config).to_dict())
            time.sleep(WATCH_EVERY_S)
    else:
        with Live(render(see(config)), console=terminal.out(), auto_refresh=False) as live:
            while True:
                time.sleep(WATCH_EVERY_S)
                live.update(Group(render(see(config))), refresh=True)


def _show(seen: Status, as_json: bool) -> None:
    if as_json:
        terminal.emit_pretty(seen.to_dict())
    else:
        terminal.out().print(render(seen))


def see(config: Path | None) -> Status:
    """One look at the cluster that `config` describes, initialised or not. Changes nothing on the servers."""
    spec = configuration.load(config, accounts=False, report=terminal.log)
    secrets = load_secrets(spec.state_dir)
    if secrets is None:
        return _before_init(configuration.load(config))
    store = SqliteStore(spec.state_dir, create=False)
    try:
        record = load_or_rebuild(spec, store, secrets, terminal.log)
        measured = last_step_ms(store.journal(ENTRIES_MAX))
    finally:
        store.close()
    if record is None or record.forming:
        return _before_init(configuration.load(config))
    return status(observe_once(spec, record, secrets), measured)


def _before_init(spec: ClusterSpec) -> Status:
    """The servers of the file as they are before any of them belongs to the cluster."""
    nodes = tuple(_unprovisioned(spec, node) for node in spec.nodes)
    advice = Problem("NodeUnprovisioned", Severity.INFO, "the cluster was never initialised: run `replclus init`", None)
    return Status(
        cluster=spec.name,
        cluster_id="",
        epoch=0,
        primary=None,
        durability=spec.durability,
        problems=(advice, *(problem for node in nodes for problem in node.problems)),
        nodes=nodes,
        if_primary_failed_now=Verdict("refuse", None, NO_PRIMARY, blockers=(NO_PRIMARY,)),
    )


def _unprovisioned(spec: ClusterSpec, node: NodeSpec) -> NodeStatus:
    seen = look(spec, node, spec.admin) if spec.admin is not None else None
    facts = seen.facts if seen is not None and seen.answered else None
    return NodeStatus(
        name=node.name,
        host=node.host,
        port=node.port,
        role=Role.UNPROVISIONED,
        writable=facts is not None and facts.writable,
        source=None,
        lag_ms=None,
        position=str(facts.executed) if facts is not None else "",
        problems=_unanswered(seen),
    )


def _unanswered(seen: Observation | None) -> tuple[Problem, ...]:
    if seen is None or seen.answered:
        return ()
    sentence = f"{seen.node} does not answer ({seen.error or seen.reach.value})"
    return (Problem("ReplicaDown", Severity.WARNING, sentence, seen.node),)
