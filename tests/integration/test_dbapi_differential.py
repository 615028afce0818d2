"""The same random programs on one server through PyMySQL, and on a cluster through replclus: the answers must be the same.

Every program is a seeded sequence of what applications do with a session: writes, reads, transactions, temporary tables, locks,
variables, prepared statements, questions about the statement before. Both connections talk to the same cluster, in schemas of
their own; the plain one to the primary only.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pymysql
import pytest
from pymysql.cursors import SSCursor

import replclus
from tests.clusters import Cluster, eventually
from tests.integration.dbapi_world import account, cluster

__all__ = ["cluster"]

STEPS = 80
# More of them: SESSIONS=2000 pytest tests/integration/test_dbapi_differential.py
SEEDS = int(os.environ.get("SESSIONS", "40"))
SCHEMAS = ("plain", "routed")
_SETUP = (
    "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, a INT UNIQUE, v VARCHAR(10))",
    "CREATE TABLE u (id INT PRIMARY KEY, n INT NOT NULL)",
    "CREATE FUNCTION changes(x INT) RETURNS INT MODIFIES SQL DATA BEGIN UPDATE u SET n = n + x; RETURN x; END",
    "CREATE FUNCTION looks(x INT) RETURNS INT READS SQL DATA RETURN (SELECT COUNT(*) + x FROM u)",
    "CREATE PROCEDURE answers(x INT) BEGIN SELECT x; SELECT x + 1, x + 2; END",
)

Answer = tuple[Any, ...]
Step = tuple[str, Callable[["Side"], Answer]]


class Side:
    """One of the two connections, with the schema it works in."""

    def __init__(self, connection: Any, schema: str) -> None:
        self.connection, self.schema = connection, schema
        self.cursor = connection.cursor()

    def run(self, sql: str, args: Sequence[object] | None = None) -> Answer:
        """Everything that an application sees of one statement."""
        cursor = self.cursor
        try:
            cursor.execute(sql.replace("SCHEMA", self.schema), args)
            rows = [cursor.fetchall()]
            while cursor.nextset():
                rows.append(cursor.fetchall())
        except pymysql.err.MySQLError as error:
            return "error", type(error).__name__, error.args[0]
        return rows, cursor.rowcount, cursor.lastrowid, cursor.warning_count

    def call(self, name: str, *args: object) -> Answer:
        """A method of the connection."""
        try:
            getattr(self.connection, name)(*args)
        except pymysql.err.MySQLError as error:
            return "error", type(error).__name__, error.args[0]
        return (self.connection.get_autocommit(),)

    def stream(self, sql: str, rows: int) -> Answer:
        """Read some rows of an unbuffered result, and leave the others."""
        cursor = self.connection.cursor(SSCursor)
        try:
            cursor.execute(sql)
            return tuple(cursor.fetchmany(rows))
        finally:
            cursor.close()


def _sql(*statements: str) -> list[Step]:
    return [(sql, lambda side, sql=sql: side.run(sql)) for sql in statements]  # type: ignore[misc]


def _with(sql: str, *args: object) -> list[Step]:
    return [(f"{sql} {args}", lambda side: side.run(sql, args))]


def _call(name: str, *args: object) -> list[Step]:
    return [(f"{name}{args}", lambda side: side.call(name, *args))]


def steps(dice: random.Random, chosen: random.Random) -> list[Step]:
    """One thing to do, which may take several statements. What answers differently on its own (plans, times) is left out.

    `chosen` begins every time with the program's own seed, and picks the few kinds of things that the program does: a
    session that does a little of everything is pinned to the primary most of the time.
    """
    n, word = dice.randrange(100), dice.choice(["x", "it's", 'q"', "ß", "back\\slash", "%s", ""])
    choices: list[Callable[[], list[Step]]] = [
        lambda: _with("INSERT INTO t (a, v) VALUES (%s, %s)", n, word),
        lambda: _with("INSERT INTO t (a, v) VALUES (%s, %s), (%s, %s)", n + 100, word, n + 200, word),
        lambda: _with("INSERT INTO t (id, a) VALUES (%s, %s) ON DUPLICATE KEY UPDATE v = %s", 1000 + n, 300 + n, word),
        lambda: _with("INSERT IGNORE INTO t (a) VALUES (%s)", n),
        lambda: _with("UPDATE t SET v = %s WHERE a < %s", word, n),
        lambda: _with("DELETE FROM t WHERE a = %s", n),
        lambda: _with("REPLACE INTO u VALUES (%s, %s)", n % 5, n),
        lambda: _sql(f"INSERT INTO u VALUES ({n % 5}, LAST_INSERT_ID()) ON DUPLICATE KEY UPDATE n = LAST_INSERT_ID(n + 1)"),
        lambda: _sql("SELECT * FROM t ORDER BY id", "SELECT FOUND_ROWS()"),
        lambda: _sql("SELECT SQL_CALC_FOUND_ROWS id FROM t ORDER BY id LIMIT 1", "SELECT FOUND_ROWS()"),
        lambda: _with("SELECT * FROM u WHERE id = %s", n % 5),
        lambda: _sql("SELECT COUNT(*), MAX(a) FROM t FOR UPDATE"),
        lambda: _sql("SELECT LAST_INSERT_ID()"),
        lambda: _sql(f"UPDATE u SET n = {n}", "SELECT ROW_COUNT()"),
        lambda: _sql("SELECT 1 UNION SELECT 2", "SELECT ROW_COUNT()"),
        lambda: _sql("SELECT 1 / 0, CAST('x' AS SIGNED)", "SHOW WARNINGS"),
        lambda: _sql("INSERT IGNORE INTO t (v) VALUES ('far too long for it')", "SHOW WARNINGS", "SELECT @@warning_count"),
        lambda: _sql("SELECT nothing FROM t", "SHOW ERRORS"),
        lambda: _sql("DROP TABLE IF EXISTS absent", "SHOW WARNINGS"),
        # Transactions.
        lambda: _sql("BEGIN"),
        lambda: _sql(
            "START TRANSACTION READ ONLY",
            "SELECT COUNT(*) FROM t",
            "INSERT INTO u VALUES (9, 9)",
            "SELECT COUNT(*) FROM u",
            "COMMIT",
        ),
        lambda: _sql("COMMIT"),
        lambda: _sql("ROLLBACK"),
        lambda: _sql("SAVEPOINT s", f"UPDATE u SET n = n + {n}", "ROLLBACK TO s", "SELECT * FROM u ORDER BY id"),
        lambda: _sql(f"SET autocommit = {n % 2}", "SELECT @@autocommit"),
        lambda: _call("begin"),
        lambda: _call("commit"),
        lambda: _call("rollback"),
        lambda: _call("autocommit", bool(n % 2)),
        lambda: _sql("SELECT COUNT(*) FROM t", "START TRANSACTION READ ONLY", "SELECT LAST_INSERT_ID()", "SELECT @a", "COMMIT"),
        lambda: _sql("COMMIT", "SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "SELECT COUNT(*) FROM t"),
        lambda: _sql("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SELECT COUNT(*) FROM t"),
        lambda: _sql("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"),
        lambda: _sql("TRUNCATE TABLE u"),
        lambda: _sql("ALTER TABLE u COMMENT = 'commits'"),
        # The session.
        lambda: _sql(f"SET @a = {n}", "SELECT @a"),
        lambda: _sql("SELECT @a := 7", "SELECT @a + 1", "SET @b = @a", "SELECT @b"),
        lambda: _sql("SELECT MAX(id) INTO @m FROM t", "SELECT @m"),
        lambda: _sql("INSERT INTO u VALUES (7, 7) ON DUPLICATE KEY UPDATE n = @a", "SELECT * FROM u ORDER BY id"),
        lambda: _sql(f"SET time_zone = '+0{n % 9}:00'", "SELECT @@time_zone, FROM_UNIXTIME(0)"),
        lambda: _sql(f"SET sql_mode = '{dice.choice(MODES)}'", 'SELECT "a"', "SELECT 'a\\\\b'"),
        lambda: _with("SELECT %s, %s", word, n),
        lambda: _sql(f"SET NAMES {dice.choice(['utf8mb4', 'latin1'])}", "SELECT @@character_set_client"),
        lambda: _sql("USE app", "SELECT 1", "SELECT COUNT(*) FROM SCHEMA.t", "USE SCHEMA"),
        lambda: [("select_db", lambda side: side.call("select_db", side.schema))],
        # What lives on one connection.
        lambda: _sql("CREATE TEMPORARY TABLE IF NOT EXISTS mine AS SELECT * FROM t", "SELECT COUNT(*) FROM mine"),
        lambda: _sql("SELECT * FROM mine ORDER BY id", "INSERT INTO mine (a) VALUES (1)"),
        lambda: _sql("DROP TEMPORARY TABLE IF EXISTS mine", "SELECT COUNT(*) FROM t"),
        lambda: _lock("SELECT GET_LOCK(%s, 0)", "SELECT IS_USED_LOCK(%s) = CONNECTION_ID()"),
        lambda: _lock("SELECT RELEASE_LOCK(%s)", "SELECT IS_FREE_LOCK(%s)"),
        lambda: _sql("SELECT RELEASE_ALL_LOCKS()"),
        lambda: _sql("PREPARE p FROM 'SELECT COUNT(*) FROM t WHERE a > ?'", "EXECUTE p USING @a"),
        lambda: _sql("EXECUTE p USING @a"),
        lambda: _sql("DEALLOCATE PREPARE p"),
        lambda: _sql("LOCK TABLES t WRITE, u READ", "SELECT COUNT(*) FROM t", "UPDATE u SET n = 1", "UNLOCK TABLES"),
        lambda: _sql("HANDLER t OPEN", "HANDLER t READ FIRST", "HANDLER t CLOSE"),
        # Programs and several results.
        lambda: _sql("SELECT looks(1)", "SELECT changes(1)", "SELECT * FROM u ORDER BY id"),
        lambda: _sql(f"CALL answers({n})"),
        lambda: [("stream", lambda side: side.stream("SELECT id FROM t ORDER BY id", n % 4))],
    ]
    return dice.choice(chosen.sample(choices, 16))()


MODES = ("", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "STRICT_ALL_TABLES,NO_ZERO_DATE", "ANSI", "ONLY_FULL_GROUP_BY")


def _lock(*statements: str) -> list[Step]:
    """User locks are the server's, not the schema's: each side has its own."""
    return [(sql, lambda side, sql=sql: side.run(sql, (side.schema,))) for sql in statements]  # type: ignore[misc]


@pytest.fixture(scope="module")
def schemas(cluster: Cluster) -> Iterator[Cluster]:
    for name in cluster.sandbox.names:
        cluster.run(name, "SET GLOBAL log_bin_trust_function_creators = 1")
    for schema in SCHEMAS:
        cluster.run("n1", f"CREATE DATABASE {schema}", f"GRANT ALL ON {schema}.* TO app@localhost")
        with cluster.connect("n1", database=schema) as root, root.cursor() as cursor:
            for statement in _SETUP:
                cursor.execute(statement)
    asked = "SELECT COUNT(*) FROM information_schema.routines WHERE routine_schema = 'routed'"
    eventually(lambda: all(cluster.rows(name, asked) == ((3,),) for name in cluster.sandbox.names), "all have the schemas")
    return cluster


def test_sessions_answer_as_on_one_server(schemas: Cluster) -> None:
    place = schemas.sandbox.place("n1")
    for seed in range(SEEDS):
        access = {**account(schemas), "autocommit": seed % 2 == 0, "charset": "utf8mb4"}
        reads = ("never", "always", "when_idle")[seed % 3]
        tracked = {"track_outcome": seed % 4 == 3}
        routed = Side(replclus.connect(**{**access, "database": "routed"}, primary_reads=reads, **tracked), "routed")
        del access["cluster"]
        plain = Side(pymysql.connect(unix_socket=str(place.socket), **{**access, "database": "plain"}), "plain")
        for table in "tu":
            assert plain.run(f"TRUNCATE TABLE {table}") == routed.run(f"TRUNCATE TABLE {table}")
        _compare(seed, plain, routed, about_the_last=not tracked["track_outcome"])
        routed.connection.close()
        plain.connection.close()


def _anonymous(answer: Any) -> Any:
    """Without the names of the schemas, which messages hold."""
    if isinstance(answer, str):
        return answer.replace("plain", "SCHEMA").replace("routed", "SCHEMA")
    return type(answer)(map(_anonymous, answer)) if isinstance(answer, list | tuple) else answer


def _compare(seed: int, plain: Side, routed: Side, *, about_the_last: bool) -> None:
    """`about_the_last`: ask about the statement before, too. Behind a tracked write that is its COMMIT (docs/consistency.md)."""
    dice, done = random.Random(seed), []  # noqa: S311
    while len(done) < STEPS:
        for name, step in steps(dice, random.Random(seed)):  # noqa: S311
            if not about_the_last and any(word in name for word in ("ROW_COUNT", "WARNINGS", "ERRORS", "warning_count")):
                continue
            expected, found = _anonymous(step(plain)), _anonymous(step(routed))
            done.append(f"{name}  ->  {routed.connection.route and routed.connection.route.node}")
            assert found == expected, f"seed {seed}, after\n  " + "\n  ".join(done)
