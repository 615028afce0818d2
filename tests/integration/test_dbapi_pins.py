"""Statements that leave something on one connection are not done on both."""

from __future__ import annotations

import pytest

import replclus
from tests.clusters import Cluster
from tests.integration.dbapi_world import Connect, cluster, connect

__all__ = ["cluster", "connect"]


@pytest.mark.parametrize(
    "sql",
    ["SET @a = NOW(6)", "SET insert_id = 500000", "SET time_zone = (SELECT '+00:00')", "SET timestamp = UNIX_TIMESTAMP()"],
)
def test_a_value_that_one_connection_knows_is_set_on_the_primary(connect: Connect, sql: str) -> None:
    connection = connect(consistency="eventual")
    cursor = connection.cursor()
    cursor.execute("SELECT COUNT(*) FROM t")
    assert cursor.route.target == "replica"
    cursor.execute(sql)
    assert cursor.route.target == "primary"
    cursor.execute("SELECT COUNT(*) FROM t")
    assert cursor.route.target == "primary"


def test_reading_a_user_variable_does_not_bind_the_session(connect: Connect) -> None:
    connection = connect(consistency="eventual")
    cursor = connection.cursor()
    cursor.execute("SET @a = 5")
    cursor.execute("SELECT @a")
    assert (cursor.fetchone()[0], cursor.route.target) == (5, "primary")
    cursor.execute("SELECT COUNT(*) FROM t")
    assert cursor.route.target == "replica"


def test_autocommit_among_other_variables_is_noticed(connect: Connect) -> None:
    connection = connect(consistency="eventual")
    cursor = connection.cursor()
    cursor.execute("SET autocommit = 0, time_zone = '+00:00'")
    assert connection.get_autocommit() is False
    cursor.execute("SELECT COUNT(*) FROM t")
    cursor.execute("INSERT INTO t (v) VALUES ('not committed')")
    connection.rollback()
    cursor.execute("SELECT COUNT(*) FROM t WHERE v = 'not committed'")
    assert cursor.fetchone()[0] == 0


@pytest.mark.parametrize(
    ("begins", "ends"),
    [
        (["CREATE TEMPORARY TABLE mine (a INT)"], ["DROP TEMPORARY TABLE mine"]),
        (["CREATE TEMPORARY TABLE `app`.`Mine` (a INT)", "USE app"], ["DROP TABLE IF EXISTS absent, app.Mine"]),
        (["LOCK TABLES t READ"], ["UNLOCK TABLES"]),
        (["LOCK TABLES t READ"], ["BEGIN", "COMMIT"]),
        (["SELECT GET_LOCK('pin', 0)", "SELECT GET_LOCK('pin', 0)"], ["SELECT RELEASE_LOCK('pin')"] * 2),
        (["SELECT GET_LOCK('one', 0)", "SELECT GET_LOCK('two', 0)"], ["DO RELEASE_ALL_LOCKS()"]),
        (["HANDLER t OPEN AS h"], ["HANDLER h CLOSE"]),
        (["PREPARE p FROM 'SELECT 1'", "EXECUTE p"], ["DEALLOCATE PREPARE p"]),
        (["SELECT @n := 5"], ["SET @n = 7"]),
        (["SELECT 5 INTO @n"], ["SET @n = NULL"]),
        (["SET insert_id = 700000"], ["INSERT INTO t (v) VALUES ('the next write')"]),
        (["XA START 'x'", "XA END 'x'"], ["XA ROLLBACK 'x'"]),
    ],
)
def test_a_session_is_bound_as_long_as_it_holds_something(connect: Connect, begins: list[str], ends: list[str]) -> None:
    connection = connect()
    cursor = connection.cursor()
    for sql in begins:
        cursor.execute(sql)
        cursor.fetchall()
    for number, sql in enumerate(ends):
        explained = connection.explain("SELECT COUNT(*) FROM t")
        assert explained.target == "primary", (number, explained)
        cursor.execute(sql)
        cursor.fetchall()
    cursor.execute("SELECT COUNT(*) FROM t")
    assert cursor.route.target == "replica"


def test_a_lock_that_was_not_got_binds_nothing(connect: Connect) -> None:
    owner, other = connect().cursor(), connect().cursor()
    owner.execute("SELECT GET_LOCK('taken', 0)")
    other.execute("SELECT GET_LOCK('taken', 0)")
    assert other.fetchone()[0] == 0
    other.execute("SELECT 1")
    assert other.route.target == "replica"
    owner.execute("SELECT 1")
    assert owner.route.target == "primary"


def test_what_is_held_is_named_when_it_is_lost(cluster: Cluster, connect: Connect) -> None:
    connection = connect()
    cursor = connection.cursor()
    cursor.execute("CREATE TEMPORARY TABLE mine (a INT)")
    cluster.run("n1", f"KILL {connection.thread_id()}")
    with pytest.raises(replclus.SessionLost, match=r"temporary table app\.mine"):
        cursor.execute("SELECT * FROM mine")
    cursor.execute("SELECT 1")
    assert cursor.route.target == "replica", "and then it is no longer held"


class TestReadOnlyTransactions:
    """They run on a replica, where some questions would be answered wrongly without an error."""

    @pytest.mark.parametrize(
        ("sql", "answer"),
        [
            ("SELECT GET_LOCK('ro', 0)", 1),
            ("SELECT LAST_INSERT_ID() > 0", 1),
            ("SELECT @x := 6", 6),
            ("SELECT COUNT(*) > 0 FROM t LOCK IN SHARE MODE", 1),
        ],
    )
    def test_they_begin_on_the_primary_if_nothing_was_shown(self, connect: Connect, sql: str, answer: int) -> None:
        cursor = connect().cursor()
        cursor.execute("INSERT INTO t (v) VALUES ('one')")
        cursor.execute("START TRANSACTION READ ONLY")
        cursor.execute(sql)
        assert (cursor.fetchone()[0], cursor.route.node) == (answer, "n1")
        with pytest.raises(replclus.OperationalError) as refused:
            cursor.execute("INSERT INTO t (v) VALUES ('two')")
        assert refused.value.args[0] == 1792, "it is READ ONLY there too"
        cursor.execute("COMMIT")

    def test_they_are_refused_if_something_was(self, connect: Connect) -> None:
        cursor = connect().cursor()
        cursor.execute("START TRANSACTION READ ONLY")
        cursor.execute("SELECT COUNT(*) FROM t")
        assert cursor.route.target == "replica"
        with pytest.raises(replclus.StatementRefused, match="READ ONLY transaction has read from a replica"):
            cursor.execute("SELECT GET_LOCK('ro', 0)")
        cursor.execute("SELECT COUNT(*) FROM t")
        cursor.execute("COMMIT")
        cursor.execute("SELECT GET_LOCK('ro', 0)")
        assert cursor.fetchone()[0] == 1
