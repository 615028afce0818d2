"""What stored functions do, as the primary's catalogue tells it: which of them a replica may run.

Learned for a whole schema at the first function that is met in it, and again when it has grown old, when a name is missing, or
when a statement that changes routines has passed through this process. Shared by the connections of one account to one
cluster, because what an account may see depends on the account.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

from pymysql import err

from replclus.dbapi.backends import Backends
from replclus.dbapi.watcher import Watcher
from replclus.model.spec import Flavour
from replclus.routing import Classified, FunctionName, Routine, StatementKind, objection

SCHEMAS_MAX = 64
FUNCTIONS_MAX = 1000
# How long what was learned is believed, if nobody in this process changes it.
FRESH_S_MAX = 30.0
# How soon the server is asked again about a schema: a name may be missing for ever, and an account may not be let in.
ASK_AGAIN_S_MIN = 2.0
_CALLS_DEEP_MAX = 8
_PLAIN_NAME = re.compile(r"[\w$ .-]+")
_CHANGES_ROUTINES = re.compile(r"\b(?:function|package)\b", re.IGNORECASE)
_MAY_CHANGE = frozenset({StatementKind.DDL, StatementKind.UNKNOWN, StatementKind.SEVERAL, StatementKind.PREPARE})

_ROUTINES = (
    "SELECT ROUTINE_SCHEMA, ROUTINE_NAME, ROUTINE_BODY, SQL_DATA_ACCESS, ROUTINE_DEFINITION, SQL_MODE"
    " FROM information_schema.ROUTINES WHERE ROUTINE_TYPE = 'FUNCTION' AND LOWER(ROUTINE_SCHEMA) = '{schema}' LIMIT {limit}"
)
_PARAMETERS = (
    "SELECT SPECIFIC_NAME, PARAMETER_NAME FROM information_schema.PARAMETERS"
    " WHERE ROUTINE_TYPE = 'FUNCTION' AND LOWER(SPECIFIC_SCHEMA) = '{schema}' AND PARAMETER_NAME IS NOT NULL"
)

Rows = Sequence[Sequence[Any]]
# Runs both statements on the primary. None if it cannot be asked now.
Ask = Callable[[str, str], tuple[Rows, Rows] | None]


@dataclass(slots=True)
class _Schema:
    """`objections`: of those that were judged; empty where a function may run on a replica. `changes`: see `forget`."""

    learned_at: float
    changes: int
    routines: dict[str, list[Routine]]
    objections: dict[str, str]


class Catalogue:
    """Thread-safe: whoever finds another thread asking takes the functions for unknown. `clock` counts seconds."""

    def __init__(self, flavour: Flavour, clock: Callable[[], float] = time.monotonic) -> None:
        self._flavour = flavour
        self._clock = clock
        self._schemas: dict[str, _Schema] = {}
        self._changes = 0
        self._asking = threading.Lock()

    def forget(self) -> None:
        """Routines have changed."""
        self._changes += 1

    def all_safe(self, functions: Sequence[FunctionName], schema: str | None, ask: Ask | None) -> bool:
        """Whether every one of `functions` may run on a replica, as far as is known without asking if `ask` is None.

        `schema` is the session's.
        """
        named = [name if name.schema else FunctionName((schema or "").lower(), name.name) for name in functions]
        if not all(name.schema and _PLAIN_NAME.fullmatch(name.schema) for name in named):
            return False
        known = [self._remembered(name) for name in named]
        if None not in known:
            return all(known)
        if not self._asking.acquire(blocking=False):
            return False
        try:
            return all(self._objection(name, ask, ()) == "" for name in named)
        finally:
            self._asking.release()

    def _remembered(self, name: FunctionName) -> bool | None:
        """What was found out before, if that is still believed."""
        known = self._schemas.get(name.schema)
        if known is None or not self._is_believed(known, name):
            return None
        found = known.objections.get(name.name)
        return found == "" if found is not None else None if name.name in known.routines else False

    def _is_believed(self, known: _Schema, name: FunctionName) -> bool:
        age = self._clock() - known.learned_at
        return known.changes == self._changes and age < (FRESH_S_MAX if name.name in known.routines else ASK_AGAIN_S_MIN)

    def _objection(self, name: FunctionName, ask: Ask | None, callers: tuple[FunctionName, ...]) -> str:
        """Why not, or empty. `callers` are the functions that led here."""
        known = self._schema(name, ask)
        if known is None or name.name not in known.routines:
            return "it is not known"
        if name in callers or len(callers) > _CALLS_DEEP_MAX:
            return "it calls itself"
        if name.name in known.objections:
            return known.objections[name.name]
        # Schemas that differ in case only: all that answer to the name must be safe.
        each = (
            objection(routine, self._flavour, lambda called: self._objection(called, ask, (*callers, name)) == "")
            for routine in known.routines[name.name]
        )
        found = next((text for text in each if text), "")
        # Inside of another function it may be one that calls itself only by way of that one; without asking, one that calls
        # what is not known yet.
        if ask is not None and not callers:
            known.objections[name.name] = found
        return found

    def _schema(self, name: FunctionName, ask: Ask | None) -> _Schema | None:
        known, now = self._schemas.get(name.schema), self._clock()
        if known is not None and self._is_believed(known, name):
            return known
        if ask is None or not _PLAIN_NAME.fullmatch(name.schema):
            return None
        changes = self._changes
        answer = ask(_ROUTINES.format(schema=name.schema, limit=FUNCTIONS_MAX), _PARAMETERS.format(schema=name.schema))
        if answer is not None:
            routines = _read(*answer)
        elif known is not None and known.changes == changes and now - known.learned_at < FRESH_S_MAX:
            routines = known.routines
        else:
            routines = {}
        known = _Schema(now, changes, routines, {})
        self._schemas.pop(name.schema, None)
        while len(self._schemas) >= SCHEMAS_MAX:
            del self._schemas[next(iter(self._schemas))]
        self._schemas[name.schema] = known
        return known


def _read(rows: Rows, parameters: Rows) -> dict[str, list[Routine]]:
    names: dict[str, set[str]] = {}
    for function, parameter in parameters:
        names.setdefault(_text(function).lower(), set()).add(_text(parameter))
    found: dict[str, list[Routine]] = {}
    for schema, function, language, access, definition, mode in rows:
        name = FunctionName(_text(schema).lower(), _text(function).lower())
        text = None if definition is None else _text(definition)
        routine = Routine(name, _text(language), _text(access), text, _text(mode), frozenset(names.get(name.name, ())))
        found.setdefault(name.name, []).append(routine)
    return found


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


# Sessions -----------------------------------------------------------------------------------------------------------------

_catalogues: WeakKeyDictionary[Watcher, Catalogue] = WeakKeyDictionary()
# A forked child must not wait for a thread that only its parent has.
os.register_at_fork(after_in_child=lambda: _catalogues.clear())


def settled(verdict: Classified, backends: Backends, *, asks: bool = True) -> Classified:
    """`verdict`, or what it is once all functions in it are known to be safe on a replica."""
    flavour = backends.watcher.flavour
    if verdict.if_safe is None or flavour is None:
        return verdict
    ask = _asker(backends) if asks else None
    safe = _of(backends.watcher, flavour).all_safe(verdict.functions, backends.setup.database, ask)
    return verdict.if_safe if safe else verdict


def heard(verdict: Classified, sql: str | bytes, watcher: Watcher) -> None:
    """A statement has been run that may have changed routines."""
    if verdict.kind in _MAY_CHANGE and (catalogue := _catalogues.get(watcher)) is not None:
        text = sql if isinstance(sql, str) else sql.decode("latin-1")
        if verdict.kind is StatementKind.PREPARE or _CHANGES_ROUTINES.search(text) or "database" in text.lower():
            catalogue.forget()


def _of(watcher: Watcher, flavour: Flavour) -> Catalogue:
    found = _catalogues.get(watcher)
    if found is None:
        found = _catalogues.setdefault(watcher, Catalogue(flavour))
    return found


def _asker(backends: Backends) -> Ask:
    def ask(routines: str, parameters: str) -> tuple[Rows, Rows] | None:
        """On a connection of its own: the session's may be in the middle of a result, and has its own warnings."""
        primary, pool = backends.watcher.map.primary, backends.pool
        if primary is None:
            return None
        try:
            link = pool.take(primary, replace(backends.setup, statements=(), autocommit=True), term=backends.watcher.map.term)
        except (err.Error, OSError):
            return None
        try:
            first, second = link.queries(routines, parameters)
        except (err.Error, OSError):
            link.discard()
            return None
        answer = first.rows, second.rows
        pool.give_back(link)
        return answer

    return ask
