"""Where `replclus.connect` sends statements, in and out of transactions."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import ExitStack
from typing import get_args

import pytest

import replclus
from replclus.dbapi.mode import Balance
from tests.clusters import Cluster, eventually
from tests.integration.dbapi_world import Connect, cluster, connect, scalar

__all__ = ["cluster", "connect"]


def counted(cluster: Cluster, what: str) -> dict[str, int]:
    rows = {name: cluster.rows(name, f"SHOW GLOBAL STATUS LIKE 'Com_{what}'") for name in cluster.sandbox.names}
    return {name: int(found[0][1]) for name, found in rows.items()}


def grown(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {name: after[name] - before[name] for name in before}


class TestWhereStatementsGo:
    @pytest.mark.parametrize("autocommit", [True, False])
    def test_reads_are_even_and_writes_on_the_primary(self, cluster: Cluster, connect: Connect, autocommit: bool) -> None:
        """By the servers' own counters and logs. The watchers' questions are SELECTs too: a few dozen, and equal for all.

        Replicas count what they apply as Com_insert, so who was sent the INSERTs is read from their general logs.
        """
        connection = connect(autocommit=autocommit)
        logs = {name: cluster.sandbox.place(name).directory / f"general-{autocommit}.log" for name in cluster.sandbox.names}
        for name, log in logs.items():
            cluster.run(name, f"SET GLOBAL general_log_file = '{log}'", "SET GLOBAL general_log = ON")
        reads = counted(cluster, "select")
        with connection.cursor() as cursor:
            for number in range(1500):
                cursor.execute("SELECT %s + 1", (number,))
                connection.commit()
            for number in range(30):
                cursor.execute("INSERT INTO t (v) VALUES (%s)", (number,))
                connection.commit()
        read = grown(reads, counted(cluster, "select"))
        wrote = {name: log.read_text().count("INSERT INTO t ") for name, log in logs.items()}
        for name in cluster.sandbox.names:
            cluster.run(name, "SET GLOBAL general_log = OFF")
        share = sum(read[name] for name in ("n2", "n3", "n4")) / 3
        assert all(abs(read[name] - share) <= 0.1 * share for name in ("n2", "n3", "n4")), read
        assert read["n1"] < 300, read
        assert wrote == {"n1": 30, "n2": 0, "n3": 0, "n4": 0}

    def test_many_short_connections_are_even_together(self, connect: Connect) -> None:
        nodes: Counter[str] = Counter()
        for _ in range(90):
            connection = connect()
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
                nodes[cursor.route.node] += 1
            connection.close()
        assert set(nodes) == {"n2", "n3", "n4"}
        assert max(nodes.values()) - min(nodes.values()) <= 2, nodes

    def test_route(self, connect: Connect) -> None:
        connection = connect()
        cursor = connection.cursor()
        assert cursor.route is None
        cursor.execute("SELECT 1")
        assert (cursor.route.target, cursor.route.node in {"n2", "n3", "n4"}) == ("replica", True)
        cursor.execute("SELECT id FROM t FOR UPDATE")
        assert (cursor.route.node, cursor.route.target) == ("n1", "primary")
        other = connection.cursor()
        other.execute("SELECT 2")
        assert cursor.route.node == "n1", "a cursor remembers its own last statement"

    def test_arguments_do_not_change_the_route(self, connect: Connect) -> None:
        cursor = connect().cursor()
        cursor.execute("SELECT %s", ("x' FOR UPDATE -- ",))
        assert cursor.route.target == "replica"
        assert cursor.fetchall() == (("x' FOR UPDATE -- ",),)

    def test_hints(self, connect: Connect) -> None:
        cursor = connect().cursor()
        cursor.execute("SELECT 1 /* replclus: primary */")
        assert cursor.route.node == "n1"
        cursor.execute("SELECT @@port /* replclus: node=n3 */")
        assert cursor.route.node == "n3"
        with pytest.raises(replclus.StatementRefused, match="n9"):
            cursor.execute("SELECT 1 /* replclus: node=n9 */")

    def test_strong_reads_the_primary(self, connect: Connect) -> None:
        cursor = connect(consistency="strong").cursor()
        cursor.execute("SELECT 1")
        assert cursor.route.node == "n1"

    def test_bounded_without_a_watchdog_reads_the_primary(self, connect: Connect) -> None:
        """Nobody beats, so nobody knows how far behind a replica is."""
        cursor = connect(consistency="bounded", max_lag_ms=500).cursor()
        cursor.execute("SELECT 1")
        assert cursor.route.node == "n1"

    @pytest.mark.parametrize("balance", get_args(Balance))
    def test_every_balance(self, connect: Connect, balance: str) -> None:
        cursor = connect(balance=balance, consistency="eventual").cursor()
        nodes = set()
        # Fifty turns: the quicker of two at random might be the same one for ten.
        for _ in range(200):
            cursor.execute("SELECT 1")
            nodes.add(cursor.route.node)
        assert nodes <= {"n2", "n3", "n4"}
        assert len(nodes) > 1

    @pytest.mark.parametrize("statement", ["SET GLOBAL max_connections = 7", "SHUTDOWN", "RESET MASTER", "CLONE LOCAL"])
    def test_administration_is_refused(self, connect: Connect, statement: str) -> None:
        with pytest.raises(replclus.NotSupportedError):
            connect().cursor().execute(statement)


class TestTransactions:
    def test_an_explicit_transaction_stays_on_the_primary(self, connect: Connect) -> None:
        connection = connect()
        cursor = connection.cursor()
        connection.begin()
        nodes = []
        for sql in ("SELECT COUNT(*) FROM t", "INSERT INTO t (v) VALUES ('x')", "SELECT COUNT(*) FROM t", "COMMIT"):
            cursor.execute(sql)
            nodes.append(cursor.route.node)
        assert nodes == ["n1"] * 4
        cursor.execute("SELECT 1")
        assert cursor.route.target == "replica"

    def test_autocommit_off_moves_at_the_first_write(self, connect: Connect) -> None:
        connection = connect(autocommit=False)
        cursor = connection.cursor()
        cursor.execute("SELECT COUNT(*) FROM t")
        first = cursor.route.node
        cursor.execute("SELECT COUNT(*) FROM t")
        assert first == cursor.route.node != "n1", "a transaction of reads stays on one replica"
        cursor.execute("INSERT INTO t (v) VALUES ('moved')")
        assert cursor.route.node == "n1"
        cursor.execute("SELECT COUNT(*) FROM t WHERE v = 'moved'")
        assert (cursor.route.node, cursor.fetchone()[0] >= 1) == ("n1", True)
        connection.commit()
        cursor.execute("SELECT COUNT(*) FROM t WHERE v = 'moved'")
        assert (cursor.route.target, cursor.fetchone()[0] >= 1) == ("replica", True)

    def test_committing_reads_costs_the_primary_nothing(self, cluster: Cluster, connect: Connect) -> None:
        connection = connect(autocommit=False)
        before = counted(cluster, "commit"), counted(cluster, "rollback")
        for _ in range(20):
            scalar(connection, "SELECT COUNT(*) FROM t")
            connection.commit()
        assert grown(before[0], counted(cluster, "commit"))["n1"] == grown(before[1], counted(cluster, "rollback"))["n1"] == 0

    def test_split_transactions_can_be_turned_off(self, connect: Connect) -> None:
        connection = connect(autocommit=False, split_transactions=False)
        cursor = connection.cursor()
        cursor.execute("SELECT COUNT(*) FROM t")
        assert cursor.route.node == "n1"

    def test_read_only_transactions_run_on_one_replica(self, connect: Connect) -> None:
        cursor = connect().cursor()
        cursor.execute("START TRANSACTION READ ONLY")
        node = cursor.route.node
        for _ in range(100):
            cursor.execute("SELECT COUNT(*) FROM t")
            assert cursor.route.node == node != "n1"
        with pytest.raises(replclus.OperationalError) as refused:
            cursor.execute("INSERT INTO t (v) VALUES ('no')")
        assert refused.value.args[0] in (1290, 1792)
        cursor.execute("COMMIT")
        cursor.execute("INSERT INTO t (v) VALUES ('yes')")
        assert cursor.route.node == "n1"

    def test_rollback(self, connect: Connect) -> None:
        connection = connect(autocommit=False)
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO t (v) VALUES ('undone')")
        connection.rollback()
        assert scalar(connection, "SELECT COUNT(*) FROM t WHERE v = 'undone'") == 0

    def test_savepoints_with_autocommit_off(self, connect: Connect) -> None:
        connection = connect(autocommit=False)
        cursor = connection.cursor()
        cursor.execute("SELECT COUNT(*) FROM t")
        for sql in ("SAVEPOINT a", "INSERT INTO t (v) VALUES ('sp')", "ROLLBACK TO SAVEPOINT a", "RELEASE SAVEPOINT a"):
            cursor.execute(sql)
            assert cursor.route.node == "n1", sql
        connection.commit()
        assert scalar(connection, "SELECT COUNT(*) FROM t WHERE v = 'sp'") == 0

    def test_a_statement_that_failed_leaves_no_locks_behind_a_rollback(self, connect: Connect) -> None:
        failing, other = connect(autocommit=False), connect()
        cursor = failing.cursor()
        other.cursor().execute("REPLACE INTO t (id, v) VALUES (4000, 'taken')")
        with pytest.raises(replclus.IntegrityError):
            cursor.execute("INSERT INTO t (id, v) VALUES (4000, 'again')")
        failing.rollback()
        writer = other.cursor()
        writer.execute("SET SESSION innodb_lock_wait_timeout = 1")
        writer.execute("UPDATE t SET v = 'free' WHERE id = 4000")
        assert writer.rowcount == 1

    def test_a_mistake_does_not_bind_to_the_primary(self, connect: Connect) -> None:
        connection = connect(autocommit=False)
        with pytest.raises(replclus.ProgrammingError):
            connection.cursor().execute("SELEC 1")
        assert connection.route is not None and connection.route.node == "n1"
        scalar(connection, "SELECT COUNT(*) FROM t")
        assert connection.route.target == "replica"

    def test_a_read_that_failed_leaves_no_snapshot_behind_a_commit(self, connect: Connect) -> None:
        reader, writer = connect(autocommit=False), connect()
        writer.cursor().executemany("INSERT INTO t (v) VALUES (%s)", [("a",), ("b",)])
        with pytest.raises(replclus.OperationalError, match="more than 1 row"):
            scalar(reader, "SELECT (SELECT id FROM t WHERE id > 0)")
        reader.commit()
        cursor = reader.cursor()
        cursor.execute("INSERT INTO t (v) VALUES ('mine')")
        number = cursor.lastrowid
        reader.commit()
        assert scalar(reader, f"SELECT COUNT(*) FROM t WHERE id = {number}") == 1

    def test_a_closed_connection_commits_nothing(self, connect: Connect) -> None:
        connection = connect(autocommit=False)
        connection.cursor().execute("INSERT INTO t (v) VALUES ('never')")
        connection.close()
        assert scalar(connect(), "SELECT COUNT(*) FROM t WHERE v = 'never' FOR UPDATE") == 0

    def test_set_autocommit_by_statement(self, connect: Connect) -> None:
        connection = connect()
        cursor = connection.cursor()
        cursor.execute("SET autocommit = 0")
        assert not connection.get_autocommit()
        cursor.execute("INSERT INTO t (v) VALUES ('by statement')")
        connection.rollback()
        connection.autocommit(True)
        assert scalar(connection, "SELECT COUNT(*) FROM t WHERE v = 'by statement'") == 0


def test_a_table_that_the_replica_is_redefining_is_asked_about_again(cluster: Cluster, connect: Connect) -> None:
    """A reader on each replica holds up what was renamed on the primary, for less than the second that a read has patience.

    Meanwhile both families answer 1684 to a DESCRIBE in a transaction, about the tables that are locked already. They are
    locked in the order of their names.
    """
    cluster.run("n1", "CREATE TABLE app.looked_at (id INT)", "CREATE TABLE app.read_now (id INT)")
    connection = connect(autocommit=False)
    for name in cluster.sandbox.names[1:]:
        eventually(lambda name=name: cluster.rows(name, "SHOW TABLES FROM app LIKE 'read_now'"), "the tables are there")  # type: ignore[misc]
    with ExitStack() as busy, connection.cursor() as cursor:
        holders = [busy.enter_context(cluster.connect(name, autocommit=False)) for name in cluster.sandbox.names[1:]]
        for holder in holders:
            holder.query("SELECT * FROM app.read_now")
        cursor.execute("SELECT COUNT(*) FROM t")
        on = cursor.route.node
        assert on != "n1"
        renames = "RENAME TABLE app.looked_at TO app.elsewhere, app.elsewhere TO app.looked_at, app.read_now TO app.was_read"
        cluster.run("n1", renames)
        waiting = "SELECT 1 FROM information_schema.processlist WHERE state LIKE 'Waiting for table metadata lock'"
        eventually(lambda: cluster.rows(on, waiting), "the replica waits for its reader")
        letting_go = threading.Timer(0.4, lambda: [holder.rollback() for holder in holders])
        letting_go.start()
        cursor.execute("DESCRIBE looked_at")
        assert cursor.fetchall()[0][0] == "id"
        assert cursor.route.node == on
        letting_go.join()
