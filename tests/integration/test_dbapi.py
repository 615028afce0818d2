"""`replclus.connect` on a healthy cluster: where statements go, and that it is PyMySQL all the same."""

from __future__ import annotations

import os
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
from pymysql.cursors import Cursor, DictCursor, SSCursor, SSDictCursor

import replclus
from replclus.dbapi import registry
from replclus.sandbox import Sandbox
from tests.clusters import Cluster, eventually, initialised

Connect = Callable[..., replclus.Connection]


@pytest.fixture(scope="module")
def cluster(module_sandbox: Sandbox) -> Iterator[Cluster]:
    made = initialised(module_sandbox)
    made.run("n1", "CREATE TABLE app.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(100))")
    yield made
    registry.shut_down()


@pytest.fixture
def connect(cluster: Cluster) -> Iterator[Connect]:
    opened: list[replclus.Connection] = []

    def make(**keywords: Any) -> replclus.Connection:
        account = {"cluster": str(cluster.sandbox.config), "user": "app", "password": "app", "database": "app"}
        opened.append(replclus.connect(**{**account, "autocommit": True, **keywords}))
        return opened[-1]

    yield make
    for connection in opened:
        if connection.open:
            connection.close()


def counted(cluster: Cluster, what: str) -> dict[str, int]:
    rows = {name: cluster.rows(name, f"SHOW GLOBAL STATUS LIKE 'Com_{what}'") for name in cluster.sandbox.names}
    return {name: int(found[0][1]) for name, found in rows.items()}


def grown(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {name: after[name] - before[name] for name in before}


def scalar(connection: replclus.Connection, sql: str) -> Any:
    with connection.cursor(Cursor) as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


class TestWhereStatementsGo:
    @pytest.mark.parametrize("autocommit", [True, False])
    def test_reads_are_even_and_writes_on_the_primary(self, cluster: Cluster, connect: Connect, autocommit: bool) -> None:
        """By the servers' own counters and logs. The watchers' questions are SELECTs too: a few dozen, and equal for all.

        Replicas count what they apply as Com_insert, so who was sent the INSERTs is read from their general logs.
        """
        connection = connect(autocommit=autocommit)
        for name in cluster.sandbox.names:
            # Kept out of the binary log: a transaction of a replica's own would stop its replication.
            empty = ("SET SESSION sql_log_bin = 0", "TRUNCATE mysql.general_log")
            cluster.run(name, *empty, "SET GLOBAL log_output = 'TABLE'", "SET GLOBAL general_log = ON")
        reads = counted(cluster, "select")
        with connection.cursor() as cursor:
            for number in range(1500):
                cursor.execute("SELECT %s + 1", (number,))
                connection.commit()
            for number in range(30):
                cursor.execute("INSERT INTO t (v) VALUES (%s)", (number,))
                connection.commit()
        read = grown(reads, counted(cluster, "select"))
        sent = "SELECT COUNT(*) FROM mysql.general_log WHERE command_type = 'Query' AND argument LIKE 'INSERT INTO t%'"
        wrote = {name: cluster.rows(name, sent)[0][0] for name in cluster.sandbox.names}
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

    @pytest.mark.parametrize("balance", ["round_robin", "weighted_round_robin", "least_connections", "weighted_least_connections", "latency"])  # fmt: skip
    def test_every_balance(self, connect: Connect, balance: str) -> None:
        cursor = connect(balance=balance, consistency="eventual").cursor()
        nodes = set()
        for _ in range(40):
            cursor.execute("SELECT 1")
            nodes.add(cursor.route.node)
        assert nodes <= {"n2", "n3", "n4"}
        assert len(nodes) > 1

    @pytest.mark.parametrize("statement", ["SET GLOBAL max_connections = 7", "SHUTDOWN", "RESET MASTER", "PURGE BINARY LOGS TO 'x'"])
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


class TestSessionState:
    def test_variables_and_schema_reach_every_backend(self, connect: Connect) -> None:
        connection = connect(consistency="eventual", database=None)
        cursor = connection.cursor()
        cursor.execute("SET time_zone = '+05:30'")
        cursor.execute("SET @answer = 42")
        connection.select_db("app")
        seen = set()
        for _ in range(60):
            cursor.execute("SELECT NOW() = UTC_TIMESTAMP() + INTERVAL 330 MINUTE, COUNT(*) FROM t")
            seen.add((cursor.route.node, cursor.fetchone()[0]))
        assert {value for _, value in seen} == {1}
        assert len(seen) == 3
        cursor.execute("INSERT INTO t (v) VALUES (@answer)")
        assert scalar(connection, "SELECT v FROM t ORDER BY id DESC LIMIT 1 FOR UPDATE") == "42"

    def test_character_set(self, connect: Connect) -> None:
        connection = connect()
        connection.set_character_set("latin1")
        assert connection.character_set_name() == "latin1"
        cursor = connection.cursor()
        cursor.execute("INSERT INTO t (v) VALUES (%s)", ("é",))
        number = cursor.lastrowid
        cursor.execute("SELECT v, LENGTH(v) FROM t WHERE id = %s", (number,))
        assert cursor.fetchone() == ("é", 2)

    def test_ansi_quotes_are_understood(self, connect: Connect) -> None:
        connection = connect(sql_mode="ANSI_QUOTES")
        cursor = connection.cursor()
        cursor.execute('SELECT "v" FROM "t" WHERE 1 = 0')
        assert cursor.route.target == "replica"
        cursor.execute("SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'")
        cursor.execute("SELECT %s", ("a\\'b",))
        assert cursor.fetchone() == ("a\\'b",)

    def test_nothing_leaks_to_the_next_user_of_a_pooled_connection(self, connect: Connect) -> None:
        first = connect()
        cursor = first.cursor()
        for sql in ("SET @secret = 'canary'", "CREATE TEMPORARY TABLE mine (a INT)", "SET time_zone = '+03:00'"):
            cursor.execute(sql)
        cursor.execute("SELECT GET_LOCK('canary', 0)")
        thread = first.thread_id()
        first.close()
        second = connect()
        assert scalar(second, "SELECT @secret") is None
        assert second.thread_id() == thread, "it is the same physical connection"
        assert scalar(second, "SELECT IS_FREE_LOCK('canary')") == 1
        assert scalar(second, "SELECT @@time_zone") == "SYSTEM"
        with pytest.raises(replclus.ProgrammingError):
            second.cursor().execute("SELECT * FROM mine")

    def test_what_lives_on_one_connection_stays_there(self, connect: Connect) -> None:
        cursor = connect().cursor()
        cursor.execute("CREATE TEMPORARY TABLE tmp (a INT)")
        cursor.execute("INSERT INTO tmp VALUES (1)")
        cursor.execute("SELECT a FROM tmp")
        assert cursor.fetchall() == ((1,),)


class TestConsistency:
    def test_you_read_your_own_writes(self, connect: Connect) -> None:
        cursor = connect().cursor()
        for number in range(200):
            cursor.execute("INSERT INTO t (v) VALUES (%s)", (f"own {number}",))
            cursor.execute("SELECT COUNT(*) FROM t WHERE id = %s", (cursor.lastrowid,))
            assert cursor.fetchone()[0] == 1, (number, cursor.route)

    def test_with_replicas_held_back(self, cluster: Cluster, connect: Connect) -> None:
        """All appliers stopped: reads of an own write go to the primary, others stay where they are."""
        connection = connect()
        cursor = connection.cursor()
        bystander = connect().cursor()
        stop, start = ("STOP SLAVE SQL_THREAD", "START SLAVE SQL_THREAD") if cluster.sandbox.flavour == "mariadb" else (
            "STOP REPLICA SQL_THREAD", "START REPLICA SQL_THREAD")  # fmt: skip
        for name in ("n2", "n3", "n4"):
            cluster.run(name, stop)
        try:
            for number in range(20):
                cursor.execute("INSERT INTO t (v) VALUES (%s)", (f"held {number}",))
                cursor.execute("SELECT COUNT(*) FROM t WHERE id = %s", (cursor.lastrowid,))
                assert (cursor.fetchone()[0], cursor.route.node) == (1, "n1")
            bystander.execute("SELECT COUNT(*) FROM t WHERE v LIKE 'held%'")
            assert (bystander.fetchone()[0], bystander.route.target) == (0, "replica")
        finally:
            for name in ("n2", "n3", "n4"):
                cluster.run(name, start)

        def on_a_replica() -> bool:
            cursor.execute("SELECT COUNT(*) FROM t WHERE v LIKE 'held%'")
            assert cursor.fetchone()[0] == 20
            return bool(cursor.route.target == "replica")

        eventually(on_a_replica, "reads come back to the replicas")

    def test_reads_never_go_back_in_time(self, cluster: Cluster, connect: Connect) -> None:
        """One replica is held back; who has read elsewhere must not be sent there."""
        owner = connect()
        writer = owner.cursor()
        writer.execute("CREATE TABLE IF NOT EXISTS clock (n INT)")
        writer.execute("INSERT INTO clock VALUES (0)")
        reader = connect(causality_token=owner.causality_token)
        stop, start = ("STOP SLAVE SQL_THREAD", "START SLAVE SQL_THREAD") if cluster.sandbox.flavour == "mariadb" else (
            "STOP REPLICA SQL_THREAD", "START REPLICA SQL_THREAD")  # fmt: skip
        scalar(reader, "SELECT n FROM clock")
        cluster.run("n3", stop)
        try:
            last = 0
            for number in range(1, 80):
                writer.execute("UPDATE clock SET n = %s", (number,))
                seen = scalar(reader, "SELECT n FROM clock")
                assert seen >= last
                last = seen
        finally:
            cluster.run("n3", start)
            writer.execute("DROP TABLE clock")

    def test_a_token_carries_over(self, connect: Connect) -> None:
        first = connect()
        with first.cursor() as cursor:
            cursor.execute("INSERT INTO t (v) VALUES ('token')")
            number = cursor.lastrowid
        token = first.causality_token
        assert token
        assert scalar(connect(causality_token=token), f"SELECT COUNT(*) FROM t WHERE id = {number}") == 1
        with pytest.raises(ValueError, match="causality_token"):
            scalar(connect(causality_token="0-0-') OR 1 -- "), "SELECT 1")


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
        from pymysql.constants import CLIENT

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
        before = connection.thread_id(), scalar(connection, "SELECT 1")
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                cursor = connection.cursor()
                cursor.execute("INSERT INTO t (v) VALUES ('child')")
                cursor.execute("SELECT COUNT(*) FROM t WHERE v = 'child'")
                os.write(writing, f"{cursor.fetchone()[0]} {connection.thread_id()}".encode())
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
            connect(password="wrong")
        assert refused.value.args[0] == 1045

    def test_by_url_and_from_one_host(self, cluster: Cluster) -> None:
        n3 = cluster.spec.node("n3")
        with replclus.connect(cluster=f"mysql+replclus://app:app@{n3.address}/app", autocommit=True) as connection:
            connection.cursor().execute("INSERT INTO t (v) VALUES ('url')")
            assert connection.route is not None
            assert connection.route.node == "n1"
        with replclus.connect(host=n3.host, port=n3.port, user="app", password="app", database="app") as connection:
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
        config = str(cluster.sandbox.config)
        with replclus.connect(cluster=config, user="bare", password="bare", database="app", autocommit=True) as connection:
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
    with replclus.connect(user="app", password="app", database="app") as connection:
        assert scalar(connection, "SELECT 1") == 1
