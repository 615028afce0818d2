"""Every fault of the catalogue that can be shown, on both families. `make test` runs a slice; FAULTS=all or FAULTS=N5,P1 more."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from replclus.model.spec import Flavour
from tests.faults.catalogue import Fault, load_table
from tests.faults.network import needed
from tests.faults.run import Labs

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(400)]


def _chosen() -> list[pytest.ParameterSet]:
    """Family by family, so that labs can be used again."""
    table, asked = load_table(), os.environ.get("FAULTS", "")
    if unknown := {code for code in asked.split(",") if code} - {*table, "all"}:
        raise pytest.UsageError(f"there is no fault {', '.join(sorted(unknown))}: there are {', '.join(table)}")
    faults = [one for one in table.values() if asked == "all" or (one.code in asked.split(",") if asked else one.ci)]
    pairs = [(one, flavour) for flavour in Flavour for one in faults if flavour in one.families]
    return [
        pytest.param(one, flavour, id=f"{one.code}-{flavour.value}", marks=getattr(pytest.mark, flavour.value))
        for one, flavour in pairs
    ]


@pytest.fixture(scope="module")
def labs(server_root: Path) -> Iterator[Labs]:
    needed()
    made = Labs(server_root)
    yield made
    made.destroy()


@pytest.mark.parametrize(("fault", "family"), _chosen())
def test_fault(labs: Labs, fault: Fault, family: Flavour) -> None:
    played = labs.play(fault, family)
    print(f"\n{played}")
    assert played.ok, str(played)
