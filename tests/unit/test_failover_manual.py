"""docs/failover.md says what the table says, and the runbook has an entry for every row."""

from __future__ import annotations

from pathlib import Path

from replclus.failover import manual
from replclus.failover.problems import TABLE

DOCS = Path(__file__).parents[2] / "docs"


def test_page_is_up_to_date() -> None:
    assert (DOCS / "failover.md").read_text() == manual.document(), "run `make docs`"


def test_every_situation_is_in_the_runbook() -> None:
    runbook = (DOCS / "runbook.md").read_text()
    missing = [row.code for row in TABLE if f"## {row.code}\n" not in runbook]
    assert not missing


def test_every_situation_has_a_scenario() -> None:
    """A row that no scenario reaches is a row that nobody has thought through."""
    from replclus.failover.problems import find_problems
    from replclus.model.spec import Flavour
    from tests.scenarios import language

    files = sorted((Path(__file__).parents[1] / "scenarios").glob("*.txt"))
    views = [language.view(scenario, Flavour.MARIADB) for path in files for scenario in language.read(path)]
    reached = {problem.code for view in views for problem in find_problems(view)}
    assert {row.code for row in TABLE} - reached == set()
