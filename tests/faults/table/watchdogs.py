"""Faults of the watchdog, and of the router in the application."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

from replclus.errors import ReplclusError
from tests.clusters import REPOSITORY, eventually
from tests.faults.catalogue import NOT_SHOWN, Expect, fault
from tests.faults.lab import WATCHDOG
from tests.faults.scene import PATIENCE_S, QUIET_S, Scene

MOMENTS_MAX = 60
"""More than a failover has: steps that begin, and changes of the record."""


@fault("W1", "The watchdog is killed at every step of a failover.", Expect.FAILOVER)
def killed_at_every_step(scene: Scene) -> None:
    """Each one lives one step longer than the one before. tests/integration/test_failover_steps.py walks them one by one."""
    scene.stop_watchdog()
    scene.kill(scene.primary)
    for moment in range(1, MOMENTS_MAX):
        if _mortal(scene, moment):
            break
    scene.start_watchdog()
    scene.promoted()


def _mortal(scene: Scene, moment: int) -> bool:
    """Runs a watchdog that dies at its `moment`. True if it was not needed so long, because everything was done before."""
    command = [*scene.network.inside(WATCHDOG), sys.executable, "-m", "tests.mortal_watchdog"]
    process = subprocess.Popen(
        [*command, str(scene.lab.watchdog_config), str(moment)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=REPOSITORY,
    )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while process.poll() is None and time.monotonic() < deadline:
            record = scene.cluster.record
            if scene.failed_over and record.operation is None:
                return True
            time.sleep(0.01)
        return False
    finally:
        process.kill()
        process.wait()


@fault(
    "W2",
    "The watchdog is frozen while the primary dies and comes back, then goes on.",
    Expect.EITHER,
    direct=True,
    quarantine=True,
)
def frozen_watchdog(scene: Scene) -> None:
    """Everything that it knows is old by then."""
    scene.watchdog.process.send_signal(signal.SIGSTOP)
    scene.afterwards(lambda: scene.watchdog.process.send_signal(signal.SIGCONT))
    scene.kill(scene.primary)
    scene.wait(QUIET_S)
    scene.start(scene.primary)
    scene.watchdog.process.send_signal(signal.SIGCONT)
    scene.writes_resume()


@fault("W2p", "The watchdog is frozen for seconds in which nothing happens.", Expect.NONE, ci=True)
def paused_watchdog(scene: Scene) -> None:
    scene.watchdog.process.send_signal(signal.SIGSTOP)
    scene.afterwards(lambda: scene.watchdog.process.send_signal(signal.SIGCONT))
    scene.wait(QUIET_S)
    scene.watchdog.process.send_signal(signal.SIGCONT)
    scene.quiet()


@fault("W3", "A second watchdog is started, and the primary dies.", Expect.FAILOVER)
def two_watchdogs(scene: Scene) -> None:
    command = [*scene.network.inside(WATCHDOG), sys.executable, "-m", "replclus.cli.main", "watchdog"]
    second = subprocess.run(
        [*command, "-c", str(scene.lab.watchdog_config)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=False,
        timeout=PATIENCE_S,
    )
    assert second.returncode == 1, f"the second watchdog ended with {second.returncode}: {second.stderr}"
    scene.kill(scene.primary)
    scene.promoted()


@fault("W4", "The watchdog sees nobody.", Expect.NONE, ci=True)
def blind_watchdog(scene: Scene) -> None:
    scene.network.isolate(WATCHDOG)
    scene.quiet()


@fault("W5", "The watchdog does not see the primary; the replicas and the clients do.", Expect.NONE, ci=True)
def half_blind_watchdog(scene: Scene) -> None:
    scene.network.split([WATCHDOG], [scene.primary])
    scene.quiet()


@fault(
    "W6",
    "A client is frozen while the primary freezes and is replaced; then both go on.",
    Expect.FAILOVER,
    direct=True,
    quarantine=True,
)
def stale_client(scene: Scene) -> None:
    """What it believes is old. None of its writes may be acknowledged by the old primary."""
    client, old = scene.load.processes["c1"], scene.primary
    client.send_signal(signal.SIGSTOP)
    scene.afterwards(lambda: client.send_signal(signal.SIGCONT))
    scene.freeze(old)
    scene.promoted()
    scene.thaw(old)
    client.send_signal(signal.SIGCONT)
    scene.writes_resume("c1")


@fault("W7", "The record of the cluster is damaged while no watchdog runs; then the primary dies.", Expect.FAILOVER)
def torn_record(scene: Scene) -> None:
    """It is rebuilt from what the servers say, by the watchdog that is started."""
    scene.stop_watchdog()
    scene.cluster.store.close()
    file = scene.cluster.spec.state_dir / "record.db"
    content = bytearray(file.read_bytes())
    content[len(content) // 3 :] = bytes(len(content) - len(content) // 3)
    file.write_bytes(content)
    scene.start_watchdog()
    eventually(lambda: _readable(scene), "there is a record again", within_s=PATIENCE_S)
    scene.kill(scene.primary)
    scene.promoted()


def _readable(scene: Scene) -> bool:
    try:
        return scene.cluster.record.operation is None
    except ReplclusError:
        return False


@fault("W8", "The primary dies in the middle of a planned switchover.", Expect.EITHER, direct=True)
def killed_in_switchover(scene: Scene) -> None:
    old = scene.primary
    command = [*scene.network.inside(WATCHDOG), sys.executable, "-m", "replclus.cli.main", "switchover"]
    switchover = subprocess.Popen(
        [*command, "-c", str(scene.lab.watchdog_config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=REPOSITORY
    )
    eventually(lambda: scene.cluster.record.operation is not None or scene.failed_over, "it begins", within_s=PATIENCE_S)
    scene.kill(old)
    scene.writes_resume()
    switchover.wait(PATIENCE_S)


@fault("W8r", "The new primary dies while the old one is coming back.", Expect.FAILOVER, replicas=3)
def killed_in_rejoin(scene: Scene) -> None:
    old = scene.primary
    scene.kill(old)
    new = scene.promoted()
    returning = threading.Thread(target=scene.start, args=(old,))
    returning.start()
    scene.wait(0.2)
    scene.kill(new)
    returning.join()
    scene.writes_resume()


@fault("W9", "The new primary dies a second after it was promoted.", Expect.FAILOVER, direct=True, replicas=3)
def second_failure(scene: Scene) -> None:
    scene.kill(scene.primary)
    new = scene.promoted()
    scene.wait(1)
    scene.kill(new)
    scene.writes_resume()
    assert scene.primary != new


NOT_SHOWN["W10"] = (
    "Servers are reached by the addresses that the configuration gives, and a member whose address is not that of the record is "
    "refused by name. What a changed entry in DNS does to a host name depends on the resolver of each host."
)
