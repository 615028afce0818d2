"""The picture that `replclus status` draws."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from replclus.cli import app as door
from replclus.cli.tree import POSITION_CHARS_MAX, render, short_position
from replclus.failover.problems import Problem, Severity
from replclus.failover.status import NodeStatus, Status, Verdict
from replclus.model.spec import Durability
from replclus.model.topology import Role

CLUSTER = """
[cluster]
name = "shop"
[[node]]
name = "n1"
host = "127.0.0.1"
port = 1
"""


def node(name: str, role: Role, source: str | None = None, *problems: Problem) -> NodeStatus:
    return NodeStatus(
        name=name,
        host="198.18.0.1",
        port=3306,
        role=role,
        writable=role is Role.PRIMARY,
        source=source,
        lag_ms=12 if role is Role.REPLICA else None,
        position="0-1-42",
        problems=problems,
    )


def cluster(*nodes: NodeStatus) -> Status:
    return Status(
        cluster="shop",
        cluster_id="5f3c",
        epoch=7,
        primary="n1",
        durability=Durability.LOSSLESS,
        problems=tuple(problem for each in nodes for problem in each.problems),
        nodes=nodes,
        if_primary_failed_now=Verdict("promote", "n2", "n2 has received the most; nothing would be lost"),
    )


def drawn(status: Status) -> list[str]:
    console = Console(width=200, record=True, file=None, force_terminal=False)
    with console.capture() as captured:
        console.print(render(status))
    return captured.get().splitlines()


def test_replicas_hang_below_their_primary_with_role_lag_and_position() -> None:
    lines = drawn(cluster(node("n1", Role.PRIMARY), node("n2", Role.REPLICA, "n1"), node("n3", Role.REPLICA, "n1")))
    assert lines[0] == "shop  ·  epoch 7  ·  lossless  ·  cluster 5f3c"
    assert lines[2].startswith("╰─ ◆ n1")
    assert "accepts writes" in lines[2]
    assert lines[3].startswith("   ├─ ● n2")
    assert lines[4].startswith("   ╰─ ● n3")
    assert "replica   198.18.0.1:3306   lag 12 ms        0-1-42" in lines[3]


def test_columns_are_aligned_at_every_depth() -> None:
    lines = drawn(cluster(node("n1", Role.PRIMARY), node("n2", Role.REPLICA, "n1"), node("n3", Role.REPLICA, "n2")))
    assert len({line.index("198.18.0.1") for line in lines[2:5]}) == 1


def test_every_node_is_drawn_once_also_in_a_ring_and_below_strangers() -> None:
    ring = (node("n1", Role.REPLICA, "n2"), node("n2", Role.REPLICA, "n1"), node("n3", Role.REPLICA, "10.0.0.9:3306"))
    text = "\n".join(drawn(cluster(*ring)))
    assert [text.count(f"● {name}") for name in ("n1", "n2", "n3")] == [1, 1, 1]


def test_problems_and_the_verdict_follow_the_tree() -> None:
    down = Problem("ReplicaDown", Severity.WARNING, "n2 does not answer", "n2")
    lines = drawn(cluster(node("n1", Role.PRIMARY), node("n2", Role.DOWN, None, down)))
    assert "! ReplicaDown  n2 does not answer" in lines
    assert "✓ if n1 failed now: n2 would be promoted" in lines
    assert lines[-2:] == ["    n2 has received the most", "    nothing would be lost"]


def test_a_writable_replica_and_a_closed_primary_stand_out() -> None:
    wrong = replace(node("n2", Role.REPLICA, "n1"), writable=True)
    closed = replace(node("n1", Role.PRIMARY), writable=False)
    text = "\n".join(drawn(cluster(closed, wrong)))
    assert "accepts no writes" in text
    assert "accepts writes!" in text


def test_a_primary_that_tells_us_nothing_is_not_said_to_be_closed() -> None:
    full = Problem("TooManyConnections", Severity.WARNING, "n1 has no connection left for us", "n1")
    silent = replace(node("n1", Role.PRIMARY, None, full), writable=False, position="")
    text = "\n".join(drawn(cluster(silent, node("n2", Role.REPLICA, "n1"))))
    assert "nothing known" in text
    assert "accepts no writes" not in text


@pytest.mark.parametrize(
    ("position", "shown"),
    [
        ("0-1-42", "0-1-42"),
        ("", ""),
        ("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5,\n4e11fa47-71ca-11e1-9e33-c80aa9429562:7", "3e11fa47…:1-5,4e11fa47…:7"),
    ],
)
def test_positions_are_shortened_for_people(position: str, shown: str) -> None:
    assert short_position(position) == shown


def test_a_long_position_keeps_its_end() -> None:
    shown = short_position(",".join(f"0-{number}-{number}" for number in range(100)))
    assert shown.endswith("0-99-99")
    assert len(shown) == POSITION_CHARS_MAX + 1


def test_before_init_all_nodes_are_unprovisioned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "replclus.toml"
    config.write_text(CLUSTER)
    assert door.run(["status", "--json", "-c", str(config)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["role"] for each in found["nodes"]] == ["unprovisioned"]
    assert (found["primary"], found["epoch"], found["if_primary_failed_now"]["verdict"]) == (None, 0, "refuse")
    assert door.run(["status", "-c", str(config)]) == 0
    assert "○ n1" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [config]
