"""The commands as an operator types them, on real servers of both families."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import replclus
from replclus.dbapi import registry
from replclus.model.spec import Flavour
from replclus.sandbox import Sandbox
from tests.clusters import eventually
from tests.commands import COMMAND, SECONDS_MAX, facts, last_line, run
from tests.conftest import MakeSandbox


def roles(sandbox: Sandbox) -> dict[str, str]:
    return {node["name"]: node["role"] for node in facts("status", "-c", sandbox.config)["nodes"]}


@pytest.fixture
def cluster(make_sandbox: MakeSandbox, flavour: Flavour) -> Sandbox:
    """One primary and two replicas, made by the command."""
    sandbox = make_sandbox(flavour, replicas=2)
    run("init", "-c", sandbox.config)
    return sandbox


@pytest.fixture
def watchdog(cluster: Sandbox) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*COMMAND, "watchdog", "--json", "-c", str(cluster.config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["event"]
    yield process
    process.kill()
    process.communicate()


def healthy(sandbox: Sandbox) -> bool:
    seen = facts("status", "-c", sandbox.config)
    return not seen["problems"] and [node["role"] for node in seen["nodes"]].count("replica") == len(seen["nodes"]) - 1


def test_from_an_empty_directory_to_a_cluster(server_root: Path, flavour: Flavour) -> None:
    directory = server_root / f"cli-{flavour.value}"
    made = facts("sandbox", "create", directory, "--flavour", flavour.value, "--replicas", "2")
    try:
        assert [node["name"] for node in made["nodes"]] == ["n1", "n2", "n3"]
        config = made["config"]
        before = facts("status", "-c", config)
        assert {node["role"] for node in before["nodes"]} == {"unprovisioned"}
        assert before["primary"] is None

        assert "follow n1" in run("init", "--dry-run", "-c", config).stdout
        assert not (directory / "state").exists()

        assert facts("init", "-c", config)["changed"]
        again = facts("init", "-c", config)
        assert (again["changed"], again["steps"]) == (False, [])

        seen = facts("status", "-c", config)
        assert [node["role"] for node in seen["nodes"]] == ["primary", "replica", "replica"]
        assert [node["source"] for node in seen["nodes"]] == [None, "n1", "n1"]
        assert [node["writable"] for node in seen["nodes"]] == [True, False, False]
        assert seen["problems"] == []
        assert seen["if_primary_failed_now"]["verdict"] == "promote"
        assert "◆ n1" in run("status", "-c", config).stdout
    finally:
        run("sandbox", "destroy", directory)
    assert not directory.exists()


def test_switchover_and_failover_without_a_watchdog(cluster: Sandbox) -> None:
    moved = facts("switchover", "--to", "n2", "-c", cluster.config)
    assert (moved["done"], moved["primary"], moved["epoch"]) == (True, "n2", 2)
    assert roles(cluster) == {"n1": "replica", "n2": "primary", "n3": "replica"}

    refused = run("failover", "-c", cluster.config, code=1)
    assert "n2 is healthy" in last_line(refused)

    cluster.process("n2").kill()
    replaced = facts("failover", "-c", cluster.config)
    assert replaced["primary"] in {"n1", "n3"}
    assert roles(cluster)["n2"] == "down"


def test_an_unknown_node_is_named_and_nothing_happens(cluster: Sandbox) -> None:
    for command in (("switchover", "--to", "n33"), ("failover", "--to", "n33"), ("rejoin", "n33")):
        assert "did you mean n3?" in last_line(run(*command, "-c", cluster.config, code=2))
    assert facts("status", "-c", cluster.config)["epoch"] == 1


class TestDrain:
    """`replclus drain`: the record, the pulse, and the applications that read it; with a watchdog and without."""

    @pytest.mark.parametrize("watched", [False, True])
    def test_applications_leave_a_drained_replica_and_come_back(
        self, cluster: Sandbox, watched: bool, request: pytest.FixtureRequest
    ) -> None:
        if watched:
            request.getfixturevalue("watchdog")
            eventually(lambda: healthy(cluster), "the cluster is healthy")
        keywords = {"cluster": str(cluster.config), "user": "app", "password": "app", "database": "app", "autocommit": True}
        with replclus.connect(**keywords, consistency="eventual") as connection:
            cursor = connection.cursor()

            def read_on() -> set[str]:
                seen = set()
                for _ in range(40):
                    cursor.execute("SELECT 1")
                    seen.add(cursor.route.node)
                return seen

            eventually(lambda: read_on() == {"n2", "n3"}, "both are known")
            cursor.execute("START TRANSACTION READ ONLY")
            busy = cursor.route.node
            other = ({"n2", "n3"} - {busy}).pop()
            answered = facts("drain", busy, "-c", cluster.config)
            assert (answered["done"], answered["answer"]) == (True, f"{busy} takes no more reads")
            time.sleep(1)
            cursor.execute("SELECT 1")
            assert cursor.route.node == busy, "what was begun there ends there"
            cursor.execute("COMMIT")
            eventually(lambda: read_on() == {other}, "new reads go to the other one", within_s=5)
            assert "Draining" in {problem["code"] for problem in facts("status", "-c", cluster.config)["problems"]}
            assert facts("drain", busy, "-c", cluster.config)["answer"] == f"{busy} takes no reads already"
            last = run("drain", other, "-c", cluster.config, code=1)
            assert last_line(last) == (
                f"replclus: {other} is the last replica that serves, so all reads would go to n1: --force accepts that"
            )
            assert facts("undrain", busy, "-c", cluster.config)["answer"] == f"{busy} takes reads again"
            eventually(lambda: busy in read_on(), "it takes reads again", within_s=10)
            assert facts("undrain", busy, "-c", cluster.config)["answer"] == f"{busy} is not being drained"
            run("drain", other, "--force", "-c", cluster.config)
            run("drain", busy, "--force", "-c", cluster.config)
            eventually(lambda: read_on() == {"n1"}, "without a replica the primary reads", within_s=5)
        registry.shut_down()

    def test_refusals(self, cluster: Sandbox) -> None:
        primary = last_line(run("drain", "n1", "-c", cluster.config, code=1))
        assert primary == "replclus: n1 is the primary and must serve: `replclus switchover` first"
        assert "no node called 'n9'" in last_line(run("drain", "n9", "-c", cluster.config, code=2))
        assert "no node called 'n9'" in last_line(run("undrain", "n9", "-c", cluster.config, code=2))


def test_the_watchdog_replaces_a_killed_primary_and_takes_it_back(cluster: Sandbox, watchdog: subprocess.Popen[str]) -> None:
    os.kill(int((cluster.directory / "n1" / "mysqld.pid").read_text()), signal.SIGKILL)
    eventually(lambda: facts("status", "-c", cluster.config)["primary"] != "n1", "another primary")
    started = facts("sandbox", "start", cluster.directory, "n1")["started"]["n1"]
    assert not started["already_running"]
    eventually(lambda: healthy(cluster), "the old primary is a replica")
    assert facts("sandbox", "start", cluster.directory, "n1")["started"]["n1"]["already_running"]

    moved = facts("switchover", "--to", "n1", "-c", cluster.config)
    assert moved["primary"] == "n1"
    eventually(lambda: healthy(cluster), "everybody follows n1 again")

    watchdog.send_signal(signal.SIGTERM)
    out, err = watchdog.communicate(timeout=SECONDS_MAX)
    assert watchdog.returncode == 0
    assert "Traceback" not in err
    events = [json.loads(line) for line in out.splitlines()]
    assert all(event["at"] and event["sentence"] for event in events)
    assert "PrimaryChanged" in {event["event"] for event in events}


def test_a_second_watchdog_is_turned_away(cluster: Sandbox, watchdog: subprocess.Popen[str]) -> None:
    refused = run("watchdog", "-c", cluster.config, code=1)
    assert str(watchdog.pid) in last_line(refused)
    assert refused.stdout == ""


def test_ctrl_c_ends_the_watchdog_with_130(cluster: Sandbox, watchdog: subprocess.Popen[str]) -> None:
    watchdog.send_signal(signal.SIGINT)
    _, err = watchdog.communicate(timeout=SECONDS_MAX)
    assert watchdog.returncode == 130
    assert err.strip().splitlines()[-1] == "replclus: interrupted"


def test_a_reader_that_goes_away_does_not_end_the_watchdog(cluster: Sandbox, watchdog: subprocess.Popen[str]) -> None:
    assert watchdog.stdout is not None
    watchdog.stdout.close()
    watchdog.stdout = None
    cluster.process("n1").kill()
    eventually(lambda: facts("status", "-c", cluster.config)["primary"] != "n1", "another primary")
    assert watchdog.poll() is None


@pytest.mark.parametrize("size", [0, 100, 5000])
def test_a_truncated_record_is_rebuilt_with_a_warning(cluster: Sandbox, size: int) -> None:
    run("switchover", "--to", "n3", "-c", cluster.config)
    before = facts("status", "-c", cluster.config)
    record = cluster.directory / "state" / "record.db"
    os.truncate(record, size)
    ended = run("status", "--json", "-c", cluster.config)
    after = json.loads(ended.stdout)
    assert "rebuilt" in ended.stderr
    assert {key: after[key] for key in ("cluster_id", "epoch", "primary")} == {
        key: before[key] for key in ("cluster_id", "epoch", "primary")
    }
    assert "rebuilt" not in run("status", "-c", cluster.config).stderr


def test_stopping_and_starting_a_whole_sandbox(cluster: Sandbox) -> None:
    run("sandbox", "stop", cluster.directory)
    assert set(roles(cluster).values()) == {"down"}
    began = time.monotonic()
    run("sandbox", "start", cluster.directory)
    assert time.monotonic() - began < 30
    assert not any(node["writable"] for node in facts("status", "-c", cluster.config)["nodes"])


@pytest.mark.mariadb
def test_bad_input_to_a_sandbox_leaves_nothing_behind(server_root: Path, make_sandbox: MakeSandbox) -> None:
    there = make_sandbox(Flavour.MARIADB, replicas=0)
    new = server_root / "new"
    port = there.places[0].port
    for arguments, words in (
        ((there.directory,), "not empty"),
        ((new, "--base-port", port), str(port)),
        ((new, "--base-port", 70000), "70000"),
        ((new, "--replicas", 99), "99"),
        ((new, "--server-binary", "/no/such/mysqld"), "/no/such/mysqld"),
    ):
        assert words in last_line(run("sandbox", "create", *arguments, code=2))
        assert not new.exists()
    assert "n7" in last_line(run("sandbox", "stop", there.directory, "n7", code=2))
    assert "not a sandbox" in last_line(run("sandbox", "destroy", server_root, code=2))
