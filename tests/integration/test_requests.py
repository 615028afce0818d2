"""What a person may ask for and should not get: one sentence, an exit code, nothing touched."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from replclus.model.record import FORMAT
from replclus.sandbox import Sandbox
from replclus.watchdog import Watchdog
from tests.clusters import Cluster, WatchdogProcess, eventually, initialised
from tests.commands import facts, last_line, run

LAG_MS = 60_000


@pytest.fixture(scope="module")
def shared(module_sandbox: Sandbox) -> Iterator[Cluster]:
    """One cluster of each family for all refusals: they touch nothing."""
    cluster = initialised(module_sandbox)
    cluster.run("n1", "CREATE DATABASE IF NOT EXISTS app", "CREATE TABLE app.t (id INT PRIMARY KEY)")
    yield cluster
    cluster.store.close()


@pytest.fixture
def cluster(shared: Cluster) -> Iterator[Cluster]:
    """Healthy at the beginning, and unchanged but for the answer at the end."""
    shared.until_healthy("the cluster is healthy")
    before = shared.record
    yield shared
    after = shared.record
    assert (after.epoch, after.primary, after.operation, after.ackers) == (before.epoch, before.primary, None, before.ackers)
    assert [name for name in shared.sandbox.names if shared.writable(name)] == [before.primary]


def refused(cluster: Cluster, *command: str, code: int = 1) -> str:
    """The last line of stderr, without its beginning."""
    return last_line(run(*command, "-c", cluster.sandbox.config, code=code)).removeprefix("replclus: ")


def test_switchover_to_a_node_that_is_not_there(cluster: Cluster) -> None:
    assert refused(cluster, "switchover", "--to", "n9", code=2).startswith("--to: there is no node called 'n9'")


def test_switchover_to_the_primary(cluster: Cluster) -> None:
    assert refused(cluster, "switchover", "--to", "n1") == "n1 is primary already"


def test_switchover_to_a_node_that_is_down(cluster: Cluster) -> None:
    cluster.kill("n3")
    try:
        assert refused(cluster, "switchover", "--to", "n3").startswith("n3 does not answer (")
    finally:
        cluster.start("n3")
        with cluster.watchdog():
            cluster.until_healthy("n3 is back")


def test_switchover_to_a_node_that_lags(cluster: Cluster) -> None:
    """Held back by a lock, and a beat of the far future written: to everybody else it is a minute behind."""
    with cluster.connect("n2") as held, held.cursor() as cursor:
        cursor.execute("FLUSH TABLES WITH READ LOCK")
        cluster.run("n1", f"UPDATE replclus.pulse SET beat = beat + {LAG_MS}")
        sentence = refused(cluster, "switchover", "--to", "n2")
        cursor.execute("UNLOCK TABLES")
    words = sentence.split()
    assert words[:2] == ["n2", "is"], sentence
    assert int(words[2]) >= LAG_MS
    assert sentence.endswith("ms behind; at most 10000 ms are waited for")


def test_failover_of_a_healthy_primary(cluster: Cluster) -> None:
    assert refused(cluster, "failover") == "n1 is healthy: use `replclus switchover`, or --force to kill it"
    assert refused(cluster, "failover", "--to", "n9", code=2).startswith("--to: there is no node called 'n9'")


def test_a_server_that_names_another_cluster_is_never_touched(cluster: Cluster) -> None:
    """Its identity row was changed behind our back: it is not the server that was admitted."""
    row = "UPDATE replclus.identity SET cluster_id = '{}'"
    cluster.run(
        "n4", "SET SESSION sql_log_bin = 0", "SET GLOBAL read_only = 0", row.format("another"), "SET GLOBAL read_only = 1"
    )
    try:
        sentence = refused(cluster, "switchover", "--to", "n4")
        assert "n4" in sentence
        assert "cluster" in sentence
        assert "n4" in refused(cluster, "failover", "--to", "n4", "--force")
    finally:
        mine = row.format(cluster.record.cluster_id)
        cluster.run("n4", "SET SESSION sql_log_bin = 0", "SET GLOBAL read_only = 0", mine, "SET GLOBAL read_only = 1")


def rewritten(cluster: Cluster, format_: int) -> str:
    """The record with another format, put into the store behind its back; returns the document."""
    with closing(sqlite3.connect(cluster.store.path)) as database, database:
        (old,) = database.execute("SELECT document FROM record").fetchone()
        version = json.loads(old)["version"] + 1
        document = json.dumps({**json.loads(old), "format": format_, "version": version})
        columns = (document, zlib.crc32(document.encode()), version)
        database.execute("UPDATE record SET document = ?, checksum = ?, version = ?", columns)
    return document


@contextmanager
def newer(cluster: Cluster) -> Iterator[str]:
    """A record of a format that nobody knows yet."""
    cluster.store.close()
    try:
        yield rewritten(cluster, 99)
    finally:
        rewritten(cluster, FORMAT)


@pytest.mark.parametrize(
    "command", [("status",), ("watchdog",), ("switchover",), ("failover", "--force"), ("init",), ("report",), ("pause",)]
)
def test_a_record_newer_than_this_version_understands(cluster: Cluster, command: tuple[str, ...]) -> None:
    with newer(cluster) as document:
        sentence = refused(cluster, *command)
        assert sentence == f"the cluster record has format 99, this replclus understands up to {FORMAT}: use a newer replclus"
        with closing(sqlite3.connect(cluster.store.path)) as database:
            assert database.execute("SELECT document FROM record").fetchone() == (document,)


def beats(cluster: Cluster) -> int:
    return int(cluster.rows("n1", "SELECT beat FROM replclus.pulse")[0][0])


def test_beats_grow_although_the_wall_clock_was_set_back(cluster: Cluster) -> None:
    """An earlier watchdog beat by a clock that was an hour ahead of this one's."""
    before = beats(cluster) + 3_600_000
    cluster.run("n1", f"UPDATE replclus.pulse SET beat = {before}")
    with cluster.watchdog() as watchdog:
        eventually(lambda: beats(cluster) > before, "the next watchdog goes on from there")
        cluster.until_healthy("and nobody seems to lag")
        assert not watchdog.said("ProblemAppeared", problem="PrimarySuspect")
        lag = {node["name"]: node["lag_ms"] for node in facts("status", "-c", cluster.sandbox.config)["nodes"]}
    assert all(found is not None and found < 10_000 for found in lag.values()), lag


class TestPause:
    """`replclus pause` and `resume`, with a watchdog and without."""

    @pytest.mark.parametrize("watched", [False, True])
    def test_a_paused_watchdog_repairs_nothing(self, cluster: Cluster, watched: bool) -> None:
        config = cluster.sandbox.config
        if watched:
            with cluster.watchdog() as watchdog:
                self.pause_and_resume(cluster, watchdog)
            return
        assert facts("pause", "-c", config)["done"]
        assert [problem["code"] for problem in facts("status", "-c", config)["problems"]] == ["Paused"]
        assert facts("resume", "-c", config)["done"]
        assert facts("status", "-c", config)["problems"] == []

    def pause_and_resume(self, cluster: Cluster, watchdog: WatchdogProcess) -> None:
        config = cluster.sandbox.config
        first, again = facts("pause", "-c", config), facts("pause", "-c", config)
        assert (first["done"], again["done"]) == (True, True)
        assert cluster.record.paused
        stop = "STOP SLAVE IO_THREAD" if cluster.sandbox.flavour == "mariadb" else "STOP REPLICA IO_THREAD"
        cluster.run("n2", stop)
        eventually(lambda: watchdog.said("ProblemAppeared", problem="ReplicaIoStopped", node="n2"), "it is seen")
        before = beats(cluster)
        eventually(lambda: beats(cluster) > before + 1000, "beats go on, so that applications go on writing")
        assert not watchdog.said("StepStarted", step="Follow", node="n2")
        verdict = facts("status", "-c", config)["if_primary_failed_now"]
        assert (verdict["verdict"], verdict["blockers"][0]) == ("refuse", "the watchdog is paused: run `replclus resume`")
        assert facts("resume", "-c", config)["done"]
        assert facts("resume", "-c", config)["done"], "idempotent"
        cluster.until_healthy("n2 receives again")


# ---- what changes the cluster has one of its own -----------------------------------------------------------------------


def test_switchover_to_an_errant_and_to_a_quarantined_node(sandbox: Sandbox) -> None:
    cluster = initialised(sandbox)
    cluster.run("n1", "CREATE DATABASE IF NOT EXISTS app", "CREATE TABLE app.t (id INT PRIMARY KEY)")
    cluster.until_healthy("the cluster is healthy")
    cluster.run("n3", "SET GLOBAL read_only = 0", "INSERT INTO app.t VALUES (666)", "SET GLOBAL read_only = 1")
    sentence = refused(cluster, "switchover", "--to", "n3")
    assert sentence.startswith("n3 has transactions of its own")
    assert (cluster.record.primary, cluster.record.epoch) == ("n1", 1)
    with cluster.watchdog():
        eventually(lambda: cluster.record.member("n3").why, "it is quarantined")
        assert refused(cluster, "switchover", "--to", "n3").startswith("n3 is quarantined: it has transactions that n1 has not")
    cluster.store.close()


def test_the_wall_clock_may_jump_while_the_watchdog_runs(sandbox: Sandbox) -> None:
    cluster = initialised(sandbox)
    stop, offset_s = threading.Event(), [0.0]
    watchdog = Watchdog(cluster.spec, cluster.store, cluster.secrets, lambda event: None, wall=lambda: time.time() + offset_s[0])
    thread = threading.Thread(target=watchdog.run, args=(stop,))
    thread.start()
    try:
        cluster.until_healthy("all is well")
        offset_s[0] = -3600.0
        seen = [beats(cluster)]
        for _ in range(3):
            eventually(lambda: beats(cluster) > seen[-1], "beats grow")
            seen.append(beats(cluster))
        assert cluster.record.epoch == 1
    finally:
        stop.set()
        thread.join(timeout=30)
        cluster.store.close()
