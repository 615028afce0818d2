"""The labelled corpus in `corpus/`, and the ways of writing a statement that must not change where it goes.

A line is `target [family] [mode=…] | statement`, with ␤ for a line break. Without a family it holds for both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from replclus.model.spec import Flavour
from replclus.routing import Target

_DIRECTORY = Path(__file__).parent / "corpus"


@dataclass(frozen=True, slots=True)
class Labelled:
    """A statement and where it goes. `place` is file and line."""

    target: Target
    flavour: Flavour
    mode: str
    sql: str
    place: str

    def __str__(self) -> str:
        return f"{self.place} [{self.flavour} {self.mode}] {self.sql!r}"


def corpus() -> list[Labelled]:
    """Every statement of every file, once per family it is labelled for."""
    return [one for path in sorted(_DIRECTORY.glob("*.txt")) for one in _read(path)]


def _read(path: Path) -> Iterator[Labelled]:
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        label, bar, sql = line.partition("|")
        if not bar:
            raise ValueError(f"{path.name}:{number}: no | in {line!r}")
        target, *conditions = label.split()
        flavours = [Flavour(word) for word in conditions if word in tuple(Flavour)] or list(Flavour)
        mode = next((word.removeprefix("mode=") for word in conditions if word.startswith("mode=")), "")
        for flavour in flavours:
            text = sql.removeprefix(" ").replace("␤", "\n")
            yield Labelled(Target(target), flavour, mode, text, f"{path.name}:{number}")


def variants(one: Labelled) -> Iterator[tuple[str, str]]:
    """`(what was done, statement)`: the same statement, differently written."""
    sql = one.sql
    yield "leading comment", f"/* SELECT ' */ {sql}"
    yield "leading line comments", f"-- DELETE `\n# '\n--\n{sql}"
    yield "leading blanks", f" \t\r\n\v\f{sql}"
    yield "trailing line break", f"{sql}\n"
    if _ends_in_comment(sql) or not sql.strip(" ;"):
        return
    yield "trailing semicolon", f"{sql};"
    yield "trailing comment", f"{sql} -- FOR UPDATE"
    yield "trailing block comment", f"{sql}/* INTO @a */"
    if not _has_quoted_part(sql) and sql.isascii():
        yield "lower case", sql.lower()
        yield "upper case", sql.upper().replace("%S", "%s") if "%(" not in sql else sql
        yield (
            "mixed case",
            "".join(sign.upper() if at % 2 else sign for at, sign in enumerate(sql.lower())).replace("%S", "%s"),
        )
        if "\n" not in sql and "%" not in sql and "/*" not in sql:
            yield "line breaks for blanks", sql.replace(" ", "\r\n\t")
            yield "comments for blanks", sql.replace(" ", "/**/") if _survives_tight_comments(sql) else sql
    if _may_stand_in_parentheses(one):
        yield "parentheses", f"({sql.rstrip('; ')})"
    if "/*!" not in sql and "/*M!" not in sql:
        yield "executable comment", f"/*! {sql} */"
        yield "executable comment with a version", f"/*!40000 {sql} */"
        if one.flavour is Flavour.MARIADB:
            yield "executable comment for MariaDB", f"/*M!100500 {sql} */"


def _ends_in_comment(sql: str) -> bool:
    """Whether something put behind the statement might become part of a comment or string in it."""
    return any(mark in sql.rsplit("\n", 1)[-1] for mark in ("--", "#", "unterminated", "unfinished", "/*")) or sql.endswith("\\")


def _has_quoted_part(sql: str) -> bool:
    return any(quote in sql for quote in "'\"`")


def _survives_tight_comments(sql: str) -> bool:
    """A blank before a parenthesis matters to some functions, and `a . b` is not `a.b` with a comment in it."""
    return " (" not in sql and " ." not in sql


def _may_stand_in_parentheses(one: Labelled) -> bool:
    words = one.sql.lstrip().split(None, 1)
    return bool(words) and words[0].upper() in {"SELECT", "VALUES"} and ";" not in one.sql and not _ends_in_comment(one.sql)
