"""Seeded worlds: a safety phase in which things break, then a liveness phase in which they heal. No law may be broken.

SEEDS says how many (20,000 on a build server, a slice of them elsewhere), SEED which is the first. A failing seed prints
the shortest story found that breaks the law, and the command that replays it.
"""

from __future__ import annotations

import os

import pytest

from tests.simulation import campaign

SEEDS = int(os.environ.get("SEEDS", "20000" if os.environ.get("CI") == "true" else "2000"))
FIRST = int(os.environ.get("SEED", "0"))
PROCESSES = min(2, os.cpu_count() or 1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_law_is_broken() -> None:
    result = campaign.run(FIRST, SEEDS, PROCESSES)
    print(result)
    assert not result.failed, campaign.explain(result.failed)
