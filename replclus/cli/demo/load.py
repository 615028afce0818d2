"""The shop's schema and data, loaded through the cluster as an application would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import replclus
from replclus.cli.demo.data import Row, Table, tables
from replclus.model.spec import Flavour
from replclus.server.scripts import script

SEED = 20_261
BATCH_ROWS = 2_500


def load_shop(config: Path, flavour: Flavour, report: Callable[[str, int, int], None]) -> int:
    """Create and fill the tables. `report` gets what is being loaded, rows done, rows in all. Returns the rows."""
    shop = tuple(tables(SEED))
    total, done = sum(len(table.rows) for table in shop), 0
    connection = replclus.connect(
        cluster=str(config),
        user="app",
        password="app",  # noqa: S106 - the sandbox's published account
        database="app",
        autocommit=True,
    )
    try:
        with connection.cursor() as cursor:
            for statement in script(flavour, "demo/schema", {}):
                cursor.execute(statement.sql)
            for table in shop:
                for start in range(0, len(table.rows), BATCH_ROWS):
                    batch = table.rows[start : start + BATCH_ROWS]
                    _insert(cursor, table, batch)
                    done += len(batch)
                    report(table.name, done, total)
    finally:
        connection.close()
    return total


def _insert(cursor: Any, table: Table, batch: tuple[Row, ...]) -> None:
    """One statement with many rows: names come from `data`, values are bound."""
    marks = ", ".join(["%s"] * len(table.columns))
    sql = f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES " + ", ".join([f"({marks})"] * len(batch))  # noqa: S608
    cursor.execute(sql, tuple(value for row in batch for value in row))
