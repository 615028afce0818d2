"""Statements that leave something on one connection are not done on both."""

from __future__ import annotations

import pytest

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
