"""Faults of the servers' processes."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from tests.clusters import eventually
from tests.faults.catalogue import Expect, fault
from tests.faults.inject.cgroups import frozen, throttled
from tests.faults.scene import PATIENCE_S, QUIET_S, Scene
from tests.faults.speech import Speech

SHORT_S = 0.4
"""A pause that is no failure."""


@fault("P1", "The primary is killed.", Expect.FAILOVER, direct=True, ci=True)
def killed(scene: Scene) -> None:
    scene.kill(scene.primary)
    scene.promoted()


@fault("P2", "A person stops the primary cleanly, without telling the watchdog.", Expect.FAILOVER, direct=True, ci=True)
def stopped(scene: Scene) -> None:
    os.kill(scene.pid(scene.primary), signal.SIGTERM)
    scene.promoted()


@fault("P3", "The primary freezes.", Expect.FAILOVER, direct=True, quarantine=True)
def frozen_primary(scene: Scene) -> None:
    scene.freeze(scene.primary)
    scene.promoted()


@fault("P3h", "The primary freezes, and the watchdog has access to its host.", Expect.FAILOVER, direct=True, hosts_ours=True)
def frozen_and_fenced(scene: Scene) -> None:
    old = scene.primary
    scene.freeze(old)
    scene.promoted()
    eventually(lambda: not scene.cluster.process(old).is_running(), "the frozen one is killed", within_s=PATIENCE_S)


@fault(
    "P4",
    "The primary freezes, is replaced, and goes on as if nothing had happened.",
    Expect.FAILOVER,
    direct=True,
    quarantine=True,
)
def zombie(scene: Scene) -> None:
    old = scene.primary
    scene.freeze(old)
    scene.promoted()
    scene.thaw(old)
    scene.wait(QUIET_S)


@fault("P5", "The primary pauses for a moment, again and again.", Expect.NONE)
def short_pauses(scene: Scene) -> None:
    process = scene.cluster.process(scene.primary)
    scene.afterwards(lambda: scene.thaw(scene.primary))
    for _ in range(10):
        process.freeze()
        scene.wait(SHORT_S)
        process.thaw()
        scene.wait(SHORT_S)


@fault(
    "P6",
    "The primary hangs in the kernel: nothing runs, its port accepts, SIGKILL waits.",
    Expect.FAILOVER,
    direct=True,
    hosts_ours=True,
)
def unkillable(scene: Scene) -> None:
    pid = scene.pid(scene.primary)
    with frozen(pid):
        os.kill(pid, signal.SIGKILL)
        scene.promoted()


@fault("P7", "The primary is killed, and again each time that it comes up.", Expect.FAILOVER, direct=True)
def crash_loop(scene: Scene) -> None:
    old = scene.primary
    scene.kill(old)
    scene.promoted()
    epoch = scene.cluster.record.epoch
    for _ in range(4):
        scene.start(old)
        scene.wait(0.3)
        scene.kill(old)
    assert scene.cluster.record.epoch == epoch, "one failover is enough"


@fault("P8", "The primary is killed, and up again before anybody can be sure.", Expect.EITHER, direct=True)
def restarted_at_once(scene: Scene) -> None:
    """It comes back closed. Either it is opened again, in an epoch of its own, or somebody else takes over."""
    old = scene.primary
    scene.kill(old)
    scene.cluster.sandbox.start(old)
    scene.writes_resume()


@fault("P9", "A replica is killed.", Expect.NONE, ci=True)
def replica_killed(scene: Scene) -> None:
    gone = scene.replicas[0]
    scene.kill(gone)
    scene.writes_resume()
    scene.quiet()
    scene.start(gone)
    scene.wait(1)
    scene.writes_resume()


@fault("P10", "All replicas are killed: nobody is left to acknowledge.", Expect.NONE)
def all_replicas_killed(scene: Scene) -> None:
    for name in scene.replicas:
        scene.kill(name)
    scene.wait(1)
    silent_since = time.monotonic_ns()
    scene.quiet()
    assert not scene.load.acknowledged_since(silent_since), "a write was acknowledged though no replica was there"


@fault("P11", "The primary and a replica are killed together: what that replica acknowledged is nowhere else.", Expect.EITHER)
def two_at_once(scene: Scene) -> None:
    """Refused until both are back, because a server that was restarted has lost what it had not on disk."""
    primary, (best, _) = scene.primary, scene.replicas
    scene.kill(primary)
    scene.kill(best)
    scene.decided("refuse")
    scene.quiet()
    # It was restarted, so it may have lost what it had acknowledged and not applied; the primary has all of it.
    scene.start(best)
    scene.start(primary)
    scene.writes_resume()


@fault("P12", "The only replica that acknowledged restarts before it has applied, then the primary dies.", Expect.EITHER)
def acknowledged_and_not_applied(scene: Scene) -> None:
    """MariaDB throws its relay logs away. Whoever takes over then must have the writes from elsewhere; or nobody does."""
    primary, (best, other) = scene.primary, scene.replicas
    # Whoever repairs what we do to replication would spoil it.
    scene.watchdog.process.send_signal(signal.SIGSTOP)
    scene.afterwards(lambda: scene.watchdog.process.send_signal(signal.SIGCONT))
    scene.freeze(other)
    scene.sql(best, f"{Speech(scene.flavour).stop_replication} SQL_THREAD")
    scene.wait(0.5)
    scene.kill(primary)
    scene.kill(best)
    scene.start(best)
    scene.thaw(other)
    scene.watchdog.process.send_signal(signal.SIGCONT)
    scene.wait(QUIET_S)


@fault("P13", "The kernel kills the primary, because its memory is used up.", Expect.FAILOVER)
def out_of_memory(scene: Scene) -> None:
    pid = scene.pid(scene.primary)
    group = Path(f"/sys/fs/cgroup/memory/replclus-{pid}")
    group.mkdir()
    scene.afterwards(lambda: _remove(group))
    (group / "cgroup.procs").write_text(str(pid))
    # Only what it allocates from now on counts, and there is no room for that.
    (group / "memory.limit_in_bytes").write_text(str(256 * 1024))
    scene.promoted()


def _remove(group: Path) -> None:
    for pid in (group / "cgroup.procs").read_text().split():
        (group.parent / "cgroup.procs").write_text(pid)
    eventually(lambda: not (group / "tasks").read_text(), "the group is empty")
    group.rmdir()


@fault("P14", "The watchdog gets 10 % of a processor.", Expect.NONE)
def starved_watchdog(scene: Scene) -> None:
    """It is slow; it does not believe that the others are dead."""
    with throttled(scene.watchdog.process.pid, 0.10):
        scene.quiet(2 * QUIET_S)


@fault("P14p", "The primary gets 2 % of a processor.", Expect.EITHER, quarantine=True)
def starved_primary(scene: Scene) -> None:
    """It cannot commit in time any more, which may count as a failure."""
    with throttled(scene.pid(scene.primary), 0.02):
        scene.wait(3 * QUIET_S)


@fault("P15", "The watchdog can open no file and no connection any more.", Expect.NONE)
def no_descriptors(scene: Scene) -> None:
    """No evidence is no proof. Its connections are broken, so that it needs new ones."""
    pid = scene.watchdog.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (1, before[1]))
    scene.afterwards(lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, before))
    sql = "SELECT id FROM information_schema.processlist WHERE user = 'replclus_watchdog'"
    for name in scene.names:
        scene.sql(name, *(f"KILL {number}" for (number,) in scene.cluster.rows(name, sql)))
    scene.quiet()


@fault("P16", "The primary crashes slowly: it writes what it knows of itself into its log, and dies.", Expect.FAILOVER)
def crashed(scene: Scene) -> None:
    os.kill(scene.pid(scene.primary), signal.SIGSEGV)
    scene.promoted()


@fault("P3r", "A replica freezes.", Expect.NONE)
def frozen_replica(scene: Scene) -> None:
    scene.freeze(scene.replicas[0])
    scene.writes_resume()
    scene.quiet()
    scene.writes_resume()


@fault("P16s", "Every server restarts at the same moment.", Expect.EITHER)
def all_restarted(scene: Scene) -> None:
    with ExitStack() as killing:
        for name in scene.names:
            thread = threading.Thread(target=scene.kill, args=(name,))
            thread.start()
            killing.callback(thread.join)
    for name in scene.names:
        scene.start(name)
    scene.writes_resume()
