"""The watchdog on real servers of both families: a killed primary, a clean return, a tail, a switchover."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pymysql
import pytest

from replclus.errors import ServerError
from replclus.sandbox import Sandbox
from replclus.server.server import Server
from tests.clusters import Cluster, eventually, initialised

TABLE = "CREATE TABLE app.t (id INT PRIMARY KEY AUTO_INCREMENT, what VARCHAR(40))"


@pytest.fixture
def cluster(sandbox: Sandbox) -> Iterator[Cluster]:
    cluster = initialised(sandbox)
    cluster.run("n1", "CREATE DATABASE IF NOT EXISTS app", TABLE)
    yield cluster
    cluster.store.close()


def insert(cluster: Cluster, node: str, what: str) -> None:
    cluster.run(node, f"INSERT INTO app.t (what) VALUES ('{what}')")


def wait_until_equal(cluster: Cluster) -> None:
    eventually(lambda: cluster.equal("app.t"), "all nodes hold the same rows")


def test_killed_primary_is_replaced_and_comes_back_as_a_replica(cluster: Cluster) -> None:
    with cluster.watchdog() as watchdog:
        insert(cluster, "n1", "before")
        cluster.kill("n1")
        eventually(lambda: watchdog.said("PrimaryChanged"), "a new primary is announced")
        promoted = cluster.record.primary
        assert promoted != "n1"
        assert cluster.record.epoch == 2
        assert cluster.rows(promoted, "SELECT what FROM app.t") == (("before",),)
        insert(cluster, promoted, "after")

        report = cluster.start("n1")
        assert not report.cut_refused
        cluster.until_healthy("the old primary is back as a replica")
        assert cluster.record.primary == promoted
        wait_until_equal(cluster)
        assert cluster.record.ackers == frozenset({"n1", "n2", "n3", "n4"}) - {promoted}


def test_tail_that_nobody_acknowledged_is_cut_off_without_a_rebuild(cluster: Cluster) -> None:
    """Commits wait on the primary while no replica listens; it is killed; they must not exist anywhere afterwards."""
    insert(cluster, "n1", "kept")
    wait_until_equal(cluster)
    stop_receiving = "STOP SLAVE IO_THREAD" if cluster.sandbox.flavour == "mariadb" else "STOP REPLICA IO_THREAD"
    for name in ("n2", "n3", "n4"):
        cluster.run(name, stop_receiving)
    waiting = [threading.Thread(target=_insert_and_be_cut_off, args=(cluster, f"tail {i}"), daemon=True) for i in range(3)]
    for thread in waiting:
        thread.start()
    # MariaDB lets the first wait for the acknowledgement and the others behind it, in the queue of the group commit.
    waiters = "SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_%_wait_sessions'"
    running = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'INSERT INTO app.t%'"
    eventually(lambda: cluster.rows("n1", waiters)[0][1] != "0", "a commit waits for an acknowledgement")
    eventually(lambda: cluster.rows("n1", running)[0][0] == 3, "and two more behind it")
    cluster.kill("n1")
    with cluster.watchdog() as watchdog:
        eventually(lambda: watchdog.said("PrimaryChanged"), "a new primary is announced")
        report = cluster.start("n1")
        assert report.cut, "the tail was cut off before the server came up"
        cluster.until_healthy("the old primary is back as a replica")
        wait_until_equal(cluster)
        assert cluster.rows("n1", "SELECT what FROM app.t") == (("kept",),)


def _insert_and_be_cut_off(cluster: Cluster, what: str) -> None:
    try:
        insert(cluster, "n1", what)
    except pymysql.err.OperationalError:
        return
    raise AssertionError(f"{what} was acknowledged although no replica had it")


def test_diverged_old_primary_is_quarantined_and_says_what_it_has(cluster: Cluster) -> None:
    with cluster.watchdog() as watchdog:
        cluster.kill("n1")
        eventually(lambda: watchdog.said("PrimaryChanged"), "a new primary is announced")
        cluster.sandbox.start("n1")
        cluster.until_healthy("the old primary is back")
        # Behind the cluster's back, past read-only, and after it was detached from everybody.
        watchdog.stop()
        stop = "STOP SLAVE" if cluster.sandbox.flavour == "mariadb" else "STOP REPLICA"
        cluster.run("n1", stop, "SET GLOBAL read_only=0", "INSERT INTO app.t (what) VALUES ('errant')", "SET GLOBAL read_only=1")
    with cluster.watchdog():
        eventually(lambda: cluster.record.member("n1").why, "the diverged server is quarantined")
        assert "n1" not in cluster.record.ackers
        problems = {problem.code: problem for problem in cluster.status().problems}
        assert "transactions" in problems["Quarantined"].sentence
        node = next(node for node in cluster.status().nodes if node.name == "n1")
        assert node.source is None or "Detach" in repr(node) or not node.writable


def test_writable_replica_is_closed_again(cluster: Cluster) -> None:
    with cluster.watchdog() as watchdog:
        cluster.run("n3", "SET GLOBAL read_only=0")
        eventually(lambda: watchdog.said("ProblemAppeared", problem="TwoWriters", node="n3"), "it is noticed")
        cluster.until_healthy("it is closed")


def test_replication_that_was_stopped_by_hand_is_started_again(cluster: Cluster) -> None:
    with cluster.watchdog() as watchdog:
        cluster.run("n2", "STOP SLAVE" if cluster.sandbox.flavour == "mariadb" else "STOP REPLICA")
        eventually(lambda: watchdog.said("ProblemAppeared", node="n2"), "it is noticed")
        cluster.until_healthy("it is started again")


def test_a_primary_that_is_being_shut_down_is_replaced_before_it_has_ended(cluster: Cluster) -> None:
    """MySQL lets nobody in, and feeds those who are connected for eight seconds more. MariaDB is quicker."""
    with cluster.watchdog() as watchdog:
        cluster.until_healthy("the cluster is healthy")
        os.kill(int(cluster.process("n1").pid_file.read_text()), signal.SIGTERM)
        eventually(lambda: cluster.record.primary != "n1" and cluster.record.operation is None, "a replica takes over")
        if cluster.sandbox.flavour == "mysql":
            assert watchdog.said("StepDone", step="Reconnect")
            fenced = [event["sentence"] for event in watchdog.events if event.get("step") == "Fence"]
            assert any("was killed" in sentence for sentence in fenced), "it was still there"
        cluster.start("n1")
        cluster.until_healthy("it is back")


def test_a_server_that_lets_nobody_new_in_is_reported_and_left_alone(cluster: Cluster) -> None:
    """The watchdog's own connections live on, and so do those of administrators: it must knock like anybody else."""
    with cluster.watchdog() as watchdog, ExitStack() as held:
        cluster.until_healthy("the cluster is healthy")
        root = held.enter_context(cluster.connect("n1")).cursor()
        for _ in range(10):
            held.enter_context(cluster.connect("n1"))
        root.execute("SET GLOBAL max_connections = 10")
        eventually(lambda: watchdog.said("ProblemAppeared", problem="NobodyGetsIn", node="n1"), "it is noticed")
        root.execute("SET GLOBAL max_connections = 151")
        eventually(lambda: watchdog.said("ProblemGone", problem="NobodyGetsIn", node="n1"), "it has room again")
        sentences = [event["sentence"] for event in watchdog.events if event.get("problem") == "NobodyGetsIn"]
        assert "oo many connections" in sentences[0]
    assert cluster.record.epoch == 1


def test_everything_restarted_at_once_comes_back_with_the_same_primary(cluster: Cluster) -> None:
    insert(cluster, "n1", "before")
    wait_until_equal(cluster)
    cluster.sandbox.stop()
    cluster.sandbox.start()
    assert not any(cluster.writable(name) for name in cluster.sandbox.names), "nobody opens by itself"
    with cluster.watchdog():
        cluster.until_healthy("the cluster is whole again")
        assert cluster.record.primary == "n1"
        assert cluster.record.epoch == 2
        insert(cluster, "n1", "after")
        wait_until_equal(cluster)


def test_refuses_while_an_acker_that_may_hold_writes_is_down(cluster: Cluster) -> None:
    """The primary and a replica go at the same moment: nobody can know what that replica had acknowledged."""
    with cluster.watchdog() as watchdog:
        cluster.process("n3").freeze()
        cluster.kill("n1")
        eventually(lambda: watchdog.said("Decided", verdict="refuse"), "it refuses")
        refusal = next(seen for seen in watchdog.events if seen["event"] == "Decided" and seen["verdict"] == "refuse")
        assert "n3" in refusal["why"]
        time.sleep(1.0)
        assert not cluster.writable("n2")
        assert not cluster.writable("n4")
        cluster.process("n3").thaw()
        eventually(lambda: watchdog.said("PrimaryChanged"), "it goes on as soon as n3 was heard")


def test_a_replica_that_died_before_does_not_stand_in_the_way(cluster: Cluster) -> None:
    """It leaves the ackers once others provably hold what it had acknowledged; from then on nobody waits for its word."""
    with cluster.watchdog() as watchdog:
        cluster.kill("n3")
        eventually(lambda: cluster.record.ackers == {"n2", "n4"}, "n3 no longer counts among those who acknowledge")
        insert(cluster, "n1", "without n3")
        cluster.kill("n1")
        eventually(lambda: watchdog.said("PrimaryChanged"), "a new primary is announced")
        insert(cluster, cluster.record.primary, "without n1 and n3")
        cluster.start("n1")
        cluster.start("n3")
        cluster.until_healthy("both are back")
        wait_until_equal(cluster)


def test_a_frozen_replica_is_no_reason_for_anything(cluster: Cluster) -> None:
    with cluster.watchdog() as watchdog:
        cluster.process("n3").freeze()
        eventually(lambda: watchdog.said("ProblemAppeared", problem="ReplicaDown", node="n3"), "it is noticed")
        insert(cluster, "n1", "still writing")
        cluster.process("n3").thaw()
        cluster.until_healthy("it is back")
        assert cluster.record.epoch == 1
        wait_until_equal(cluster)


def test_frozen_primary_is_fenced_and_replaced(cluster: Cluster) -> None:
    with cluster.watchdog() as watchdog:
        cluster.process("n1").freeze()
        took = eventually(lambda: watchdog.said("PrimaryChanged"), "a new primary is announced")
        assert took < 10
        assert not cluster.process("n1").is_running(), "the old one was killed: nobody may thaw it into a second primary"
        cluster.start("n1")
        cluster.until_healthy("the old primary is back as a replica")


def test_a_second_watchdog_is_turned_away(cluster: Cluster) -> None:
    import subprocess
    import sys

    command = [sys.executable, "-m", "replclus.cli.main", "watchdog", "-c", str(cluster.sandbox.config)]
    with cluster.watchdog():
        second = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert second.returncode == 1
    assert "watchdog" in second.stderr.splitlines()[-1]


def test_old_tokens_of_tracked_writes_are_dropped_on_the_primary_and_nowhere_else(cluster: Cluster) -> None:
    insertion = "INSERT INTO replclus.outcome VALUES (UNHEX('{}'), CURRENT_TIMESTAMP(6) - INTERVAL {} SECOND)"
    cluster.run("n1", insertion.format("00", 100), insertion.format("01", 1))
    eventually(lambda: cluster.equal("replclus.outcome"), "both tokens are everywhere")
    for name in ("n2", "n1"):
        server = Server(cluster.spec.node(name), cluster.secrets.watchdog)
        with contextlib.suppress(ServerError):  # MySQL refuses what MariaDB would let the watchdog's account do
            server.purge_outcomes(50, 1000)
        server.close()
        if name == "n2":
            assert len(cluster.rows("n2", "SELECT * FROM replclus.outcome")) == 2, "a replica has no transaction of its own"
    assert cluster.rows("n1", "SELECT HEX(token) FROM replclus.outcome") == (("01",),)
    cluster.until_healthy("nobody is errant")


def test_the_watchdog_is_logged_in_before_it_has_to_act(cluster: Cluster) -> None:
    """Twice on every server: one connection looks, the other one is for steps. Also on a server that was started again."""
    logins = "SELECT COUNT(*) >= 2 FROM information_schema.processlist WHERE user = 'replclus_watchdog'"

    def everywhere() -> bool:
        return all(cluster.rows(name, logins) == ((1,),) for name in cluster.sandbox.names)

    with cluster.watchdog():
        cluster.until_healthy("the cluster is healthy")
        eventually(everywhere, "the watchdog is logged in twice on every server")
        cluster.kill("n3")
        cluster.start("n3")
        cluster.until_healthy("the cluster is healthy again")
        eventually(everywhere, "the watchdog is logged in twice on every server again")
