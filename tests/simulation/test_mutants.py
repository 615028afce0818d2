"""The simulator is itself tested: without any one of the safety rules it must find a violation."""

from __future__ import annotations

import multiprocessing
import os

import pytest

from tests.simulation.mutants import MUTANTS, SEEDS_MAX, Found, hunt

PROCESSES = min(2, os.cpu_count() or 1)
FOUND_MIN = 12


def _hunt(index: int) -> Found:
    return hunt(MUTANTS[index])


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_missing_rule_is_found() -> None:
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        found = list(pool.imap(_hunt, range(len(MUTANTS))))
    print(*(line(one) for one in found), sep="\n")
    missed = [one.rule for one in found if one.outcome is None]
    assert not missed, f"not found within {SEEDS_MAX} seeds: {missed}"
    assert len(found) >= FOUND_MIN


def line(found: Found) -> str:
    if found.outcome is None:
        return f"     -  not found  without “{found.rule}”"
    return f"{found.seeds:6}  seed {found.outcome.seed:5}  without “{found.rule}”: {found.outcome.law}"
