"""What a session holds, and what ends it. Each line of a story is a statement, `-> answer` or not, and what is held after it."""

from __future__ import annotations

import pytest

from replclus.model.spec import Flavour
from replclus.routing import NO_ANSWER, Holds, SqlMode, classify

FAMILIES = list(Flavour)
_ASSIGNS = "assigns a user variable, which lives on one connection"


def held(story: list[tuple[str, str] | tuple[str, object, str]], flavour: Flavour, schema: str | None = "app") -> None:
    """Note each statement the way a session does, and compare."""
    holds = Holds()
    for sql, *answer, expected in story:
        verdict = classify(sql, flavour=flavour)
        if verdict.pins or holds:
            holds.note(verdict, sql, SqlMode(), flavour, answer[0] if answer else NO_ANSWER, schema)
        assert holds.why == expected, sql
        assert bool(holds) is bool(expected), sql


@pytest.mark.parametrize("flavour", FAMILIES)
@pytest.mark.parametrize(
    "story",
    [
        pytest.param([("SELECT 1", ""), ("INSERT INTO t VALUES (1)", ""), ("SET @a = 1", "")], id="nothing"),
        pytest.param(
            [
                ("CREATE TEMPORARY TABLE x (id INT)", "temporary table app.x"),
                ("CREATE TABLE y (id INT)", "temporary table app.x"),
                ("INSERT INTO x VALUES (1)", "temporary table app.x"),
                ("DROP TABLE other.x", "temporary table app.x"),
                ("COMMIT", "temporary table app.x"),
                ("DROP TABLE x", ""),
            ],
            id="a table",
        ),
        pytest.param(
            [
                ("CREATE TEMPORARY TABLE IF NOT EXISTS `a b` LIKE t", "temporary table app.a b"),
                ("create /* x */ temporary table app.c(id int)", "temporary table app.a b"),
                ("DROP TEMPORARY TABLE IF EXISTS `a b`, nothing", "temporary table app.c"),
                ("DROP TABLE IF EXISTS C", "temporary table app.c"),
                ("DROP TABLE IF EXISTS app.`c` /* x */ CASCADE", ""),
            ],
            id="several tables, quoted and qualified",
        ),
        pytest.param(
            [
                ("CREATE TEMPORARY TABLE x (id INT)", "temporary table app.x"),
                ("ALTER TABLE x ADD y INT, RENAME TO z", "temporary table app.z"),
                ("ALTER TABLE z RENAME COLUMN id TO i", "temporary table app.z"),
                ("DROP TABLE IF EXISTS x", "temporary table app.z"),
                ("DROP TABLE z", ""),
            ],
            id="a renamed table",
        ),
        pytest.param(
            [
                ("/*!40000 CREATE */ TEMPORARY TABLE x (id INT)", "temporary table app.x"),
                ("DROP TABLE app . x", "temporary table app.x"),
                ("SELECT 1; DROP TABLE x", "temporary table app.x"),
                ("DROP TABLE x;", ""),
            ],
            id="what cannot be read keeps",
        ),
        pytest.param(
            [
                ("LOCK TABLES t READ", "LOCK TABLES"),
                ("SELECT 1", "LOCK TABLES"),
                ("COMMIT", "LOCK TABLES"),
                ("UNLOCK TABLES", ""),
                ("LOCK TABLES t WRITE, u READ", "LOCK TABLES"),
                ("START TRANSACTION", ""),
                ("FLUSH TABLES t WITH READ LOCK", "FLUSH TABLES, which locked them"),
                ("BEGIN", ""),
                ("FLUSH LOCAL TABLES WITH READ LOCK", "FLUSH TABLES WITH READ LOCK"),
                ("BEGIN", "FLUSH TABLES WITH READ LOCK"),
                ("UNLOCK TABLES", ""),
            ],
            id="table locks",
        ),
        pytest.param(
            [
                ("SELECT GET_LOCK('a', 1)", 1, "lock 'a'"),
                ("SELECT GET_LOCK('a', 1) AS l", 1, "lock 'a'"),
                ("SELECT RELEASE_LOCK('a')", 1, "lock 'a'"),
                ("SELECT RELEASE_LOCK('b')", 0, "lock 'a'"),
                ("SELECT RELEASE_LOCK('a')", 1, ""),
                ("SELECT GET_LOCK('a', 1)", 0, ""),
                ("SELECT GET_LOCK('a', 1)", None, ""),
                ("SELECT GET_LOCK('a', 1)", "lock 'a'"),
                ("SELECT GET_LOCK('it''s', 1)", 1, "lock 'a'"),
                ("DO RELEASE_LOCK('a')", "lock 'it's'"),
                ("SELECT RELEASE_ALL_LOCKS()", 1, ""),
                ("DO GET_LOCK(\"a\", 1)", "lock 'a'"),
                ("DO RELEASE_LOCK('a')", ""),
            ],
            id="named locks",
        ),
        pytest.param(
            [
                ("SELECT GET_LOCK(name, 1) FROM t", "locks taken by GET_LOCK"),
                ("SELECT RELEASE_LOCK('a')", 1, "locks taken by GET_LOCK"),
                ("SELECT RELEASE_ALL_LOCKS(), 1", "locks taken by GET_LOCK"),
                ("SELECT RELEASE_ALL_LOCKS()", 5, ""),
                ("SELECT GET_LOCK('a', 1), GET_LOCK('a', 1)", "locks taken by GET_LOCK"),
                ("SELECT RELEASE_ALL_LOCKS()", 2, ""),
            ],
            id="named locks that cannot be counted",
        ),
        pytest.param(
            [
                ("HANDLER t OPEN", "handler t"),
                ("HANDLER t READ FIRST", "handler t"),
                ("HANDLER app.u OPEN AS `h h`", "handler h h"),
                ("HANDLER `h h` CLOSE", "handler t"),
                ("HANDLER t CLOSE", ""),
            ],
            id="handlers",
        ),
        pytest.param(
            [
                ("PREPARE S FROM 'SELECT 1'", "prepared statement s"),
                ("EXECUTE s", "prepared statement s"),
                ("DROP PREPARE `s`", ""),
                ("PREPARE s FROM 'CREATE TEMPORARY TABLE x (id INT)'", "prepared statement s"),
                ("EXECUTE s", "temporary table app.x"),
                ("DEALLOCATE PREPARE s", "temporary table app.x"),
                ("DROP TABLE x", ""),
                ("PREPARE s FROM @text", "prepared statement s"),
                ("EXECUTE s", "prepared statement s"),
                ("DEALLOCATE PREPARE s", "a prepared statement lives on one connection"),
            ],
            id="prepared statements",
        ),
        pytest.param(
            [
                ("PREPARE s FROM 'SET time_zone = \"+01:00\"'", "prepared statement s"),
                ("EXECUTE s", "prepared statement s"),
                ("DEALLOCATE PREPARE s", "a prepared statement lives on one connection"),
            ],
            id="a prepared SET, which is not done on both sides",
        ),
        pytest.param(
            [
                ("XA START 'x'", "XA transaction"),
                ("INSERT INTO t VALUES (1)", "XA transaction"),
                ("XA END 'x'", "XA transaction"),
                ("XA COMMIT 'x' ONE PHASE", ""),
                ("XA RECOVER", ""),
                ("XA BEGIN 'x'", "XA transaction"),
                ("XA END 'x'", "XA transaction"),
                ("XA PREPARE 'x'", "XA transaction"),
                ("SELECT 1", "XA transaction"),
                ("XA ROLLBACK 'x'", ""),
            ],
            id="distributed transactions",
        ),
        pytest.param(
            [
                ("SELECT @A := 1", "user variable @a"),
                ("SELECT 1, 2 INTO @b, @`c`", "user variable @`c`"),
                ("SET @a = 1, @b = 2", "user variable @`c`"),
                ("SET @`C` = NULL", ""),
                ("SET @a = NOW()", "user variable @a"),
                ("CALL p(1, @a, @out)", "user variable @a"),
                ("SET @a = 1", "user variable @out"),
                ("SET @out = 1", ""),
                ("UPDATE t SET a = (@x := a)", "user variable @x"),
                ("SELECT @x", "user variable @x"),
                ("SET @x = 'literal'", ""),
            ],
            id="user variables",
        ),
        pytest.param(
            [
                ("SET timestamp = UNIX_TIMESTAMP()", "value of timestamp"),
                ("SET time_zone = (SELECT 'UTC'), @x = 1", "user variable @x"),
                ("SET @x = 1", "value of time_zone"),
                ("SET timestamp = DEFAULT, time_zone = 'SYSTEM'", ""),
                ("SET insert_id = 5", "value of insert_id"),
                ("UPDATE t SET a = 1", "value of insert_id"),
                ("INSERT INTO t (a) VALUES (1)", ""),
            ],
            id="session variables",
        ),
        pytest.param(
            [("SELECT @'a b' := 1", _ASSIGNS), ("SET @'a b' = 1", _ASSIGNS)],
            id="a variable whose name cannot be read",
        ),
        pytest.param([("SELECT 1 INTO OUTFILE '/tmp/x'", ""), ("EXPLAIN INSERT INTO t VALUES (1)", "")], id="no hold at all"),
    ],
)  # fmt: skip
def test_stories(story: list[tuple[str, str] | tuple[str, object, str]], flavour: Flavour) -> None:
    held(story, flavour)


def test_several_statements_in_one_hold_for_good() -> None:
    holds = Holds()
    sql = "CREATE TEMPORARY TABLE x (id INT); SELECT 1"
    holds.note(classify(sql, flavour=Flavour.MYSQL), sql, SqlMode(), Flavour.MYSQL)
    assert "several statements" in holds.why
    for end in ("DROP TABLE x", "UNLOCK TABLES", "SELECT RELEASE_ALL_LOCKS()"):
        holds.note(classify(end, flavour=Flavour.MYSQL), end, SqlMode(), Flavour.MYSQL)
    assert holds
    holds.clear()
    assert not holds and holds.why == ""


def test_a_prepared_xa_transaction_leaves_a_mysql_connection_and_stays_on_mariadb() -> None:
    begun = [("XA START 'x'", "XA transaction"), ("XA END 'x'", "XA transaction"), ("XA PREPARE 'x'", "XA transaction")]
    held([*begun, ("SELECT 1", "XA transaction"), ("INSERT INTO t VALUES (1)", "")], Flavour.MYSQL)
    held([*begun, ("BEGIN", "")], Flavour.MYSQL)
    held([*begun, ("XA START 'y'", "XA transaction"), ("XA ROLLBACK 'y'", "")], Flavour.MYSQL)
    held([*begun, ("XA COMMIT 'x'", "")], Flavour.MARIADB)
    # It would be refused there; if it came, it would prove nothing.
    held([*begun, ("INSERT INTO t VALUES (1)", "XA transaction")], Flavour.MARIADB)


def test_the_names_of_locks_differ_in_case_on_mariadb_only() -> None:
    held([("SELECT GET_LOCK('A', 1)", 1, "lock 'a'"), ("SELECT RELEASE_LOCK('a')", 1, "")], Flavour.MYSQL)
    held([("SELECT GET_LOCK('A', 1)", 1, "lock 'A'"), ("SELECT RELEASE_LOCK('a')", None, "lock 'A'")], Flavour.MARIADB)


def test_of_one_family_only() -> None:
    held(
        [
            ("BACKUP STAGE START", "BACKUP STAGE"),
            ("BACKUP STAGE BLOCK_COMMIT", "BACKUP STAGE"),
            ("BACKUP STAGE END", ""),
            ("BACKUP LOCK app.t", "BACKUP LOCK"),
            ("BACKUP UNLOCK", ""),
            ("CREATE TEMPORARY SEQUENCE s", "temporary table app.s"),
            ("RENAME TABLE s TO r", "temporary table app.r"),
            ("DROP SEQUENCE r", ""),
            ("EXECUTE IMMEDIATE 'CREATE TEMPORARY TABLE x (id INT)'", "temporary table app.x"),
            ("DROP TABLE x", ""),
            ("SET STATEMENT max_statement_time=1 FOR CREATE TEMPORARY TABLE x (id INT)", "temporary table app.x"),
            ("DROP TABLE x", ""),
            ("EXECUTE IMMEDIATE @x", "a prepared statement lives on one connection"),
        ],
        Flavour.MARIADB,
    )
    held(
        [
            ("LOCK INSTANCE FOR BACKUP", "LOCK INSTANCE FOR BACKUP"),
            ("UNLOCK TABLES", "LOCK INSTANCE FOR BACKUP"),
            ("UNLOCK INSTANCE", ""),
            ("SELECT SERVICE_GET_READ_LOCKS('n', 'l', 1)", 1, "locks of the locking service in 'n'"),
            ("SELECT SERVICE_RELEASE_LOCKS('m')", 1, "locks of the locking service in 'n'"),
            ("SELECT SERVICE_RELEASE_LOCKS('n')", 1, ""),
            ("SELECT VERSION_TOKENS_LOCK_SHARED('a', 1)", 1, "locks of version tokens"),
            ("SELECT VERSION_TOKENS_UNLOCK()", 0, ""),
            # Another table than the one of that name, which RENAME TABLE does not see.
            ("CREATE TEMPORARY TABLE x (id INT)", "temporary table app.x"),
            ("RENAME TABLE x TO y", "temporary table app.x"),
            ("DROP TABLE x", ""),
        ],
        Flavour.MYSQL,
    )


@pytest.mark.parametrize("flavour", FAMILIES)
def test_without_a_schema_an_unqualified_name_is_lost_at_the_next_use(flavour: Flavour) -> None:
    created = ("CREATE TEMPORARY TABLE x (id INT)", "temporary table x")
    held([created, ("DROP TABLE app.x", "temporary table x"), ("DROP TABLE x", "")], flavour, schema=None)
    held([created, ("USE other", "temporary table x"), ("DROP TABLE x", "temporary table x")], flavour, schema=None)


@pytest.mark.parametrize("flavour", FAMILIES)
def test_quotes_that_make_a_name_are_no_literal(flavour: Flavour) -> None:
    holds, mode = Holds(), SqlMode(ansi_quotes=True)
    for sql in ('SELECT GET_LOCK("a", 1)', 'SELECT RELEASE_LOCK("a")'):
        holds.note(classify(sql, flavour=flavour, sql_mode=mode), sql, mode, flavour, 1)
    assert holds.why == "locks taken by GET_LOCK"
