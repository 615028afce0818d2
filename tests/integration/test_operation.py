"""What a person gets to know, and what programs are told: reports, audit and hooks, on real servers of both families."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from replclus.model.spec import Flavour
from replclus.sandbox import Sandbox
from tests.clusters import REPOSITORY, Cluster, eventually, initialised
from tests.commands import facts, last_line, run
from tests.conftest import MakeSandbox

HANGS_S = 15


@pytest.fixture
def hooked(make_sandbox: MakeSandbox, flavour: Flavour) -> Iterator[Cluster]:
    """A primary and two replicas; the hook for problems hangs once, the one for failovers writes down what it hears."""
    sandbox = make_sandbox(flavour, replicas=2)
    for name, body in (
        ("tell", f"echo $REPLCLUS_OLD $REPLCLUS_NEW >> {told(sandbox)}; cat >> {told(sandbox)}"),
        ("hang", f"mkdir {sandbox.directory}/hung 2>/dev/null && sleep 600; true"),
    ):
        path = sandbox.directory / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    with sandbox.config.open("a") as file:
        file.write(f'\n[hooks]\non_problem = ["./hang"]\non_failover = ["./tell"]\ntimeout_s = {HANGS_S}\n')
    cluster = initialised(sandbox)
    cluster.run("n1", "CREATE DATABASE IF NOT EXISTS app", "CREATE TABLE app.t (id INT PRIMARY KEY)")
    cluster.until_healthy("the cluster is healthy")
    yield cluster
    cluster.store.close()


def told(sandbox: Sandbox) -> Path:
    return sandbox.directory / "told"


def test_a_failover_is_reported_audited_and_told_while_a_hook_hangs(hooked: Cluster) -> None:
    config = hooked.sandbox.config
    assert facts("report", "-c", config) == {"reports": []}
    with hooked.watchdog() as watchdog:
        hooked.kill("n1")
        eventually(lambda: watchdog.said("PrimaryChanged"), "a new primary is announced")
        promoted = hooked.record.primary
        eventually(lambda: (hooked.spec.state_dir / "reports" / "epoch-2.json").exists(), "the report is written")
        eventually(lambda: any("and was killed" in event["sentence"] for event in watchdog.events), "the hook is given up")
        order = [
            event["event"] for event in watchdog.events if event["event"] == "PrimaryChanged" or "was killed" in event["sentence"]
        ]
        assert order[0] == "PrimaryChanged", "nobody waited for the hook that hung since the first doubt"
        eventually(told(hooked.sandbox).exists, "the failover is told behind it", within_s=60)
        eventually(lambda: watchdog.said("HookRan", hook="on_failover"), "that hook ended")
        first, document = told(hooked.sandbox).read_text().splitlines()
        assert first == f"n1 {promoted}"
        assert json.loads(document)["event"] == "PrimaryChanged"
        hooked.start("n1")
        hooked.until_healthy("the old primary is back")

    report = facts("report", "2", "-c", config)
    assert (report["kind"], report["outcome"], report["old"], report["new"]) == ("failover", "promoted", "n1", promoted)
    assert report["expected_loss"] == "no acknowledged write"
    # By its host's word at once, or by a fence where a probe met it while it was dying.
    assert report["fenced"] and "n1" in report["fenced"][0]
    assert 0 < report["outage_ms"] < 30_000
    seen = {sight["node"]: sight for sight in report["seen"]}
    assert seen.keys() == {"n1", "n2", "n3"}
    assert seen["n1"]["reach"] != "answered"
    assert seen[promoted]["received"]
    steps = [step["step"] for step in report["steps"]]
    assert {"StopReceiving", "WaitApplied", "Promote", "OpenForWrites"} <= set(steps)
    assert report["timeline"][0]["after_ms"] <= report["timeline"][-1]["after_ms"]
    assert any("may acknowledge commits" in moment["sentence"] for moment in report["timeline"]), "n1 came back"
    page = run("report", "2", "-c", config).stdout
    assert f"{promoted} is primary instead of n1" in page
    assert (hooked.spec.state_dir / "reports" / "epoch-2.txt").read_text() == page

    sent = [json.loads(line) for line in run("audit", "--last", "5000", "--json", "-c", config).stdout.splitlines()]
    assert sent[0]["step"] == "init"
    promotion = [each for each in sent if each["node"] == promoted and each["step"] == "OpenForWrites"]
    assert promotion
    assert all(each["epoch"] == 2 for each in promotion)
    assert any("read_only" in each["statement"].lower() for each in promotion)
    replication = hooked.secrets.replication.password.reveal()
    assert any("PASSWORD = %s" in each["statement"] for each in sent), "the statement is there, its values are not"
    assert replication not in json.dumps(sent)
    assert len(run("audit", "--last", "2", "-c", config).stdout.splitlines()) == 2


def test_a_switchover_without_a_watchdog_is_reported_too(hooked: Cluster) -> None:
    config = hooked.sandbox.config
    run("switchover", "--to", "n3", "-c", config)
    report = facts("report", "2", "-c", config)
    assert (report["kind"], report["outcome"], report["new"]) == ("switchover", "promoted", "n3")
    assert report["fenced"][0].startswith("CloseForWrites n1 took ")
    assert [each["epoch"] for each in facts("report", "-c", config)["reports"]] == [2]
    assert not told(hooked.sandbox).exists(), "that hook is for failovers"
    unknown = last_line(run("report", "7", "-c", config, code=2))
    assert unknown == "replclus: EPOCH: no change of the primary is known for epoch 7: there are reports for 2"


@pytest.mark.parametrize("moment", [3, 8, 12])
def test_a_watchdog_killed_half_way_leaves_a_report_all_the_same(hooked: Cluster, moment: int) -> None:
    command = [sys.executable, "-m", "tests.mortal_watchdog", str(hooked.sandbox.config), str(moment)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as mortal:
        assert mortal.stdout is not None
        assert mortal.stdout.readline() == "0 ready\n"
        time.sleep(0.5)
        hooked.kill("n1")
        try:
            mortal.communicate(timeout=60)
        finally:
            mortal.kill()
    assert mortal.returncode == -9, "it died in the middle"
    with hooked.watchdog():
        eventually(lambda: hooked.record.primary != "n1" and hooked.record.operation is None, "the next one finishes it")
        directory = hooked.spec.state_dir / "reports"
        eventually(lambda: list(directory.glob("epoch-*.json")), "the report is written")
    report = json.loads(sorted(directory.glob("epoch-*.json"))[-1].read_text())
    assert (report["outcome"], report["old"], report["new"]) == ("promoted", "n1", hooked.record.primary)
    assert report["seen"]


def test_a_hook_that_does_not_exist_is_refused_before_anything_begins(hooked: Cluster) -> None:
    config = hooked.sandbox.config
    (hooked.sandbox.directory / "tell").unlink()
    before = hooked.record
    for command in (("watchdog",), ("switchover",), ("status",), ("pause",)):
        sentence = last_line(run(*command, "-c", config, code=2))
        assert "hooks.on_failover: there is no program" in sentence
        assert sentence.endswith("tell: correct the path, or remove the hook")
    assert hooked.record == before
