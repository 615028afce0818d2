"""docs/failover.md, written from the table, so that it cannot lie about it."""

from __future__ import annotations

from replclus.failover.problems import TABLE

HEAD = """# Failover: what the watchdog recognises, and what it does

This page is generated from `replclus/failover/problems.py` by `make docs`; a test fails when it is out of date.

Rows are judged from top to bottom. The first whose remedy is more than "stay" decides a tick; what was begun before (an
operation in the record) goes first, then what a person asked for. What to do at three in the morning is in
[runbook.md](runbook.md).

| situation | severity | what it means | what is done |
|---|---|---|---|
"""


def document() -> str:
    rows = []
    for row in TABLE:
        rows.append(f"| `{row.code}` | {row.severity.value} | {row.summary} | {_remedy(row.remedy)} |")
    return HEAD + "\n".join(rows) + "\n"


def _remedy(remedy: object) -> str:
    """The first sentence of a remedy's docstring; for `stay`, its reason."""
    doc = getattr(remedy, "__doc__", None) or ""
    return " ".join(doc.split("\n\n")[0].split())
