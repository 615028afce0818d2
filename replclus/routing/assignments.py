"""SET, in all its forms."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

from replclus.model.spec import Flavour
from replclus.routing.scan import Grammar, scan
from replclus.routing.verdict import Classified, StatementKind, Target, primary, refuse, unknown
from replclus.routing.wordlist import words as names

# Variables of a session that only somebody who administers replication sets, or a tool that plays a binlog back.
_ADMINISTRATIVE = names(
    """
    GTID_DOMAIN_ID GTID_NEXT GTID_NEXT_LIST GTID_SEQ_NO IMMEDIATE_SERVER_VERSION ORIGINAL_COMMIT_TIMESTAMP
    ORIGINAL_SERVER_VERSION PSEUDO_REPLICA_MODE PSEUDO_SLAVE_MODE PSEUDO_THREAD_ID SERVER_ID SKIP_REPLICATION SQL_LOG_BIN
    WSREP_ON
    """
)
# They shape the next write, and nothing else.
_FOR_NEXT_WRITE = frozenset({"INSERT_ID", "LAST_INSERT_ID", "IDENTITY"})
# What a router follows the positions and the schema of a session by.
_FOLLOWED = frozenset({"SESSION_TRACK_GTIDS", "SESSION_TRACK_SCHEMA", "SESSION_TRACK_SYSTEM_VARIABLES"})
_ISOLATION = frozenset({"TRANSACTION_ISOLATION", "TX_ISOLATION"})
# With @@ and no scope, these shape the next transaction only. MySQL manual 15.3.7; the same in MariaDB.
_NEXT_TRANSACTION = frozenset({*_ISOLATION, "TRANSACTION_READ_ONLY", "TX_READ_ONLY"})
_AT_NEXT = "@@"
# Functions that say the same on both sides, as a value for a variable of the session.
_STEADY = names(
    """
    ( ABS( CAST( CEIL( COALESCE( CONCAT( CONCAT_WS( CONVERT( ELT( FLOOR( GREATEST( IF( IFNULL( INSERT( LEAST( LEFT( LENGTH(
    LOWER( LTRIM( MID( MOD( NULLIF( REPEAT( REPLACE( RIGHT( ROUND( RTRIM( SUBSTR( SUBSTRING( SUBSTRING_INDEX( TRIM( UPPER(
    """
)
_UNSTEADY_WORDS = names(
    """
    CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP LOCALTIME LOCALTIMESTAMP SYSDATE UTC_DATE UTC_TIME UTC_TIMESTAMP CURRENT_ROLE
    CURRENT_USER
    """
)
_LEVELS = ("READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
_LEVEL_ASSIGNED = re.compile(r"(?:transaction_isolation|tx_isolation)[`\"]?\s*+:?=\s*+['\"]([A-Za-z-]++)['\"]", re.IGNORECASE)
_SERVER_WIDE = frozenset({"GLOBAL", "PERSIST", "PERSIST_ONLY"})
_SESSION_WIDE = frozenset({"SESSION", "LOCAL"})
_CONSTANTS = frozenset({"TRUE", "FALSE", "NULL"})

_STATE_REASON = "state of the session, kept on both sides"


@dataclass(frozen=True, slots=True)
class _Assignment:
    """One of the parts that commas separate. `name` is upper-case, `@a` for a user variable, `NAMES` for SET NAMES. `scope`
    is the keyword, "@@" for `@@name`, or empty.
    """

    scope: str
    name: str
    value: Sequence[str]

    @property
    def is_user_variable(self) -> bool:
        return self.name.startswith("@")

    @property
    def is_constant(self) -> bool:
        """A literal, a placeholder or a signed number: the same wherever it is evaluated."""
        value = self.value[1:] if self.value[:1] and self.value[0] in {"+", "-"} else self.value
        if len(value) == 2 and value[1] == "":
            return value[0].startswith("_") or value[0] in {"X", "B", "N"}
        return len(value) == 1 and (value[0] == "" or value[0][:1].isdigit() or value[0] in _CONSTANTS)

    def is_steady(self, grammar: Grammar) -> bool:
        """Whether it may be evaluated once per connection. System variables are the same on both sides, or the assignment is
        what makes them so.
        """
        if self.is_user_variable:
            return self.is_constant
        value = ["" if word.startswith("@@") else word for word in self.value]
        if any(word in _UNSTEADY_WORDS or (word[-1:] == "(" and word not in _STEADY) for word in value):
            return False
        if any(after == "(" and before[:1].isalpha() and f"{before}(" not in _STEADY for before, after in pairwise(value)):
            return False
        return "SELECT" not in value and scan(value, grammar) is None


def classify_set(words: Sequence[str], text: str, grammar: Grammar) -> Classified:
    """`words` begin with SET. `text` is the statement itself, or empty if it is one of several.

    SET STATEMENT … FOR is not handled here.
    """
    match list(words[1:3]):
        case ["STATEMENT", *_] if "FOR" in words:
            return _administrative(words[: words.index("FOR")]) or unknown("SET STATEMENT in a form that is not known")
        case ["SESSION", "AUTHORIZATION"]:
            return primary("SET SESSION AUTHORIZATION makes this connection another account's", pins=True)
        case ["PASSWORD", *_]:
            return primary("SET PASSWORD changes an account", StatementKind.DDL)
        case ["DEFAULT", "ROLE"]:
            return primary("SET DEFAULT ROLE changes an account", StatementKind.DDL)
        case ["RESOURCE", "GROUP"]:
            return refuse("SET RESOURCE GROUP is administration of one server")
        case ["ROLE", *_]:
            return _session(_STATE_REASON, ("role",))
        case ["TRANSACTION", *_]:
            return Classified(
                Target.TRANSACTION, "shapes the next transaction", StatementKind.SET_TRANSACTION, isolation=_level(words)
            )
        case [scope, "TRANSACTION"] if scope in _SERVER_WIDE:
            return refuse("SET GLOBAL changes one server")
        case [scope, "TRANSACTION"] if scope in _SESSION_WIDE:
            return _session("shapes the transactions of the session", ("transaction",), _level(words))
    assignments = [_assignment(part) for part in _split(words[1:])]
    if not assignments or any(one is None for one in assignments):
        return unknown("SET in a form that is not known")
    return _judge([one for one in assignments if one is not None], text, grammar)


def _session(reason: str, variables: tuple[str, ...], isolation: str | None = None) -> Classified:
    return Classified(Target.SESSION, reason, StatementKind.SET_SESSION, isolation=isolation, variables=variables)


def _judge(assignments: Sequence[_Assignment], text: str, grammar: Grammar) -> Classified:
    if any(one.scope in _SERVER_WIDE for one in assignments):
        return refuse("SET GLOBAL and SET PERSIST change one server")
    names = {one.name for one in assignments}
    refused = _administrative(names)
    if refused is not None:
        return refused
    variables = tuple(sorted(name.lower() for name in names))
    if not all(one.is_steady(grammar) for one in assignments):
        return _pinned("sets a variable to a value that only one connection knows", variables)
    if names & _FOR_NEXT_WRITE:
        return _pinned("shapes the next write", variables)
    if names & _FOLLOWED:
        return _pinned("the routing of later reads relies on what this changes", variables)
    if all(one.scope == _AT_NEXT and one.name in _NEXT_TRANSACTION for one in assignments):
        level = _assigned_level(text) if names & _ISOLATION else None
        return Classified(Target.TRANSACTION, "shapes the next transaction", StatementKind.SET_TRANSACTION, isolation=level)
    if names == {"AUTOCOMMIT"}:
        return Classified(
            Target.TRANSACTION, "begins or ends transactions", StatementKind.SET_AUTOCOMMIT, variables=("autocommit",)
        )
    isolation = _assigned_level(text) if names & _ISOLATION else None
    if "@" in names:
        # `@'a'`: the lexer drops what is in quotes, so nobody can tell which one.
        variables = ()
    if all(one.is_user_variable for one in assignments):
        reason = "a user variable with a constant value, kept on both sides"
        return Classified(Target.SESSION, reason, StatementKind.SET_USER_VARIABLE, variables=variables)
    return _session(_STATE_REASON, variables, isolation)


def _pinned(reason: str, variables: tuple[str, ...]) -> Classified:
    return Classified(Target.PRIMARY, reason, StatementKind.SET_SESSION, pins=True, variables=variables)


def _administrative(names: Collection[str]) -> Classified | None:
    found = sorted(name for name in names if name in _ADMINISTRATIVE)
    return refuse(f"{found[0].lower()} is administration of replication") if found else None


def _level(words: Sequence[str]) -> str | None:
    """The level in `… TRANSACTION ISOLATION LEVEL …`, if it is about that."""
    if "LEVEL" not in words:
        return None
    named = " ".join(words[words.index("LEVEL") + 1 :])
    return next((level for level in _LEVELS if named.startswith(level)), "UNKNOWN")


def _assigned_level(text: str) -> str:
    """The level given as a string. It is searched in the text, because the lexer drops what strings hold; so if the text
    (a comment in it, perhaps) names two, nobody knows.
    """
    named = {found.upper().replace("-", " ") for found in _LEVEL_ASSIGNED.findall(text)}
    return named.pop() if len(named) == 1 and named <= set(_LEVELS) else "UNKNOWN"


def _split(words: Sequence[str]) -> list[list[str]]:
    """At the commas outside of parentheses."""
    parts: list[list[str]] = [[]]
    depth = 0
    for word in words:
        if word[-1:] == "(":
            depth += 1
        elif word == ")":
            depth -= 1
        if word == "," and depth == 0:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def _assignment(part: Sequence[str]) -> _Assignment | None:
    match list(part[:2]):
        case ["NAMES" | "CHARSET", *_]:
            return _Assignment("", "NAMES", part[1:2])
        case ["CHARACTER" | "CHAR", "SET"]:
            return _Assignment("", "NAMES", part[2:3])
    if "=" not in part:
        return None
    equals = part.index("=")
    value = part[equals + 1 :]
    target = [word for word in part[:equals] if word != ":"]
    scope = ""
    if len(target) == 2 and target[0] in _SERVER_WIDE | _SESSION_WIDE:
        scope = target.pop(0)
    if len(target) == 2 and target[0] == "@":
        return _Assignment("", "@" + target[1], value)
    # Blanks may stand around the points: `@@GLOBAL . read_only`.
    name = "".join(target)
    if not name or not value or (len(target) > 1 and not name.startswith("@@") and "." not in target):
        return None
    if name.startswith("@@"):
        scope, name = _system_variable(name)
    name = name.strip('`"')
    return _Assignment(scope, name, value) if name else None


def _system_variable(name: str) -> tuple[str, str]:
    """`@@SESSION.SQL_MODE` → ("SESSION", "SQL_MODE")."""
    scope, dot, rest = name.removeprefix("@@").partition(".")
    return (scope.strip('`"'), rest) if dot else (_AT_NEXT, scope)


def inner_statement(words: Sequence[str], grammar: Grammar) -> Sequence[str] | None:
    """The statement inside MariaDB's `SET STATEMENT v = x, … FOR statement`; None if this is not one, if it changes how the
    statement itself is read, or if it is administration.
    """
    if grammar.flavour is not Flavour.MARIADB or list(words[1:2]) != ["STATEMENT"] or "FOR" not in words:
        return None
    # A value cannot hold FOR, except as part of a subquery, which would be in parentheses.
    depth = 0
    for at, word in enumerate(words):
        depth += (word[-1:] == "(") - (word == ")")
        if word == "FOR" and depth == 0:
            given = words[2:at]
            if "SQL_MODE" in given or _administrative(given) is not None or scan(given, grammar) is not None:
                return None
            return words[at + 1 :]
    return None
