"""Failovers under application threads: the primary is killed or frozen, replaced, and brought back."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from replclus.dbapi import registry
from replclus.sandbox import Sandbox
from tests.clusters import REPOSITORY, Cluster, WatchdogProcess, eventually, initialised
from tests.load.books import TABLES, Books


@contextmanager
def watched(sandbox: Sandbox) -> Iterator[tuple[Cluster, WatchdogProcess]]:
    """A healthy cluster with the tables of the books, and a watchdog of its own."""
    made = initialised(sandbox)
    made.run("n1", *TABLES)
    try:
        with made.watchdog() as watching:
            made.until_healthy("the cluster is healthy")
            yield made, watching
    finally:
        registry.shut_down()


def fail_over(cluster: Cluster) -> str:
    """Kill the primary and wait for another one. Returns the old one, which is dead."""
    old = cluster.record.primary
    cluster.kill(old)
    replaced(cluster, old)
    return old


def replaced(cluster: Cluster, old: str) -> None:
    """Wait until another node is primary. If none is, say what the watchdog makes of it."""
    try:
        eventually(lambda: cluster.record.primary != old and cluster.record.operation is None, "a replica takes over")
    except AssertionError as error:
        problems = "; ".join(problem.sentence for problem in cluster.status().problems)
        raise AssertionError(f"{error}: {problems}; the record is {cluster.record}") from None


def bring_back(cluster: Cluster, name: str) -> None:
    cluster.start(name)
    cluster.until_healthy(f"the cluster is healthy again, with {name}")


def switch_over(cluster: Cluster) -> None:
    """Planned, by the command, to whichever node is best."""
    command = [sys.executable, "-m", "replclus.cli.main", "switchover", "-c", str(cluster.sandbox.config)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert ended.returncode == 0, ended.stderr
    cluster.until_healthy("the cluster is healthy after a switchover")


def killed_again_and_again(cluster: Cluster, times: int, *, pause_s: float = 1.0) -> None:
    for _ in range(times):
        time.sleep(pause_s)
        bring_back(cluster, fail_over(cluster))
    time.sleep(pause_s)


BROKEN_OFF_S_MAX = 1.5


def frozen(cluster: Cluster, books: Books) -> Iterable[str]:
    """SIGSTOP the primary, which keeps its connections open and silent, until another node has been primary for a while.

    Returns every call that waited for the frozen one for longer than it takes to be broken off.
    """
    old = cluster.record.primary
    process = cluster.process(old)
    process.freeze()
    try:
        replaced(cluster, old)
        replaced_at = time.monotonic()
        time.sleep(2 * BROKEN_OFF_S_MAX)
    finally:
        if process.is_running():
            process.thaw()
    if not process.is_running():
        # Fenced: the watchdog has killed it.
        cluster.start(old)
    cluster.until_healthy(f"the cluster is healthy again, with {old}")
    return [
        f"{what} waited {ended - replaced_at:.1f} s for a frozen server after it was replaced"
        for began, ended, what in books.slow
        if began < replaced_at and ended > replaced_at + BROKEN_OFF_S_MAX
    ]
