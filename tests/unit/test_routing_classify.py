"""What a verdict says besides its target: the kind, what pins, what may be sent twice, what a SET changes."""

from __future__ import annotations

import pytest

from replclus.model.spec import Flavour
from replclus.routing import SqlMode, StatementKind, Target, classifier, classify, route_json
from replclus.routing.classify import CACHED_LENGTH_MAX

FAMILIES = list(Flavour)


@pytest.mark.parametrize("flavour", FAMILIES)
@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SELECT 1", StatementKind.READ),
        ("SELECT 1 FOR UPDATE", StatementKind.LOCKING_READ),
        ("INSERT INTO t VALUES (1)", StatementKind.WRITE),
        ("WITH a AS (SELECT 1) DELETE FROM t", StatementKind.WRITE),
        ("CREATE TABLE x (id INT)", StatementKind.DDL),
        ("TRUNCATE t", StatementKind.DDL),
        ("CREATE TEMPORARY TABLE x (id INT)", StatementKind.TEMP_TABLE),
        ("BEGIN", StatementKind.BEGIN),
        ("START TRANSACTION", StatementKind.BEGIN),
        ("START TRANSACTION READ WRITE", StatementKind.BEGIN),
        ("START TRANSACTION READ ONLY", StatementKind.BEGIN_READ_ONLY),
        ("COMMIT", StatementKind.COMMIT),
        ("ROLLBACK", StatementKind.ROLLBACK),
        ("ROLLBACK TO a", StatementKind.SAVEPOINT),
        ("SAVEPOINT a", StatementKind.SAVEPOINT),
        ("SET TRANSACTION READ ONLY", StatementKind.SET_TRANSACTION),
        ("SET autocommit = 0", StatementKind.SET_AUTOCOMMIT),
        ("SET NAMES utf8mb4", StatementKind.SET_SESSION),
        ("SET @a = 1", StatementKind.SET_USER_VARIABLE),
        ("USE app", StatementKind.USE),
        ("LOCK TABLES t READ", StatementKind.LOCK),
        ("SELECT GET_LOCK('a', 1)", StatementKind.LOCK),
        ("UNLOCK TABLES", StatementKind.UNLOCK),
        ("CALL p()", StatementKind.CALL),
        ("PREPARE s FROM 'SELECT 1'", StatementKind.PREPARE),
        ("XA START 'x'", StatementKind.XA),
        ("KILL 5", StatementKind.KILL),
        ("SET GLOBAL read_only = 0", StatementKind.ADMIN),
        ("SELECT 1; DELETE FROM t", StatementKind.SEVERAL),
        ("", StatementKind.UNKNOWN),
    ],
)
def test_kinds(sql: str, kind: StatementKind, flavour: Flavour) -> None:
    assert classify(sql, flavour=flavour).kind is kind


@pytest.mark.parametrize("flavour", FAMILIES)
@pytest.mark.parametrize(
    ("sql", "pins"),
    [
        ("SELECT @a", False),
        ("SELECT @a = 1 FROM t WHERE a = @b", False),
        ("SELECT @`a b` := 1", True),
        ("SELECT @'a' := 1", True),
        ("SELECT @@sql_mode, @a:=1", True),
        ("UPDATE t SET a = (@a := a) WHERE id = 1", True),
        ("UPDATE t SET a := 1 WHERE id = @a", False),
        ("INSERT INTO t (a) SELECT @r := @r + 1 FROM u", True),
        ("INSERT INTO t (b) VALUES (':=')", False),
        ("CALL p(1)", False),
        ("CALL p(@out)", True),
        ("SET insert_id = 5", True),
        ("SET autocommit = 0; SELECT 1", True),
        ("SET insert_id = 5, time_zone = 'UTC'", True),
        ("SET timestamp = UNIX_TIMESTAMP()", True),
        ("SET timestamp = 5", False),
        ("SET SESSION session_track_schema = 0", True),
        ("SELECT @a := 1", True),
        ("SELECT 1 INTO @a", True),
        ("SET @a = NOW()", True),
        ("SET @a = 1", False),
        ("SELECT GET_LOCK('a', 1)", True),
        ("SELECT RELEASE_LOCK('a')", False),
        ("SELECT GET_LOCK('a', 1), fw(1)", True),
        ("CREATE TEMPORARY TABLE x (id INT)", True),
        ("CREATE TABLE x (id INT)", False),
        ("LOCK TABLES t WRITE", True),
        ("FLUSH TABLES WITH READ LOCK", True),
        ("FLUSH PRIVILEGES", False),
        ("HANDLER t OPEN", True),
        ("XA START 'x'", True),
        ("SET NAMES utf8mb4; SELECT 1", True),
        ("SELECT 1; DELETE FROM t", False),
        ("DELETE FROM t; SET @a = NOW()", True),
        ("INSERT INTO t VALUES (1)", False),
        ("SELECT 1 FOR UPDATE", False),
    ],
)
def test_pins(sql: str, pins: bool, flavour: Flavour) -> None:
    assert classify(sql, flavour=flavour).pins is pins


@pytest.mark.parametrize(
    ("text", "pins"),
    [("SET @a = 1", True), ("USE app", True), ("SET time_zone = 5", True), ("INSERT INTO t VALUES (1)", False), ("BEGIN", False)],
)
def test_what_is_executed_immediately_pins_if_it_changes_the_session(text: str, pins: bool) -> None:
    found = classify(f"EXECUTE IMMEDIATE '{text}'", flavour=Flavour.MARIADB)
    assert (found.target, found.pins) == (Target.PRIMARY, pins)


@pytest.mark.parametrize("flavour", FAMILIES)
@pytest.mark.parametrize(
    ("sql", "again"),
    [
        ("SELECT 1", True),
        ("SHOW TABLES", True),
        ("SELECT * FROM mysql.user", True),
        ("SELECT 1; SELECT 2", False),
        ("SELECT fw(1)", False),
        ("SELECT 1 FOR UPDATE", False),
        ("SELECT LAST_INSERT_ID()", False),
        ("SELECT @@identity", False),
        ("SELECT ROW_COUNT()", False),
        ("INSERT INTO t VALUES (1)", False),
        ("CALL p()", False),
    ],
)
def test_what_may_be_sent_again(sql: str, again: bool, flavour: Flavour) -> None:
    assert classify(sql, flavour=flavour).is_select_like is again


@pytest.mark.parametrize("flavour", FAMILIES)
def test_the_body_of_a_procedure_is_not_run_here(flavour: Flavour) -> None:
    found = classify("CREATE PROCEDURE p() BEGIN SET @a = NOW(); SET GLOBAL read_only = 0; END", flavour=flavour)
    assert (found.target, found.kind, found.pins) == (Target.PRIMARY, StatementKind.DDL, False)


@pytest.mark.parametrize(
    ("sql", "schema"),
    [
        ("USE app", "app"),
        ("use App;", "App"),
        ("USE `My Schema`", "My Schema"),
        ("USE `a``b`", "a`b"),
        ("/* x */ USE app -- y", "app"),
        ("/*! USE app */", "app"),
        ("USE/**/app", "app"),
        ("USE é", "é"),
    ],
)
def test_use(sql: str, schema: str) -> None:
    assert classify(sql, flavour=Flavour.MARIADB).schema == schema


@pytest.mark.parametrize(
    ("sql", "isolation", "variables"),
    [
        ("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SERIALIZABLE", ("transaction",)),
        ("SET SESSION TRANSACTION READ ONLY", None, ("transaction",)),
        ("SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED", "READ UNCOMMITTED", ()),
        ("SET transaction_isolation = 'REPEATABLE-READ'", "REPEATABLE READ", ("transaction_isolation",)),
        ("SET @@session.tx_isolation = 'read-committed'", "READ COMMITTED", ("tx_isolation",)),
        ("/* tx_isolation='READ-COMMITTED' */ SET tx_isolation='SERIALIZABLE'", "UNKNOWN", ("tx_isolation",)),
        ("SET SESSION TRANSACTION /* SERIALIZABLE */ ISOLATION LEVEL READ COMMITTED", "READ COMMITTED", ("transaction",)),
        ("SET SESSION transaction_isolation = %s", "UNKNOWN", ("transaction_isolation",)),
        ("SET SESSION sql_mode = '', time_zone = 'UTC'", None, ("sql_mode", "time_zone")),
        ("SET `sql_mode` = ''", None, ("sql_mode",)),
        ("SET NAMES utf8mb4", None, ("names",)),
        ("SET @a = 1, @B = 2", None, ("@a", "@b")),
    ],
)
@pytest.mark.parametrize("flavour", FAMILIES)
def test_what_a_set_changes(sql: str, isolation: str | None, variables: tuple[str, ...], flavour: Flavour) -> None:
    found = classify(sql, flavour=flavour)
    assert (found.isolation, found.variables) == (isolation, variables)


@pytest.mark.parametrize("flavour", FAMILIES)
def test_a_long_write_is_decided_without_being_read(flavour: Flavour) -> None:
    """What follows the first keyword could not even be cut into words."""
    found = classify("INSERT INTO t VALUES (" + "'x', " * 20_000 + "'", flavour=flavour)
    assert found.target is Target.PRIMARY and found.kind is StatementKind.WRITE


def test_a_long_read_is_read_to_its_end() -> None:
    sql = "SELECT a FROM t WHERE id IN (" + ", ".join("1" * CACHED_LENGTH_MAX) + ")"
    assert classify(sql, flavour=Flavour.MYSQL).target is Target.REPLICA
    assert classify(sql + " FOR UPDATE", flavour=Flavour.MYSQL).target is Target.PRIMARY


def test_what_was_decided_is_remembered_per_family_and_mode() -> None:
    sql = 'SELECT "f"(1)'
    for _ in range(2):
        assert classify("SELECT NVL(1, 2)", flavour=Flavour.MARIADB).target is Target.REPLICA
        assert classify("SELECT NVL(1, 2)", flavour=Flavour.MYSQL).target is Target.PRIMARY
        assert "literal" in classify(sql, flavour=Flavour.MARIADB).reason
        assert "function" in classify(sql, flavour=Flavour.MARIADB, sql_mode="ANSI_QUOTES").reason
    assert classifier(Flavour.MARIADB, "") is classifier(Flavour.MARIADB)
    assert classifier(Flavour.MARIADB, "NO_BACKSLASH_ESCAPES") is classifier(Flavour.MARIADB, SqlMode(no_backslash_escapes=True))


def test_modes_that_stand_for_several() -> None:
    assert SqlMode.parse("ansi") == SqlMode(ansi_quotes=True, ignore_space=True)
    assert SqlMode.parse("STRICT_TRANS_TABLES, NO_BACKSLASH_ESCAPES") == SqlMode(no_backslash_escapes=True)
    assert SqlMode.parse("ORACLE").oracle
    assert SqlMode.parse("") == SqlMode()


def test_route_json() -> None:
    assert route_json("SELECT 1", Flavour.MYSQL) == {"target": "replica", "reason": "a plain read"}
    assert route_json("SHUTDOWN", Flavour.MYSQL, "")["target"] == "refuse"
