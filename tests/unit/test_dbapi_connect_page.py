"""docs/connect.md names every option of ours with its default, and every event that is counted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from replclus.dbapi import options
from replclus.dbapi.connection import connect
from replclus.dbapi.counting import Happening

PAGE = (Path(__file__).parents[2] / "docs" / "connect.md").read_text()
OURS = options._OURS


@pytest.mark.parametrize("name", OURS)
def test_every_option(name: str) -> None:
    assert f"\n| `{name}` |" in PAGE
    assert re.search(rf"\b{name}\b", connect.__doc__ or ""), "and in the docstring of connect"


def test_defaults() -> None:
    plain = options.read_options({"host": "h"})
    told = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", PAGE, re.MULTILINE))
    assert told == {
        "consistency": plain.consistency,
        "max_lag_ms": f"{plain.max_lag_ms:g}",
        "split_transactions": str(plain.split_transactions),
        "balance": plain.balance,
        "primary_reads": plain.primary_reads,
        "replica_required": str(plain.replica_required),
        "failover_timeout": f"{plain.failover_timeout_s:g}",
        "track_outcome": str(plain.track_outcome),
        "max_connections": str(plain.bounds.open_max),
        "pool_size": str(plain.bounds.idle_max),
        "max_lifetime": f"{plain.bounds.lifetime_s_max:g}",
    }


@pytest.mark.parametrize("event", get_args(Happening))
def test_every_event(event: str) -> None:
    assert re.search(rf"^\|.*`{event}`.*\|", PAGE, re.MULTILINE)
