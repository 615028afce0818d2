"""Reads the few clauses of a statement that name what it leaves on a connection, or takes away from it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from replclus.model.spec import Flavour
from replclus.routing import executable
from replclus.routing.assignments import inner_statement
from replclus.routing.lexer import COMMENT, END, as_written, tokens, unquoted
from replclus.routing.scan import PARTS, grammar
from replclus.routing.sqlmode import SqlMode

_GAP = rf"(?:[ \t\n\r\f\v]++|{COMMENT})"
# Without a backslash, a literal means the same in every sql_mode.
_SINGLE, _DOUBLE = r"'((?:[^'\\]++|'')*+)'", r'"((?:[^"\\]++|"")*+)"'
_LOCKING = (
    "GET_LOCK",
    "SERVICE_GET_READ_LOCKS",
    "SERVICE_GET_WRITE_LOCKS",
    "VERSION_TOKENS_LOCK_SHARED",
    "VERSION_TOKENS_LOCK_EXCLUSIVE",
)
_RELEASING = ("RELEASE_LOCK", "RELEASE_ALL_LOCKS", "SERVICE_RELEASE_LOCKS", "VERSION_TOKENS_UNLOCK")


class Name(NamedTuple):
    """Of a table. `schema` is empty if none is written."""

    schema: str
    table: str

    def within(self, schema: str) -> Name:
        return self if self.schema else Name(schema, self.table)


class Parsed(NamedTuple):
    """One statement: `words` as the lexer makes them, `written` the same in their own case, `text` all of it."""

    words: list[str]
    written: list[str]
    text: str
    mode: SqlMode


def parse(sql: str, mode: SqlMode, flavour: Flavour) -> Parsed | None:
    """None if `sql` is not one statement, or is read differently by different versions."""
    if executable.present(sql):
        readings = executable.resolve(sql, flavour, mode)
        if len(readings) != 1:
            return None
        sql = readings[0]
    words = tokens(sql, mode)
    if words[-1:] != [END]:
        return None
    words = words[:-1]
    while words and words[-1] == ";":
        del words[-1]
    if not words or ";" in words:
        return None
    written = as_written(sql, mode)[: len(words)]
    inner = inner_statement(words, grammar(flavour, mode))
    if inner is not None:
        return Parsed(list(inner), written[len(words) - len(inner) :], "", mode)
    return Parsed(words, written, sql, mode)


def created(parsed: Parsed) -> Name | None:
    """What CREATE TEMPORARY makes."""
    if "TEMPORARY" not in parsed.words[1:4]:
        return None
    for at, word in enumerate(parsed.words[:6]):
        if word in {"TABLE", "SEQUENCE"}:
            return next(_names(parsed, at + 1), None)
    return None


def dropped(parsed: Parsed) -> tuple[Name, ...]:
    """What DROP TABLE takes away, be it temporary or not; nothing if a name cannot be read."""
    at = 2 if parsed.words[1:2] == ["TEMPORARY"] else 1
    if parsed.words[at : at + 1] not in (["TABLE"], ["TABLES"], ["SEQUENCE"]) or "." in parsed.words:
        return ()
    return tuple(_names(parsed, at + 1))


def renamed(parsed: Parsed, flavour: Flavour) -> tuple[tuple[Name, Name], ...]:
    """Old and new names. MySQL's RENAME TABLE does not see temporary tables, ALTER TABLE does."""
    words = parsed.words
    if "." in words or words[1:2] not in (["TABLE"], ["TABLES"]):
        return ()
    if words[0] == "RENAME":
        if flavour is Flavour.MYSQL:
            return ()
        at = [at for at, word in enumerate(words) if word == "TO" and 0 < at < len(words) - 1]
        return tuple((_name(parsed.written[a - 1]), _name(parsed.written[a + 1])) for a in at)
    old = next(_names(parsed, 2), None)
    if old is None or "RENAME" not in words:
        return ()
    at_new = words.index("RENAME") + 1
    while words[at_new : at_new + 1] in (["TO"], ["AS"], ["="]):
        at_new += 1
    if at_new >= len(words) or words[at_new] in {"COLUMN", "INDEX", "KEY", "CONSTRAINT"}:
        return ()
    new = _name(parsed.written[at_new])
    # Where an unqualified new name for a qualified old one ends up is not worth knowing.
    return ((old, new if new.schema or not old.schema else Name("?", new.table)),)


def statement_name(parsed: Parsed) -> str:
    """The name in PREPARE name, EXECUTE name, DEALLOCATE PREPARE name, in lower case as servers compare it."""
    at = 2 if parsed.words[1:2] == ["PREPARE"] else 1
    return unquoted(parsed.written[at]).lower() if len(parsed.written) > at else ""


def handler_name(parsed: Parsed) -> str:
    """What a HANDLER statement calls its cursor: the alias, or the table without its schema."""
    words = parsed.words
    if words[2:3] == ["OPEN"] and len(words) > 3:
        return unquoted(parsed.written[-1])
    return _name(parsed.written[1]).table if len(words) > 1 else ""


def prepared_text(parsed: Parsed) -> str | None:
    """The literal that PREPARE … FROM or EXECUTE IMMEDIATE is given, if it is a plain one."""
    found = _prepared(parsed.mode.ansi_quotes).fullmatch(parsed.text)
    return _literal(found[1], found[2]) if found is not None else None


def lock_call(parsed: Parsed) -> tuple[str, str] | None:
    """(function, its first argument) if the statement does nothing but call one of the functions of named locks."""
    found = _lock_call(parsed.mode.ansi_quotes).fullmatch(parsed.text)
    if found is None:
        return None
    return found[1].upper(), _literal(found[2], found[3]) or ""


def takes_locks(parsed: Parsed) -> frozenset[str]:
    """The functions in it that take locks."""
    return frozenset(name for name in _LOCKING if name in parsed.words or f"{name}(" in parsed.words)


def assigned(parsed: Parsed) -> tuple[str, ...]:
    """User variables that get a value other than by SET, as `@name` in lower case; "@" for one whose name cannot be read."""
    words = parsed.words
    every = words[0] in {"CALL", "GET"}
    return tuple(
        name
        for at, word in enumerate(words)
        if word[:1] == "@" and word[1:2] != "@"
        for name, end in (_variable(words, at),)
        if every or words[end : end + 2] == [":", "="] or _behind_into(words, at)
    )


def _variable(words: Sequence[str], at: int) -> tuple[str, int]:
    """Its name, and where the words behind it begin."""
    if words[at] != "@":
        return words[at].lower(), at + 1
    return "@" + "".join(words[at + 1 : at + 2]).lower(), at + 2


def _behind_into(words: Sequence[str], at: int) -> bool:
    while at > 0 and (words[at - 1] == "," or words[at - 1][:1] in {"@", "`", '"', ""}):
        at -= 1
    return at > 0 and words[at - 1] == "INTO"


def _names(parsed: Parsed, at: int) -> Iterator[Name]:
    """The names from `at` on, that commas separate; IF [NOT] EXISTS is skipped."""
    words = parsed.words
    if words[at : at + 1] == ["IF"]:
        at += 3 if words[at + 1 : at + 2] == ["NOT"] else 2
    while at < len(words):
        # A point of its own: the name has blanks in it.
        if words[at + 1 : at + 2] == ["."]:
            return
        yield _name(parsed.written[at])
        if words[at + 1 : at + 2] != [","]:
            return
        at += 2


def _name(word: str) -> Name:
    parts = [unquoted(part) for part in PARTS.findall(word.removesuffix("("))]
    return Name(parts[-2] if len(parts) > 1 else "", parts[-1] if parts else "")


def _literal(single: str | None, double: str | None) -> str | None:
    return single.replace("''", "'") if single is not None else double.replace('""', '"') if double is not None else None


@cache
def _prepared(ansi_quotes: bool) -> re.Pattern[str]:
    literal = _SINGLE + r"|(?!)()" if ansi_quotes else f"{_SINGLE}|{_DOUBLE}"
    start = rf"(?:PREPARE{_GAP}++(?:`[^`]*+`|[^\s`'\"/*#-]++){_GAP}*+FROM|EXECUTE{_GAP}++IMMEDIATE)"
    return re.compile(rf"{_GAP}*+{start}{_GAP}*+(?:{literal})(?:{_GAP}|;)*+", re.IGNORECASE | re.VERBOSE)


@cache
def _lock_call(ansi_quotes: bool) -> re.Pattern[str]:
    literal = _SINGLE + r"|(?!)()" if ansi_quotes else f"{_SINGLE}|{_DOUBLE}"
    functions = "|".join((*_LOCKING, *_RELEASING))
    return re.compile(
        rf"""{_GAP}*+(?:SELECT|DO){_GAP}++({functions}){_GAP}*+\({_GAP}*+(?:(?:{literal}){_GAP}*+(?:,[^()@?]*+)?+)?+\)
        (?:{_GAP}*+(?:AS{_GAP}++)?+(?:`[^`]*+`|[A-Za-z_]\w*+))?+(?:{_GAP}++FROM{_GAP}++DUAL)?+(?:{_GAP}|;)*+""",
        re.IGNORECASE | re.VERBOSE,
    )
