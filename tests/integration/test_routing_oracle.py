"""Real read-only servers judge the classifier: whatever it lets go to a replica must run there and leave no trace."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pymysql
import pytest
from pymysql.constants import CLIENT, SERVER_STATUS

from replclus.model.spec import Flavour
from replclus.routing import SqlMode, Target, classify
from replclus.routing.functions import BUILT_IN as SAFE
from replclus.routing.functions import NOT_CALLS
from replclus.routing.wordlist import words
from tests.conftest import RunningServer
from tests.fuzz.routing import inputs
from tests.unit.routing_corpus import Labelled, corpus, variants

_SCHEMA = Path(__file__).parent.parent / "unit" / "corpus" / "schema.sql"
# Read only, and the ways in which servers say so.
_REFUSED = {1290, 1792, 1836}
_NO_SUCH_FUNCTION = {1305, 1630}
# Functions of other supported versions than the one at hand.
_ELSEWHERE = {
    Flavour.MYSQL: {"MD5", "SHA", "SHA1"},
    Flavour.MARIADB: words(
        """
        FORMAT_BYTES JSON_ARRAY_INTERSECT JSON_KEY_VALUE JSON_OBJECT_FILTER_KEYS JSON_OBJECT_TO_ARRAY JSON_SCHEMA_VALID KDF
        ST_COLLECT ST_GEOHASH ST_ISVALID ST_LATFROMGEOHASH ST_LONGFROMGEOHASH ST_POINTFROMGEOHASH ST_SIMPLIFY ST_VALIDATE
        UUID_V4 UUID_V7 VEC_DISTANCE VEC_DISTANCE_COSINE VEC_DISTANCE_EUCLIDEAN VEC_FROMTEXT VEC_TOTEXT
        """
    ),
}


@pytest.fixture(scope="module")
def replica(module_server: RunningServer) -> RunningServer:
    """A read-only server with the schema of the corpus, and an application's account that cannot write to it."""
    writable = ["SET GLOBAL read_only = 0"]
    if module_server.flavour is Flavour.MYSQL:
        writable += ["SET GLOBAL super_read_only = 0", "SET GLOBAL log_bin_trust_function_creators = 1"]
    schema = [line.rstrip(";") for line in _SCHEMA.read_text().splitlines() if not line.startswith("--")]
    module_server.run(
        *writable,
        "CREATE DATABASE app",
        "CREATE USER reader@localhost IDENTIFIED BY 'reader'",
        "GRANT ALL ON app.* TO reader@localhost",
        "USE app",
        *schema,
        "SET GLOBAL read_only = 1",
    )
    return module_server


@contextmanager
def _reader(server: RunningServer) -> Iterator[pymysql.cursors.Cursor]:
    options: dict[str, Any] = {"user": "reader", "password": "reader", "database": "app"}
    with server.connect(client_flag=CLIENT.MULTI_STATEMENTS, **options) as connection, connection.cursor() as cursor:
        yield cursor


def _in_transaction(cursor: pymysql.cursors.Cursor) -> bool:
    status: int = cursor.connection.server_status  # type: ignore[attr-defined]
    return bool(status & SERVER_STATUS.SERVER_STATUS_IN_TRANS)


def _position(server: RunningServer) -> object:
    return server.run("SHOW MASTER STATUS" if server.flavour is Flavour.MARIADB else "SHOW BINARY LOG STATUS")


def _filled(sql: str) -> str:
    """A template with all its parameters filled in, as PyMySQL does it."""
    return re.sub(r"(?<!%)%(?:\(\w+\))?s", "1", sql).replace("%%", "%")


def _reads(flavour: Flavour) -> list[Labelled]:
    """Of all labelled statements, those the classifier lets go to a replica, whatever their label."""
    return [
        one
        for one in corpus()
        if one.flavour is flavour and classify(one.sql, flavour=flavour, sql_mode=one.mode).target is Target.REPLICA
    ]


def _run(cursor: pymysql.cursors.Cursor, sql: str) -> int:
    """The server's error number, or 0."""
    try:
        cursor.execute(sql)
        while cursor.nextset():
            pass
    except pymysql.err.Error as error:
        return int(error.args[0])
    return 0


# What a session counts or measures by itself, and the mode that the tests set.
_RESTLESS = {
    "timestamp",
    "statement_id",
    "sql_mode",
    "warning_count",
    "error_count",
    "rand_seed1",
    "rand_seed2",
    "pseudo_thread_id",
}
_SENTINEL = 4711
# Every user variable that the corpus names anywhere, quoted or not.
_VARIABLES = sorted({name for one in corpus() for name in re.findall(r"(?<!@)@([A-Za-z]\w*)", one.sql)} | {"a b"})


def _session(cursor: pymysql.cursors.Cursor) -> dict[str, object]:
    """All that a session keeps from one statement to the next and its server shows."""
    cursor.execute("SET SESSION sql_mode = ''")
    cursor.execute("SHOW SESSION VARIABLES")
    kept: dict[str, object] = {name: value for name, value in cursor.fetchall() if name not in _RESTLESS}
    for what in ("LAST_INSERT_ID()", "DATABASE()", "@@autocommit", *(f"@`{name}`" for name in _VARIABLES)):
        cursor.execute(f"SELECT {what}")
        (kept[what],) = cursor.fetchone() or ("",)
    # The answer is how many were held, and it holds none afterwards.
    cursor.execute("SELECT RELEASE_ALL_LOCKS()")
    (kept["named locks"],) = cursor.fetchone() or ("",)
    return kept


def _kept_by_server(server: RunningServer) -> list[object]:
    """What sessions leave in a server: in its binlog, prepared statements, transactions."""
    prepared = server.run("SHOW GLOBAL STATUS LIKE 'Prepared_stmt_count'")
    return [_position(server), prepared, server.run("SELECT COUNT(*) FROM information_schema.innodb_trx")]


def _changed(before: dict[str, object], after: dict[str, object]) -> dict[str, object]:
    return {
        name: (before.get(name), after.get(name)) for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    }


@contextmanager
def _leaving_no_trace(replica: RunningServer) -> Iterator[pymysql.cursors.Cursor]:
    """A session in which nothing may stay: neither in it, nor in its server, nor in the binlog."""
    with _reader(replica) as cursor:
        cursor.execute(f"SELECT LAST_INSERT_ID({_SENTINEL})")
        server, session = _kept_by_server(replica), _session(cursor)
        assert session["LAST_INSERT_ID()"] == _SENTINEL
        yield cursor
        assert _changed(session, _session(cursor)) == {}
        assert _kept_by_server(replica) == server


def test_what_goes_to_a_replica_leaves_no_trace(replica: RunningServer) -> None:
    reads = _reads(replica.flavour)
    with _leaving_no_trace(replica) as cursor:
        for one in reads:
            cursor.execute("SET SESSION sql_mode = %s", (one.mode,))
            # A statement of the corpus that no server understands would prove nothing.
            assert _run(cursor, _filled(one.sql)) == 0, one
            assert not _in_transaction(cursor), one
    assert len(reads) > 200


def test_nor_does_it_however_it_is_written(replica: RunningServer) -> None:
    """The variants of all labelled statements, those in executable comments among them, that are let go."""
    ran = 0
    with _leaving_no_trace(replica) as cursor:
        for one in corpus():
            if one.flavour is not replica.flavour:
                continue
            cursor.execute("SET SESSION sql_mode = %s", (one.mode,))
            for how, sql in variants(one):
                if classify(sql, flavour=one.flavour, sql_mode=one.mode).target is Target.REPLICA:
                    answer = _run(cursor, _filled(sql))
                    assert answer not in _REFUSED, (how, sql)
                    assert not _in_transaction(cursor), (how, sql)
                    ran += answer == 0
    assert ran > 2000


@pytest.mark.parametrize("seed", [11, 12])
def test_nor_do_mutants(replica: RunningServer, seed: int) -> None:
    """Of what fuzzing makes of the corpus, whatever is let go."""
    ran = 0
    with _leaving_no_trace(replica) as cursor:
        for one in islice(inputs(seed), 12_000):
            sql = one.sql
            if one.flavour is not replica.flavour or re.search("sleep|benchmark", sql, re.IGNORECASE) or not _sendable(sql):
                continue
            found = classify(sql, flavour=one.flavour, sql_mode=one.mode)
            if found.target is not Target.REPLICA or found.hint is not None:
                continue
            if _run(cursor, f"SET SESSION sql_mode = '{one.mode}'"):
                continue
            answer = _run(cursor, _filled(sql))
            assert answer not in _REFUSED, one
            assert not _in_transaction(cursor), one
            ran += answer == 0
    assert ran > 150


def _sendable(sql: str) -> bool:
    return not re.search("[\ud800-\udfff]", sql)


def test_what_goes_to_a_replica_takes_no_row_locks(replica: RunningServer) -> None:
    ran = 0
    with _reader(replica) as cursor:
        cursor.execute("START TRANSACTION")
        for one in _reads(replica.flavour):
            cursor.execute("SET SESSION sql_mode = %s", (one.mode,))
            for sql in (one.sql, *(sql for how, sql in variants(one) if "executable" in how or "parentheses" in how)):
                _run(cursor, _filled(sql))
                assert _in_transaction(cursor), one
                ran += 1
        # The server renews this view at most ten times a second.
        time.sleep(0.3)
        locks = replica.run("SELECT trx_rows_locked, trx_tables_locked FROM information_schema.innodb_trx")
    assert ran > 600
    assert locks and all((rows, tables) == (0, 0) for rows, tables in locks), locks


def test_the_oracle_would_notice_locks(replica: RunningServer) -> None:
    with _reader(replica) as cursor:
        cursor.execute("START TRANSACTION")
        cursor.execute("SELECT id FROM t LOCK IN SHARE MODE")
        time.sleep(0.3)
        locks = replica.run("SELECT trx_rows_locked, trx_tables_locked FROM information_schema.innodb_trx")
    assert any(tables for _, tables in locks)


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("SELECT @a := 1", "@`a`"),
        ("SELECT 1 INTO @v", "@`v`"),
        ("SELECT GET_LOCK('x', 0)", "named locks"),
        ("SELECT LAST_INSERT_ID(5)", "LAST_INSERT_ID()"),
        ("SET time_zone = '+01:00'", "time_zone"),
        ("USE information_schema", "DATABASE()"),
    ],
)
def test_the_oracle_would_notice_what_a_session_keeps(replica: RunningServer, sql: str, what: str) -> None:
    with _reader(replica) as cursor:
        before = _session(cursor)
        assert _run(cursor, sql) == 0
        assert what in _changed(before, _session(cursor))


def test_the_oracle_can_tell(replica: RunningServer) -> None:
    """Writes are refused, so a write taken for a read would have been noticed."""
    with _reader(replica) as cursor:
        for sql in ("INSERT INTO u VALUES (9, 9, 'x')", "SELECT fw(1)", "CREATE TABLE x (id INT)"):
            assert _run(cursor, sql) in _REFUSED, sql


def test_a_procedure_writes_even_where_it_must_not(replica: RunningServer) -> None:
    """The reason why no CALL leaves the primary: it runs with its owner's rights, which read_only does not stop."""
    before = _position(replica)
    with _reader(replica) as cursor:
        assert _run(cursor, "CALL p()") == 0
    assert _position(replica) != before


def test_built_in_functions_are_built_in(replica: RunningServer) -> None:
    """No name on the list is looked up among the stored functions, so none can hide a write."""
    flavour = replica.flavour
    names = SAFE[flavour] | NOT_CALLS[flavour]
    stored = set()
    with _reader(replica) as cursor:
        for name in sorted(names - {"SLEEP", "BENCHMARK"}):
            if any(_run(cursor, f"SELECT {name}({arguments})") in _NO_SUCH_FUNCTION for arguments in ("", "1", "1, 1")):
                stored.add(name)
    assert stored == _ELSEWHERE[flavour]


# ␣ is a blank, ␤ a line break. What is meant to come up more often is there more often.
_FRAGMENTS = r"""
/* */ /*! /*!99999␣ /*!50000␣ /*!50701␣ /*M!␣ /*M!100100␣ /*+␣ ' ' " " ` ` -- --␣ # ␤ ␣ ␣ \ '' \' fw(1) fw(1) fw(1) + - * /
1 1e1 1. .5 'a' "b" id app. t. ( ) , FROM␣t AS␣x N _utf8mb4 % $$ { } @ é 0x b UNION␣SELECT app.fw(1) `fw`(1) now() NOW␣() ␣or␣ IN
"""
_MODES = ("", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES", "IGNORE_SPACE")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_lexer_and_the_server_agree_on_what_is_quoted(replica: RunningServer, seed: int) -> None:
    """Quotes and comments thrown together with a function that writes: where the server calls it, the lexer must see it."""
    chance = random.Random(seed)  # noqa: S311
    fragments = [fragment.replace("␣", " ").replace("␤", "\n") for fragment in _FRAGMENTS.split()]
    wrote = ran = 0
    with _reader(replica) as cursor:
        for mode in _MODES:
            cursor.execute("SET SESSION sql_mode = %s", (mode,))
            for _ in range(2000):
                sql = "SELECT 1 " + "".join(chance.choice(fragments) for _ in range(chance.randint(1, 9)))
                found = classify(sql, flavour=replica.flavour, sql_mode=SqlMode.parse(mode))
                answer = _run(cursor, sql)
                assert answer not in _REFUSED or found.target is Target.PRIMARY, (seed, mode, sql, found)
                wrote += answer in _REFUSED
                ran += answer == 0 and found.target is Target.REPLICA
    assert wrote and ran, "the fragments no longer make statements that servers run"
