"""The scripts in `sql/`: found, split, and ready to be executed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlparse

from replclus.dialect import Statement
from replclus.model.spec import Flavour

_PACKAGE = Path(__file__).resolve().parent.parent


def directory() -> Path:
    """`replclus/sql` of an installed package, `sql` of a checkout."""
    installed = _PACKAGE / "sql"
    return installed if installed.is_dir() else _PACKAGE.parent / "sql"


def script(flavour: Flavour, name: str, values: Mapping[str, Any]) -> tuple[Statement, ...]:
    """The statements of `<flavour>/<name>.sql`, or else of `<name>.sql`. FileNotFoundError if there is neither.

    `values` are bound to `%(name)s`; then a literal `%` is written `%%`, and comments are dropped, because the driver
    would look for placeholders in them.
    """
    special = directory() / flavour.value / f"{name}.sql"
    text = (special if special.is_file() else directory() / f"{name}.sql").read_text(encoding="utf-8")
    parts = (sqlparse.format(part, strip_comments=True).strip().rstrip(";") for part in sqlparse.split(text))
    return tuple(Statement(part, dict(values)) for part in parts if part)
