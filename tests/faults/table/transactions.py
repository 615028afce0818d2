"""Transactions of unusual kinds that are on their way when the primary dies."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pymysql

from replclus.model.spec import Flavour
from tests.faults.breaking import everywhere, make_table
from tests.faults.catalogue import NOT_SHOWN, Expect, fault
from tests.faults.preparing import alone
from tests.faults.scene import PATIENCE_S, Scene

NOT_SHOWN["R16"] = "One machine can have one version of each family installed; others are known by recorded rows only."

ROWS = 64
ROW_BYTES = 1_000_000


@fault("R13", "The primary dies in the middle of a transaction of 64 MB.", Expect.FAILOVER, before_load=alone)
def huge_transaction(scene: Scene) -> None:
    """It is there as a whole, or not at all."""
    old = scene.primary
    make_table(scene, "scratch", "id INT PRIMARY KEY, what LONGTEXT")
    numbers = " UNION ALL ".join(f"SELECT {number} AS n" for number in range(ROWS))
    with in_background(scene, old, f"INSERT INTO app.scratch SELECT n, REPEAT('x', {ROW_BYTES}) FROM ({numbers}) numbers"):
        # By then it is being written to the log, or waits to be.
        scene.wait(0.5)
        scene.kill(old)
    scene.promoted()
    ((there,),) = scene.cluster.rows(scene.primary, "SELECT COUNT(*) FROM app.scratch")
    assert there in (0, ROWS)
    scene.start(old)
    everywhere(scene, "SELECT COUNT(*) FROM app.scratch", ((there,),), names=scene.names)


@fault("R14", "The primary dies in the middle of a change of a table.", Expect.FAILOVER, before_load=alone)
def table_change(scene: Scene) -> None:
    """The table has the new column everywhere, or nowhere, and can be written to."""
    old = scene.primary
    rows = [f"({number}, REPEAT('x', 10000))" for number in range(2000)]
    make_table(scene, "scratch", "id INT PRIMARY KEY, what LONGTEXT", *rows)
    with in_background(scene, old, "ALTER TABLE app.scratch ADD COLUMN more INT NOT NULL DEFAULT 7, FORCE"):
        scene.wait(0.2)
        scene.kill(old)
    new = scene.promoted()
    count = "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = 'app' AND table_name = 'scratch'"
    ((columns,),) = scene.cluster.rows(new, count)
    assert columns in (2, 3)
    scene.sql(new, "INSERT INTO app.scratch (id, what) VALUES (100000, 'y')")
    scene.start(old)
    everywhere(scene, count, ((columns,),), names=scene.names)
    everywhere(scene, "SELECT COUNT(*) FROM app.scratch", ((len(rows) + 1,),), names=scene.names)


@fault("R15", "The primary dies while a table without transactions is written.", Expect.FAILOVER, quarantine=True)
def no_transactions(scene: Scene) -> None:
    """What such a table has cannot be taken back: the old primary may have diverged, and is then put aside."""
    old = scene.primary
    make_table(scene, "legacy", "id INT PRIMARY KEY AUTO_INCREMENT, what VARCHAR(40)", options="ENGINE=MyISAM")
    with in_background(scene, old, *["INSERT INTO app.legacy (what) VALUES ('x')"] * 2000):
        scene.wait(0.5)
        scene.kill(old)
    scene.promoted()


@fault("R17", "Transactions of several origins and kinds are in the history when the primary dies.", Expect.FAILOVER)
def mixed_history(scene: Scene) -> None:
    """MariaDB: two domains. MySQL: transactions with a tag. All of them are compared, and all are kept."""
    old = scene.primary
    make_table(scene, "scratch", "id INT PRIMARY KEY, what VARCHAR(40)")
    match scene.flavour:
        case Flavour.MARIADB:
            other = "SET SESSION gtid_domain_id = 7"
        case Flavour.MYSQL:
            other = "SET SESSION gtid_next = 'AUTOMATIC:nightly'"
    for number in range(10):
        scene.sql(old, other, f"INSERT INTO app.scratch VALUES ({number}, 'of another kind')")
    scene.kill(old)
    new = scene.promoted()
    everywhere(scene, "SELECT COUNT(*) FROM app.scratch", ((10,),), names=[new])
    scene.sql(new, other, "INSERT INTO app.scratch VALUES (10, 'on the new primary')")
    scene.start(old)
    everywhere(scene, "SELECT COUNT(*) FROM app.scratch", ((11,),), names=scene.names)


@fault("R18", "A distributed transaction is prepared, and not decided yet, when the primary dies.", Expect.FAILOVER,
       before_load=alone, quarantine=True)  # fmt: skip
def prepared_elsewhere(scene: Scene) -> None:
    """It is still prepared on the new primary: whoever decides is asked, and nobody decides for him."""
    old = scene.primary
    make_table(scene, "scratch", "id INT PRIMARY KEY, what VARCHAR(40)")
    scene.sql(
        old, "XA START 'order-1'", "INSERT INTO app.scratch VALUES (1, 'in doubt')", "XA END 'order-1'", "XA PREPARE 'order-1'"
    )
    scene.writes_resume()
    scene.kill(old)
    new = scene.promoted()
    assert [row[3] for row in scene.cluster.rows(new, "XA RECOVER")] == ["order-1"]
    assert scene.cluster.rows(new, "SELECT COUNT(*) FROM app.scratch") == ((0,),)
    scene.sql(new, "XA COMMIT 'order-1'")
    everywhere(scene, "SELECT COUNT(*) FROM app.scratch", ((1,),), names=[name for name in scene.names if name != old])


@contextmanager
def in_background(scene: Scene, name: str, *statements: str) -> Iterator[None]:
    """Statements of a connection that may be cut off."""
    begun = threading.Event()

    def run() -> None:
        with suppress(pymysql.err.MySQLError), scene.cluster.connect(name) as connection, connection.cursor() as cursor:
            for statement in statements:
                begun.set()
                cursor.execute(statement)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert begun.wait(PATIENCE_S)
    yield
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
