"""The watchdog is killed at every step of a failover and of a switchover, and started again: it converges.

Each round kills the primary (or asks for a switchover) under a watchdog that dies at its n-th moment; then another one
takes over. The rounds go on until one in which the watchdog had nothing left to die at.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from replclus.model.record import Request, RequestKind
from replclus.sandbox import Sandbox
from replclus.watchdog import Watchdog
from tests.clusters import REPOSITORY, Cluster, eventually, initialised

MOMENTS_MAX = 40
CONVERGES_S_MAX = 5.0


@pytest.fixture(scope="module")
def cluster(module_sandbox: Sandbox) -> Iterator[Cluster]:
    cluster = initialised(module_sandbox)
    cluster.run("n1", "CREATE DATABASE IF NOT EXISTS app", "CREATE TABLE app.rounds (id INT PRIMARY KEY)")
    yield cluster
    cluster.store.close()


@contextmanager
def watching(cluster: Cluster) -> Iterator[None]:
    """A watchdog that lives, in this process."""
    stop = threading.Event()
    watchdog = Watchdog(cluster.spec, cluster.store, cluster.secrets, lambda event: None)
    thread = threading.Thread(target=watchdog.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=30)


def mortal(cluster: Cluster, die_at: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.mortal_watchdog", str(cluster.sandbox.config), str(die_at)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert process.stdout is not None
    assert process.stdout.readline() == "0 ready\n"
    return process


def dies(process: subprocess.Popen[str], cluster: Cluster, epoch: int) -> bool:
    """Wait until the mortal watchdog is dead, or has got through to a new epoch. True if it died."""
    eventually(
        lambda: process.poll() is not None or (cluster.record.epoch > epoch and cluster.record.operation is None),
        "the mortal watchdog dies or gets through",
    )
    if process.poll() is not None:
        return True
    process.terminate()
    process.wait(timeout=30)
    return False


def settle(cluster: Cluster, round_: int, acknowledged: list[int]) -> None:
    """A new watchdog takes over within the promised time, and nothing that was acknowledged is missing."""
    with watching(cluster):
        took = eventually(
            lambda: cluster.record.operation is None and cluster.writable(cluster.record.primary),
            "there is a writable primary and nothing in progress",
        )
        assert took <= CONVERGES_S_MAX, f"round {round_}: {took:.1f} s"
        for name in cluster.sandbox.names:
            if not cluster.process(name).is_running():
                cluster.start(name)
        cluster.until_healthy(f"round {round_}: everybody is back")
        primary = cluster.record.primary
        cluster.run(primary, f"INSERT INTO app.rounds VALUES ({round_})")
        acknowledged.append(round_)
        assert [row[0] for row in cluster.rows(primary, "SELECT id FROM app.rounds ORDER BY id")] == acknowledged
        eventually(lambda: cluster.equal("app.rounds"), "all nodes hold the same rows")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_every_step_of_a_failover(cluster: Cluster) -> None:
    acknowledged = [row[0] for row in cluster.rows(cluster.record.primary, "SELECT id FROM app.rounds ORDER BY id")]
    for moment in range(1, MOMENTS_MAX):
        epoch = cluster.record.epoch
        process = mortal(cluster, moment)
        time.sleep(0.5)
        cluster.kill(cluster.record.primary)
        died = dies(process, cluster, epoch)
        settle(cluster, 100 + moment, acknowledged)
        if not died:
            assert moment > 10, "a failover has more moments than that"
            return
    raise AssertionError(f"a failover has more than {MOMENTS_MAX} moments")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_every_step_of_a_switchover(cluster: Cluster) -> None:
    acknowledged = [row[0] for row in cluster.rows(cluster.record.primary, "SELECT id FROM app.rounds ORDER BY id")]
    for moment in range(1, MOMENTS_MAX):
        epoch = cluster.record.epoch
        process = mortal(cluster, moment)
        record = cluster.record
        request = Request(id=str(uuid.uuid4()), kind=RequestKind.SWITCHOVER)
        cluster.store.cas(record.version, replace(record, request=request))
        died = dies(process, cluster, epoch)
        settle(cluster, 200 + moment, acknowledged)
        if not died:
            assert moment > 10, "a switchover has more moments than that"
            return
    raise AssertionError(f"a switchover has more than {MOMENTS_MAX} moments")
