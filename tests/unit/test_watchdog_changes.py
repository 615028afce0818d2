"""What is said when a change of the primary begins and ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from replclus.events import ChangeBegun, ChangeGivenUp, Event, PrimaryChanged
from replclus.failover import machine
from replclus.failover.decision import Act, Plan, Swap
from replclus.failover.view import ClusterView
from replclus.model.record import ClusterRecord, OperationKind
from replclus.model.spec import Flavour
from replclus.watchdog.changes import Changes
from tests.scenarios import language

DEAD = (
    "record epoch=7",
    "n1 refused process=gone silent=0.4",
    "n2 answered follows=n1 received=100",
    "n3 answered follows=n1 received=99",
)


class Hand:
    """A clock that is moved by hand."""

    now = language.NOW

    def __call__(self) -> float:
        return self.now


def view(*lines: str) -> ClusterView:
    return language.view(language.Scenario("", lines, "", 0), Flavour.MARIADB)


def planned(seen: ClusterView) -> Plan:
    decision = machine.tick(seen)
    assert isinstance(decision, Act)
    return decision.plan


def claimed(plan: Plan) -> ClusterRecord:
    """The record as its first swap leaves it."""
    return next(action.record for action in plan.actions() if isinstance(action, Swap))


def watching() -> tuple[Changes, list[Event], Hand]:
    told: list[Event] = []
    clock = Hand()
    return Changes(told.append, clock), told, clock


def test_a_failover_says_all_that_is_known_before_it_touches_anything() -> None:
    changes, told, clock = watching()
    seen = view(*DEAD)
    changes.watch(seen)
    changes.begin(seen, planned(seen))
    (begun,) = told
    assert isinstance(begun, ChangeBegun)
    assert (begun.kind, begun.epoch, begun.old, begun.candidate) == (OperationKind.FAILOVER, 8, "n1", "n2")
    assert (begun.why, begun.loss, begun.resumed) == ("its process is gone", "no acknowledged write", False)
    assert round(begun.doubted_for_ms) == 400
    assert [(sight.node, sight.reach, sight.fed_by, sight.process) for sight in begun.seen] == [
        ("n1", "refused", None, "gone"),
        ("n2", "answered", "n1", ""),
        ("n3", "answered", "n1", ""),
    ]
    clock.now += 0.1
    during = claimed(planned(seen))
    changes.end(seen.record, during)
    changes.end(during, replace(during, primary="n2", operation=None))
    assert told[1:] == [
        PrimaryChanged(kind=OperationKind.FAILOVER, old="n1", new="n2", epoch=8, outage_ms=told[1].to_dict()["outage_ms"])
    ]
    assert round(told[1].to_dict()["outage_ms"]) == 500, "counted from the first doubt"


def test_a_claim_that_somebody_else_forestalled_is_no_change() -> None:
    changes, told, _ = watching()
    seen = view(*DEAD)
    changes.watch(seen)
    changes.begin(seen, planned(seen))
    changes.end(seen.record, seen.record)
    assert len(told) == 1


def test_a_plan_that_changes_no_primary_says_nothing() -> None:
    changes, told, _ = watching()
    seen = view("record epoch=7 request=drain:n2", "n1 answered writable received=100", *DEAD[2:])
    changes.watch(seen)
    changes.begin(seen, planned(seen))
    changes.end(seen.record, claimed(planned(seen)))
    assert told == []


def test_a_switchover_is_counted_from_its_claim_and_may_be_given_up() -> None:
    changes, told, clock = watching()
    seen = view("record epoch=7 request=switchover:n3", "n1 answered writable received=100", *DEAD[2:])
    changes.watch(seen)
    changes.begin(seen, planned(seen))
    clock.now += 0.05
    during = claimed(planned(seen))
    changes.end(during, replace(during, epoch=9, operation=None))
    assert isinstance(told[0], ChangeBegun)
    assert (told[0].candidate, told[0].doubted_for_ms) == ("n3", 0.0)
    assert told[1:] == [ChangeGivenUp(kind=OperationKind.SWITCHOVER, epoch=9, primary="n1")]

    changes.begin(seen, planned(seen))
    changes.end(during, replace(during, primary="n3", operation=None))
    assert isinstance(told[3], PrimaryChanged)
    assert (told[3].kind, told[3].new, told[3].outage_ms) == (OperationKind.SWITCHOVER, "n3", 0.0)


def test_what_a_dead_watchdog_began_goes_on_and_nobody_pretends_to_know_since_when() -> None:
    changes, told, _ = watching()
    seen = view("record epoch=8 op=failover/revoke", *DEAD[1:])
    changes.watch(seen)
    changes.watch(seen)
    (begun,) = told
    assert isinstance(begun, ChangeBegun)
    assert (begun.epoch, begun.resumed, begun.doubted_for_ms) == (8, True, 0.0)
    changes.end(seen.record, replace(seen.record, primary="n2", operation=None))
    assert isinstance(told[1], PrimaryChanged)
    assert told[1].outage_ms is None
    assert told[1].sentence == "n2 is primary of epoch 8 instead of n1"


def test_a_switchover_whose_primary_dies_ends_as_a_failover() -> None:
    changes, told, clock = watching()
    seen = view("record epoch=7 request=switchover:n3", "n1 answered writable received=100", *DEAD[2:])
    changes.watch(seen)
    changes.begin(seen, planned(seen))
    clock.now += 1.0
    later = replace(view(*DEAD), record=claimed(planned(seen)))
    changes.watch(later)
    plan = planned(later)
    changes.begin(later, plan)
    during = claimed(plan)
    changes.end(during, replace(during, primary="n2", operation=None))
    kinds = [(type(event), event.to_dict()["kind"]) for event in told]
    assert kinds == [
        (ChangeBegun, OperationKind.SWITCHOVER),
        (ChangeBegun, OperationKind.FAILOVER),
        (PrimaryChanged, OperationKind.FAILOVER),
    ]
    assert told[2].to_dict()["outage_ms"] == pytest.approx(1000.0), "counted from when the old primary was closed"
