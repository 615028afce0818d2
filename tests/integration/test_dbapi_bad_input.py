"""What goes wrong between an application and its cluster is said in one sentence: what, where, and what to do."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import pymysql
import pytest

import replclus
from replclus.dbapi import registry
from replclus.errors import ConfigError
from replclus.sandbox import Sandbox
from tests.clusters import Cluster, eventually, initialised
from tests.conftest import MakeSandbox
from tests.integration.dbapi_world import Connect, account, cluster, connect, hold_back, let_go, scalar

__all__ = ["cluster", "connect"]


def url(cluster: Cluster, *names: str, options: str = "", user: str = "app:app") -> str:
    """A cluster URL that names these nodes only."""
    places = [cluster.sandbox.place(name) for name in names or cluster.sandbox.names]
    hosts = ",".join(f"127.0.0.1:{place.port}" for place in places)
    return f"mysql+replclus://{user}@{hosts}/app?autocommit=true{options}"


class TestKeywords:
    def test_an_unknown_one(self, connect: Connect) -> None:
        with pytest.raises(
            TypeError, match=r"replclus.connect\(\) has no keyword 'primary_read': did you mean 'primary_reads'\?"
        ):
            connect(primary_read="always")

    def test_a_bad_url(self) -> None:
        for bad in ("mysql+replclus//u:p@h/d", "mysql+replclus://u:p@/d", "mysql+replclus://u:p@h:port/d", "http://h/d"):
            with pytest.raises(ConfigError, match="cluster URL"):
                replclus.connect(cluster=bad)


class TestNobodyAnswers:
    def test_each_node_is_named_with_its_reason(self) -> None:
        with pytest.raises(replclus.Unavailable) as failed:
            replclus.connect(cluster="mysql+replclus://u:p@127.0.0.1:1,no-such-host.invalid:3306/d")
        said = str(failed.value)
        assert "no node of the cluster can be reached: 127.0.0.1:1: Can't connect" in said
        assert "no-such-host.invalid:3306: Can't connect" in said
        assert "Name or service not known" in said or "name resolution" in said

    def test_a_wrong_password_everywhere(self, cluster: Cluster) -> None:
        with pytest.raises(replclus.OperationalError, match="Access denied") as denied:
            replclus.connect(**{**account(cluster), "password": "wrong"})
        assert denied.value.args[0] == 1045

    def test_a_name_that_cannot_be_resolved_beside_nodes_that_answer(self, cluster: Cluster) -> None:
        hosts = url(cluster).replace("@", "@no-such-host.invalid:3306,")
        with replclus.connect(cluster=hosts) as connection:
            assert scalar(connection, "SELECT 1") == 1


class TestNoPrimary:
    def test_how_long_it_waited_and_why(self, cluster: Cluster, connect: Connect) -> None:
        connection = connect(failover_timeout=1.0)
        cursor = connection.cursor()
        cluster.run("n1", "SET GLOBAL read_only = ON")
        try:
            with pytest.raises(replclus.Unavailable) as failed:
                cursor.execute("INSERT INTO t (v) VALUES ('nowhere')")
        finally:
            if cluster.sandbox.flavour == "mysql":
                cluster.run("n1", "SET GLOBAL super_read_only = OFF")
            cluster.run("n1", "SET GLOBAL read_only = OFF")
        said = str(failed.value)
        assert "no primary after 1." in said
        assert "n1, the primary of epoch 1, is read-only; no watchdog was seen at work" in said

    def test_what_the_watchdog_says(self, make_sandbox: MakeSandbox, cluster: Cluster) -> None:
        """On its own host its record tells why it does not act: an acknowledging replica is down as well, and may know more."""
        made = initialised(make_sandbox(cluster.sandbox.flavour, replicas=2))
        with made.watchdog() as watchdog:
            made.until_healthy("the cluster is healthy")
            with replclus.connect(**account(made), autocommit=True, failover_timeout=3) as connection:
                scalar(connection, "SELECT 1")
                time.sleep(1)
                made.kill("n3")
                made.kill("n1")
                eventually(lambda: watchdog.said("Decided", verdict="refuse"), "it refuses")
                with pytest.raises(replclus.Unavailable) as failed:
                    connection.cursor().execute("CREATE TABLE x (a INT)")
        registry.shut_down()
        said = str(failed.value)
        assert "no primary after 3." in said
        assert "n1, the primary of epoch 1, does not answer: Can't connect" in said
        assert "the watchdog's newest beat was seen" in said
        assert "the watchdog's last word, " in said and "refuse: " in said and "n3" in said


class TestNoReplica:
    @pytest.fixture
    def alone(self, cluster: Cluster) -> Iterator[Cluster]:
        """The replicas do not replicate, and the map says so."""
        text = cluster.rows("n1", "SELECT topology FROM replclus.pulse")[0][0]
        drained = text
        for name in ("n2", "n3", "n4"):
            head, tail = drained.split(f'"name":"{name}"', 1)
            drained = f'{head}"name":"{name}"' + tail.replace('"serving":true', '"serving":false', 1)
        self._publish(cluster, drained)
        yield cluster
        self._publish(cluster, text)
        eventually(
            lambda: all(cluster.rows(n, "SELECT topology FROM replclus.pulse")[0][0] == text for n in ("n2", "n3", "n4")),
            "it is back",
        )

    @staticmethod
    def _publish(cluster: Cluster, topology: str) -> None:
        with cluster.connect("n1") as root, root.cursor() as cursor:
            cursor.execute("UPDATE replclus.pulse SET topology = %s, beat = beat + 1", (topology,))

    def test_the_primary_reads(self, alone: Cluster, connect: Connect) -> None:
        cursor = connect().cursor()

        def on_primary() -> bool:
            cursor.execute("SELECT 1")
            return bool(cursor.route == replclus.Route("n1", "primary", "no replica serves this read now"))

        eventually(on_primary, "the primary reads")

    def test_a_replica_may_be_required(self, alone: Cluster, connect: Connect) -> None:
        connection = connect(replica_required=True, failover_timeout=0.8)
        cursor = connection.cursor()
        cursor.execute("INSERT INTO t (v) VALUES ('writes go on')")
        eventually(lambda: not connection._session.backends.watcher.map.replicas, "the map is known")  # type: ignore[union-attr]
        began = time.monotonic()
        with pytest.raises(replclus.NoReplica) as failed:
            cursor.execute("SELECT 1")
        assert 0.7 < time.monotonic() - began < 3
        said = str(failed.value)
        assert "no replica serves this read after 0." in said
        assert all(f"{name} is taken out of reads" in said for name in ("n2", "n3", "n4"))
        with pytest.raises(replclus.NoReplica):
            cursor.execute("START TRANSACTION READ ONLY")

    def test_required_and_behind(self, cluster: Cluster, connect: Connect) -> None:
        """It waits for a replica to catch up, as long as it is allowed to, and then reads there."""
        connection = connect(replica_required=True, failover_timeout=1.0)
        cursor = connection.cursor()
        hold_back(cluster, "n2", "n3", "n4")
        try:
            cursor.execute("INSERT INTO t (v) VALUES ('ahead')")
            with pytest.raises(replclus.NoReplica, match="n2 has not what this session has seen"):
                cursor.execute("SELECT COUNT(*) FROM t")
        finally:
            let_go(cluster, "n2", "n3", "n4")
        cursor.execute("SELECT COUNT(*) FROM t WHERE v = 'ahead'")
        assert (cursor.fetchone()[0], cursor.route.target) == (1, "replica")


class TestOneNodeRefusesTheAccount:
    """Somebody changed a password on one server only, past replication."""

    @pytest.fixture
    def estranged(self, sandbox: Sandbox) -> Iterator[Cluster]:
        made = initialised(sandbox)
        made.run("n1", "CREATE TABLE app.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(100))")
        eventually(lambda: made.rows("n4", "SHOW TABLES FROM app") != (), "n4 has it")
        yield made
        registry.shut_down()

    @staticmethod
    def change_password(cluster: Cluster, node: str) -> None:
        off = "SET GLOBAL super_read_only = OFF" if cluster.sandbox.flavour == "mysql" else "SELECT 1"
        hosts = [host for (host,) in cluster.rows(node, "SELECT host FROM mysql.user WHERE user = 'app'")]
        change = [f"ALTER USER app@'{host}' IDENTIFIED BY 'changed'" for host in hosts]
        cluster.run(node, off, "SET SESSION sql_log_bin = 0", *change)

    def test_a_replica_is_left_out_with_a_warning(self, estranged: Cluster, caplog: pytest.LogCaptureFixture) -> None:
        self.change_password(estranged, "n3")
        with caplog.at_level(logging.WARNING, "replclus"), replclus.connect(**account(estranged), autocommit=True) as connection:
            cursor = connection.cursor()
            nodes = set()
            for _ in range(60):
                cursor.execute("SELECT 1")
                nodes.add(cursor.route.node)
            cursor.execute("INSERT INTO t (v) VALUES ('elsewhere')")
            assert "n3" not in nodes
            eventually(lambda: bool(caplog.records), "a warning")
            time.sleep(0.6)
        (said,) = [record.getMessage() for record in caplog.records]
        assert said.startswith("n3 refuses this account: Access denied for user 'app'")
        assert said.endswith("left out of rotation")

    def test_the_primary_is_named_at_once(self, estranged: Cluster) -> None:
        self.change_password(estranged, "n1")
        with replclus.connect(**account(estranged), autocommit=True) as connection:
            assert scalar(connection, "SELECT 1") == 1
            began = time.monotonic()
            with pytest.raises(replclus.OperationalError, match=r"n1, the primary of epoch 1, .*Access denied") as denied:
                connection.cursor().execute("INSERT INTO t (v) VALUES ('refused')")
            assert denied.value.args[0] == 1045
            assert time.monotonic() - began < 3, "waiting would not make it better"


class TestAnotherCluster:
    @pytest.fixture
    def other(self, make_sandbox: MakeSandbox, cluster: Cluster) -> Iterator[Cluster]:
        made = initialised(make_sandbox(cluster.sandbox.flavour, replicas=1))
        made.run("n1", "CREATE TABLE app.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(100))")
        yield made
        registry.shut_down()

    def test_a_node_of_it_is_neither_read_nor_written(
        self, cluster: Cluster, other: Cluster, caplog: pytest.LogCaptureFixture
    ) -> None:
        stranger = f"127.0.0.1:{other.sandbox.place('n1').port}"
        hosts = url(cluster).replace("@", f"@{stranger},")
        questions = "SHOW GLOBAL STATUS LIKE 'Com_insert'"
        before = other.rows("n1", questions)
        with caplog.at_level(logging.WARNING, "replclus"):
            for _ in range(10):
                with replclus.connect(cluster=hosts) as connection:
                    cursor = connection.cursor()
                    cursor.execute("INSERT INTO t (v) VALUES ('ours')")
                    assert cursor.route.node == "n1"
                    cursor.execute("SELECT COUNT(*) FROM t")
                    assert cursor.fetchone()[0] >= 1
                registry.shut_down()
        assert other.rows("n1", questions) == before
        assert other.rows("n1", "SELECT COUNT(*) FROM app.t") == ((0,),)
        assert any(f"{stranger} belongs to another cluster" in record.getMessage() for record in caplog.records)

    def test_half_and_half_is_refused(self, cluster: Cluster, other: Cluster) -> None:
        places = [cluster.sandbox.place("n2"), other.sandbox.place("n1")]
        hosts = ",".join(f"127.0.0.1:{place.port}" for place in places)
        cluster_url = f"mysql+replclus://app:app@{hosts}/app?failover_timeout=1"
        with pytest.raises(replclus.Unavailable, match=r"belong to different clusters .*: connect to the nodes of one"):
            replclus.connect(cluster=cluster_url).cursor().execute("INSERT INTO t (v) VALUES ('whose?')")


class TestAdministration:
    @pytest.mark.parametrize(
        "statement",
        [
            "SET GLOBAL max_connections = 5",
            "RESET MASTER",
            "CHANGE MASTER TO MASTER_HOST = 'x'",
            "SHUTDOWN",
            "PURGE BINARY LOGS TO 'x'",
        ],
    )
    def test_is_refused_with_the_reason(self, connect: Connect, statement: str) -> None:
        cursor = connect().cursor()
        with pytest.raises(replclus.StatementRefused) as refused:
            cursor.execute(statement)
        assert isinstance(refused.value, pymysql.err.NotSupportedError)
        assert len(refused.value.args[1]) > 20, refused.value
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,), "nothing was sent, and the connection goes on"


def test_an_account_that_may_not_read_the_pulse(cluster: Cluster) -> None:
    """Roles are discovered: the only writable server is the primary."""
    cluster.run("n1", "CREATE USER blind@'%' IDENTIFIED BY 'blind'", "GRANT ALL ON app.* TO blind@'%'")
    eventually(lambda: all(cluster.rows(n, "SELECT 1 FROM mysql.user WHERE user = 'blind'") for n in ("n2", "n3", "n4")), "known")
    with replclus.connect(cluster=url(cluster, user="blind:blind")) as connection:
        cursor = connection.cursor()
        cursor.execute("INSERT INTO t (v) VALUES ('blind')")
        assert cursor.route.target == "primary"

        def on_a_replica() -> bool:
            cursor.execute("SELECT COUNT(*) FROM t WHERE v = 'blind'")
            assert cursor.fetchone() == (1,)
            return bool(cursor.route.target == "replica")

        eventually(on_a_replica, "replicas read")
