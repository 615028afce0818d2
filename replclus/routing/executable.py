"""Executable comments: `/*! … */`, `/*!50000 … */`, `/*M!100500 … */`.

To one server such a comment is part of the statement, to another it is a comment. `resolve` writes a statement out as the
servers read it: once where its meaning is certain for every supported version of the family, several times where it
depends on the version. Whoever decides must then be content with all of them.

MySQL reads the body when the version is not above its own, and takes `/*M!` for a plain comment. MariaDB does the same
except that it ignores 50700 to 99999, which are versions of MySQL it never was, unless they are marked with M.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from replclus.model.spec import Flavour
from replclus.routing.lexer import COMMENT, literals, quoted_names
from replclus.routing.sqlmode import SqlMode

# The oldest supported versions: what they read, all read.
_OLDEST = {Flavour.MYSQL: 80000, Flavour.MARIADB: 100600}
# A statement with more doubtful versions than this is not worth the work.
_DOUBTFUL_MAX = 4

# What stands where a comment began or ended. A blank would turn a `--` before it into a comment.
_SEPARATOR = "/**/"

_OPENER = re.compile(r"/\*(M?)!([0-9]{5,6})?+")
_IGNORED = re.compile(r"/\*(?:[^*/\0]++|/\*(?:[^*\0]++|\*(?!/))*+\*/|\*(?!/)|/(?!\*))*+\*/")


def present(sql: str) -> bool:
    """Whether `sql` may hold an executable comment. True also when it is only spelled inside a string."""
    return "/*!" in sql or "/*M!" in sql or "/*m!" in sql


def resolve(sql: str, flavour: Flavour, mode: SqlMode) -> tuple[str, ...]:
    """`sql` as the supported versions of `flavour` read it, one or more ways. Empty: it cannot be told."""
    doubtful: set[int] = set()

    def probe(marked: bool, version: int | None) -> bool:
        live = _always(flavour, marked, version)
        if live is None and version is not None:
            doubtful.add(version)
        return live is not False

    first = _expand(sql, mode, probe)
    if not doubtful:
        return () if first is None else (first,)
    # What is behind a body that is skipped is found only by skipping it.
    _expand(sql, mode, lambda marked, version: bool(_always(flavour, marked, version)) or not probe(marked, version))
    if len(doubtful) > _DOUBTFUL_MAX:
        return ()
    written: list[str] = []
    for newest in (0, *sorted(doubtful)):

        def reads(marked: bool, version: int | None, newest: int = newest) -> bool:
            live = _always(flavour, marked, version)
            return (version or 0) <= newest if live is None else live

        text = _expand(sql, mode, reads)
        if text is None:
            return ()
        written.append(text)
    return tuple(dict.fromkeys(written))


def _always(flavour: Flavour, marked: bool, version: int | None) -> bool | None:
    """Whether every supported version reads the body (True), none does (False), or some do (None)."""
    if flavour is Flavour.MYSQL and marked:
        return False
    if version is None:
        return True
    if flavour is Flavour.MARIADB and not marked and 50700 <= version <= 99999:
        return False
    return True if version <= _OLDEST[flavour] else None


@cache
def _plain(mode: SqlMode, *, inside: bool) -> re.Pattern[str]:
    """Everything up to the next opener or, `inside` a body, closer."""
    stop = r"\*/|" if inside else ""
    # It also stops at a quote that never ends, instead of trying its luck again behind it.
    return re.compile(
        rf"""(?:[^'"`\#\-/*]++|{literals(mode)}|{quoted_names(mode)}|(?!/\*M?!)(?:{COMMENT})|(?!{stop}/\*|['"`])(?s:.))*+""",
        re.VERBOSE,
    )


def _expand(sql: str, mode: SqlMode, live: Callable[[bool, int | None], bool]) -> str | None:
    """`sql` with the bodies that are `live` laid open and the others taken out. None if a comment does not end."""
    pieces: list[str] = []
    at, inside = 0, False
    while True:
        found = _plain(mode, inside=inside).match(sql, at)
        assert found is not None  # it matches the empty string
        pieces.append(found[0])
        at = found.end()
        if at == len(sql):
            return None if inside else "".join(pieces)
        pieces.append(_SEPARATOR)
        if inside and sql.startswith("*/", at):
            at, inside = at + 2, False
            continue
        opener = _OPENER.match(sql, at)
        if opener is None or inside:
            return None
        if live(opener[1] == "M", int(opener[2]) if opener[2] else None):
            at, inside = opener.end(), True
            continue
        ignored = _IGNORED.match(sql, at)
        if ignored is None:
            return None
        at = ignored.end()
