"""Session state and consistency on both backends of a logical connection."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pymysql
import pytest
from pymysql.cursors import SSCursor

import replclus
from replclus.dbapi import registry
from tests.clusters import Cluster, eventually
from tests.integration.dbapi_world import Connect, cluster, connect, hold_back, let_go, scalar

__all__ = ["cluster", "connect"]

ENDLESS = "SELECT COUNT(*) FROM " + ", ".join(f"information_schema.columns AS {name}" for name in "abcd")


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

    def test_state_is_kept_when_the_other_connection_is_broken(self, cluster: Cluster, connect: Connect) -> None:
        connection = connect()
        number = connection.thread_id()
        scalar(connection, "SELECT 1")
        cluster.run("n1", f"KILL {number}")
        connection.cursor().execute("SET time_zone = '+03:00'")
        assert scalar(connection, "SELECT @@session.time_zone") == "+03:00"
        assert connection.thread_id() != number


class TestWhatServersAreSetTo:
    """What a session begins with is asked, not guessed: by it statements are read and arguments escaped."""

    @pytest.fixture(autouse=True)
    def _clean(self, cluster: Cluster) -> Iterator[None]:
        before = {name: cluster.rows(name, "SELECT @@global.sql_mode")[0][0] for name in cluster.sandbox.names}
        yield
        for name, mode in before.items():
            cluster.run(name, f"SET GLOBAL sql_mode = '{mode}'", "SET GLOBAL TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        registry.shut_down()

    def test_ansi_quotes(self, cluster: Cluster, connect: Connect) -> None:
        for name in cluster.sandbox.names:
            cluster.run(name, "SET GLOBAL sql_mode = 'ANSI_QUOTES'")
        registry.shut_down()
        connection = connect()
        # To ANSI_QUOTES the quoted name ends before FOR UPDATE, otherwise behind it.
        assert connection.explain('SELECT 1 AS "a\\" FOR UPDATE -- "').target == "primary"
        connection.cursor().execute('SELECT "v" FROM "t" WHERE 1 = 0')

    def test_arguments_of_the_first_statement_are_escaped_for_the_mode(self, cluster: Cluster, connect: Connect) -> None:
        for name in cluster.sandbox.names:
            cluster.run(name, "SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES'")
        registry.shut_down()
        cursor = connect().cursor()
        cursor.execute("SELECT %s", ("\\' OR 'x' = 'x",))
        assert cursor.fetchone() == ("\\' OR 'x' = 'x",)

    def test_serializable_reads_the_primary(self, cluster: Cluster, connect: Connect) -> None:
        for name in cluster.sandbox.names:
            cluster.run(name, "SET GLOBAL TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        registry.shut_down()
        connection = connect()
        scalar(connection, "SELECT 1")
        assert connection.route == replclus.Route("n1", "primary", "isolation is SERIALIZABLE")
        connection.cursor().execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        scalar(connection, "SELECT 1")
        assert connection.route.target == "replica"

    def test_what_init_command_sets(self, connect: Connect) -> None:
        connection = connect(init_command="SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        scalar(connection, "SELECT 1")
        assert connection.route is not None and connection.route.reason == "isolation is SERIALIZABLE"


class TestWhatOnlyOneConnectionKnows:
    def test_the_id_of_an_insert_is_never_a_wrong_one(self, cluster: Cluster, connect: Connect) -> None:
        connection = connect()
        cursor = connection.cursor()
        assert scalar(connection, "SELECT LAST_INSERT_ID()") == 0
        cursor.execute("INSERT INTO t (v) VALUES ('a')")
        number = cursor.lastrowid
        scalar(connection, "SELECT 1")
        assert scalar(connection, "SELECT LAST_INSERT_ID()") == number
        cluster.run("n1", f"KILL {connection.thread_id()}")
        with pytest.raises(replclus.SessionLost, match="LAST_INSERT_ID"):
            cursor.execute("INSERT INTO t (v) VALUES (LAST_INSERT_ID())")
        with pytest.raises(replclus.SessionLost, match="lastrowid"):
            scalar(connection, "SELECT @@session.last_insert_id")
        cursor.execute("INSERT INTO t (v) VALUES ('b')")
        assert scalar(connection, "SELECT LAST_INSERT_ID()") == cursor.lastrowid > number

    def test_a_pooled_connection_does_not_know_the_id_of_another_session(self, connect: Connect) -> None:
        first = connect()
        first.cursor().execute("INSERT INTO t (v) VALUES ('a')")
        number = first.thread_id()
        first.close()
        second = connect()
        assert second.thread_id() == number
        assert scalar(second, "SELECT LAST_INSERT_ID()") == 0

    def test_the_number_of_a_connection(self, connect: Connect) -> None:
        connection = connect()
        scalar(connection, "SELECT 1")
        assert connection.route is not None and connection.route.target == "replica"
        assert scalar(connection, "SELECT CONNECTION_ID()") == connection.thread_id()
        scalar(connection, "SELECT 1")
        assert scalar(connection, "SELECT CONNECTION_ID()") == connection.thread_id()

    @pytest.mark.parametrize("how", ["KILL QUERY", "KILL CONNECTION", "kill()"])
    def test_a_kill_ends_what_a_connection_does_on_whichever_server(self, cluster: Cluster, connect: Connect, how: str) -> None:
        victim, killer = connect(), connect()
        number = victim.thread_id()
        outcome: list[BaseException] = []

        def read() -> None:
            try:
                scalar(victim, ENDLESS)
            except pymysql.err.MySQLError as error:
                outcome.append(error)

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        running = f"SELECT id FROM information_schema.processlist WHERE info = '{ENDLESS}'"
        eventually(lambda: any(cluster.rows(name, running) for name in ("n2", "n3", "n4")), "the read is under way")
        if how == "kill()":
            killer.kill(number)
        else:
            killer.cursor().execute(f"{how} {number}")
        thread.join(timeout=10)
        assert not thread.is_alive()
        (error,) = outcome
        assert error.args[0] in (1317, 1927, 2013), error
        assert not any(cluster.rows(name, running) for name in cluster.sandbox.names), "and is not done again elsewhere"
        assert scalar(victim, "SELECT 2") == 2

    def test_a_number_that_servers_share_by_chance(self, connect: Connect) -> None:
        """Each server counts its connections by itself, so other links often have the number of somebody's primary link."""
        victims = [connect() for _ in range(12)]
        numbers = [victim.thread_id() for victim in victims]
        for victim in victims:
            scalar(victim, "SELECT 1")
        killer = connect()
        for number in numbers:
            killer.kill(number)
        for victim, number in zip(victims, numbers, strict=True):
            assert scalar(victim, "SELECT CONNECTION_ID()") == victim.thread_id() != number

    def test_explain_tells_without_sending(self, connect: Connect) -> None:
        connection = connect()
        assert connection.explain("SELECT 1").target == "replica"
        scalar(connection, "SELECT 1")
        before = connection.route
        assert before is not None
        assert connection.explain("SELECT 1") == before
        assert connection.explain("DELETE FROM t").node == "n1"
        assert connection.explain("SHOW WARNINGS").target == "last_used"
        assert connection.explain("SHOW WARNINGS").node == before.node
        assert connection.explain("SHUTDOWN").target == "refuse"
        assert connection.explain("SELECT 1 /* replclus: node=n3 */") == replclus.Route(
            "n3", "node", "a hint in the statement names n3"
        )
        assert connection.route == before
        connection.begin()
        assert connection.explain("SELECT 1").node == "n1"
        assert "transaction" in connection.explain("SELECT 1").reason


class TestConsistency:
    def test_rows_still_to_come_do_not_hold_the_next_transaction_in_the_past(self, connect: Connect) -> None:
        writer = connect()
        writer.cursor().executemany("INSERT INTO t (v) VALUES (%s)", [("x" * 90,)] * 3000)
        reader = connect(autocommit=False, causality_token=writer.causality_token)
        stream = reader.cursor(SSCursor)
        stream.execute("SELECT a.v FROM t AS a, (SELECT 1 UNION SELECT 2 UNION SELECT 3) AS b")
        assert stream.route is not None and stream.route.target == "replica"
        assert stream.fetchone() is not None
        reader.commit()
        cursor = reader.cursor()
        cursor.execute("INSERT INTO t (v) VALUES ('mine')")
        number = cursor.lastrowid
        reader.commit()
        assert scalar(reader, f"SELECT COUNT(*) FROM t WHERE id = {number}") == 1
        assert len(stream.fetchall()) >= 8999, "and they do come"

    def test_you_read_your_own_writes(self, connect: Connect) -> None:
        cursor = connect().cursor()
        for number in range(200):
            cursor.execute("INSERT INTO t (v) VALUES (%s)", (f"own {number}",))
            cursor.execute("SELECT COUNT(*) FROM t WHERE id = %s", (cursor.lastrowid,))
            assert cursor.fetchone()[0] == 1, (number, cursor.route)

    def test_without_autocommit_and_with_replicas_held_back(self, cluster: Cluster, connect: Connect) -> None:
        """A read that is sent along with its wait opens a transaction on the replica, which must not be read on."""
        connection = connect(autocommit=False)
        cursor = connection.cursor()
        hold_back(cluster, "n2", "n3", "n4")
        try:
            for number in range(10):
                cursor.execute("INSERT INTO t (v) VALUES (%s)", (f"kept {number}",))
                connection.commit()
                cursor.execute("SELECT COUNT(*) FROM t WHERE id = %s", (cursor.lastrowid,))
                assert (cursor.fetchone()[0], cursor.route.node) == (1, "n1")
                connection.commit()
        finally:
            let_go(cluster, "n2", "n3", "n4")

    def test_with_replicas_held_back(self, cluster: Cluster, connect: Connect) -> None:
        """All appliers stopped: reads of an own write go to the primary, others stay where they are."""
        connection = connect()
        cursor = connection.cursor()
        bystander = connect().cursor()
        eventually(lambda: cluster.equal("app.t"), "the replicas have what this process wrote before")
        hold_back(cluster, "n2", "n3", "n4")
        try:
            for number in range(20):
                cursor.execute("INSERT INTO t (v) VALUES (%s)", (f"held {number}",))
                cursor.execute("SELECT COUNT(*) FROM t WHERE id = %s", (cursor.lastrowid,))
                assert (cursor.fetchone()[0], cursor.route.node) == (1, "n1")
            bystander.execute("SELECT COUNT(*) FROM t WHERE v LIKE 'held%'")
            assert (bystander.fetchone()[0], bystander.route.target) == (0, "replica")
        finally:
            let_go(cluster, "n2", "n3", "n4")

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
        scalar(reader, "SELECT n FROM clock")
        hold_back(cluster, "n3")
        try:
            last = 0
            for number in range(1, 80):
                writer.execute("UPDATE clock SET n = %s", (number,))
                seen = scalar(reader, "SELECT n FROM clock")
                assert seen >= last
                last = seen
        finally:
            let_go(cluster, "n3")
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
            scalar(connect(causality_token="0-0-') OR 1 -- "), "SELECT 1")  # noqa: S106
