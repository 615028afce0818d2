"""`classify`: where one string of SQL may go, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from replclus.model.spec import Flavour
from replclus.routing import executable, hints
from replclus.routing.lexer import END, first_word, tokens
from replclus.routing.scan import grammar
from replclus.routing.sqlmode import SqlMode
from replclus.routing.statements import AT_ONCE, CHANGES_SESSION, Statement, judge
from replclus.routing.verdict import Classified, StatementKind, Target, primary, unknown

# Longer statements are not remembered: they are rarely repeated word for word, and hashing them costs more than judging.
CACHED_LENGTH_MAX = 8192
CACHE_SIZE = 4096
# How far to look for a second statement behind a write, or for a user variable assigned in it. Past it, a value that looks
# like one is likelier.
_LOOKED_AT = 2048
_NESTING_MAX = 3

# What CREATE makes of these has statements in its body, which are not statements of the string.
_WITH_BODY = frozenset({"PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE"})


class Classifier:
    """Classifies for one family and one sql_mode. Safe to share between threads."""

    def __init__(self, flavour: Flavour, mode: SqlMode) -> None:
        self.flavour = flavour
        self.mode = mode
        self._grammar = grammar(flavour, mode)
        self.remembered = lru_cache(maxsize=CACHE_SIZE)(self.afresh)

    def __call__(self, sql: str) -> Classified:
        return self.afresh(sql) if len(sql) > CACHED_LENGTH_MAX else self.remembered(sql)

    def afresh(self, sql: str) -> Classified:
        """The verdict, worked out."""
        return self._classify(sql, 0)

    def _classify(self, sql: str, nesting: int) -> Classified:
        found = self._without_hints(sql, nesting)
        hint = hints.find(sql, self.mode) if len(sql) <= CACHED_LENGTH_MAX else None
        return found if hint is None else hints.apply(found, hint)

    def _without_hints(self, sql: str, nesting: int) -> Classified:
        at_once = AT_ONCE.get(first_word(sql))
        if at_once is not None and sql.find(";", 0, _LOOKED_AT) < 0 and not _may_assign(sql):
            return at_once
        if not executable.present(sql):
            return self._laid_open(sql, nesting)
        readings = executable.resolve(sql, self.flavour, self.mode)
        if not readings:
            return unknown("an executable comment that cannot be followed")
        return _agree([self._laid_open(reading, nesting) for reading in readings])

    def _laid_open(self, sql: str, nesting: int) -> Classified:
        """For a statement without executable comments."""
        words = tokens(sql, self.mode)
        if not words or words[-1] != END:
            return unknown("cannot be parsed: an unterminated string or comment, or a stray sign")
        parts = _split(words[:-1])
        if nesting > _NESTING_MAX:
            return unknown("too deeply nested")
        text = sql if len(parts) == 1 else ""
        verdicts = [
            judge(Statement(part, text, self._grammar, lambda inner: self._classify(inner, nesting + 1))) for part in parts
        ]
        return verdicts[0] if len(verdicts) == 1 else _together(verdicts)


def _may_assign(sql: str) -> bool:
    # One sign is found faster than two, and most statements have not even that.
    return sql.find(":", 0, _LOOKED_AT) >= 0 and sql.find(":=", 0, _LOOKED_AT) >= 0


def _split(words: list[str]) -> list[list[str]]:
    """At each `;`. Nothing behind the last ones is no statement."""
    if ";" not in words or _has_body(words[: words.index(";")]):
        return [words]
    parts: list[list[str]] = [[]]
    for word in words:
        if word == ";":
            parts.append([])
        else:
            parts[-1].append(word)
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return parts


def _has_body(words: Sequence[str]) -> bool:
    if words[:3] == ["BEGIN", "NOT", "ATOMIC"]:
        return True
    return words[:1] in (["CREATE"], ["ALTER"]) and not _WITH_BODY.isdisjoint(words)


def _together(verdicts: Sequence[Classified]) -> Classified:
    """Several statements in one packet go to one server, and are not sent twice: some of them may have run."""
    refused = next((one for one in verdicts if one.target is Target.REFUSE), None)
    if refused is not None:
        return refused
    if all(one.target is Target.REPLICA for one in verdicts):
        return replace(verdicts[0], reason="several plain reads", is_select_like=False)
    pins = any(one.pins or one.kind in CHANGES_SESSION for one in verdicts)
    unsafe = next(one for one in verdicts if one.target is not Target.REPLICA)
    return primary(f"several statements, of which one: {unsafe.reason}", StatementKind.SEVERAL, pins=pins)


def _agree(readings: Sequence[Classified]) -> Classified:
    """One verdict for all the ways in which supported versions read the statement."""
    first = readings[0]
    if all(one.target is first.target and one.kind is first.kind for one in readings):
        said = next((one for one in readings if one.pins), first)
        agreed = all(one.functions == first.functions for one in readings)
        return said if agreed else replace(said, functions=(), if_safe=None)
    for one in readings:
        if one.target is Target.REFUSE:
            return one
    pins = any(one.pins for one in readings)
    return primary("an executable comment, which versions read differently", StatementKind.UNKNOWN, pins=pins)


_BY_MODE: dict[Flavour, dict[str | SqlMode, Classifier]] = {Flavour.MARIADB: {}, Flavour.MYSQL: {}}
_MARIADB, _MYSQL = _BY_MODE[Flavour.MARIADB], _BY_MODE[Flavour.MYSQL]
_FAMILY = Flavour.MARIADB
_PLAIN = SqlMode()
# sql_mode comes from servers, which have a few; somebody who makes them up must not fill the memory.
_MODES_MAX = 256


def classifier(flavour: Flavour, sql_mode: SqlMode | str = _PLAIN) -> Classifier:
    """The shared classifier for a family and a sql_mode (parsed, or as `@@sql_mode` spells it)."""
    made = _BY_MODE[flavour]
    mode = sql_mode if isinstance(sql_mode, SqlMode) else SqlMode.parse(sql_mode)
    known = made.get(mode)
    if known is None:
        known = made[mode] = Classifier(flavour, mode)
    if len(made) < _MODES_MAX:
        made[sql_mode] = known
    return known


def classify(sql: str, *, flavour: Flavour, sql_mode: SqlMode | str = _PLAIN) -> Classified:
    """Where `sql` may go. Total: whatever is not understood goes to the primary.

    `sql` may be a template of PyMySQL with `%s` or `%(name)s` in it, and should be: templates repeat, and what repeats is
    answered from memory.
    """
    known = (_MARIADB if flavour is _FAMILY else _MYSQL).get(sql_mode)
    if known is None:
        known = classifier(flavour, sql_mode)
    return known.remembered(sql) if len(sql) <= CACHED_LENGTH_MAX else known.afresh(sql)


def route_json(sql: str, flavour: Flavour, sql_mode: str = "") -> dict[str, str]:
    """What `replclus route --json` prints: "hint" and "hint_ignored" only if the statement holds one."""
    found = classify(sql, flavour=flavour, sql_mode=sql_mode)
    answer = {"target": found.target.value, "reason": found.reason}
    hint = found.hint
    if hint is not None and hint.node is not None:
        answer["hint"] = f"node={hint.node}"
    elif hint is not None and hint.target is not None:
        answer["hint"] = hint.target.value
    if hint is not None and hint.ignored is not None:
        answer["hint_ignored"] = hint.ignored
    return answer
