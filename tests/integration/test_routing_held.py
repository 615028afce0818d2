"""Real servers judge the account of what a session holds: what it says is held is there, what it says ended has ended."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import pymysql
import pytest

from replclus.model.spec import Flavour
from replclus.routing import NO_ANSWER, Holds, SqlMode, classify
from tests.clusters import eventually
from tests.conftest import RunningServer


class Story(NamedTuple):
    """`held` leads to a hold, `ended` ends it. `own` and `other` are asked on this and on another connection: they succeed, or
    answer something true, exactly while it is held; what waits, fails exactly then. Only one of them is given.
    """

    held: tuple[str, ...]
    ended: tuple[str, ...]
    own: str = ""
    other: str = ""
    flavours: tuple[Flavour, ...] = tuple(Flavour)

    @property
    def title(self) -> str:
        return " ".join((*self.held[-2:], "/", *self.ended))[:80]


_TABLE = "CREATE TEMPORARY TABLE x (a INT)"
_MARIADB, _MYSQL = (Flavour.MARIADB,), (Flavour.MYSQL,)
_IN_USE, _IN_USE_UPPER = "SELECT IS_USED_LOCK('l') IS NOT NULL", "SELECT IS_USED_LOCK('L') IS NOT NULL"
_HAS_X = "SELECT COUNT(*) + 1 FROM held.x"
_CHANGED = "ALTER TABLE held.t COMMENT 'x'"
_OPEN = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = {thread}"
_XA = ("XA START 'x'", "INSERT INTO t VALUES (5)", "XA END 'x'")
# Waits until it gives up if somebody holds the table: an error then, so it is turned round.
_BLOCKED = "INSERT INTO held.t VALUES (1)"
STORIES = (
    Story((_TABLE,), ("DROP TABLE x",), own=_HAS_X),
    Story((_TABLE, "DROP TABLE IF EXISTS X"), ("DROP TEMPORARY TABLE IF EXISTS `x`",), own=_HAS_X),
    Story((_TABLE, "ALTER TABLE x RENAME y"), ("DROP TABLE held.y",), own="SELECT COUNT(*) + 1 FROM held.y"),
    Story((_TABLE, "ROLLBACK", "BEGIN", "COMMIT"), ("DROP TABLE x",), own=_HAS_X),
    Story((_TABLE, "RENAME TABLE x TO y"), ("DROP TABLE y",), own="SELECT COUNT(*) + 1 FROM held.y", flavours=_MARIADB),
    Story(("CREATE TEMPORARY SEQUENCE s",), ("DROP SEQUENCE s",), own="SELECT NEXTVAL(held.s)", flavours=_MARIADB),
    Story(("SELECT GET_LOCK('l', 0)",), ("SELECT RELEASE_LOCK('l')",), other=_IN_USE),
    Story(
        ("SELECT GET_LOCK('l', 0)", "DO GET_LOCK('l', 0)", "DO RELEASE_LOCK('l')"),
        ("SELECT RELEASE_LOCK('l')",),
        other=_IN_USE,
    ),
    Story(("SELECT GET_LOCK('l', 0) FROM t",), ("SELECT RELEASE_ALL_LOCKS()",), other=_IN_USE),
    Story(("SELECT GET_LOCK('L', 0)",), ("SELECT RELEASE_LOCK('l')",), other=_IN_USE_UPPER, flavours=_MYSQL),
    Story(
        ("SELECT GET_LOCK('L', 0)", "SELECT RELEASE_LOCK('l')"),
        ("SELECT RELEASE_LOCK('L')",),
        other=_IN_USE_UPPER,
        flavours=_MARIADB,
    ),
    Story(("LOCK TABLES t READ",), ("UNLOCK TABLES",), other=_BLOCKED),
    Story(("LOCK TABLES t WRITE", "COMMIT"), ("BEGIN",), other=_BLOCKED),
    Story(("FLUSH TABLES t WITH READ LOCK",), ("START TRANSACTION",), other=_BLOCKED),
    Story(("FLUSH TABLES t FOR EXPORT",), ("UNLOCK TABLES",), other=_BLOCKED),
    Story(("FLUSH TABLES WITH READ LOCK", "BEGIN", "COMMIT"), ("UNLOCK TABLES",), other=_BLOCKED),
    Story(("BACKUP LOCK t",), ("BACKUP UNLOCK",), other=_CHANGED, flavours=_MARIADB),
    Story(("BACKUP STAGE START", "BACKUP STAGE BLOCK_DDL"), ("BACKUP STAGE END",), other=_CHANGED, flavours=_MARIADB),
    Story(("LOCK INSTANCE FOR BACKUP", "UNLOCK TABLES"), ("UNLOCK INSTANCE",), other=_CHANGED, flavours=_MYSQL),
    Story(("HANDLER t OPEN AS h",), ("HANDLER h CLOSE",), own="HANDLER h READ FIRST"),
    Story(("PREPARE s FROM 'SELECT 1'",), ("DEALLOCATE PREPARE S",), own="EXECUTE s"),
    Story((f"PREPARE s FROM '{_TABLE}'", "EXECUTE s", "DROP PREPARE s"), ("DROP TABLE x",), own=_HAS_X),
    Story(("SET @v = NOW()",), ("SET @v = NULL",), own="SELECT @v"),
    Story(("UPDATE t SET a = (@v := a) WHERE a = 1",), ("SET @V = NULL",), own="SELECT @v"),
    Story(("SELECT 1 INTO @v",), ("SET @`v` = NULL", "SET @v = NULL"), own="SELECT @v"),
    Story(
        ("SET timestamp = UNIX_TIMESTAMP() - 100000",),
        ("SET timestamp = DEFAULT",),
        own="SELECT NOW() < SYSDATE() - INTERVAL 1 DAY",
    ),
    Story(("SET insert_id = 900",), ("INSERT INTO n VALUES (NULL)",), own="SELECT @@insert_id = 900"),
    Story(_XA, ("XA ROLLBACK 'x'",), other=_OPEN),
    Story((*_XA, "XA PREPARE 'x'"), ("XA COMMIT 'x'",), other=_OPEN, flavours=_MARIADB),
)


@pytest.fixture(scope="module")
def server(module_server: RunningServer) -> RunningServer:
    """Writable, with a schema of its own."""
    writable = ["SET GLOBAL super_read_only = 0"] if module_server.flavour is Flavour.MYSQL else []
    module_server.run(
        *writable,
        "SET GLOBAL read_only = 0",
        "CREATE DATABASE held",
        "CREATE TABLE held.t (a INT)",
        "CREATE TABLE held.n (id INT PRIMARY KEY AUTO_INCREMENT)",
    )
    return module_server


def _note(holds: Holds, cursor: pymysql.cursors.Cursor, flavour: Flavour, sql: str) -> None:
    """Run it, and tell the account, the way a session does."""
    cursor.execute(sql)
    rows = cursor.fetchall()
    verdict = classify(sql, flavour=flavour)
    if verdict.pins or holds:
        answer: Any = rows[0][0] if len(rows) == 1 and len(rows[0]) == 1 else NO_ANSWER
        holds.note(verdict, sql, SqlMode(), flavour, answer, "held")


def _true(cursor: pymysql.cursors.Cursor, sql: str) -> bool:
    """Whether it succeeds and answers nothing that is false. A wait that times out is a failure."""
    try:
        cursor.execute(sql)
    except pymysql.err.Error:
        return False
    row = cursor.fetchone()
    return row is None or bool(row[0])


@pytest.mark.parametrize(
    ("flavour", "story"),
    [
        pytest.param(flavour, story, marks=getattr(pytest.mark, flavour.value), id=f"{flavour.value}-{story.title}")
        for flavour in Flavour
        for story in STORIES
        if flavour in story.flavours
    ],
    indirect=["flavour"],
)
def test_the_account_agrees_with_the_server(server: RunningServer, story: Story) -> None:
    with server.connect(database="held") as own, server.connect(database="held") as other:
        ours, theirs = own.cursor(), other.cursor()
        ours.execute("INSERT INTO t VALUES (1)")
        theirs.execute("SET lock_wait_timeout = 1, innodb_lock_wait_timeout = 1")
        holds = Holds()

        def is_there() -> bool:
            if story.own:
                return _true(ours, story.own)
            blocked = not story.other.startswith("SELECT")
            if "innodb_trx" in story.other:
                # What InnoDB shows of its transactions is renewed only if nobody has looked for a tenth of a second.
                time.sleep(0.15)
            return _true(theirs, story.other.format(thread=own.thread_id())) is not blocked

        assert not holds
        for sql in story.held:
            _note(holds, ours, server.flavour, sql)
        assert holds, "it is not in the account"
        eventually(is_there, f"the server has {holds.why}")
        for sql in story.ended:
            assert holds, f"ended before {sql}"
            _note(holds, ours, server.flavour, sql)
        assert not holds, holds.why
        eventually(lambda: not is_there(), "it has ended on the server")
        ours.execute("DELETE FROM t")


def test_mysql_lets_go_of_what_is_prepared_and_mariadb_does_not(server: RunningServer) -> None:
    with server.connect(database="held") as connection:
        cursor, holds = connection.cursor(), Holds()
        for sql in ("XA START 'y'", "INSERT INTO t VALUES (6)", "XA END 'y'", "XA PREPARE 'y'"):
            _note(holds, cursor, server.flavour, sql)
        assert holds
        if server.flavour is Flavour.MARIADB:
            with pytest.raises(pymysql.err.OperationalError):
                cursor.execute("INSERT INTO n VALUES (NULL)")
        else:
            _note(holds, cursor, server.flavour, "INSERT INTO n VALUES (NULL)")
            assert not holds
        _note(holds, cursor, server.flavour, "XA ROLLBACK 'y'")
        assert not holds
