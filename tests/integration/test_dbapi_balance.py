"""Who reads: weights, the primary's part, and replicas that are killed, frozen and come back."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

import replclus
from replclus.dbapi import registry
from replclus.model.topology import Topology
from replclus.routing.balance import EJECTED_S_MIN, SLOW_START_S
from tests.clusters import Cluster, eventually
from tests.integration.dbapi_world import Connect, account, cluster, connect, hold_back, let_go, scalar

__all__ = ["cluster", "connect"]

REPLICAS = {"n2", "n3", "n4"}


def shares(connection: replclus.Connection, reads: int) -> dict[str, float]:
    """Which part of so many reads each node answered."""
    nodes: Counter[str] = Counter()
    cursor = connection.cursor()
    for _ in range(reads):
        cursor.execute("SELECT 1")
        nodes[cursor.route.node] += 1
    return {name: nodes[name] / reads for name in ("n1", *sorted(REPLICAS))}


class TestWeights:
    def test_of_the_configuration(self, cluster: Cluster, connect: Connect) -> None:
        text = cluster.sandbox.config.read_text()
        weighted = text.replace('name = "n2"', 'name = "n2"\nweight = 4').replace('name = "n4"', 'name = "n4"\nweight = 0')
        file = cluster.sandbox.directory / "weighted.toml"
        file.write_text(weighted)
        # No pulse is read by this account, so the file's own weights hold.
        cluster.run("n1", "CREATE USER bare@'%' IDENTIFIED BY 'bare'", "GRANT ALL ON app.* TO bare@'%'")
        eventually(lambda: all(cluster.rows(n, "SELECT 1 FROM mysql.user WHERE user = 'bare'") for n in REPLICAS), "it is known")
        keywords = {"cluster": str(file), "user": "bare", "password": "bare", "consistency": "eventual"}
        connection = connect(**keywords, balance="weighted_round_robin")
        eventually(lambda: len(connection._session.backends.watcher.map.replicas) == 3, "all are seen")  # type: ignore[union-attr]
        seen = shares(connection, 600)
        assert seen["n2"] == pytest.approx(0.8, abs=0.06)
        assert seen["n3"] == pytest.approx(0.2, abs=0.06)
        assert seen["n1"] == seen["n4"] == 0


class TestTheMapChanges:
    def test_a_node_is_taken_out_of_the_map_and_put_back(self, cluster: Cluster, connect: Connect) -> None:
        connection = connect(consistency="eventual")
        assert shares(connection, 200)["n4"] > 0
        ((text,),) = cluster.rows("n1", "SELECT topology FROM replclus.pulse")
        topology = Topology.from_json(text)
        without = replace(topology, nodes=tuple(node for node in topology.nodes if node.name != "n4"))
        self.publish(cluster, without)
        eventually(lambda: shares(connection, 100)["n4"] == 0, "n4 is left")
        self.publish(cluster, topology)
        eventually(lambda: shares(connection, 100)["n4"] > 0, "n4 reads again")

    def test_weights_of_the_pulse(self, cluster: Cluster, connect: Connect) -> None:
        ((text,),) = cluster.rows("n1", "SELECT topology FROM replclus.pulse")
        topology = Topology.from_json(text)
        weights = {"n1": 1, "n2": 3, "n3": 1, "n4": 0}
        self.publish(cluster, replace(topology, nodes=tuple(replace(node, weight=weights[node.name]) for node in topology.nodes)))
        connection = connect(consistency="eventual", balance="weighted_round_robin")
        try:
            eventually(lambda: shares(connection, 100)["n4"] == 0, "the weights are known")
            # On a busy machine a node may be left for a moment, and comes back gently.
            eventually(lambda: shares(connection, 400)["n2"] == pytest.approx(0.75, abs=0.06), "they count")
        finally:
            self.publish(cluster, topology)
            eventually(lambda: shares(connection, 100)["n4"] > 0, "all is as it was")

    @staticmethod
    def publish(cluster: Cluster, topology: Topology) -> None:
        with cluster.connect("n1") as root, root.cursor() as cursor:
            cursor.execute("UPDATE replclus.pulse SET topology = %s, beat = beat + 1", (topology.to_json(),))


class TestThePrimaryReads:
    def test_never(self, connect: Connect) -> None:
        assert shares(connect(), 100)["n1"] == 0

    def test_always_it_is_one_of_them(self, connect: Connect) -> None:
        connection = connect(primary_reads="always", consistency="eventual")
        names = ("n1", *REPLICAS)

        def even() -> bool:
            seen = shares(connection, 400)
            return all(seen[name] == pytest.approx(0.25, abs=0.08) for name in names)

        # On a busy machine a node may be left for a moment, and comes back gently.
        eventually(even, "each has its part")

    def test_idle_it_takes_a_part_and_says_so(self, connect: Connect) -> None:
        connection = connect(primary_reads="when_idle", consistency="eventual")
        cursor = connection.cursor()

        def reads_on_primary() -> bool:
            cursor.execute("SELECT 1")
            return bool(cursor.route == replclus.Route("n1", "primary", "a plain read"))

        eventually(reads_on_primary, "the primary reads")
        assert 0.02 < shares(connection, 800)["n1"] < 0.5

    @pytest.mark.parametrize("autocommit", [True, False])
    def test_you_read_your_writes_and_no_transaction_is_opened_there(
        self, cluster: Cluster, connect: Connect, autocommit: bool
    ) -> None:
        """With all replicas held back, what was just written can only be read on the primary."""
        connection = connect(primary_reads="always", autocommit=autocommit)
        cursor = connection.cursor()
        hold_back(cluster, *REPLICAS)
        try:
            for number in range(30):
                cursor.execute("INSERT INTO t (v) VALUES (%s)", (f"mine {number}",))
                connection.commit()
                cursor.execute("SELECT COUNT(*) FROM t WHERE id = %s", (cursor.lastrowid,))
                assert cursor.fetchone() == (1,)
                assert connection._session.primary.transaction is None  # type: ignore[union-attr]
                connection.commit()
        finally:
            let_go(cluster, *REPLICAS)

    def test_time_never_runs_backwards_between_primary_and_replicas(self, cluster: Cluster, connect: Connect) -> None:
        writer, reader = connect(), connect(primary_reads="always")
        writing = writer.cursor()
        writing.execute("CREATE TABLE IF NOT EXISTS clock (n INT)")
        writing.execute("INSERT INTO clock VALUES (0)")
        eventually(lambda: cluster.rows("n4", "SELECT COUNT(*) FROM app.clock") == ((1,),), "it is everywhere")
        hold_back(cluster, "n3")
        nodes: Counter[str] = Counter()
        last = 0
        try:
            for number in range(1, 400):
                writing.execute("UPDATE clock SET n = %s", (number,))
                seen = scalar(reader, "SELECT n FROM clock")
                assert seen >= last
                last = seen
                assert reader.route is not None
                nodes[reader.route.node] += 1
        finally:
            let_go(cluster, "n3")
            writing.execute("DROP TABLE clock")
        assert nodes["n1"] > 0

    def test_a_write_after_reads_on_the_primary_begins_its_transaction_there(self, connect: Connect) -> None:
        connection = connect(primary_reads="always", autocommit=False)
        cursor = connection.cursor()
        for number in range(20):
            cursor.execute("SELECT COUNT(*) FROM t")
            cursor.execute("INSERT INTO t (v) VALUES (%s)", (f"then {number}",))
            connection.rollback()
        assert scalar(connection, "SELECT COUNT(*) FROM t WHERE v LIKE 'then %'") == 0


@contextmanager
def reading(cluster: Cluster, threads: int) -> Iterator[tuple[list[tuple[float, str]], list[str]]]:
    """Threads that read without pause: when and where each read was answered, and what went wrong."""
    seen: list[tuple[float, str]] = []
    wrong: list[str] = []
    stop = threading.Event()

    def read() -> None:
        with replclus.connect(**account(cluster), autocommit=True, consistency="eventual") as connection:
            cursor = connection.cursor()
            while not stop.wait(0.002):
                try:
                    cursor.execute("SELECT 1")
                    seen.append((time.monotonic(), cursor.route.node))
                except Exception as error:  # whatever it is, it is the finding
                    wrong.append(repr(error))

    workers = [threading.Thread(target=read) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield seen, wrong
    finally:
        stop.set()
        for worker in workers:
            worker.join(timeout=60)


def share_between(seen: list[tuple[float, str]], node: str, begin: float, end: float) -> float:
    nodes = [where for at, where in list(seen) if begin <= at < end]
    return nodes.count(node) / max(1, len(nodes))


class TestASickReplica:
    def test_killed_it_is_left_at_once_and_let_back_gently(self, cluster: Cluster) -> None:
        with reading(cluster, 4) as (seen, wrong):
            time.sleep(1)
            cluster.kill("n3")
            killed = time.monotonic()
            time.sleep(1.5)
            assert share_between(seen, "n3", killed + 0.5, killed + 1.5) == 0
            cluster.sandbox.start("n3")
            let_in(cluster, "n3")
            eventually(lambda: any(at > killed + 1.5 and node == "n3" for at, node in list(seen)), "it reads again")
            back = next(at for at, node in list(seen) if at > killed + 1.5 and node == "n3")
            time.sleep(SLOW_START_S + 2)
        assert wrong == []
        first, last = (
            share_between(seen, "n3", back, back + 1),
            share_between(seen, "n3", back + SLOW_START_S, back + SLOW_START_S + 2),
        )
        assert first < 0.2 < 0.25 < last, (first, last)
        assert sum(one.count("ejected", "n3").times for one in registry.statistics()) >= 1

    def test_frozen_it_holds_nobody_up_for_long(self, cluster: Cluster) -> None:
        """Its connections stay open and silent. What was under way there is broken off and read elsewhere."""
        with reading(cluster, 4) as (seen, wrong):
            time.sleep(1)
            cluster.process("n2").freeze()
            frozen = time.monotonic()
            try:
                time.sleep(5)
            finally:
                cluster.process("n2").thaw()
            answered = [at for at, node in list(seen) if at > frozen + 4]
            assert len(answered) > 100, "everybody reads elsewhere"
            assert share_between(seen, "n2", frozen + 0.1, frozen + 5) == 0
            eventually(lambda: any(at > frozen + 5 and node == "n2" for at, node in list(seen)), "it is let back")
        assert wrong == []

    def test_a_connection_that_begins_while_a_node_freezes_does_not_hang(self, cluster: Cluster) -> None:
        """The kernel of a frozen server goes on accepting connections, and nobody greets."""
        with replclus.connect(**account(cluster), autocommit=True, consistency="eventual") as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT 1")
            for name in ("n2", "n3"):
                cluster.process(name).freeze()
            try:
                for _ in range(5):
                    began = time.monotonic()
                    with replclus.connect(**account(cluster), autocommit=True, consistency="eventual") as another:
                        scalar(another, "SELECT 1")
                    assert time.monotonic() - began < 6
            finally:
                for name in ("n2", "n3"):
                    cluster.process(name).thaw()

    def test_lagging_beyond_its_bound_is_no_failure(
        self, cluster: Cluster, connect: Connect, caplog: pytest.LogCaptureFixture
    ) -> None:
        before = [one.count("ejected").times for one in registry.statistics()]
        with caplog.at_level(logging.WARNING, "replclus"):
            cursor = connect(consistency="bounded", max_lag_ms=1).cursor()
            cursor.execute("SELECT 1")
        assert [one.count("ejected").times for one in registry.statistics()][: len(before)] == before
        assert caplog.records == []


def let_in(cluster: Cluster, name: str) -> None:
    """Start replication, as a watchdog would."""
    cluster.run(name, "START SLAVE" if cluster.sandbox.flavour == "mariadb" else "START REPLICA")


def test_the_bounds_are_in_order() -> None:
    assert EJECTED_S_MIN < SLOW_START_S
