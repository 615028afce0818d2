"""Faults of the disks. Those that have a whole file system to break let the watchdog kill servers, as it can on its own host."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import pymysql
import pytest

from tests.clusters import eventually
from tests.faults.breaking import blind, command, damage, make_table, newest
from tests.faults.catalogue import Expect, fault
from tests.faults.inject.disks import Disk
from tests.faults.inject.shim import Action, Call, Rule
from tests.faults.preparing import alone, both, disk, disks_for, shim, shims_for, small_temporary
from tests.faults.scene import Scene
from tests.faults.speech import Speech

SLOW_S = 10.0
"""How long a disk stays slow."""
BINLOG = "binlog.0*"
SILENCE_S = 4.0
"""After so long without a packet both ends of a replication connection have given it up."""
DAMAGED_AT_BYTES = 150_000
REDO = ("#ib_redo*", "ib_logfile*")
"""As MySQL and MariaDB call it."""


@fault("D1", "The disk of the primary freezes.", Expect.FAILOVER, hosts_ours=True, before_load=disks_for("n1"))
def frozen(scene: Scene) -> None:
    """It answers questions, commits nothing, and cannot be killed: the signal waits for the disk."""
    old = scene.primary
    scene.afterwards(disk(scene, old).thaw)
    scene.afterwards(lambda: doomed(scene, old))
    disk(scene, old).freeze()
    scene.promoted()


def doomed(scene: Scene, name: str) -> None:
    """Dead as soon as its disk is back, and never alive in between."""
    with suppress(FileNotFoundError, ProcessLookupError):
        os.kill(scene.pid(name), signal.SIGKILL)


@fault("D2", "The disk of the primary dies.", Expect.FAILOVER, hosts_ours=True, before_load=disks_for("n1"))
def dead(scene: Scene) -> None:
    old = scene.primary
    scene.afterwards(lambda: power_cycled(scene, old))
    disk(scene, old).die()
    scene.promoted()


def power_cycled(scene: Scene, name: str) -> None:
    scene.cluster.kill(name)
    disk(scene, name).power_cycle()


@fault("D3", "Each fsync on the primary takes 300 ms.", Expect.NONE, before_load=shims_for("n1"))
def slow(scene: Scene) -> None:
    slowed = shim(scene, scene.primary)
    scene.afterwards(slowed.rest)
    slowed.obey(Rule(Call.SYNC, Action.DELAY, "*", 0.3))
    scene.quiet(SLOW_S)


@fault("D3b", "Each fsync on the primary takes two seconds.", Expect.EITHER, hosts_ours=True, before_load=shims_for("n1"))
def very_slow(scene: Scene) -> None:
    """Whoever commits once in six seconds is as good as dead, or not: the setting `stall_s` decides. Nothing may be lost."""
    slowed = shim(scene, scene.primary)
    scene.afterwards(slowed.rest)
    slowed.obey(Rule(Call.SYNC, Action.DELAY, "*", 2.0))
    scene.wait(SLOW_S)


@fault(
    "D4", "The fsync of the primary's binary log hangs.", Expect.FAILOVER, hosts_ours=True, before_load=shims_for("n1"), ci=True
)
def hanging_binlog(scene: Scene) -> None:
    old = scene.primary
    scene.afterwards(shim(scene, old).rest)
    scene.afterwards(lambda: scene.cluster.kill(old))
    shim(scene, old).obey(Rule(Call.SYNC, Action.HANG, BINLOG))
    scene.promoted()


@fault(
    "D5",
    "The fsync of the primary's binary log fails with EIO.",
    Expect.FAILOVER,
    hosts_ours=True,
    quarantine=True,
    before_load=shims_for("n1"),
)
def failing_binlog(scene: Scene) -> None:
    """MySQL ends itself. MariaDB goes on, with transactions in its log that it does not have itself."""
    old = scene.primary
    scene.afterwards(shim(scene, old).rest)
    shim(scene, old).obey(Rule(Call.SYNC, Action.EIO, BINLOG))
    scene.promoted()


@fault(
    "D6",
    "There is no room for the primary's redo log, as its fsync says.",
    Expect.FAILOVER,
    hosts_ours=True,
    before_load=both(disks_for("n1"), shims_for("n1")),
)
def full_redo(scene: Scene) -> None:
    """The server ends itself. On a disk, because MariaDB maps its log into memory where a file system is memory anyway."""
    old = scene.primary
    scene.afterwards(shim(scene, old).rest)
    shim(scene, old).obey(*(Rule(Call.SYNC, Action.ENOSPC, pattern) for pattern in REDO))
    scene.promoted()


@fault("D7", "The disk of the primary is full.", Expect.FAILOVER, hosts_ours=True, before_load=disks_for("n1"))
def full(scene: Scene) -> None:
    old = scene.primary
    scene.afterwards(disk(scene, old).empty)
    # Some wait a minute before they look whether there is room again.
    scene.afterwards(lambda: scene.cluster.kill(old))
    disk(scene, old).fill()
    scene.promoted()


@fault("D8", "The disk of a replica is full.", Expect.NONE, before_load=disks_for("n2"))
def full_replica(scene: Scene) -> None:
    """It can acknowledge nothing, and may not even say how it is. The others do."""
    assert scene.primary != "n2"
    scene.afterwards(disk(scene, "n2").empty)
    scene.afterwards(lambda: scene.cluster.kill("n2"))
    disk(scene, "n2").fill()
    scene.quiet(SLOW_S)
    scene.writes_resume()


@fault("D9", "The directory for temporary files of the primary is full.", Expect.NONE, before_load=small_temporary("n1"))
def full_temporary(scene: Scene) -> None:
    """What needs such a file fails; nothing else does."""
    primary = scene.primary
    temporary = Disk(scene.server_directory(primary) / "tmp")
    scene.afterwards(temporary.empty)
    temporary.fill()
    rows = " UNION ALL ".join(["SELECT REPEAT(UUID(), 1000) AS a"] * 4)
    big = f"SELECT x.a FROM ({rows}) x, ({rows}) y, ({rows}) z, ({rows}) w ORDER BY CONCAT(y.a, z.a)"
    with scene.cluster.connect(primary, read_timeout=60) as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION sort_buffer_size = 65536")
        with pytest.raises(pymysql.err.MySQLError):
            cursor.execute(big)
    scene.quiet()
    scene.writes_resume()


@fault("D10", "The file system of the primary becomes read-only.", Expect.FAILOVER, hosts_ours=True, before_load=disks_for("n1"))
def read_only(scene: Scene) -> None:
    old = scene.primary
    scene.afterwards(lambda: power_cycled(scene, old))
    disk(scene, old).make_read_only()
    scene.promoted()


@fault(
    "D11",
    "The primary loses its power, and with it what was not flushed to its disk.",
    Expect.FAILOVER,
    before_load=disks_for("n1"),
)
def power_loss(scene: Scene) -> None:
    lost = scene.primary
    lose_power(scene, lost)
    scene.afterwards(disk(scene, lost).power_cycle)
    scene.promoted()


def lose_power(scene: Scene, name: str) -> None:
    """The disk first, so that nothing of what the process leaves behind reaches it."""
    disk(scene, name).die()
    scene.cluster.kill(name)


@fault(
    "D12",
    "The primary and a replica lose their power together, and what was not flushed.",
    Expect.EITHER,
    before_load=disks_for("n1", "n2"),
)
def power_loss_of_two(scene: Scene) -> None:
    """Who is left may lack what the two had acknowledged: nobody takes over before one of them is heard."""
    for name in ("n1", "n2"):
        lose_power(scene, name)
    for name in ("n1", "n2"):
        scene.afterwards(disk(scene, name).power_cycle)
    scene.decided("refuse")
    scene.quiet()


@fault("D13", "The relay log of a replica is damaged.", Expect.NONE, quarantine=True)
def damaged_relay_log(scene: Scene) -> None:
    """What it has received and not applied yet cannot be read any more."""
    replica, speech = scene.replicas[0], Speech(scene.flavour)
    make_table(scene, "scratch", "id INT PRIMARY KEY, what LONGTEXT")
    with blind(scene):
        scene.sql(replica, f"{speech.stop_replication} SQL_THREAD")
        log = newest(scene, replica, "relay-bin")
        before = log.stat().st_size
        scene.sql(scene.primary, f"INSERT INTO app.scratch VALUES (1, REPEAT('x', {2 * DAMAGED_AT_BYTES}))")
        eventually(lambda: log.stat().st_size > before + 2 * DAMAGED_AT_BYTES, "it receives")
        damage(log, before + DAMAGED_AT_BYTES)
    scene.noticed("ReplicaSqlBroken")
    scene.quiet()


@fault("D14", "The binary log of the primary is damaged where a replica has not read it yet.", Expect.EITHER, before_load=alone)
def damaged_binlog(scene: Scene) -> None:
    """That replica can never go on from there; from another it can. A person decides for a switchover."""
    old, behind = scene.primary, scene.replicas[0]
    scene.network.cut(old, behind)
    # Until whoever sent to it has given up.
    scene.wait(SILENCE_S)
    log = newest(scene, old, "binlog")
    unread = log.stat().st_size
    eventually(lambda: log.stat().st_size > unread + DAMAGED_AT_BYTES // 10, "more is written, and read by the other")
    scene.wait(1.0)
    damage(log, unread)
    scene.network.mend_all()
    scene.noticed("ReplicaIoStopped")
    scene.quiet()
    command(scene, "switchover")
    assert scene.primary not in (old, behind)
    if behind not in scene.serving():
        command(scene, "rejoin", behind)
