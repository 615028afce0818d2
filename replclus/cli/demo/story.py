"""The story from the first server to the verdict."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

from replclus import config as configuration
from replclus.cli.demo import compare as comparing
from replclus.cli.demo.act import Act, Loaded
from replclus.cli.demo.load import load_shop
from replclus.cli.demo.processes import applications, watchdog
from replclus.cli.demo.result import Result
from replclus.cli.demo.show import Show
from replclus.events import Event
from replclus.model.spec import ClusterSpec, Flavour
from replclus.provision import bootstrap
from replclus.sandbox import Sandbox
from replclus.store import SqliteStore

APPLICATIONS = 4


def tell(sandbox: Sandbox, flavour: Flavour, seconds: float, show: Show, began: float) -> Result:
    """Everything after the servers are there. `began` is when the demo did, on the monotonic clock."""
    config, directory = sandbox.config, sandbox.directory
    spec = configuration.load(config)
    _init(spec, show)
    with ExitStack() as stack:
        guard = stack.enter_context(watchdog(config, directory / "watchdog.log"))
        guard.wait_until_ready()
        _load(config, flavour, show)
        show.chapter(f"{APPLICATIONS} applications write and read through replclus.connect; a watchdog watches")
        shops = stack.enter_context(applications(config, directory, APPLICATIONS))
        shops.wait_until_writing()
        with show.progress("under load") as bar:
            loaded = Act(spec, guard, shops, show, bar, seconds).play()
        show.chapter("Who served the applications")
        show.traffic(spec, loaded.history)
        show.chapter("Is every acknowledged write on every server, and is every table the same?")
        found = comparing.compare(spec, flavour, loaded.primary, loaded.history.writes)
        show.tables(found)
    return _result(flavour, loaded, found, time.monotonic() - began)


def _init(spec: ClusterSpec, show: Show) -> None:
    show.chapter("replclus init")
    began = time.monotonic()
    store = SqliteStore(spec.state_dir)
    try:
        bootstrap(spec, store, dry_run=False, report=_quiet)
    finally:
        store.close()
    first = spec.first_primary.name
    replicas = ", ".join(node.name for node in spec.nodes if node.name != first)
    took = time.monotonic() - began
    show.line(f"{first} is the primary, {replicas} replicate from it, durability {spec.durability.value} ({took:.1f} s)")


def _quiet(event: Event) -> None:
    """The steps of `init` are not the story here."""


def _load(config: Path, flavour: Flavour, show: Show) -> None:
    show.chapter("A shop: customers, products, orders, order lines")
    began = time.monotonic()
    with show.progress("loading") as bar:
        rows = load_shop(config, flavour, lambda table, done, total: bar.to(done, total, f"{done:,} of {total:,} rows: {table}"))
    took = time.monotonic() - began
    show.line(f"{rows:,} rows loaded through the cluster ({took:.1f} s)")


def _result(flavour: Flavour, loaded: Loaded, found: comparing.Comparison, seconds: float) -> Result:
    history = loaded.history
    outage = history.outage(loaded.ended_at, loaded.began_at)
    errors = list(history.errors)
    if history.ended < APPLICATIONS:
        errors.append(f"{APPLICATIONS - history.ended} applications hung and were killed")
    return Result(
        flavour=flavour,
        acknowledged=len(history.writes),
        lost=found.lost,
        errors=tuple(errors),
        stale_reads=history.stale_reads,
        outage_ms=outage.ms,
        outage_from_ms=(outage.began - loaded.killed_at) * 1000,
        not_rejoined=loaded.not_rejoined,
        checksums_equal=found.checksums_equal,
        reads_by_node=history.reads,
        writes_by_node=history.writes_by_node,
        seconds=seconds,
    )
