"""What the first keyword of a statement decides, and what must be looked at behind it.

One row per keyword. A statement whose keyword has no row goes to the primary.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from replclus.model.spec import Flavour
from replclus.routing.assignments import classify_set, inner_statement
from replclus.routing.lexer import COMMENT, as_written, unquoted
from replclus.routing.scan import LOCAL_SCHEMAS, Grammar, assigns, scan, uses_variable
from replclus.routing.verdict import Classified, StatementKind, Target, primary, refuse, replica, unknown
from replclus.routing.wordlist import words

# Nothing behind these words can change the verdict, so nothing behind them is looked at.
AT_ONCE: dict[str, Classified] = {
    **{word: primary(f"{word} writes") for word in ("INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "IMPORT")},
    **{
        word: primary(f"{word} changes the schema or accounts", StatementKind.DDL)
        for word in ("RENAME", "GRANT", "REVOKE", "TRUNCATE")
    },
    **{
        word: primary(f"{word} TABLE maintains the tables of one server", StatementKind.DDL)
        for word in ("OPTIMIZE", "REPAIR", "CHECK", "CHECKSUM", "CACHE")
    },
    "KILL": primary("a connection is ended where it lives", StatementKind.KILL),
    "XA": primary("a distributed transaction lives on one connection", StatementKind.XA, pins=True),
    "HANDLER": primary("HANDLER keeps a cursor on one connection", StatementKind.HANDLER, pins=True),
    "LOCK": primary("locks are held by one connection", StatementKind.LOCK, pins=True),
    "UNLOCK": primary("releases locks held on the primary", StatementKind.UNLOCK),
    "BACKUP": primary("BACKUP holds a lock on one connection", StatementKind.LOCK, pins=True),
    "PREPARE": primary("a prepared statement lives on one connection", StatementKind.PREPARE, pins=True),
    "DEALLOCATE": primary("a prepared statement lives on one connection", StatementKind.PREPARE, pins=True),
    "SIGNAL": unknown("SIGNAL belongs into a stored program"),
    "RESIGNAL": unknown("RESIGNAL belongs into a stored program"),
    **{
        word: refuse(f"{word} is administration of one server; connect to it directly")
        for word in ("RESET", "PURGE", "CHANGE", "STOP", "INSTALL", "UNINSTALL", "SHUTDOWN", "RESTART", "CLONE")
    },
}
# What leaves something in a session, without being tied to one connection as long as it is kept and done on all of them.
CHANGES_SESSION = frozenset(
    {
        StatementKind.SET_SESSION,
        StatementKind.SET_USER_VARIABLE,
        StatementKind.SET_TRANSACTION,
        StatementKind.SET_AUTOCOMMIT,
        StatementKind.USE,
    }
)
# Not part of any schema, and not replicated: ALTER INSTANCE, CREATE RESOURCE GROUP.
_SERVER_OBJECTS = (["INSTANCE"], ["RESOURCE", "GROUP"])


class Statement(NamedTuple):
    """One statement. `words` are the lexer's without END. `text` is all of the string if it holds one statement, else ''."""

    words: Sequence[str]
    text: str
    grammar: Grammar
    classify_text: Callable[[str], Classified]

    def behind(self, count: int) -> Sequence[str]:
        return self.words[count:]


def judge(statement: Statement) -> Classified:
    """The verdict on one statement."""
    words, opened = _without_parentheses(statement.words)
    if not words:
        return unknown("an empty statement")
    keyword = words[0].removesuffix("(")
    if keyword in _READS:
        return _read(statement.words, statement.grammar, _READS[keyword])
    if opened:
        return unknown("not a statement that may stand in parentheses")
    rule = _RULES.get(keyword)
    if rule is not None:
        return rule(statement)
    at_once = AT_ONCE.get(keyword)
    if at_once is None:
        return unknown(f"{words[0].lower()[:40]} is not a statement known to be safe on a replica")
    if not at_once.pins and assigns(words):
        return replace(at_once, reason=f"{at_once.reason}, and a user variable is assigned in it", pins=True)
    return at_once


def _without_parentheses(words: Sequence[str]) -> tuple[Sequence[str], bool]:
    if words[:1] != ["("]:
        return words, False
    opened = 0
    while opened < len(words) and words[opened] == "(":
        opened += 1
    return words[opened:], opened > 0


def _read(words: Sequence[str], grammar: Grammar, reason: str) -> Classified:
    finding = scan(words, grammar)
    if finding is None:
        return _plain_read(reason)
    return finding.unless_safe(_KNOWN_SAFE) if finding.functions else finding.verdict()


_KNOWN_SAFE = replica("a read, and what it calls is known to be safe on a replica")


@cache
def _plain_read(reason: str) -> Classified:
    return replica(reason)


_READS = {
    "SELECT": "a plain read",
    "WITH": "a plain read",
    "VALUES": "a plain read",
    "TABLE": "a plain read",
}


def _do(statement: Statement) -> Classified:
    return _read(statement.words, statement.grammar, "evaluates expressions without side effects")


def _help(statement: Statement) -> Classified:
    return _read(statement.words, statement.grammar, "the manual is the same everywhere")


def _explain(statement: Statement) -> Classified:
    words = statement.words
    if _names_local_schema(words[:8]):
        return primary("asks about a schema of one server", StatementKind.READ)
    if ("FOR", "CONNECTION") in pairwise(words):
        return primary("looks at a connection of one server", StatementKind.READ)
    return _read(words[1:], statement.grammar, "describes a table or a read")


def _analyze(statement: Statement) -> Classified:
    """MariaDB's ANALYZE of a statement runs it; ANALYZE TABLE writes statistics."""
    words = statement.words
    if statement.grammar.flavour is Flavour.MARIADB and words[1:2] and words[1] in {"FORMAT", "SELECT", "SELECT(", "WITH", "("}:
        return _read(words[1:], statement.grammar, "runs and measures a read")
    return primary("ANALYZE TABLE writes statistics", StatementKind.DDL)


_SHOW_SAME_EVERYWHERE = words("CHARACTER CHARSET COLLATION COLUMNS DATABASES FIELDS INDEX INDEXES KEYS SCHEMAS TABLES TRIGGERS")
# The others depend on the accounts of a server, or on whether it is a replica.
_SHOW_CREATE = words("DATABASE FUNCTION PACKAGE PROCEDURE SCHEMA SEQUENCE TABLE TRIGGER VIEW")
_SHOW_REPLICATION = words("BINARY BINLOG MASTER RELAYLOG REPLICA REPLICAS SLAVE SLAVES ALL")
_SHOW_PREVIOUS = words("WARNINGS ERRORS PROFILE PROFILES")


def _show(statement: Statement) -> Classified:
    found = _shown(statement)
    local = found.target is Target.REPLICA and _names_local_schema(statement.words)
    return primary("asks about a schema of one server", StatementKind.READ) if local else found


def _names_local_schema(words: Sequence[str]) -> bool:
    """`SHOW TABLES FROM mysql`, `EXPLAIN FOR SCHEMA sys …`: what stands in a qualified name, the scan finds."""
    before = {"FROM", "IN", "SCHEMA", "DATABASE"}
    return any(word in before and unquoted(name) in LOCAL_SCHEMAS for word, name in pairwise(words))


def _shown(statement: Statement) -> Classified:
    words = list(statement.words[1:])
    while words[:1] and words[0] in {"FULL", "EXTENDED"}:
        del words[0]
    match words[:2]:
        case [word, *_] if word in _SHOW_PREVIOUS:
            return Classified(Target.LAST_USED, "is about the previous statement", StatementKind.READ)
        case ["COUNT(", "*"]:
            return Classified(Target.LAST_USED, "is about the previous statement", StatementKind.READ)
        case [word, *_] if word in _SHOW_SAME_EVERYWHERE:
            return _read(words[1:], statement.grammar, "describes the schema")
        case ["CREATE", what] if what in _SHOW_CREATE:
            return _read(words[2:], statement.grammar, "describes the schema")
        case ["FUNCTION" | "PROCEDURE", "STATUS"]:
            return _read(words[2:], statement.grammar, "describes the schema")
        case [word, *_] if word in _SHOW_REPLICATION:
            return refuse("the replication of one server: ask that server")
    return primary("SHOW of something that differs between servers", StatementKind.READ)


def _create_or_drop(statement: Statement) -> Classified:
    words = [word for word in statement.words[1:4] if word not in {"OR", "REPLACE"}]
    if words[:1] == ["TEMPORARY"]:
        return primary("a temporary table lives on one connection", StatementKind.TEMP_TABLE, pins=True)
    if any(words[: len(known)] == known for known in _SERVER_OBJECTS):
        return refuse("changes one server; connect to it directly")
    keyword = statement.words[0].removesuffix("(")
    return primary(f"{keyword} changes the schema or accounts", StatementKind.DDL)


def _flush(statement: Statement) -> Classified:
    if "LOCK" in statement.words or "EXPORT" in statement.words:
        return primary("holds locks on one connection", StatementKind.LOCK, pins=True)
    return primary("FLUSH acts on one server, and commits", StatementKind.DDL)


def _set(statement: Statement) -> Classified:
    inner = inner_statement(statement.words, statement.grammar)
    if inner is not None:
        return judge(Statement(inner, "", statement.grammar, statement.classify_text))
    return classify_set(statement.words, statement.text, statement.grammar)


def _use(statement: Statement) -> Classified:
    words = statement.words
    if len(words) != 2:
        return unknown("USE without a schema")
    # The words are in upper case. In a string of several statements that has to do, and nobody looks.
    name = as_written(statement.text, statement.grammar.mode)[1] if statement.text else words[1]
    return Classified(Target.SESSION, "the schema of the session", StatementKind.USE, schema=unquoted(name))


# What a block of statements may leave on its connection begins with one of these.
_LEFT_BEHIND = frozenset({"TEMPORARY", "PREPARE", "EXECUTE", "HANDLER", "LOCK", "GET_LOCK(", "GET_LOCK", "CALL", "SET"})


def _call(statement: Statement) -> Classified:
    """A procedure leaves values in the variables it is given."""
    return primary("a procedure may write", StatementKind.CALL, pins=uses_variable(statement.words))


def _begin(statement: Statement) -> Classified:
    if statement.grammar.mode.oracle or list(statement.behind(1)) not in ([], ["WORK"]):
        leaves = not _LEFT_BEHIND.isdisjoint(statement.words) or uses_variable(statement.words)
        return primary("a compound statement may write", StatementKind.WRITE, pins=leaves)
    return Classified(Target.TRANSACTION, "begins a transaction", StatementKind.BEGIN)


def _start(statement: Statement) -> Classified:
    words = statement.words
    if words[1:2] != ["TRANSACTION"]:
        return refuse("START is administration of one server; connect to it directly")
    if ("READ", "ONLY") in pairwise(words):
        return Classified(Target.TRANSACTION, "begins a transaction that only reads", StatementKind.BEGIN_READ_ONLY)
    return Classified(Target.TRANSACTION, "begins a transaction", StatementKind.BEGIN)


def _commit(statement: Statement) -> Classified:
    return Classified(Target.TRANSACTION, "ends the transaction", StatementKind.COMMIT)


def _rollback(statement: Statement) -> Classified:
    if "TO" in statement.words:
        return _savepoint(statement)
    return Classified(Target.TRANSACTION, "ends the transaction", StatementKind.ROLLBACK)


def _savepoint(statement: Statement) -> Classified:
    return Classified(Target.TRANSACTION, "a savepoint belongs to its transaction", StatementKind.SAVEPOINT)


def _get(statement: Statement) -> Classified:
    if "DIAGNOSTICS" in statement.words[1:3]:
        return Classified(Target.LAST_USED, "is about the previous statement", StatementKind.READ, pins=True)
    return unknown("GET of something that is not known")


_GAP = rf"(?:[ \t\n\r\f\v]++|{COMMENT})"
_IMMEDIATE = re.compile(rf"{_GAP}*+EXECUTE{_GAP}++IMMEDIATE{_GAP}*+'([^'\\]*+)'(?:{_GAP}|;)*+", re.IGNORECASE | re.VERBOSE)


def _execute(statement: Statement) -> Classified:
    """`EXECUTE IMMEDIATE 'text'` is what its text is; a prepared statement is known by name only."""
    immediate = _IMMEDIATE.fullmatch(statement.text)
    if immediate is not None and statement.grammar.flavour is Flavour.MARIADB:
        inner = statement.classify_text(immediate[1])
        if inner.target in {Target.REPLICA, Target.REFUSE}:
            return inner
        # State of the session, set this way, is not done on both sides.
        return primary(inner.reason, pins=inner.pins or inner.kind in CHANGES_SESSION)
    return primary("a prepared statement lives on one connection", StatementKind.PREPARE, pins=True)


_RULES: dict[str, Callable[[Statement], Classified]] = {
    "ALTER": _create_or_drop,
    "ANALYZE": _analyze,
    "BEGIN": _begin,
    "CALL": _call,
    "COMMIT": _commit,
    "CREATE": _create_or_drop,
    "DESC": _explain,
    "DESCRIBE": _explain,
    "DO": _do,
    "DROP": _create_or_drop,
    "EXECUTE": _execute,
    "EXPLAIN": _explain,
    "FLUSH": _flush,
    "GET": _get,
    "HELP": _help,
    "RELEASE": _savepoint,
    "ROLLBACK": _rollback,
    "SAVEPOINT": _savepoint,
    "SET": _set,
    "SHOW": _show,
    "START": _start,
    "USE": _use,
}
