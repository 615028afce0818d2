"""The parts of `sql_mode` that change how a statement is cut into words."""

from __future__ import annotations

from typing import NamedTuple

# Modes that stand for several. https://mariadb.com/kb/en/sql-mode/ and MySQL manual 7.1.11 "Server SQL Modes".
_SPEAK_LIKE_OTHERS = frozenset({"ANSI", "DB2", "MAXDB", "MSSQL", "ORACLE", "POSTGRESQL"})


class SqlMode(NamedTuple):
    """A tuple, because it is half of a cache key: hashing it must not run Python code.

    PIPES_AS_CONCAT is not here: it changes what `||` means, not where words end.
    """

    ansi_quotes: bool = False
    no_backslash_escapes: bool = False
    ignore_space: bool = False
    oracle: bool = False

    @classmethod
    def parse(cls, modes: str) -> SqlMode:
        """From the value of `@@sql_mode`: names separated by commas, in any case. Unknown names change nothing here."""
        names = {name.strip().upper() for name in modes.split(",")}
        foreign = bool(names & _SPEAK_LIKE_OTHERS)
        return cls(
            ansi_quotes=foreign or "ANSI_QUOTES" in names,
            no_backslash_escapes="NO_BACKSLASH_ESCAPES" in names,
            ignore_space=foreign or "IGNORE_SPACE" in names,
            oracle="ORACLE" in names,
        )
