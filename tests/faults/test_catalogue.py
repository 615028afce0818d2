"""The catalogue is complete: each of its faults is played, or it is said why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.catalogue import NOT_SHOWN, Expect, fault, load_table
from tests.faults.manual import document

NUMBERS = {"P": 16, "W": 10, "N": 19, "D": 19, "T": 5, "R": 18}
PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
IN_CI = range(12, 19)


def test_every_fault_is_played_or_explained() -> None:
    wanted = {f"{letter}{number}" for letter, last in NUMBERS.items() for number in range(1, last + 1)}
    table = load_table()
    assert wanted - {*table, *NOT_SHOWN} == set()
    assert not {*table} & {*NOT_SHOWN}, "what is shown needs no excuse"


def test_the_slice_is_a_slice() -> None:
    chosen = [one for one in load_table().values() if one.ci]
    assert len(chosen) in IN_CI, ", ".join(one.code for one in chosen)
    assert {one.expect for one in chosen} >= {Expect.FAILOVER, Expect.NONE}


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == document(), "run `make docs`"


def test_a_code_is_given_once() -> None:
    load_table()
    with pytest.raises(ValueError, match="P1 is there twice"):
        fault("P1", "Again.", Expect.NONE)(lambda scene: None)
