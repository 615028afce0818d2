"""What a failover would come to, at any time: candidate, loss, duration, blockers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from replclus.failover.status import STEP_MS, Loss, Verdict, expected_loss, if_primary_failed_now, status
from replclus.failover.view import ClusterView
from replclus.model.observation import Reach
from replclus.model.spec import Flavour
from tests.scenarios import language

BOTH = pytest.mark.parametrize("flavour", list(Flavour))
HEALTHY = (
    "record epoch=7",
    "n1 answered writable received=100 beat=6000",
    "n2 answered follows=n1 received=98 beat=5800",
    "n3 answered follows=n1 received=90 beat=5000",
)


def view(flavour: Flavour, *lines: str) -> ClusterView:
    return language.view(language.Scenario("", lines, "", 0), flavour)


def verdict(flavour: Flavour, *lines: str) -> Verdict:
    return if_primary_failed_now(view(flavour, *lines))


@BOTH
def test_lossless_loses_nothing_and_lasts_as_long_as_its_steps(flavour: Flavour) -> None:
    found = verdict(flavour, *HEALTHY)
    assert (found.verdict, found.candidate, found.blockers) == ("promote", "n2", ())
    assert found.expected_loss == Loss(0, 0, "no acknowledged write")
    # A tick, the revocation, what n2 has to apply, the promotion, the opening.
    assert found.expected_duration_ms == 100 + 10 + 200 + 40 + 10


@BOTH
def test_available_counts_what_the_candidate_has_not_received(flavour: Flavour) -> None:
    found = verdict(flavour, "record epoch=7 durability=available", *HEALTHY[1:])
    assert found.expected_loss == Loss(2, 200, "2 transactions of the last 200 ms")
    assert "expected loss: 2 transactions of the last 200 ms" in found.why
    nothing = verdict(flavour, "record epoch=7 durability=available", "n1 answered writable received=98", *HEALTHY[2:])
    assert nothing.expected_loss == Loss(0, 0, "nothing that is known")


@BOTH
def test_what_a_silent_primary_said_last_is_the_least_that_is_lost(flavour: Flavour) -> None:
    seen = view(flavour, "record epoch=7 durability=available", *HEALTHY[1:])
    silent = replace(seen.observations["n1"], reach=Reach.TIMED_OUT)
    lost = expected_loss(replace(seen, observations={**seen.observations, "n1": silent}), "n2")
    assert lost == Loss(2, 200, "at least 2 transactions of the last 200 ms")
    never = verdict(flavour, "record epoch=7 durability=available", "n1 timed_out", *HEALTHY[2:])
    assert never.expected_loss == Loss(None, None, "unknown, because the primary was never seen")


@BOTH
def test_a_forced_failover_is_not_lossless(flavour: Flavour) -> None:
    forced = view(flavour, "record epoch=7 request=failover force", *HEALTHY[1:])
    assert expected_loss(forced, "n2").transactions == 2


@BOTH
def test_measured_steps_replace_the_assumed_ones(flavour: Flavour) -> None:
    found = status(view(flavour, *HEALTHY), {"Promote": 540.0, "Swap": 1.0}).if_primary_failed_now
    assert found.expected_duration_ms == round(360 - STEP_MS["Promote"] + 540)


@BOTH
@pytest.mark.parametrize(
    ("lines", "blockers"),
    [
        ((*HEALTHY[:3], "n3 timed_out"), ("n3 may be the only one to hold acknowledged writes",)),
        (("record epoch=7 paused", *HEALTHY[1:]), ("the watchdog is paused: run `replclus resume`",)),
        ((*HEALTHY[:2], "n2 answered follows=n1 received=98 candidate=no"), ("n2 is marked `candidate = false`",)),
        ((*HEALTHY[:2], "n2 timed_out"), ("n2 may be the only one", "no replica answers")),
        (("record epoch=7 paused", *HEALTHY[1:3], "n3 timed_out"), ("the watchdog is paused", "n3 may be the only one")),
    ],
)
def test_everything_that_stands_against_it_is_said(flavour: Flavour, lines: tuple[str, ...], blockers: tuple[str, ...]) -> None:
    found = verdict(flavour, *lines)
    assert (found.verdict, found.candidate, found.expected_duration_ms) == ("refuse", None, None)
    assert len(found.blockers) == len(blockers)
    for said, words in zip(found.blockers, blockers, strict=True):
        assert said.startswith(words)
    assert found.why == "; ".join(found.blockers)


@BOTH
def test_nobody_knows_in_the_middle_of_a_change(flavour: Flavour) -> None:
    found = verdict(flavour, "record epoch=7 op=failover/revoke", *HEALTHY[1:])
    assert (found.verdict, found.blockers) == ("wait", ("a failover is in progress",))
    assert found.to_dict() == {
        "verdict": "wait",
        "candidate": None,
        "why": "a failover is in progress",
        "expected_loss": None,
        "expected_duration_ms": None,
        "blockers": ["a failover is in progress"],
    }


@BOTH
def test_the_document_keeps_the_keys_that_others_read(flavour: Flavour) -> None:
    found = status(view(flavour, *HEALTHY)).to_dict()["if_primary_failed_now"]
    assert {"verdict", "candidate", "why"} < found.keys()
    assert found["expected_loss"] == {"transactions": 0, "ms": 0, "sentence": "no acknowledged write"}
