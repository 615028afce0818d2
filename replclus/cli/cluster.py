"""The commands that make a cluster and keep it: init, watchdog."""

from __future__ import annotations

import signal
import threading
import time
from typing import Annotated

import typer

from replclus import config as configuration
from replclus.cli import terminal
from replclus.cli.main import INTERRUPTED
from replclus.cli.opened import load_or_rebuild, open_cluster, restorer_of
from replclus.cli.options import Config, Json
from replclus.provision import bootstrap
from replclus.store import SqliteStore
from replclus.store.secrets import load_secrets
from replclus.watchdog import Watchdog


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
        lines, restorer = terminal.EventLines(as_json=as_json), restorer_of(cluster, config)
        Watchdog(cluster.spec, cluster.store, cluster.secrets, lines, restorer=restorer).run(stop)
    if signal.SIGINT in received:
        raise SystemExit(INTERRUPTED)
