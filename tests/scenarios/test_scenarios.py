"""Every scenario file, for both families: the moment in it, and the decision that is expected of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from replclus.failover import invariants, machine
from replclus.failover.decision import Act, Swap
from replclus.model.spec import Flavour
from tests.scenarios import language

FILES = sorted(Path(__file__).parent.glob("*.txt"))
CASES = [(path, scenario) for path in FILES for scenario in language.read(path)]


@pytest.mark.parametrize("flavour", list(Flavour), ids=str)
@pytest.mark.parametrize(("path", "scenario"), CASES, ids=[f"{path.stem}: {scenario.title}" for path, scenario in CASES])
def test_decision(path: Path, scenario: language.Scenario, flavour: Flavour) -> None:
    view = language.view(scenario, flavour)
    decision = machine.tick(view)
    # Positions are spelled differently by the two families; the files hold MariaDB's.
    if flavour is Flavour.MARIADB:
        assert language.render(decision) == scenario.expected
    else:
        assert language.render(decision).split(":")[0] == scenario.expected.split(":")[0]
        assert language.steps_of(language.render(decision)) == language.steps_of(scenario.expected)
    assert machine.tick(view) == decision, "a decision depends on nothing but the view"
    if isinstance(decision, Act):
        invariants.drained_before_promotion(decision.plan)
        invariants.record_first(decision.plan)
        record = view.record
        for action in decision.plan.actions():
            if isinstance(action, Swap):
                invariants.epochs_only_grow(record, action.record)
                invariants.quarantined_never_promoted(action.record)
                record = action.record


def test_files_are_found() -> None:
    assert len(CASES) > 30
