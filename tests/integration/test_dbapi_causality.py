"""What a session has seen is not forgotten with the connection on which it saw it. The replicas are held back throughout."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import replclus
from tests.clusters import Cluster, eventually
from tests.integration.dbapi_world import Connect, cluster, connect, deaf_after, hold_back, let_go, scalar

__all__ = ["cluster", "connect"]

REPLICAS = ("n2", "n3", "n4")


@pytest.fixture(autouse=True)
def _held_back(cluster: Cluster) -> Iterator[None]:
    hold_back(cluster, *REPLICAS)
    yield
    let_go(cluster, *REPLICAS)


def test_with_autocommit_off_a_read_that_came_too_early_leaves_no_snapshot(connect: Connect) -> None:
    """The read goes along with the question whether the replica is there yet. If it is not, the rows are not the answer, nor
    is the transaction that they opened."""
    connection = connect(autocommit=False)
    cursor = connection.cursor()
    for turn in range(4):
        scalar(connection, "SELECT COUNT(*) FROM t")
        cursor.execute("INSERT INTO t (v) VALUES (%s)", (f"snapshot {turn}",))
        number = cursor.lastrowid
        connection.commit()
        assert scalar(connection, f"SELECT COUNT(*) FROM t WHERE id = {number}") == 1, connection.route
        connection.rollback()


def test_what_a_lost_transaction_has_seen_is_not_forgotten(cluster: Cluster, connect: Connect) -> None:
    """It is rolled back, but others' writes that it saw are there to stay."""
    connection = connect(autocommit=False)
    cursor = connection.cursor()
    count = cluster.rows("n1", "SELECT COUNT(*) FROM app.t")[0][0]
    cluster.run("n1", "INSERT INTO app.t (v) VALUES ('of another')")
    cursor.execute("INSERT INTO t (v) VALUES ('mine')")
    assert scalar(connection, "SELECT COUNT(*) FROM t") == count + 2
    cluster.run("n1", f"KILL {connection.thread_id()}")
    with pytest.raises(replclus.TransactionLost):
        cursor.execute("INSERT INTO t (v) VALUES ('mine too')")
    connection.rollback()
    assert scalar(connection, "SELECT COUNT(*) FROM t") == count + 1, connection.route


def test_a_write_whose_answer_was_lost_is_read_back(connect: Connect) -> None:
    """The GTID was in the answer that did not come, but that the write is there was found out."""
    connection = connect(track_outcome=True, autocommit=False)
    cursor = connection.cursor()
    for turn in range(4):
        cursor.execute("INSERT INTO t (v) VALUES (%s)", (f"cut {turn}",))
        number = cursor.lastrowid
        writer = connection._session.backends.writer  # type: ignore[union-attr]
        assert writer is not None
        with deaf_after(writer, 0, wait_s=0.1):
            connection.commit()
        assert connection.outcome() == "committed"
        assert scalar(connection, f"SELECT COUNT(*) FROM t WHERE id = {number}") == 1, connection.route
        connection.rollback()


def test_who_has_read_on_the_only_replica_that_is_up_to_date_reads_on_there(cluster: Cluster, connect: Connect) -> None:
    """And not on the primary, which may show a commit later than a replica does: it waits for an acknowledgement."""
    let_go(cluster, "n2")
    owner = connect()
    writer = owner.cursor()
    writer.execute("INSERT INTO t (v) VALUES ('turn')")
    reader = connect(causality_token=owner.causality_token)

    def reads_on_n2() -> bool:
        scalar(reader, "SELECT COUNT(*) FROM t")
        return reader.route is not None and reader.route.node == "n2"

    eventually(reads_on_n2, "the only replica that is up to date is found")
    for _ in range(10):
        writer.execute("INSERT INTO t (v) VALUES ('turn')")
        newest = writer.lastrowid
        eventually(lambda n=newest: cluster.rows("n2", f"SELECT id FROM app.t WHERE id = {n}"), "n2 has it")
        assert reads_on_n2(), "it was there before"
        # Its turn is over, and nobody else is where it is. The watcher need not have heard that it is, either.
        reader._session.backends.turns.left = 0  # type: ignore[union-attr]
        assert reads_on_n2(), reader.route


def test_a_primary_that_reads_has_what_was_written_and_is_not_waited_for(connect: Connect) -> None:
    connection = connect(primary_reads="always")
    cursor = connection.cursor()
    for turn in range(40):
        cursor.execute("INSERT INTO t (v) VALUES (%s)", (f"primary reads {turn}",))
        number = cursor.lastrowid
        assert scalar(connection, f"SELECT COUNT(*) FROM t WHERE id = {number}") == 1, connection.route
    statistics = connection.statistics()
    assert statistics.count("behind", "n1").times == 0
    assert statistics.statements["n1", "primary", "a plain read"] > 30, "and not for want of a replica"
