"""`replclus.connect` has the surface of PyMySQL, its errors, and its place in a program."""

from __future__ import annotations

import os
import threading
import warnings
from pathlib import Path

import pymysql
import pytest
from pymysql.constants import CLIENT
from pymysql.cursors import Cursor, DictCursor, SSCursor, SSDictCursor

import replclus
from tests.clusters import Cluster, eventually
from tests.integration.dbapi_world import Connect, account, cluster, connect, scalar

__all__ = ["cluster", "connect"]


class TestPymysqlSurface:
    def test_it_is_a_pymysql_connection(self, connect: Connect) -> None:
        connection = connect()
        assert isinstance(connection, pymysql.connections.Connection)
        assert connection.open
        assert connection.thread_id() > 0
        assert connection.get_server_info()
        assert connection.get_proto_info() == 10
        assert connection.get_host_info().startswith("cluster")
        assert connection.escape("it's") == "'it\\'s'"
        connection.ping()
        connection.close()
        assert not connection.open
        with pytest.raises(replclus.Error, match="Already closed"):
            connection.close()
        with pytest.raises(replclus.InterfaceError):
            connection.query("SELECT 1")

    @pytest.mark.parametrize("cls", [Cursor, DictCursor, SSCursor, SSDictCursor])
    def test_cursor_classes(self, connect: Connect, cls: type[Cursor]) -> None:
        for cursor in (connect(cursorclass=cls).cursor(), connect().cursor(cls)):
            assert isinstance(cursor, cls)
            cursor.execute("SELECT 1 AS a UNION SELECT 2 UNION SELECT 3")
            rows = [cursor.fetchone(), *cursor.fetchall()]
            assert rows == ([{"a": 1}, {"a": 2}, {"a": 3}] if issubclass(cls, (DictCursor, SSDictCursor)) else [(1,), (2,), (3,)])
            cursor.close()

    def test_streaming_while_writing(self, connect: Connect) -> None:
        """A stream on a replica and a write on the primary are two connections: neither disturbs the other."""
        connection = connect()
        stream = connection.cursor(SSCursor)
        stream.execute("SELECT 1 UNION SELECT 2 UNION SELECT 3")
        assert stream.fetchone() == (1,)
        connection.cursor().execute("INSERT INTO t (v) VALUES ('meanwhile')")
        assert stream.fetchall() == [(2,), (3,)]

    def test_an_unfinished_stream_is_finished_by_the_next_read(self, connect: Connect) -> None:
        connection = connect()
        stream = connection.cursor(SSCursor)
        stream.execute("SELECT 1 UNION SELECT 2 UNION SELECT 3")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert scalar(connection, "SELECT 7") == 7
        assert any("left incomplete" in str(warning.message) for warning in caught)

    def test_executemany_and_ids(self, connect: Connect) -> None:
        connection = connect()
        with connection.cursor() as cursor:
            assert cursor.executemany("INSERT INTO t (v) VALUES (%s)", [("a",), ("b",), ("c",)]) == 3
            assert cursor.route.node == "n1"
            assert connection.insert_id() == cursor.lastrowid > 0
            assert connection.affected_rows() == 3
            cursor.execute("UPDATE t SET v = 'd' WHERE id = %s", (cursor.lastrowid,))
            assert b"Rows matched: 1" in cursor._result.message

    def test_warnings(self, connect: Connect) -> None:
        connection = connect()
        with connection.cursor() as cursor:
            cursor.execute("SELECT CAST('x' AS SIGNED)")
            assert cursor.warning_count == 1
            assert cursor.route.target == "replica"
        assert "Truncated incorrect" in connection.show_warnings()[0][2]

    def test_several_results(self, connect: Connect) -> None:
        cursor = connect(client_flag=CLIENT.MULTI_STATEMENTS).cursor()
        cursor.execute("SELECT 1; SELECT 2")
        assert cursor.fetchall() == ((1,),)
        assert cursor.nextset()
        assert cursor.fetchall() == ((2,),)
        assert not cursor.nextset()

    def test_callproc(self, cluster: Cluster, connect: Connect) -> None:
        cluster.run("n1", "CREATE PROCEDURE app.twice (IN a INT) SELECT a * 2")
        with connect().cursor() as cursor:
            cursor.callproc("twice", (21,))
            assert cursor.fetchall() == ((42,),)
            assert cursor.route.node == "n1"

    def test_kill_reaches_the_right_server(self, connect: Connect) -> None:
        victim, killer = connect(), connect()
        assert scalar(victim, "SELECT 1") == 1
        assert victim.route is not None
        assert victim.route.target == "replica"
        broken = victim.thread_id()
        killer.kill(broken)
        assert scalar(victim, "SELECT 2") == 2, "a read that meets a killed connection is done elsewhere"

    def test_errors_are_pymysql_s(self, connect: Connect) -> None:
        cursor = connect().cursor()
        with pytest.raises(pymysql.err.ProgrammingError) as missing:
            cursor.execute("SELECT * FROM nowhere")
        assert missing.value.args[0] == 1146
        with pytest.raises(pymysql.err.IntegrityError):
            cursor.execute("INSERT INTO t (id) VALUES (1), (1)")

    def test_defer_connect(self, connect: Connect) -> None:
        connection = connect(defer_connect=True)
        assert not connection.open
        connection.connect()
        assert scalar(connection, "SELECT 1") == 1


class TestProcesses:
    def test_threads(self, connect: Connect) -> None:
        wrong: list[object] = []

        def work(number: int) -> None:
            connection = connect()
            for turn in range(30):
                with connection.cursor() as cursor:
                    cursor.execute("INSERT INTO t (v) VALUES (%s)", (f"{number}.{turn}",))
                    cursor.execute("SELECT v FROM t WHERE id = %s", (cursor.lastrowid,))
                    if cursor.fetchone() != (f"{number}.{turn}",):
                        wrong.append((number, turn))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []

    def test_fork(self, connect: Connect) -> None:
        """A child may use what its parent had opened: it gets physical connections of its own."""
        connection = connect()
        mine = "SELECT CONNECTION_ID()"
        before = scalar(connection, mine), scalar(connection, "SELECT 1")
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                cursor = connection.cursor()
                cursor.execute("INSERT INTO t (v) VALUES ('child')")
                cursor.execute("SELECT COUNT(*) FROM t WHERE v = 'child'")
                os.write(writing, f"{cursor.fetchone()[0]} {scalar(connection, mine)}".encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        count, thread = os.read(reading, 100).split()
        assert int(count) == 1
        assert int(thread) != before[0]
        assert scalar(connection, "SELECT COUNT(*) FROM t WHERE v = 'child'") == 1
        for number in range(50):
            assert scalar(connection, f"SELECT {number}") == number

    def test_the_pool_is_bounded_and_reused(self, cluster: Cluster, connect: Connect) -> None:
        for _ in range(5):
            connections = [connect() for _ in range(10)]
            for connection in connections:
                scalar(connection, "SELECT 1 FROM t LIMIT 1")
                connection.cursor().execute("INSERT INTO t (v) VALUES ('pool')")
                connection.close()
        rows = cluster.rows("n1", "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app'")
        assert rows[0][0] <= 45

    def test_wrong_password(self, connect: Connect) -> None:
        with pytest.raises(replclus.OperationalError) as refused:
            connect(password="wrong")  # noqa: S106
        assert refused.value.args[0] == 1045

    def test_by_url_and_from_one_host(self, cluster: Cluster) -> None:
        n3 = cluster.spec.node("n3")
        with replclus.connect(cluster=f"mysql+replclus://app:app@{n3.address}/app", autocommit=True) as connection:
            connection.cursor().execute("INSERT INTO t (v) VALUES ('url')")
            assert connection.route is not None
            assert connection.route.node == "n1"
        with replclus.connect(**{**account(cluster), "cluster": None, "host": n3.host, "port": n3.port}) as connection:
            connection.cursor().execute("INSERT INTO t (v) VALUES ('host')")
            connection.commit()

    def test_without_rights_on_the_pulse_roles_are_discovered(self, cluster: Cluster) -> None:
        cluster.run(
            "n1",
            "CREATE USER bare@'127.0.0.1' IDENTIFIED BY 'bare'",
            "CREATE USER bare@localhost IDENTIFIED BY 'bare'",
            "GRANT ALL ON app.* TO bare@'127.0.0.1'",
            "GRANT ALL ON app.* TO bare@localhost",
        )
        eventually(lambda: _lets_in(cluster, "bare"), "the account is everywhere")
        with replclus.connect(**{**account(cluster), "user": "bare", "password": "bare", "autocommit": True}) as connection:
            cursor = connection.cursor()
            cursor.execute("INSERT INTO t (v) VALUES ('bare')")
            assert cursor.route.node == "n1"
            cursor.execute("SELECT 1")
            assert cursor.route.target == "replica"


def _lets_in(cluster: Cluster, user: str) -> bool:
    try:
        for name in cluster.sandbox.names:
            pymysql.connect(unix_socket=str(cluster.sandbox.place(name).socket), user=user, password=user).close()
    except pymysql.err.OperationalError:
        return False
    return True


def test_relative_paths(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `cluster` and `host`, ./replclus.toml."""
    monkeypatch.chdir(Path(cluster.sandbox.config).parent)
    with replclus.connect(**{**account(cluster), "cluster": None}) as connection:
        assert scalar(connection, "SELECT 1") == 1
