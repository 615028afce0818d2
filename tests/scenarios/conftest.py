"""`--rewrite` writes today's decisions into the scenario files, for a person to read and commit."""

from __future__ import annotations

from pathlib import Path

import pytest

from replclus.failover import machine
from replclus.model.spec import Flavour
from tests.scenarios import language


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="rewrite the expected decisions of tests/scenarios/*.txt")


def pytest_collection_modifyitems(config: pytest.Config) -> None:
    if not config.getoption("--rewrite", default=False):
        return
    for path in sorted(Path(__file__).parent.glob("*.txt")):
        scenarios = language.read(path)
        decisions = [language.render(machine.tick(language.view(scenario, Flavour.MARIADB))) for scenario in scenarios]
        language.write(path, scenarios, decisions)
