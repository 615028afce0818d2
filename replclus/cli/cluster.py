"""The commands that change a cluster: init, watchdog, switchover, failover, rejoin, drain, undrain."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer

from replclus import config as configuration
from replclus.cli import terminal
from replclus.cli.main import INTERRUPTED
from replclus.cli.opened import load_or_rebuild, open_cluster
from replclus.cli.options import Config, Json, known_node
from replclus.model.record import Request, RequestKind
from replclus.provision import bootstrap
from replclus.store import SqliteStore
from replclus.store.secrets import load_secrets
from replclus.watchdog import Watchdog, perform


def init(
    config: Config = None,
    as_json: Json = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the steps and touch nothing.")] = False,
) -> None:
    """Turn the servers of the file into a replicating cluster. Running it again changes nothing."""
    spec = configuration.load(config, report=terminal.log)
    store = SqliteStore(spec.state_dir, create=not dry_run)
    began = time.monotonic()
    try:
        if not dry_run and (secrets := load_secrets(spec.state_dir)) is not None:
            load_or_rebuild(spec, store, secrets, terminal.log)
        with terminal.steps("looking at the servers …") as report:
            done = bootstrap(spec, store, dry_run=dry_run, report=report)
    finally:
        store.close()
    seconds = time.monotonic() - began
    steps = [step.sentence for step in done.steps]
    if as_json:
        terminal.emit({"changed": done.changed, "dry_run": dry_run, "steps": steps, "seconds": round(seconds, 3)})
    elif dry_run:
        terminal.out().print("\n".join(steps) or "nothing to do", soft_wrap=True)
    elif done.changed:
        terminal.out().print(f"{spec.name}: {len(spec.nodes)} nodes, primary {spec.first_primary.name}, {seconds:.1f} s")
    else:
        terminal.out().print(f"{spec.name}: already as described, nothing was changed")


def watchdog(config: Config = None, as_json: Json = False) -> None:
    """See failures and repair them, in the foreground, until SIGTERM or Ctrl-C. One event per line on stdout."""
    stop = threading.Event()
    received: list[int] = []

    def end(number: int, _frame: object) -> None:
        # A second signal ends it at once: every state it can be left in is one it can go on from.
        signal.signal(number, signal.SIG_DFL)
        received.append(number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    with open_cluster(config, terminal.log) as cluster:
        terminal.say(f"watching {cluster.spec.name}: epoch {cluster.record.epoch}, primary {cluster.record.primary}", "dim")
        Watchdog(cluster.spec, cluster.store, cluster.secrets, terminal.EventLines(as_json=as_json)).run(stop)
    if signal.SIGINT in received:
        raise SystemExit(INTERRUPTED)


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


def _perform(
    config: Path | None, as_json: bool, kind: RequestKind, node: str | None, *, option: str, force: bool = False
) -> None:
    """Ask, show what happens meanwhile, and print what came of it. Refused becomes exit code 1 at the door."""
    with open_cluster(config, terminal.log) as cluster:
        if node is not None:
            known_node(cluster.spec, node, option)
        request = Request(id=uuid4().hex, kind=kind, to=node, force=force)
        began = time.monotonic()
        with terminal.steps(f"{kind.value} …") as report:
            answered = perform(cluster.spec, cluster.store, cluster.secrets, request, report)
        took_ms = round((time.monotonic() - began) * 1000)
        record = cluster.store.load() or cluster.record
    if as_json:
        facts = {"request": kind.value, "done": bool(answered.done), "answer": answered.answer, "took_ms": took_ms}
        terminal.emit({**facts, "epoch": record.epoch, "primary": record.primary})
    else:
        terminal.out().print(
            f"{answered.answer or f'{kind.value} done'} ({took_ms} ms; epoch {record.epoch}, primary {record.primary})"
        )
