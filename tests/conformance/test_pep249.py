"""PEP 249, paragraph by paragraph, through `replclus.connect`, on both families. https://peps.python.org/pep-0249/"""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Iterator

import pytest

import replclus
from tests.clusters import Cluster
from tests.integration.dbapi_world import Connect, account, cluster, connect

__all__ = ["cluster", "connect"]


@pytest.fixture
def connection(connect: Connect) -> Iterator[replclus.Connection]:
    made = connect(autocommit=False)
    with made.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS booze (name VARCHAR(20), strength INT)")
        cursor.execute("DELETE FROM booze")
    made.commit()
    return made


class TestModule:
    def test_globals(self) -> None:
        assert (replclus.apilevel, replclus.threadsafety, replclus.paramstyle) == ("2.0", 1, "pyformat")

    def test_exception_hierarchy(self) -> None:
        assert issubclass(replclus.Warning, Exception)
        assert issubclass(replclus.InterfaceError, replclus.Error)
        assert issubclass(replclus.DatabaseError, replclus.Error)
        for name in ("DataError", "OperationalError", "IntegrityError", "InternalError", "ProgrammingError", "NotSupportedError"):
            assert issubclass(getattr(replclus, name), replclus.DatabaseError)

    def test_exceptions_as_attributes_of_connections(self, connection: replclus.Connection) -> None:
        for name in ("Warning", "Error", "InterfaceError", "DatabaseError", "OperationalError", "NotSupportedError"):
            assert getattr(connection, name) is getattr(replclus, name)

    def test_constructors(self) -> None:
        assert replclus.Date(2026, 3, 1) == datetime.date(2026, 3, 1)
        assert replclus.Time(13, 45, 30) == datetime.time(13, 45, 30)
        assert replclus.Timestamp(2026, 3, 1, 13, 45, 30) == datetime.datetime(2026, 3, 1, 13, 45, 30)  # noqa: DTZ001
        assert replclus.Binary(b"x") == b"x"
        for name in ("DateFromTicks", "TimeFromTicks", "TimestampFromTicks"):
            assert getattr(replclus, name)(0)


class TestConnection:
    def test_commit_and_rollback(self, connection: replclus.Connection, connect: Connect) -> None:
        cursor = connection.cursor()
        cursor.execute("INSERT INTO booze VALUES ('kept', 1)")
        connection.commit()
        cursor.execute("INSERT INTO booze VALUES ('undone', 1)")
        connection.rollback()
        cursor.execute("SELECT name FROM booze")
        assert cursor.fetchall() == (("kept",),)
        connection.commit()
        connection.rollback()

    def test_closing_rolls_back(self, connection: replclus.Connection, connect: Connect) -> None:
        connection.cursor().execute("INSERT INTO booze VALUES ('never', 1)")
        connection.close()
        cursor = connect().cursor()
        cursor.execute("SELECT COUNT(*) FROM booze FOR UPDATE")
        assert cursor.fetchone() == (0,)

    def test_nothing_works_after_close(self, connection: replclus.Connection) -> None:
        cursor = connection.cursor()
        connection.close()
        for call in (connection.commit, connection.rollback, connection.close, lambda: cursor.execute("SELECT 1")):
            with pytest.raises(replclus.Error):
                call()

    def test_context_manager(self, cluster: Cluster) -> None:
        with replclus.connect(**account(cluster)) as opened:
            assert opened.open
        assert not opened.open


class TestCursor:
    def test_description(self, connection: replclus.Connection) -> None:
        cursor = connection.cursor()
        cursor.execute("INSERT INTO booze VALUES ('x', 1)")
        assert cursor.description is None
        cursor.execute("SELECT name, strength FROM booze")
        assert [column[0] for column in cursor.description] == ["name", "strength"]
        assert all(len(column) == 7 for column in cursor.description)
        assert cursor.description[0][1] == replclus.STRING
        assert cursor.description[1][1] == replclus.NUMBER

    def test_rowcount(self, connection: replclus.Connection) -> None:
        cursor = connection.cursor()
        assert cursor.rowcount == -1
        cursor.execute("INSERT INTO booze VALUES ('x', 1), ('y', 2)")
        assert cursor.rowcount == 2
        cursor.execute("SELECT name FROM booze")
        assert cursor.rowcount == 2

    def test_fetching(self, connection: replclus.Connection) -> None:
        cursor = connection.cursor()
        with pytest.raises(replclus.Error):
            cursor.fetchone()
        cursor.executemany("INSERT INTO booze VALUES (%s, %s)", [(f"b{i}", i) for i in range(7)])
        cursor.execute("SELECT strength FROM booze ORDER BY strength")
        assert cursor.fetchone() == (0,)
        assert cursor.fetchmany(2) == ((1,), (2,))
        assert cursor.arraysize == 1
        assert cursor.fetchmany() == ((3,),)
        assert cursor.fetchall() == ((4,), (5,), (6,))
        assert cursor.fetchone() is None
        assert not cursor.fetchmany(3)
        assert not cursor.fetchall()

    def test_iteration(self, connection: replclus.Connection) -> None:
        cursor = connection.cursor()
        cursor.execute("SELECT 1 UNION SELECT 2")
        assert list(cursor) == [(1,), (2,)]

    def test_parameters(self, connection: replclus.Connection) -> None:
        cursor = connection.cursor()
        cursor.execute("SELECT %s, %s", ("it's", 7))
        assert cursor.fetchone() == ("it's", 7)
        cursor.execute("SELECT %(a)s, '100%%'", {"a": None})
        assert cursor.fetchone() == (None, "100%")

    def test_setinputsizes_do_nothing(self, connection: replclus.Connection) -> None:
        cursor = connection.cursor()
        cursor.setinputsizes(25)
        cursor.setoutputsizes(25)

    def test_close(self, connection: replclus.Connection) -> None:
        cursor = connection.cursor()
        cursor.close()
        with pytest.raises(replclus.Error):
            cursor.execute("SELECT 1")

    def test_nextset(self, cluster: Cluster, connection: replclus.Connection) -> None:
        cluster.run("n1", "DROP PROCEDURE IF EXISTS app.two", "CREATE PROCEDURE app.two () BEGIN SELECT 1; SELECT 2; END")
        cursor = connection.cursor()
        cursor.callproc("two")
        assert cursor.fetchall() == ((1,),)
        assert cursor.nextset() is True
        assert cursor.fetchall() == ((2,),)
        assert cursor.nextset() is True, "the procedure's own result"
        assert cursor.nextset() is None

    def test_types(self, connection: replclus.Connection) -> None:
        cursor = connection.cursor()
        cursor.execute("SELECT CAST(1.5 AS DECIMAL(3,1)), DATE '2026-03-01', TIMESTAMP '2026-03-01 01:02:03', x'00ff', NULL, 1e0")
        assert cursor.fetchone() == (
            decimal.Decimal("1.5"),
            datetime.date(2026, 3, 1),
            datetime.datetime(2026, 3, 1, 1, 2, 3),  # noqa: DTZ001  # the server sends no zone
            b"\x00\xff",
            None,
            1.0,
        )
