"""What a person asks of a running cluster: switchover, failover, rejoin, rebuild, drain, undrain, pause,
resume."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer

from replclus import config as configuration
from replclus.cli import terminal
from replclus.cli.opened import open_cluster, restorer_of
from replclus.cli.options import Config, Json, known_node
from replclus.errors import ConfigError
from replclus.model.record import Request, RequestKind
from replclus.watchdog import perform


def switchover(
    config: Config = None,
    as_json: Json = False,
    to: Annotated[str | None, typer.Option("--to", metavar="NODE", help="The new primary [default: the best].")] = None,
) -> None:
    """Move the primary, planned: no write is lost, and the old primary follows the new one."""
    _perform(config, as_json, RequestKind.SWITCHOVER, to, option="--to")


def failover(
    config: Config = None,
    as_json: Json = False,
    to: Annotated[str | None, typer.Option("--to", metavar="NODE", help="The new primary [default: the best].")] = None,
    force: Annotated[bool, typer.Option("--force", help="Accept the loss of writes that cannot be proven safe.")] = False,
) -> None:
    """Replace a primary that failed or must go now. Refused where acknowledged writes could be lost, unless forced."""
    _perform(config, as_json, RequestKind.FAILOVER, to, option="--to", force=force)


def rejoin(
    node: Annotated[str, typer.Argument(metavar="NODE", help="The server to judge again.")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Judge a quarantined server again, and let it follow if its history allows that."""
    _perform(config, as_json, RequestKind.REJOIN, node, option="NODE")


def drain(
    node: Annotated[str, typer.Argument(metavar="NODE", help="The replica to work on.")],
    config: Config = None,
    as_json: Json = False,
    force: Annotated[bool, typer.Option("--force", help="Even if it is the last replica that serves reads.")] = False,
) -> None:
    """Send a replica no more reads; what it is doing, it finishes. It goes on replicating and may still take over."""
    _perform(config, as_json, RequestKind.DRAIN, node, option="NODE", force=force)


def undrain(
    node: Annotated[str, typer.Argument(metavar="NODE", help="The replica that takes reads again.")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Send a drained replica reads again."""
    _perform(config, as_json, RequestKind.UNDRAIN, node, option="NODE")


def rebuild(
    node: Annotated[str, typer.Argument(metavar="NODE", help="The server whose data is replaced.")],
    config: Config = None,
    as_json: Json = False,
    force: Annotated[bool, typer.Option("--force", help="Even if nobody else acknowledges commits meanwhile.")] = False,
) -> None:
    """Replace a server's data by a copy of another's. What only it has is saved first, and the copy is verified."""
    if configuration.load(config, report=terminal.log).admin is None:
        raise ConfigError("is missing: `rebuild` needs an administrator's account on every server", where="accounts.admin")
    _perform(config, as_json, RequestKind.REBUILD, node, option="NODE", force=force)


def pause(config: Config = None, as_json: Json = False) -> None:
    """Let the watchdog repair nothing and promote nobody, until `resume`. Applications go on; switchover and failover work."""
    _perform(config, as_json, RequestKind.PAUSE, None)


def resume(config: Config = None, as_json: Json = False) -> None:
    """Let the watchdog work again. The failovers so far no longer count towards the bound on their number."""
    _perform(config, as_json, RequestKind.RESUME, None)


def _perform(
    config: Path | None, as_json: bool, kind: RequestKind, node: str | None, *, option: str = "", force: bool = False
) -> None:
    """Ask, show what happens meanwhile, and print what came of it. Refused becomes exit code 1 at the door."""
    with open_cluster(config, terminal.log) as cluster:
        if node is not None:
            known_node(cluster.spec, node, option)
        request = Request(id=uuid4().hex, kind=kind, to=node, force=force)
        began = time.monotonic()
        with terminal.steps(f"{kind.value} …") as report:
            restorer = restorer_of(cluster, config)
            answered = perform(cluster.spec, cluster.store, cluster.secrets, request, report, restorer)
        took_ms = round((time.monotonic() - began) * 1000)
        record = cluster.store.load() or cluster.record
    if as_json:
        facts = {"request": kind.value, "done": bool(answered.done), "answer": answered.answer, "took_ms": took_ms}
        terminal.emit({**facts, "epoch": record.epoch, "primary": record.primary})
    else:
        terminal.out().print(
            f"{answered.answer or f'{kind.value} done'} ({took_ms} ms; epoch {record.epoch}, primary {record.primary})"
        )
