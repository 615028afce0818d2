"""Faults of a server that runs, and cannot do its work: no connection left, a lock in the way, nobody who acknowledges."""

from __future__ import annotations

from contextlib import ExitStack, suppress

import pymysql
import pytest

from replclus.store.secrets import WATCHDOG_USER
from tests.clusters import eventually
from tests.faults.catalogue import Expect, fault
from tests.faults.scene import PATIENCE_S, Scene
from tests.faults.speech import Speech

FULL_S = 4.0
LOCKED_S = 6.0
"""Well over what a frozen disk is given before another server is promoted."""
FEWEST_CONNECTIONS = 10
"""MariaDB does not allow fewer."""


@fault("D15", "The primary has no connection left.", Expect.NONE)
def too_many_connections(scene: Scene) -> None:
    """First the watchdog keeps those that it has, then it loses them and is turned away like everybody else."""
    primary = scene.primary
    with ExitStack() as held:
        admin = held.enter_context(scene.cluster.connect(primary)).cursor()
        for _ in range(FEWEST_CONNECTIONS):
            held.enter_context(scene.cluster.connect(primary))
        admin.execute("SELECT @@GLOBAL.max_connections")
        ((before,),) = admin.fetchall()
        try:
            # Who is connected stays; nobody else comes in, and no administrator either.
            admin.execute(f"SET GLOBAL max_connections = {FEWEST_CONNECTIONS}")
            with pytest.raises(pymysql.err.OperationalError, match="1040"):
                scene.cluster.connect(primary)
            scene.noticed("NobodyGetsIn")
            scene.quiet()
            admin.execute(f"SELECT id FROM information_schema.processlist WHERE user = '{WATCHDOG_USER}'")
            for (connection,) in admin.fetchall():
                with suppress(pymysql.err.MySQLError):
                    admin.execute(f"KILL {connection}")
            scene.noticed("TooManyConnections")
            scene.quiet(FULL_S)
        finally:
            admin.execute(f"SET GLOBAL max_connections = {before}")
    scene.writes_resume()


@fault("D16", "A person holds a global read lock on the primary.", Expect.NONE)
def global_lock(scene: Scene) -> None:
    """It is told; it is no failure, and ends with the lock."""
    with scene.cluster.connect(scene.primary, read_timeout=PATIENCE_S) as lock, lock.cursor() as cursor:
        cursor.execute("FLUSH TABLES WITH READ LOCK")
        scene.noticed("PrimaryWriteStalled")
        scene.quiet(LOCKED_S)
        cursor.execute("UNLOCK TABLES")
    scene.writes_resume()


@fault(
    "D17", "A person's lock keeps a replica from applying what it receives, and the primary dies.", Expect.FAILOVER, replicas=3
)
def replica_cannot_apply(scene: Scene) -> None:
    """Another one takes over; unless only this one has received the last writes: then it waits for the lock to end."""
    locked = scene.replicas[0]
    with scene.cluster.connect(locked) as lock, lock.cursor() as cursor:
        cursor.execute("LOCK TABLES app.entries READ")
        scene.wait(1.0)
        scene.kill(scene.primary)
        eventually(lambda: scene.failed_over, "somebody is elected", within_s=PATIENCE_S)
        eventually(
            lambda: scene.cluster.record.operation is None or scene.primary == locked, "that is settled", within_s=PATIENCE_S
        )
        if scene.primary == locked:
            assert not scene.cluster.writable(locked), "it was opened although it has not applied everything"
        else:
            scene.promoted()
        cursor.execute("UNLOCK TABLES")
    scene.promoted()


@fault("D18", "A person stops the receivers of all replicas: nobody acknowledges.", Expect.NONE)
def nobody_acknowledges(scene: Scene) -> None:
    speech = Speech(scene.flavour)
    for _ in range(3):
        for name in scene.replicas:
            scene.sql(name, speech.stop_receiver)
        scene.writes_resume()
    scene.quiet()


@fault("D19", "A person switches semi-sync off on the primary.", Expect.NONE)
def semi_sync_off(scene: Scene) -> None:
    primary, prefix = scene.primary, Speech(scene.flavour).semi_sync_source
    scene.sql(primary, f"SET GLOBAL {prefix}_enabled = OFF")
    scene.noticed("SemiSyncOff")
    restored(scene, primary, f"{prefix}_enabled", 1)


@fault("D19b", "A person gives semi-sync on the primary a short timeout.", Expect.NONE)
def semi_sync_timeout(scene: Scene) -> None:
    primary, name = scene.primary, f"{Speech(scene.flavour).semi_sync_source}_timeout"
    ((before,),) = scene.cluster.rows(primary, f"SELECT @@GLOBAL.{name}")
    scene.sql(primary, f"SET GLOBAL {name} = 10")
    scene.noticed("SemiSyncOff", "Misconfigured")
    restored(scene, primary, name, before)


def restored(scene: Scene, node: str, variable: str, wanted: object) -> None:
    """Waits until a setting is again what it must be."""
    sql = f"SELECT @@GLOBAL.{variable}"
    eventually(lambda: scene.cluster.rows(node, sql) == ((wanted,),), f"{variable} is {wanted} again", within_s=PATIENCE_S)
