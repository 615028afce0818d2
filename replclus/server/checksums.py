"""What one server's tables hold, as numbers that it computes itself: equal tables have equal numbers, on every server.

Of each row the SHA-256 of its columns, in four pieces of 64 bits; of each table the number of rows and the sums of the
pieces. Sums do not depend on an order, so tables without a primary key are no special case, and unlike an XOR they count
rows that are there twice. `CHECKSUM TABLE` depends on how rows are stored, and has 32 bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import assert_never

from replclus.dialect import Statement, quote_identifier
from replclus.model.gtid import GtidSet, MariadbGtidSet
from replclus.model.spec import Flavour
from replclus.server.line import Line

Table = tuple[str, str]

# How often a snapshot is tried again because a commit came in between.
SNAPSHOT_TRIES = 200

_GEOMETRY = ("geometry", "geometrycollection", "geomcollection")
_SHAPES = ("point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon")
_TEXTS = ("tinyblob", "blob", "mediumblob", "longblob", "tinytext", "text", "mediumtext", "longtext", "json", "vector")
_LONG = frozenset((*_GEOMETRY, *_SHAPES, *_TEXTS))
_COLUMNS = Statement(
    "SELECT c.table_schema AS s, c.table_name AS t, c.column_name AS c, c.data_type AS d"
    " FROM information_schema.columns AS c JOIN information_schema.tables AS t"
    " ON t.table_schema = c.table_schema AND t.table_name = c.table_name"
    " WHERE t.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')"
    " AND c.table_schema NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema')"
    " ORDER BY c.table_schema, c.table_name, c.ordinal_position"
)
_BEGIN = Statement("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
_SNAPSHOT = Statement("SHOW STATUS LIKE 'binlog_snapshot_%'")
_PIECES = 4


@dataclass(frozen=True, slots=True)
class Columns:
    """(name, type) of every column of one table, in order."""

    of: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Checksum:
    """Comparable between servers; `rows` is for people."""

    rows: int
    sums: tuple[int, ...]


@contextmanager
def session(line: Line, seconds: float) -> Iterator[None]:
    """The settings that make values print the same everywhere, on a connection that is not replaced if it is lost.

    No statement in it goes on at the server for more than `seconds` should we be gone by then.
    """
    dialect = line.dialect
    line.read(Statement("SET SESSION time_zone = '+00:00'"))
    line.read(Statement("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
    match dialect.flavour:
        case Flavour.MARIADB:
            line.read(Statement("SET SESSION max_statement_time = %s", (max(1, int(seconds)),)))
        case Flavour.MYSQL:
            line.read(Statement("SET SESSION max_execution_time = %s", (max(1, int(seconds)) * 1000,)))
        case never:
            assert_never(never)
    line.pinned = True
    try:
        yield
    finally:
        line.pinned = False
        # The transaction and the settings go with the connection.
        line.drop()


def freeze(line: Line) -> GtidSet:
    """Within `session`: from here on this connection sees one state, which is exactly the one after the answer.

    MariaDB tells the position of a snapshot. MySQL does not: it is tried until nothing was committed meanwhile.
    """
    match line.dialect.flavour:
        case Flavour.MARIADB:
            line.read(_BEGIN)
            found = {str(row["Variable_name"]).lower(): str(row["Value"]) for row in line.read(_SNAPSHOT)}
            where = (found["binlog_snapshot_file"], int(found["binlog_snapshot_position"]))
            (row,) = line.read(Statement("SELECT BINLOG_GTID_POS(%s, %s) AS position", where))
            return MariadbGtidSet.parse(str(row["position"] or ""))
        case Flavour.MYSQL:
            for _ in range(SNAPSHOT_TRIES):
                before = line.executed()
                line.read(_BEGIN)
                if line.executed() == before:
                    return before
                line.read(Statement("ROLLBACK"))
            raise line.error(f"it never stood still for a moment: commits came between {SNAPSHOT_TRIES} times")
        case never:
            assert_never(never)


def tables(line: Line) -> dict[Table, Columns]:
    """Every table that is not the server's own, with its columns."""
    found: dict[Table, list[tuple[str, str]]] = {}
    for row in line.read(_COLUMNS):
        found.setdefault((str(row["s"]), str(row["t"])), []).append((str(row["c"]), str(row["d"]).lower()))
    return {table: Columns(tuple(columns)) for table, columns in found.items()}


def checksum(line: Line, table: Table, columns: Columns, timeout_s: float, *, whole_floats: bool = True) -> Checksum:
    """Reads the whole table, once. Without `whole_floats` single precision counts only as far as it is printed."""
    pieces = ", ".join(
        f"COALESCE(SUM(CAST(CONV(SUBSTRING(h, {16 * nth + 1}, 16), 16, 10) AS UNSIGNED)), 0) AS s{nth}" for nth in range(_PIECES)
    )
    values = ", ".join(_value(name, kind, whole_floats) for name, kind in columns.of)
    source = ".".join(quote_identifier(part) for part in table)
    sql = f"SELECT COUNT(*) AS n, {pieces} FROM (SELECT SHA2(CONCAT({values}), 256) AS h FROM {source}) AS hashed"  # noqa: S608
    (row,) = line.read(Statement(sql), timeout_s)
    return Checksum(int(row["n"]), tuple(int(row[f"s{nth}"]) for nth in range(_PIECES)))


def _value(name: str, kind: str, whole_floats: bool) -> str:
    """One column as bytes that say where they end: `3:abc`, `N` for NULL. Long values are hashed first."""
    column = quote_identifier(name)
    if kind == "float" and whole_floats:
        # As text it would have six digits.
        column = f"CAST({column} AS DOUBLE)"
    if kind in _LONG:
        return f"COALESCE(SHA2({column}, 256), 'N')"
    return f"COALESCE(CONCAT(LENGTH(CAST({column} AS BINARY)), ':', CAST({column} AS BINARY)), 'N')"
