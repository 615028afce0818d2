"""What a verdict is based on, as one value that can be kept in a file and judged again."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.faults.history import History, Op, Outcome

Rows = tuple[tuple[Any, ...], ...]
Tables = Mapping[str, Rows]
Reign = tuple[int, str]
"""An epoch, and who the record names as primary in it."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """`finals`: the tables of every node that serves after healing; `primary` is one of them. `reigns`: what the record said,
    in order, each once. `servers`: server id → node."""

    history: History
    finals: Mapping[str, Tables]
    primary: str
    reigns: Sequence[Reign]
    servers: Mapping[int, str]


def write_evidence(evidence: Evidence, path: Path) -> None:
    with gzip.open(path, "wt", compresslevel=6) as file:
        json.dump(asdict(evidence), file)


def read_evidence(path: Path) -> Evidence:
    with gzip.open(path, "rt") as file:
        found = json.load(file)
    return Evidence(
        history=tuple(Op(**{**op, "outcome": Outcome(op["outcome"])}) for op in found["history"]),
        finals={
            node: {table: tuple(tuple(row) for row in rows) for table, rows in tables.items()}
            for node, tables in found["finals"].items()
        },
        primary=found["primary"],
        reigns=tuple((epoch, primary) for epoch, primary in found["reigns"]),
        servers={int(number): name for number, name in found["servers"].items()},
    )
