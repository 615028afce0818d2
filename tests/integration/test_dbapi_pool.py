"""Physical connections: how many, how old, in which state; and the counters that tell."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pymysql
import pytest

import replclus
from replclus.dbapi import pool as pooling
from replclus.dbapi import registry
from tests.clusters import Cluster, eventually
from tests.integration.dbapi_world import Connect, account, cluster, connect, scalar

__all__ = ["cluster", "connect"]

APP: dict[str, Any] = {"user": "app", "password": "app", "database": "app"}


def of_app(cluster: Cluster, node: str) -> int:
    """Connections of `app` that the server itself counts, the watchers' questions among them."""
    return int(cluster.rows(node, "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app'")[0][0])


def counted(what: str, node: str | None = None) -> int:
    return sum(one.count(what, node).times for one in registry.statistics())  # type: ignore[arg-type]


class TestBounds:
    def test_no_more_than_max_connections(self, cluster: Cluster, connect: Connect) -> None:
        """The third writer waits for one of the first two, and is told which bound it met."""
        keywords = {"max_connections": 2, "failover_timeout": 0.7}
        writers = [connect(**keywords) for _ in range(3)]
        for writer in writers[:2]:
            writer.cursor().execute("INSERT INTO t (v) VALUES ('holds')")
        began = time.monotonic()
        with pytest.raises(
            replclus.NoConnectionLeft, match=r"no connection to n1 is left: all 2 that max_connections=2 allows"
        ) as left:
            writers[2].cursor().execute("INSERT INTO t (v) VALUES ('waits')")
        assert 0.6 < time.monotonic() - began < 3
        assert (left.value.args[0], isinstance(left.value, replclus.OperationalError)) == (1040, True)
        threading.Timer(0.3, writers[0].close).start()
        writers[2].cursor().execute("INSERT INTO t (v) VALUES ('waited')")
        assert writers[2].statistics().count("held", "n1").seconds > 0.1
        assert writers[2].statistics().count("no_room", "n1").times > 1

    def test_whoever_waits_for_the_primary_gives_up_its_reader_there(self, connect: Connect) -> None:
        """Everybody reads on the primary and wants to write: nobody may wait for what the others hold."""
        keywords = {"max_connections": 4, "primary_reads": "always", "failover_timeout": 20}
        wrong: list[str] = []

        def work(connection: replclus.Connection) -> None:
            try:
                cursor = connection.cursor()
                for _ in range(20):
                    cursor.execute("SELECT 1")
                cursor.execute("INSERT INTO t (v) VALUES ('crowd')")
                cursor.execute("SELECT 1")
            except Exception as error:  # the finding
                wrong.append(repr(error))
            finally:
                connection.close()

        threads = [threading.Thread(target=work, args=(connect(**keywords),)) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert wrong == []

    def test_a_full_replica_sends_its_reads_elsewhere(self, connect: Connect) -> None:
        watcher = connect(max_connections=2)._session.backends.watcher  # type: ignore[union-attr]
        eventually(lambda: len(watcher.map.replicas) == 3, "all are seen")
        readers = [connect(max_connections=1, consistency="eventual") for _ in range(4)]
        nodes = set()
        for reader in readers:
            cursor = reader.cursor()
            cursor.execute("SELECT 1")
            nodes.add(cursor.route.node)
        assert nodes == {"n1", "n2", "n3", "n4"}

    def test_a_server_that_is_full(self, cluster: Cluster, connect: Connect) -> None:
        """1040 from the server: reads go elsewhere; a write waits, and the error names the node."""
        connection = connect(failover_timeout=1.0)
        scalar(connection, "SELECT 1")
        crowd: list[pymysql.Connection[Any]] = []
        with cluster.connect("n1") as root, root.cursor() as command:
            command.execute("SHOW GLOBAL STATUS LIKE 'Threads_connected'")
            command.execute(f"SET GLOBAL max_connections = {max(10, int(command.fetchone()[1]) + 4)}")
            try:
                with pytest.raises(pymysql.err.OperationalError, match="Too many connections"):
                    while len(crowd) < 30:
                        crowd.append(pymysql.connect(unix_socket=str(cluster.sandbox.place("n1").socket), **APP))
                full = r"n1 is left: the server refuses more: Too many connections \(1040\)"
                with pytest.raises(replclus.NoConnectionLeft, match=full):
                    connection.cursor().execute("INSERT INTO t (v) VALUES ('full')")
                for _ in range(3):
                    crowd.pop().close()
                connection.cursor().execute("INSERT INTO t (v) VALUES ('room')")
            finally:
                for one in crowd:
                    one.close()
                command.execute("SET GLOBAL max_connections = 151")

    def test_only_so_many_are_kept(self, cluster: Cluster, connect: Connect) -> None:
        connections = [connect(pool_size=3, consistency="strong") for _ in range(10)]
        for connection in connections:
            scalar(connection, "SELECT 1")
        (rest,) = {connection.statistics().pool["n1"] for connection in connections}
        assert rest.in_use >= 10
        for connection in connections:
            connection.close()
        last = connect(pool_size=3, consistency="strong")
        idle = [pool.counts()["n1"][0] for key, pool in registry._pools.items() if pool.bounds.idle_max == 3]
        assert idle == [3]
        scalar(last, "SELECT 1")

    def test_an_old_one_is_replaced(self, connect: Connect) -> None:
        keywords = {"max_lifetime": 0.5, "consistency": "strong"}
        first = connect(**keywords)
        number = scalar(first, "SELECT CONNECTION_ID()")
        first.close()
        second = connect(**keywords)
        assert scalar(second, "SELECT CONNECTION_ID()") == number
        time.sleep(0.6)
        second.close()
        assert scalar(connect(**keywords), "SELECT CONNECTION_ID()") != number

    def test_one_that_was_at_rest_for_long_is_asked_first(
        self, cluster: Cluster, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A line that was cut without a word, as by a firewall, looks open. The server is frozen here instead."""
        monkeypatch.setattr(pooling, "TRUSTED_S_MAX", 0.0)
        first = connect(consistency="strong", pool_size=7)
        number = scalar(first, "SELECT CONNECTION_ID()")
        first.close()
        (pool,) = [pool for pool in registry._pools.values() if pool.bounds.idle_max == 7]
        cluster.process("n1").freeze()
        thaw = threading.Timer(1.5, cluster.process("n1").thaw)
        thaw.start()
        try:
            began = time.monotonic()
            second = connect(consistency="strong", pool_size=7)
            assert scalar(second, "SELECT CONNECTION_ID()") != number
            assert time.monotonic() - began > 1.0
        finally:
            thaw.join()
        assert pool.counts()["n1"][1] == 1


class TestNothingLeaks:
    def test_a_connection_that_cannot_be_prepared(self, cluster: Cluster, connect: Connect) -> None:
        before = of_app(cluster, "n1")
        for _ in range(20):
            with pytest.raises(replclus.Error, match="no_such_variable"):
                connect(init_command="SET no_such_variable = 1").cursor().execute("SELECT 1")
        eventually(lambda: of_app(cluster, "n1") <= before + 1, "the server has none of them left")

    def test_the_wrong_schema_is_the_application_s_error_and_ejects_nobody(self, cluster: Cluster, connect: Connect) -> None:
        ejected = counted("ejected")
        wrong = connect(database="no_such_schema")
        with pytest.raises(replclus.OperationalError, match="no_such_schema"):
            wrong.cursor().execute("SELECT 1")
        assert counted("ejected") == ejected

    def test_dropped_without_close(self, cluster: Cluster) -> None:
        before = of_app(cluster, "n1")
        for _ in range(20):
            connection = replclus.connect(**account(cluster), consistency="strong", pool_size=0)
            connection.cursor().execute("SELECT 1")
            del connection
        eventually(lambda: of_app(cluster, "n1") <= before + 1, "garbage is closed")

    def test_hundreds_of_connections(self, cluster: Cluster) -> None:
        """Many threads, few physical connections at a time, and none left over."""
        wrong: list[str] = []

        def work(number: int) -> None:
            try:
                for _ in range(3):
                    with replclus.connect(**account(cluster), autocommit=True, max_connections=20) as connection:
                        cursor = connection.cursor()
                        cursor.execute("SELECT 1")
                        cursor.execute("INSERT INTO t (v) VALUES (%s)", (f"hundred {number}",))
            except Exception as error:  # the finding
                wrong.append(repr(error))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=120)
        assert wrong == []
        assert cluster.rows("n1", "SELECT COUNT(*) FROM app.t WHERE v LIKE 'hundred %'") == ((600,),)
        (pool,) = [pool for pool in registry._pools.values() if pool.bounds.open_max == 20]
        assert all(in_use == 0 and idle <= 20 for idle, in_use in pool.counts().values()), pool.counts()
        assert len([thread for thread in threading.enumerate() if thread.name.startswith("replclus-")]) <= 4 * len(
            registry._watchers
        )


class TestStatistics:
    def test_statements_by_node_target_and_reason(self, connect: Connect) -> None:
        connection = connect()
        cursor = connection.cursor()
        for _ in range(5):
            cursor.execute("SELECT 1")
        cursor.execute("INSERT INTO t (v) VALUES ('counted')")
        with pytest.raises(replclus.OperationalError, match="no_such_column"):
            cursor.execute("SELECT no_such_column FROM t")
        statements = connection.statistics().statements
        assert sum(times for (_, target, _), times in statements.items() if target == "replica") == 5
        (written,) = [(node, times) for (node, target, _), times in statements.items() if target == "primary"]
        assert written == ("n1", 1)

    def test_of_the_process(self, connect: Connect, cluster: Cluster) -> None:
        def statements() -> int:
            return sum(times for one in replclus.statistics() for times in one.statements.values())

        before = statements()
        first, second = connect(), connect()
        for connection in (first, second):
            scalar(connection, "SELECT 1")
        first.close()
        assert statements() == before + 2, "closed or open"
        (here,) = [one for one in replclus.statistics() if one.cluster == cluster.record.cluster_id and one.statements]
        assert here.pool["n1"].in_use >= 0
        assert here.count("made").times >= 1

    def test_as_an_exporter_reads_it(self, connect: Connect) -> None:
        connection = connect()
        scalar(connection, "SELECT 1")
        found = {metric.name: metric for metric in connection.statistics().metrics()}
        one = found["replclus_statements_total"]
        assert (one.kind, one.value, one.labels["target"], one.labels["reason"]) == ("counter", 1, "replica", "a plain read")
        assert found["replclus_connections_in_use"].kind == "gauge"

    def test_a_forked_child_counts_for_itself(self, connect: Connect) -> None:
        connection = connect()
        for _ in range(3):
            scalar(connection, "SELECT 1")
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                scalar(connection, "SELECT 1")
                total = sum(connection.statistics().statements.values())
                os.write(write, f"{total} {counted('made')}".encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        total, made = map(int, os.read(read, 100).split())
        assert total == 1
        assert 1 <= made <= 2


def test_a_suspended_process_goes_on(cluster: Cluster, connect: Connect) -> None:
    """As after a laptop's sleep: the map is too old to write by, and is renewed before anything is written."""
    program = (
        "import sys, time, replclus\n"
        "c = replclus.connect(cluster=sys.argv[1], user='app', password='app', database='app', autocommit=True)\n"
        "k = c.cursor()\n"
        "k.execute(\"INSERT INTO t (v) VALUES ('before')\")\n"
        "k.execute('SELECT 1')\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "k.execute(\"INSERT INTO t (v) VALUES ('after')\")\n"
        "k.execute(\"SELECT COUNT(*) FROM t WHERE v IN ('before', 'after')\")\n"
        "print(k.fetchone()[0], c.statistics().count('ejected').times, flush=True)\n"
    )
    cluster.run("n1", "DELETE FROM app.t WHERE v IN ('before', 'after')")
    arguments: list[Any] = [sys.executable, "-c", program, str(cluster.sandbox.config)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(8)
        process.send_signal(signal.SIGCONT)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "2 0\n"
