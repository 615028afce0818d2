"""Which map is believed, and for how long."""

from __future__ import annotations

from dataclasses import replace

import pytest

from replclus.dbapi.mapping import (
    NEVER,
    ROTATION_LAG_MS,
    Answer,
    Chart,
    ClusterMap,
    Knowledge,
    Node,
    chart,
)
from replclus.model.topology import PulseRow, Role, Topology, TopologyNode

NODES = tuple(Node(name=f"n{i}", host="h", port=i, socket=f"/run/{i}") for i in (1, 2, 3, 4))
TTL_S = 5.0


def topology(epoch: int, primary: str, *, cluster_id: str = "c", **changes: TopologyNode) -> Topology:
    nodes = tuple(
        changes.get(node.name)
        or TopologyNode(
            name=node.name, host=node.host, port=node.port, role=Role.PRIMARY if node.name == primary else Role.REPLICA
        )
        for node in NODES
    )
    return Topology(cluster_id=cluster_id, epoch=epoch, primary=primary, nodes=nodes)


def answer(at: float, *, beat: int, epoch: int = 1, primary: str = "n1", writable: bool = False, **kw: object) -> Answer:
    described = topology(epoch, primary, **kw)  # type: ignore[arg-type]
    pulse = PulseRow(beat=beat, epoch=epoch, primary=primary, routing_ttl_ms=int(TTL_S * 1000), topology=described.to_json())
    return Answer(asked_at=at, writable=writable, pulse=pulse, topology=described)


def silent(at: float) -> Answer:
    return Answer(asked_at=at, error="timed out", errno=2013)


def healthy(at: float, beat: int) -> dict[tuple[str, int], Answer]:
    return {node.address: answer(at, beat=beat, writable=node.name == "n1") for node in NODES}


def draw(answers: dict[tuple[str, int], Answer], before: Chart | None = None) -> Chart:
    known, previous = (Knowledge(), ClusterMap()) if before is None else (before.knowledge, before.map)
    return chart(known, previous, NODES, answers)


def names(drawn: Chart) -> tuple[str | None, tuple[str, ...]]:
    return drawn.map.primary.name if drawn.map.primary else None, tuple(node.name for node in drawn.map.replicas)


def test_a_healthy_cluster() -> None:
    drawn = draw(healthy(10.0, 1000))
    assert names(drawn) == ("n1", ("n2", "n3", "n4"))
    assert drawn.map.primary is not None
    assert drawn.map.primary.socket == "/run/1", "sockets come from our own configuration"
    assert drawn.fresh_until == 10.0 + TTL_S


def test_an_unchanged_map_is_the_same_object() -> None:
    first = draw(healthy(10.0, 1000))
    assert draw(healthy(10.2, 1200), first).map is first.map


def test_the_highest_epoch_wins_and_its_primary_must_agree() -> None:
    first = draw(healthy(10.0, 1000))
    answers = healthy(11.0, 1100)
    # n3 has the new map from a replica's point of view, n2 has not said yet that it is writable.
    answers["h", 3] = answer(11.0, beat=1500, epoch=2, primary="n2")
    undecided = draw(answers, first)
    assert names(undecided)[0] is None
    assert undecided.map.term == first.map.term
    assert undecided.fresh_until == NEVER
    assert "read-only" in undecided.why_no_primary
    answers["h", 2] = answer(11.1, beat=1500, epoch=2, primary="n2", writable=True)
    decided = draw(answers, undecided)
    assert names(decided) == ("n2", ("n3", "n4"))
    assert decided.map.term > first.map.term


def test_an_old_primary_that_is_still_writable_serves_nobody() -> None:
    answers = healthy(10.0, 1000)
    answers["h", 2] = answer(10.0, beat=1100, epoch=2, primary="n2", writable=True)
    assert names(draw(answers)) == ("n2", ("n3", "n4"))


def test_an_epoch_never_goes_back() -> None:
    answers = healthy(10.0, 1000)
    answers["h", 2] = answer(10.0, beat=1100, epoch=2, primary="n2", writable=True)
    newer = draw(answers)
    back = draw(healthy(11.0, 2000), newer)
    assert names(back)[0] is None
    assert back.map.term == newer.map.term


@pytest.mark.parametrize(
    "change",
    [
        {"serving": False},
        {"role": Role.QUARANTINED},
        {"role": Role.DOWN},
    ],
)
def test_replicas_that_the_map_takes_out(change: dict[str, object]) -> None:
    out = replace(topology(1, "n1").nodes[2], **change)  # type: ignore[arg-type]
    answers = {node.address: answer(10.0, beat=1000, writable=node.name == "n1", n3=out) for node in NODES}
    assert names(draw(answers)) == ("n1", ("n2", "n4"))


def test_silent_and_lagging_replicas_leave_rotation() -> None:
    answers = healthy(10.0, 50_000)
    answers["h", 2] = silent(10.0)
    answers["h", 3] = answer(10.0, beat=50_000 - ROTATION_LAG_MS)
    answers["h", 4] = answer(10.0, beat=50_000 - ROTATION_LAG_MS - 1)
    assert names(draw(answers)) == ("n1", ("n3",))


def test_without_pulse_the_only_writable_node_is_the_primary() -> None:
    answers = {node.address: Answer(asked_at=1.0, writable=node.name == "n3") for node in NODES}
    drawn = draw(answers)
    assert names(drawn) == ("n3", ("n1", "n2", "n4"))
    two = draw({**answers, ("h", 1): Answer(asked_at=2.0, writable=True)}, drawn)
    assert names(two)[0] is None
    assert "n1 and n3" in two.why_no_primary
    moved = draw({**answers, ("h", 3): silent(3.0), ("h", 1): Answer(asked_at=3.0, writable=True)}, two)
    assert names(moved)[0] == "n1"
    assert moved.map.term > drawn.map.term, "links of the old primary must not be used again"


class TestFreshness:
    def test_beats_seen_through_replicas_are_enough(self) -> None:
        first = draw(healthy(10.0, 1000))
        answers = healthy(12.0, 3000)
        answers["h", 1] = answer(10.0, beat=1000, writable=True)
        assert draw(answers, first).fresh_until == 12.0 + TTL_S

    def test_without_a_watchdog_the_primary_itself_is_enough(self) -> None:
        first = draw(healthy(10.0, 1000))
        assert draw(healthy(100.0, 1000), first).fresh_until == 100.0 + TTL_S

    def test_alone_with_the_primary_after_the_beats_stopped(self) -> None:
        """We and the old primary may be cut off together: no writing on, however alive it looks."""
        beating = draw(healthy(11.0, 2000), draw(healthy(10.0, 1000)))
        answers = {node.address: silent(100.0) for node in NODES}
        answers["h", 1] = answer(100.0, beat=2000, writable=True)
        assert draw(answers, beating).fresh_until == 11.0 + TTL_S
        answers["h", 2] = answers["h", 3] = answer(100.0, beat=2000)
        assert draw(answers, beating).fresh_until == 100.0 + TTL_S, "most nodes are in sight: the watchdog rests"


class TestAsOf:
    def test_the_least_offset_is_the_truth(self) -> None:
        drawn = draw(healthy(10.5, 10_000))
        # This beat arrived 0.4 s sooner after it was made: our clock is at most 0.1 s ahead of the beats'.
        drawn = draw(healthy(11.1, 11_000), drawn)
        lagging = answer(11.2, beat=10_900)
        assert drawn.knowledge.as_of(lagging) == pytest.approx(11.0)

    def test_unknown_without_a_watchdog(self) -> None:
        assert draw(healthy(10.0, 1000)).knowledge.as_of(answer(10.0, beat=1000)) == NEVER

    def test_an_offset_that_no_longer_holds_is_forgotten(self) -> None:
        drawn = draw(healthy(10.0, 10_000))
        for second in range(11, 40):
            # The beats' clock stood still for 5 s, as when another watchdog takes over.
            drawn = draw(healthy(float(second), (second - 5) * 1000 + 10_000), drawn)
        assert drawn.knowledge.as_of(answer(39.0, beat=44_000)) == pytest.approx(39.0)


def test_another_cluster_does_not_disturb() -> None:
    first = draw(healthy(10.0, 1000))
    answers = healthy(11.0, 1100)
    answers["h", 3] = answer(11.0, beat=9999, epoch=7, primary="n4", cluster_id="other")
    answers["h", 4] = answer(11.0, beat=9999, epoch=7, primary="n4", writable=True, cluster_id="other")
    assert names(draw(answers, first)) == ("n1", ("n2",))


def test_a_cluster_that_was_made_anew_is_believed() -> None:
    first = draw(healthy(10.0, 1000))
    answers = {
        node.address: answer(20.0, beat=5, epoch=1, primary="n2", writable=node.name == "n2", cluster_id="new") for node in NODES
    }
    answers["h", 4] = silent(20.0)
    anew = draw(answers, first)
    assert names(anew) == ("n2", ("n1", "n3"))
    assert anew.map.term > first.map.term


class TestWhoseClusterItIs:
    """The first node to answer may belong to another cluster, and nothing may be sent there."""

    def test_a_first_answer_that_names_few_of_our_nodes_is_not_enough(self) -> None:
        stranger = answer(1.0, beat=1, writable=True, primary="n2", cluster_id="other")
        assert stranger.topology is not None
        alone = replace(stranger.topology, nodes=stranger.topology.nodes[1:2])
        first = draw({("h", 2): replace(stranger, topology=alone)})
        assert names(first) == (None, ())
        assert "not asked yet" in first.why_no_primary
        answers = healthy(1.1, 1000)
        answers["h", 2] = replace(stranger, topology=alone)
        drawn = draw(answers, first)
        assert names(drawn) == ("n1", ("n3", "n4"))
        assert drawn.outside == {("h", 2): "n2 belongs to another cluster (other)"}

    def test_a_map_that_names_our_nodes_is_enough_at_once(self) -> None:
        drawn = draw({("h", 1): answer(1.0, beat=1, writable=True)})
        assert names(drawn) == ("n1", ())

    def test_names_that_we_do_not_know_are_believed_when_all_were_asked(self) -> None:
        """Our addresses are aliases of theirs."""
        seeds = tuple(replace(node, host="alias") for node in NODES)
        answers = {("alias", 1): answer(1.0, beat=1, writable=True), ("alias", 2): answer(1.0, beat=1)}
        assert chart(Knowledge(), ClusterMap(), seeds, answers).map.primary is None
        answers |= {("alias", 3): silent(1.0), ("alias", 4): silent(1.0)}
        assert chart(Knowledge(), ClusterMap(), seeds, answers).knowledge.cluster_id == "c"

    def test_no_majority_no_cluster(self) -> None:
        answers = {node.address: answer(1.0, beat=1, cluster_id="a" if node.port < 3 else "b") for node in NODES}
        drawn = draw(answers)
        assert names(drawn) == (None, ())
        assert "different clusters (n1 to a, n2 to a, n3 to b, n4 to b)" in drawn.why_no_primary

    def test_one_stranger_does_not_take_over_when_ours_are_silent(self) -> None:
        first = draw(healthy(1.0, 1000))
        answers = {node.address: silent(2.0) for node in NODES}
        stranger = answer(2.0, beat=5, epoch=9, primary="n4", writable=True, cluster_id="other")
        assert stranger.topology is not None
        answers["h", 4] = replace(stranger, topology=replace(stranger.topology, nodes=stranger.topology.nodes[3:]))
        drawn = draw(answers, first)
        assert names(drawn) == (None, ())
        assert "n1, the primary of epoch 1, does not answer" in drawn.why_no_primary


def test_a_primary_that_refuses_our_account_is_told_from_one_that_is_down() -> None:
    answers = healthy(1.0, 1000)
    answers["h", 1] = Answer(asked_at=1.0, error="Access denied (1045)", errno=1045)
    drawn = draw(answers)
    assert (names(drawn)[0], drawn.barred) == (None, 1045)
    answers["h", 1] = silent(1.0)
    assert draw(answers).barred == 0


def test_why_replicas_are_outside() -> None:
    n4 = replace(topology(1, "n1").nodes[3], serving=False)
    answers = {node.address: answer(10.0, beat=50_000, writable=node.name == "n1", n4=n4) for node in NODES}
    answers["h", 2] = Answer(asked_at=10.0, error="Access denied (1045)", errno=1045)
    answers["h", 3] = answer(10.0, beat=38_000, n4=n4)
    drawn = draw(answers)
    assert names(drawn) == ("n1", ())
    assert drawn.outside == {
        ("h", 2): "n2 refuses this account: Access denied (1045)",
        ("h", 3): "n3 is 12.0 s behind",
        ("h", 4): "n4 is taken out of reads: it is being drained, or does not replicate",
    }
