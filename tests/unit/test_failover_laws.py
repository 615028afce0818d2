"""The laws speak up when they are broken; and the few corners of the decisions that no scenario can describe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from replclus.failover import diagnose, durability, invariants, machine, plan, remedies, status
from replclus.failover.decision import (
    Act,
    CatchUp,
    Follow,
    OpenForWrites,
    Plan,
    Promote,
    Publish,
    Stay,
    Swap,
    WaitApplied,
)
from replclus.failover.problems import find_problems
from replclus.failover.view import ClusterView, NodeHistory, lag_ms
from replclus.model.gtid import MysqlGtidSet
from replclus.model.record import MemberState
from replclus.model.spec import Flavour, NodeSpec
from replclus.model.topology import Role
from tests.scenarios import language

CALM = (
    "record",
    "n1 answered writable received=100",
    "n2 answered follows=n1 received=100",
    "n3 answered follows=n1 received=100",
)


def moment(*given: str) -> ClusterView:
    return language.view(language.Scenario("", given or CALM, "", 0), Flavour.MYSQL)


# ---- laws ------------------------------------------------------------------------------------------------------------


def test_the_epoch_never_falls() -> None:
    before = moment().record
    with pytest.raises(invariants.Violation, match="epoch 6 after epoch 7"):
        invariants.epochs_only_grow(before, replace(before, epoch=6))


def test_another_primary_needs_another_epoch() -> None:
    before = moment().record
    with pytest.raises(invariants.Violation, match="n2 became primary in n1's epoch 7"):
        invariants.epochs_only_grow(before, replace(before, primary="n2"))


def test_two_writers_break_the_law() -> None:
    invariants.one_writer(["n1"])
    with pytest.raises(invariants.Violation, match="n1 and n2 accept writes"):
        invariants.one_writer(["n2", "n1"])


def test_what_was_acknowledged_survives() -> None:
    some, all_ = MysqlGtidSet.parse(f"{'1' * 8}-0000-0000-0000-000000000001:1-5"), MysqlGtidSet()
    invariants.acknowledged_survive(some, all_)
    with pytest.raises(invariants.Violation, match="missing"):
        invariants.acknowledged_survive(all_, some)


@pytest.mark.parametrize(
    "steps",
    [
        (Promote("n2"), OpenForWrites("n2")),
        (Promote("n2"), WaitApplied("n2", 1.0), OpenForWrites("n2")),
        (WaitApplied("n2", 1.0), Promote("n2")),
        (WaitApplied("n3", 1.0), Promote("n2"), OpenForWrites("n2")),
    ],
    ids=["never drained", "drained too late", "never opened", "another was drained"],
)
def test_drained_first_and_opened_last(steps: tuple[Promote | OpenForWrites | WaitApplied, ...]) -> None:
    with pytest.raises(invariants.Violation, match="n2 is promoted before"):
        invariants.drained_before_promotion(Plan("", steps))


def test_the_record_names_who_is_promoted() -> None:
    record = moment().record
    with pytest.raises(invariants.Violation, match="n2 is promoted, but the record names n1"):
        invariants.record_first(Plan("", (Swap(record, ""), Promote("n2"))))


def test_who_is_kept_out_is_neither_primary_nor_acker() -> None:
    record = moment().record
    for name in ("n1", "n2"):
        member = replace(record.member(name), state=MemberState.QUARANTINED)
        with pytest.raises(invariants.Violation, match=f"{name} is quarantined"):
            invariants.quarantined_never_promoted(record.with_member(member))


# ---- corners ---------------------------------------------------------------------------------------------------------


def test_who_gives_out_a_map_with_a_beat_is_the_only_one_who_beats() -> None:
    record = moment().record
    assert not Plan("", (Swap(record, ""), Follow("n2", "n1"))).holds_pulse
    assert Plan("", (Swap(record, ""), Publish("n1"))).holds_pulse
    assert plan.claim_failover(moment(), "").holds_pulse


def test_a_node_that_left_the_configuration_has_no_host_of_ours() -> None:
    view = moment()
    assert not remedies.can_be_fenced(view, "n9")
    local = replace(view.spec, nodes=(NodeSpec(name="n1", host="h", process_dir=Path("/nowhere")),))
    assert remedies.can_be_fenced(replace(view, spec=local), "n1")


def test_a_fence_is_proof_in_its_epoch_only() -> None:
    view = moment("record epoch=8 op=failover/revoke", "n1 timed_out", "n2 answered follows=n1 received=100")
    assert not durability.old_primary_fenced(view, "n1")
    for epoch in (7, 8):
        proven = replace(view, history={"n1": NodeHistory(fenced_in=epoch)})
        assert durability.old_primary_fenced(proven, "n1") is (epoch == 8)


def test_nobody_says_whether_a_silent_acker_is_attached_while_the_primary_is_silent_too() -> None:
    view = moment("record", "n1 timed_out", "n2 refused silent=60", "n3 answered follows=n1 received=100")
    assert not durability.removable_acker(view, "n2")


def test_remedies_of_servers_that_fell_silent_between_two_questions_wait() -> None:
    silent = moment("record", "n1 timed_out", "n2 timed_out")
    assert isinstance(remedies.quarantine_errant(silent, "n2"), Stay)
    assert isinstance(remedies.judge_and_attach(silent, "n2"), Stay)
    assert isinstance(remedies.quarantine_broken(silent, "n2"), Stay)
    assert remedies.reopen(silent, "n1").verdict == "wait"


def test_nobody_is_attached_to_a_primary_that_is_silent() -> None:
    assert plan.attachable(moment("record", "n1 timed_out", "n2 answered received=1"), "n1") == ()


def test_who_may_follow_has_nothing_that_the_new_primary_lacks() -> None:
    view = moment("record primary=n2", "n1 answered received=101", "n2 answered received=100", "n3 answered received=100")
    assert plan.attachable(view, "n2") == ("n3",)


def test_lag_is_unknown_where_there_is_no_beat() -> None:
    assert lag_ms(moment("record", "n1 answered writable received=1", "n2 answered beat=0 received=1"), "n2") is None


def test_roles() -> None:
    view = moment(
        "record ackers=n5",
        "n1 answered writable received=1",
        "n2 answered received=1 state=quarantined",
        "n3 answered received=1 state=rebuilding",
        "n4 timed_out",
        "n5 answered follows=n1 received=1",
    )
    roles = [status.role(view, member) for member in view.record.members]
    assert roles == [Role.PRIMARY, Role.QUARANTINED, Role.UNPROVISIONED, Role.DOWN, Role.REPLICA]


def test_problems_are_plain_values() -> None:
    problem = find_problems(moment("record", "n1 answered writable received=1", "n2 timed_out"))[0]
    assert set(problem.to_dict()) == {"code", "sentence", "node"}


def test_only_the_nodes_of_the_configuration_have_a_weight() -> None:
    view = moment("record", "n1 answered writable received=1", "n2 answered follows=n1 received=1 unconfigured")
    assert [node.weight for node in status.routing_map(view).nodes] == [1, 1]


def test_elected_and_behind_it_gets_the_rest_from_who_has_it_or_waits_for_them() -> None:
    """A promotion that was cut short after the record named a node that had still to catch up."""
    given = "record primary=n3 epoch=8 op=failover/promote old=n1 fenced position=100 ackers=n2"
    behind = "n3 answered follows=n1 stopped received=99"
    view = moment(given, "n1 refused", "n2 answered follows=n1 stopped received=100", behind)
    decision = machine.tick(view)
    assert isinstance(decision, Act)
    assert [type(action) for action in decision.plan.actions()][:3] == [WaitApplied, Follow, CatchUp]
    alone = moment(given, "n1 refused", "n2 refused", behind)
    assert machine.tick(alone).verdict == "refuse"
    assert "bring them back" in machine.tick(alone).why


def test_what_the_record_says_was_fenced_stays_fenced() -> None:
    view = moment("record primary=n2 epoch=8 op=failover/promote old=n1 fenced", "n1 timed_out", "n2 timed_out")
    assert durability.old_primary_fenced(view, "n1")
    assert not durability.old_primary_fenced(view, "n2")


def test_an_acker_that_receives_still_stands_in_the_way_of_a_promotion() -> None:
    view = moment("record", "n1 timed_out", "n2 answered follows=n1 received=1", "n3 answered follows=n1 stopped received=1")
    assert durability.blockers(view, "n1", fenced=False) == ("n1 is not fenced and n2 still receives from it",)
    assert durability.blockers(view, "n1", fenced=True) == ()


def test_nothing_is_started_on_a_replica_whose_primary_is_silent_or_that_rests() -> None:
    silent = moment("record", "n1 timed_out", "n2 answered follows=n1 stopped received=1")
    assert remedies.restart_replication(silent, "n2").why == "the primary does not answer"
    resting = moment("record", "n1 answered writable received=1", "n2 answered follows=n1 stopped received=1 resting")
    assert "left alone" in remedies.restart_replication(resting, "n2").why


def test_what_the_last_elected_had_is_what_its_successor_must_have() -> None:
    """Its replicas may be far behind when it dies: then it alone holds what earlier primaries acknowledged."""
    view = moment("record", "n1 refused process=gone", "n2 answered follows=n1 cut received=90")
    floor = str(language.position(Flavour.MYSQL, "n1", 95))
    assert machine.tick(view).verdict == "act"
    decision = machine.tick(replace(view, record=replace(view.record, floor=floor)))
    assert decision.verdict == "refuse"
    assert "nobody else has all that it had received when it was elected" in decision.why


def test_nobody_is_judged_by_what_was_seen_before_a_sleep() -> None:
    view = moment("record", "n1 refused process=gone looked=9", "n2 answered follows=n1 cut received=90")
    assert machine.tick(view).why == "nobody has looked at n1 for too long"


def on_mariadb(*given: str) -> ClusterView:
    return language.view(language.Scenario("", given, "", 0), Flavour.MARIADB)


def test_a_restarted_acker_is_doubtful_until_it_has_seen_a_later_beat() -> None:
    """What it had received and not applied may be lost: MariaDB throws it away, MySQL's relay log is not synced."""
    restarted = "n2 answered received=100"
    view = on_mariadb("record", "n1 answered writable received=100", restarted, "n3 answered follows=n1 received=100")
    decision = machine.tick(view)
    assert isinstance(decision, Act)
    swap = decision.plan.steps[0]
    assert isinstance(swap, Swap)
    assert swap.record.doubtful == (("n2", language.BEAT_OF_MARKS),)
    dead = on_mariadb("record", "n1 timed_out", restarted, "n3 answered follows=n1 cut received=100", "pulse failing")
    assert "n2 was restarted" in machine.tick(dead).why


def test_a_restarted_acker_is_no_doubt_where_the_old_primary_tells_what_it_acknowledged() -> None:
    record = "record"
    closed = on_mariadb(record, "n1 answered received=99", "n2 answered follows=n1 received=100", "n3 answered received=99")
    assert isinstance(machine.tick(closed), Act)
    open_ = on_mariadb(
        record, "n1 answered writable received=99", "n2 answered follows=n1 received=100", "n3 answered received=99"
    )
    assert durability.blockers(open_, "n1", fenced=True)


def test_without_ackers_only_the_primary_has_what_was_acknowledged() -> None:
    view = moment("record ackers=n2", "n1 answered writable received=100", "n2 answered follows=n1 received=90")
    quarantined = plan.quarantine(view, view.record.member("n2"), "told so").steps[0]
    assert isinstance(quarantined, Swap)
    assert quarantined.record.floor == str(language.position(Flavour.MYSQL, "n1", 100))
    stranger = moment("record ackers=nobody", "n1 answered writable received=100", "n2 answered received=90")
    kept = plan.quarantine(stranger, stranger.record.member("n2"), "told so").steps[0]
    assert isinstance(kept, Swap)
    assert kept.record.floor is None


def test_what_a_primary_said_long_ago_is_no_stall() -> None:
    view = moment(
        "record", "n1 answered writable received=1 looked=0.9", "n2 answered follows=n1 received=1", "pulse failing since=9"
    )
    assert not diagnose.writes_stalled(view)


@pytest.mark.parametrize(
    ("looked_s", "age_s", "known"), [(0.9, 1.0, False), (0.9, 2.0, True), (1.4, 3.0, True), (1.6, 3.0, False)]
)
def test_a_look_at_a_hung_disk_takes_its_time(looked_s: float, age_s: float, known: bool) -> None:
    """It answers the small question each time, and the whole one since `age_s` no more."""
    assert diagnose.writes_stalled(_stalled(9, f"looked={looked_s} age={age_s}")) is known


@pytest.mark.parametrize(
    ("since_s", "seen", "acts"),
    [
        (2.4, "", False),
        (2.6, "", True),
        (2.6, "synced=0.4", False),
        (2.6, "synced=0.6", True),
        (4.9, "synced=0.4", False),
        (5.1, "synced=0.4", True),
        (2.6, "age=0.3 synced=0.8", True),
        (2.6, "age=0.9", True),
    ],
)
def test_a_disk_at_work_gets_twice_the_time_and_no_more(since_s: float, seen: str, acts: bool) -> None:
    """By the last whole look; who answers none since is judged by what it said then."""
    assert isinstance(machine.tick(_stalled(since_s, seen)), Act) is acts


def test_who_commits_for_others_is_not_stalled() -> None:
    """MySQL's position grows with commits; MariaDB's with what may still wait to be one."""
    assert not diagnose.writes_stalled(_stalled(9, "executed=0.5"))
    assert diagnose.writes_stalled(_stalled(9, "executed=2"))
    assert diagnose.writes_stalled(_stalled(9, "executed=0.5", on_mariadb))


def _stalled(since_s: float, seen: str, where: Callable[..., ClusterView] = moment) -> ClusterView:
    return where(
        "record",
        f"n1 answered writable received=1 {seen}",
        "n2 answered follows=n1 received=1",
        "n3 answered follows=n1 received=1",
        f"pulse failing since={since_s}",
    )


def test_who_came_back_during_a_promotion_enters_the_record_before_it_acknowledges() -> None:
    view = moment(
        "record primary=n2 epoch=8 op=failover/promote old=n1 fenced ackers=nobody",
        "n1 refused",
        "n2 answered received=100",
        "n3 answered received=100",
    )
    decision = machine.tick(view)
    assert isinstance(decision, Act)
    swap = decision.plan.steps[0]
    assert isinstance(swap, Swap)
    assert swap.record.ackers == {"n3"}


def test_the_whole_status_of_a_cluster_in_trouble() -> None:
    """As `status --json` prints it; contract.md has the keys that others read."""
    view = on_mariadb(
        "record ackers=n2,n4",
        "n1 answered writable received=100 beat=5000",
        "n2 answered follows=n1 received=99 beat=4990",
        "n3 answered received=90 state=quarantined follows=n9",
        "n4 timed_out",
    )
    document = status.status(view).to_dict()
    assert document.pop("problems") == [
        {"code": "ReplicaDown", "sentence": "n4 does not answer (timed out)", "node": "n4"},
        {"code": "Quarantined", "sentence": "n3 is quarantined: it diverged", "node": "n3"},
    ]
    assert document.pop("if_primary_failed_now")["verdict"] == "refuse"
    nodes = document.pop("nodes")
    assert document == {
        "cluster": "shop",
        "cluster_id": "c1",
        "epoch": 7,
        "primary": "n1",
        "durability": "lossless",
    }
    common = {"port": 3306, "lease_armed": None}
    assert nodes == [
        {
            **common,
            "name": "n1",
            "host": "198.18.0.1",
            "role": "primary",
            "writable": True,
            "source": None,
            "lag_ms": 0,
            "position": "0-1-100",
            "problems": [],
        },
        {
            **common,
            "name": "n2",
            "host": "198.18.0.2",
            "role": "replica",
            "writable": False,
            "source": "n1",
            "lag_ms": 10,
            "position": "0-1-99",
            "problems": [],
        },
        {
            **common,
            "name": "n3",
            "host": "198.18.0.3",
            "role": "quarantined",
            "writable": False,
            "source": "198.18.0.9:3306",
            "lag_ms": 0,
            "position": "0-1-90",
            "problems": [{"code": "Quarantined", "sentence": "n3 is quarantined: it diverged", "node": "n3"}],
        },
        {
            **common,
            "name": "n4",
            "host": "198.18.0.4",
            "role": "down",
            "writable": False,
            "source": None,
            "lag_ms": None,
            "position": "",
            "problems": [{"code": "ReplicaDown", "sentence": "n4 does not answer (timed out)", "node": "n4"}],
        },
    ]
    assert [(node.name, node.serving, node.weight) for node in status.routing_map(view).nodes] == [
        ("n1", True, 1),
        ("n2", True, 1),
        ("n3", False, 1),
        ("n4", False, 1),
    ]


def test_a_calm_cluster_stays() -> None:
    assert not isinstance(machine.tick(moment()), Act)
