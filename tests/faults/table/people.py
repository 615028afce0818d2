"""What people do to a running cluster with an administrator's account, past its watchdog."""

from __future__ import annotations

from replclus.model.spec import Flavour
from replclus.store.secrets import REPLICATION_USER
from tests.clusters import eventually
from tests.faults.breaking import command, everywhere, make_table, quarantined
from tests.faults.catalogue import NOT_SHOWN, Expect, fault
from tests.faults.preparing import alone, change_options
from tests.faults.scene import PATIENCE_S, Scene
from tests.faults.speech import Speech

NOT_SHOWN["R11"] = "Replicas receive without certificates: none can expire. R10 shows replicas that are turned away."

ROW = "id INT PRIMARY KEY, what VARCHAR(40)"


@fault("R1", "A replica has a row already that the primary inserts: error 1062.", Expect.NONE, quarantine=True, ci=True)
def duplicate_key(scene: Scene) -> None:
    replica = scene.replicas[0]
    make_table(scene, "scratch", ROW)
    behind_its_back(scene, replica, "INSERT INTO app.scratch VALUES (1, 'written here')")
    scene.sql(scene.primary, "INSERT INTO app.scratch VALUES (1, 'written on the primary')")
    assert "1062" in quarantined(scene, replica)
    left_alone(scene, replica)


@fault("R2", "A replica lacks a row that the primary changes: error 1032.", Expect.NONE, quarantine=True)
def missing_row(scene: Scene) -> None:
    replica = scene.replicas[0]
    make_table(scene, "scratch", ROW, "(1, 'there')")
    behind_its_back(scene, replica, "DELETE FROM app.scratch")
    scene.sql(scene.primary, "UPDATE app.scratch SET what = 'changed'")
    reason = quarantined(scene, replica)
    assert "1032" in reason or "1146" in reason, reason
    left_alone(scene, replica)


def behind_its_back(scene: Scene, name: str, statement: str) -> None:
    """Without a trace in its binary log."""
    scene.sql(name, "SET SESSION sql_log_bin = OFF", Speech(scene.flavour).open_for_writes, statement)


def left_alone(scene: Scene, replica: str) -> None:
    """Nothing was skipped on it, it acknowledges nothing, and the cluster goes on without it."""
    assert replica not in scene.cluster.record.ackers
    ((there,),) = scene.cluster.rows(replica, "SELECT COUNT(*) FROM app.scratch WHERE what LIKE '%primary' OR what = 'changed'")
    assert there == 0
    scene.writes_resume()


@fault("R3", "A person writes on a replica, then the primary dies.", Expect.FAILOVER, quarantine=True, replicas=3, ci=True)
def errant_transaction(scene: Scene) -> None:
    """Whoever has a transaction of its own is never promoted, whatever else it has received."""
    errant = scene.replicas[0]
    make_table(scene, "scratch", ROW)
    scene.sql(errant, Speech(scene.flavour).open_for_writes, "INSERT INTO app.scratch VALUES (1, 'errant')")
    scene.quiet()
    quarantined(scene, errant)
    scene.kill(scene.primary)
    assert scene.promoted() != errant
    everywhere(scene, "SELECT COUNT(*) FROM app.scratch", ((0,),), names=[scene.primary])


@fault("R4", "A primary that was cut off is stopped by a person while commits wait on it, and comes back.", Expect.FAILOVER,
       quarantine=True)  # fmt: skip
def clean_stop_of_a_lonely_primary(scene: Scene) -> None:
    """A clean stop commits what nobody has acknowledged: it has diverged, and must not serve before a person has decided."""
    old = scene.primary
    scene.network.isolate(old)
    scene.promoted()
    scene.cluster.process(old).stop()
    scene.network.mend_all()


@fault("R5", "A person makes a replica writable.", Expect.NONE, ci=True)
def writable_replica(scene: Scene) -> None:
    replica = scene.replicas[0]
    scene.sql(replica, Speech(scene.flavour).open_for_writes)
    eventually(lambda: not scene.cluster.writable(replica), "it is closed again", within_s=PATIENCE_S)
    scene.quiet()


@fault("R6", "A person makes the primary read-only.", Expect.EITHER)
def closed_primary(scene: Scene) -> None:
    """It goes on, in an epoch of its own: nobody else is promoted."""
    primary = scene.primary
    scene.sql(primary, "SET GLOBAL read_only = ON")
    scene.noticed("PrimaryReadOnly")
    scene.writes_resume()
    assert scene.primary == primary


@fault("R7", "A person throws a replica's binary logs away, and with them what it has executed.", Expect.NONE, quarantine=True)
def forgetful_replica(scene: Scene) -> None:
    """MySQL forgets all that it has, and would fetch and execute it again. MariaDB keeps that elsewhere."""
    replica, speech = scene.replicas[0], Speech(scene.flavour)
    scene.sql(replica, speech.stop_replication, speech.forget_binlogs)
    scene.quiet()
    scene.writes_resume()


@fault("R8", "A replica comes back with the server id of another.", Expect.NONE, quarantine=True, before_load=alone)
def server_id_taken(scene: Scene) -> None:
    """It would keep the other from receiving, and nobody could tell whose transactions are whose."""
    other, replica = scene.replicas
    mine = scene.cluster.sandbox.place(replica).server_id
    scene.kill(replica)
    change_options(scene.server_directory(replica), server_id=str(scene.cluster.sandbox.place(other).server_id))
    scene.start(replica)
    reason = quarantined(scene, replica)
    assert "server_id" in reason or "server id" in reason, reason
    scene.quiet()
    change_options(scene.server_directory(replica), server_id=str(mine))
    scene.kill(replica)
    scene.start(replica)
    command(scene, "rejoin", replica)


@fault("R9", "A person lets a replica replicate from another replica.", Expect.NONE)
def wrong_source(scene: Scene) -> None:
    one, other = scene.replicas
    speech, place = Speech(scene.flavour), scene.cluster.sandbox.place(other)
    scene.sql(one, speech.stop_replication, speech.receive_from(place.host, place.port), speech.start_replication)
    eventually(lambda: source_of(scene, one) == scene.primary, f"{one} receives from the primary again", within_s=PATIENCE_S)
    scene.quiet()


def source_of(scene: Scene, name: str) -> str | None:
    return next(node.source for node in scene.cluster.status().nodes if node.name == name)


@fault("R10", "A person changes the password of the replicas' account on the primary.", Expect.NONE)
def replicas_turned_away(scene: Scene) -> None:
    """Whose replicas are turned away is not dead. `init` repairs the account; here the person does."""
    primary, replica, speech = scene.primary, scene.replicas[0], Speech(scene.flavour)
    scene.afterwards(lambda: set_password(scene, primary, scene.cluster.secrets.replication.password.reveal()))
    set_password(scene, primary, "another")
    scene.sql(replica, speech.stop_receiver)
    scene.noticed("ReplicaIoStopped")
    scene.quiet()
    scene.writes_resume()


def set_password(scene: Scene, name: str, password: str) -> None:
    """On this server only, for every host that replicas come from."""
    found = scene.cluster.rows(name, f"SELECT Host FROM mysql.user WHERE User = '{REPLICATION_USER}'")
    accounts = [f"'{REPLICATION_USER}'@'{host}'" for (host,) in found]
    assert accounts
    scene.sql(name, "SET SESSION sql_log_bin = OFF", *(f"ALTER USER {one} IDENTIFIED BY '{password}'" for one in accounts))


@fault("R12", "A person changes a setting that nothing may change: the format of the binary log.", Expect.NONE)
def settings_drift(scene: Scene) -> None:
    # MySQL does not let anybody do so on a replica.
    replicas = scene.replicas[:1] if scene.flavour is Flavour.MARIADB else ()
    for name in (scene.primary, *replicas):
        scene.sql(name, "SET GLOBAL binlog_format = STATEMENT")
        eventually(lambda name=name: format_of(scene, name) == "ROW", f"{name} writes rows again", within_s=PATIENCE_S)
    scene.quiet()


def format_of(scene: Scene, name: str) -> str:
    ((value,),) = scene.cluster.rows(name, "SELECT @@GLOBAL.binlog_format")
    return str(value)
