"""Writes the pages of docs/ that are generated from code: `make docs`."""

from __future__ import annotations

from pathlib import Path

from replclus import config
from replclus.cli import reference
from replclus.failover import manual
from tests.faults import manual as faults

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {
    "configuration.md": config.document,
    "cli.md": reference.document,
    "failover.md": manual.document,
    "faults.md": faults.document,
}


def main() -> None:
    for name, document in PAGES.items():
        (DOCS / name).write_text(document())


if __name__ == "__main__":
    main()
