"""The lease on real servers of both families: a primary without a pulse turns itself read-only, and only then."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pymysql
import pytest

from replclus.model.spec import Flavour
from replclus.model.topology import PulseRow
from replclus.sandbox import Sandbox
from replclus.server.server import Server
from replclus.watchdog import observe_once
from tests.clusters import Cluster, eventually, initialised
from tests.conftest import MakeSandbox

LEASE_S = 3
TWICE_S = 2.0 * LEASE_S
TABLE = "CREATE TABLE app.t (id INT PRIMARY KEY, v INT)"


def shorten(sandbox: Sandbox) -> None:
    """A lease that a test can wait for, in the cluster's own file."""
    text = sandbox.config.read_text()
    sandbox.config.write_text(
        text.replace("[cluster]\n", f"[cluster]\nlease_s = {LEASE_S}\n") + "\n[timings]\nrouting_ttl_s = 2\n"
    )


@pytest.fixture
def cluster(make_sandbox: MakeSandbox, flavour: Flavour) -> Iterator[Cluster]:
    sandbox = make_sandbox(flavour, replicas=2)
    shorten(sandbox)
    cluster = initialised(sandbox)
    cluster.run("n1", "CREATE DATABASE IF NOT EXISTS app", TABLE)
    yield cluster
    cluster.store.close()


@dataclass
class Beater:
    """Beats n1 ten times a second, as a watchdog would. `last` is when the newest beat was known to be committed."""

    cluster: Cluster
    lease_ms: int = 1000 * LEASE_S
    last: float = 0.0
    errors: list[str] = field(default_factory=list)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self._beat, args=(stop,), daemon=True)
        thread.start()
        eventually(lambda: self.last, "the first beat is committed")
        try:
            yield
        finally:
            stop.set()
            thread.join()
        assert not self.errors

    def _beat(self, stop: threading.Event) -> None:
        server = Server(self.cluster.spec.node("n1"), self.cluster.secrets.watchdog, timeout_s=20.0)
        before = server.pulse()
        assert before is not None
        beat = before.beat
        while not stop.is_set():
            beat += 1
            row = PulseRow(
                beat=beat, epoch=before.epoch, primary="n1", routing_ttl_ms=2000, topology=before.topology, lease_ms=self.lease_ms
            )
            try:
                server.beat(row, 20.0)
            except Exception as error:  # shown by the test
                self.errors.append(str(error))
                return
            self.last = time.monotonic()
            stop.wait(0.1)
        server.close()


def armed(cluster: Cluster, name: str) -> bool | None:
    facts = observe_once(cluster.spec, cluster.record, cluster.secrets).observations[name].facts
    return facts.lease_armed if facts is not None else None


def leases(cluster: Cluster, name: str = "n1") -> int:
    """How many runs of the event there are now."""
    running = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'replclus_lease'"
    return int(cluster.rows(name, running)[0][0])


def executed(cluster: Cluster, name: str) -> str:
    variable = "@@gtid_binlog_state" if cluster.sandbox.flavour == "mariadb" else "@@gtid_executed"
    return str(cluster.rows(name, f"SELECT {variable}")[0][0]).replace("\n", "")


def same_history(cluster: Cluster) -> bool:
    return len({executed(cluster, name) for name in cluster.sandbox.names}) == 1


def in_background(work: Callable[[], object]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        except pymysql.err.Error:
            return

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_it_ends_with_the_pulse_and_not_before(cluster: Cluster) -> None:
    assert armed(cluster, "n1") is False, "nobody has granted a lease yet"
    beater = Beater(cluster)
    with beater():
        eventually(lambda: armed(cluster, "n1"), "the pulse has armed it")
        assert armed(cluster, "n2") is False, "a replica has nothing to give up"
        # What a clock that was set makes of the time in the pulse.
        hour = "UPDATE replclus.pulse SET sent_at = sent_at {} INTERVAL 1 HOUR"
        cluster.run("n1", hour.format("-"))
        time.sleep(TWICE_S)
        assert cluster.writable("n1")
    eventually(lambda: not cluster.writable("n1"), "it is read-only")
    assert time.monotonic() - beater.last >= LEASE_S - 0.1
    assert armed(cluster, "n1") is False
    assert "no pulse for the length of the lease" in (cluster.sandbox.place("n1").directory / "error.log").read_text()
    with pytest.raises(pymysql.err.MySQLError):
        _as_app(cluster, "INSERT INTO app.t VALUES (1, 1)")
    eventually(lambda: same_history(cluster), "no transaction of its own anywhere")

    cluster.run("n1", "SET GLOBAL read_only = 0")
    with Beater(cluster)():
        time.sleep(TWICE_S)
        assert cluster.writable("n1"), "opened again, with a pulse, it stays open"


def _as_app(cluster: Cluster, sql: str) -> None:
    app = cluster.spec.app
    assert app is not None
    login = {"user": app.account.user, "password": app.account.password.reveal()}
    with pymysql.connect(unix_socket=str(cluster.sandbox.place("n1").socket), **login) as connection:
        connection.cursor().execute(sql)


def test_who_takes_leave_leaves_it_writable(cluster: Cluster) -> None:
    with cluster.watchdog() as watchdog:
        eventually(lambda: armed(cluster, "n1"), "the watchdog has armed it")
        assert watchdog.stop() == 0
    assert armed(cluster, "n1") is False
    time.sleep(TWICE_S)
    assert cluster.writable("n1")


def test_a_promotion_arms_it_a_demotion_disarms_it_and_a_dead_watchdog_ends_it(cluster: Cluster) -> None:
    with cluster.watchdog() as watchdog:
        eventually(lambda: armed(cluster, "n1"), "the watchdog has armed it")
        cluster.kill("n1")
        eventually(lambda: watchdog.said("PrimaryChanged"), "a new primary is announced")
        promoted = cluster.record.primary
        eventually(lambda: armed(cluster, promoted), "the new primary is armed")
        cluster.start("n1")
        cluster.until_healthy("the old primary is back as a replica")
        assert armed(cluster, "n1") is False
        watchdog.stop(signal.SIGKILL)
    eventually(lambda: not cluster.writable(promoted), "nobody watches, so it gives up")
    eventually(lambda: same_history(cluster), "no transaction of its own anywhere")
    with cluster.watchdog():
        cluster.until_healthy("the next watchdog opens it again")
        assert cluster.record.primary == promoted


def test_commits_that_wait_for_an_acknowledgement_are_waited_for_and_nothing_piles_up(cluster: Cluster) -> None:
    stop, start = ("STOP SLAVE", "START SLAVE") if cluster.sandbox.flavour == "mariadb" else ("STOP REPLICA", "START REPLICA")
    with Beater(cluster)():
        eventually(lambda: armed(cluster, "n1"), "the pulse has armed it")
    for name in ("n2", "n3"):
        cluster.run(name, stop)
    waiting = in_background(lambda: cluster.run("n1", "INSERT INTO app.t VALUES (1, 1)"))
    waiters = "SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_%_wait_sessions'"
    eventually(lambda: any(value != "0" for _, value in cluster.rows("n1", waiters)), "a commit waits")
    end = time.monotonic() + TWICE_S
    while time.monotonic() < end:
        assert leases(cluster) <= 3
        assert cluster.writable("n1"), "nothing is acknowledged, so there is nothing to fence"
        time.sleep(0.2)
    cluster.run("n2", start)
    waiting.join(20)
    assert not waiting.is_alive()
    eventually(lambda: not cluster.writable("n1"), "it gives up as soon as it could acknowledge something")


def test_a_statement_in_its_way_is_waited_for_and_nothing_piles_up(cluster: Cluster) -> None:
    cluster.run("n1", "INSERT INTO app.t VALUES (1, 1)")
    with Beater(cluster)():
        eventually(lambda: armed(cluster, "n1"), "the pulse has armed it")
        slow = in_background(lambda: cluster.run("n1", "UPDATE app.t SET v = SLEEP(14) + 2 WHERE id = 1"))
    while slow.is_alive():
        assert leases(cluster) <= 3
        time.sleep(0.2)
    eventually(lambda: not cluster.writable("n1"), "it is read-only")
    eventually(lambda: leases(cluster) == 0, "the event has nothing left to do")


def test_where_events_are_ruled_out_the_cluster_works_and_the_doctor_says_so(make_sandbox: MakeSandbox, flavour: Flavour) -> None:
    sandbox = make_sandbox(flavour, replicas=1)
    shorten(sandbox)
    sandbox.stop()
    for place in sandbox.places:
        with (place.directory / "my.cnf").open("a") as file:
            file.write("[mysqld]\nevent_scheduler = DISABLED\n")
    sandbox.start()
    cluster = initialised(sandbox)
    try:
        assert all("event_scheduler=ON" not in (place.directory / "my.cnf").read_text() for place in sandbox.places)
        with cluster.watchdog() as watchdog:
            cluster.until_healthy("it works")
            eventually(lambda: cluster.rows("n1", "SELECT lease_ms FROM replclus.pulse") == ((1000 * LEASE_S,),), "beats come")
            assert not armed(cluster, "n1")
            watchdog.stop(signal.SIGKILL)
        time.sleep(TWICE_S)
        assert cluster.writable("n1")
        found = doctor(cluster)
        assert not found["ok"]
        assert {finding["node"] for finding in found["findings"] if finding["check"] == "lease"} == {"n1", "n2"}
    finally:
        cluster.store.close()


def doctor(cluster: Cluster) -> dict[str, Any]:
    import json
    import subprocess
    import sys

    command = [sys.executable, "-m", "replclus.cli.main", "doctor", "--json", "-c", str(cluster.sandbox.config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode in {0, 1}, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["ok"] == (done.returncode == 0)
    return found
