"""Looks through the words of a read for whatever must not run on a replica.

Nothing is parsed. A word that is reserved cannot be a name unless it is quoted or qualified, and the lexer keeps those
apart; so finding it anywhere (a subquery, an arm of a UNION, a CTE) is finding the construct.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

from replclus.model.spec import Flavour
from replclus.routing.functions import BUILT_IN, NEED_PARENTHESIS, NOT_CALLS, SIGNS_BEFORE, UNSAFE, Finding
from replclus.routing.lexer import unquoted
from replclus.routing.sqlmode import SqlMode
from replclus.routing.verdict import FunctionName, StatementKind, Target
from replclus.routing.wordlist import words

_LOCKS = Finding(Target.PRIMARY, "a locking read: the locks must be taken where the writes are", StatementKind.LOCKING_READ)
_WRITES = Finding(Target.PRIMARY, "contains a statement that writes", StatementKind.WRITE)
_INTO = Finding(Target.PRIMARY, "INTO leaves a file on one server, or writes", StatementKind.WRITE)
_INTO_VARIABLE = Finding(Target.PRIMARY, "SELECT … INTO leaves a variable on one connection", StatementKind.WRITE, pins=True)
_PROCEDURE = Finding(Target.PRIMARY, "PROCEDURE is not known to be safe on a replica")
_CALC_FOUND_ROWS = Finding(Target.LAST_USED, "SQL_CALC_FOUND_ROWS is for a FOUND_ROWS() on the same server")
_VARIABLE_READ = Finding(Target.PRIMARY, "user variables live on one connection")
_VARIABLE_ASSIGNED = Finding(Target.PRIMARY, "assigns a user variable, which lives on one connection", pins=True)
_SYSTEM_VARIABLE = Finding(Target.PRIMARY, "system variables differ between servers and connections")
_SEQUENCE = Finding(Target.PRIMARY, "advances or reads a sequence", StatementKind.WRITE)
_LITERAL_CALLED = Finding(Target.PRIMARY, "cannot be parsed: a literal is called like a function", StatementKind.UNKNOWN)
_NAME_APART = Finding(Target.PRIMARY, "a qualified name with blanks in it", StatementKind.UNKNOWN)
_UNBALANCED = Finding(Target.PRIMARY, "cannot be parsed: its parentheses do not match", StatementKind.UNKNOWN)

# Reserved in both families, and never part of a plain read.
_RESERVED: dict[str, Finding] = {
    "UPDATE": _LOCKS,
    "LOCK": _LOCKS,
    "INTO": _INTO,
    "OUTFILE": _INTO,
    "DUMPFILE": _INTO,
    "DELETE": _WRITES,
    "INSERT": _WRITES,
    "REPLACE": _WRITES,
    "PROCEDURE": _PROCEDURE,
    "SQL_CALC_FOUND_ROWS": _CALC_FOUND_ROWS,
}
# Not reserved everywhere: suspicious behind the word given, as in FOR SHARE, NEXT VALUE FOR, PREVIOUS VALUE FOR.
_IN_PAIRS: dict[tuple[str, str], Finding] = {
    ("FOR", "SHARE"): _LOCKS,
    ("VALUE", "FOR"): _SEQUENCE,
}
_WATCHED = frozenset({*_RESERVED, "SHARE", "VALUE"})

# Schemas whose contents belong to one server. Of INFORMATION_SCHEMA only the tables that describe the schema are the same
# everywhere; EVENTS is not, because replicas show their events as disabled.
LOCAL_SCHEMAS = frozenset({"MYSQL", "SYS", "PERFORMANCE_SCHEMA"})
SYSTEM_SCHEMAS = frozenset({*LOCAL_SCHEMAS, "INFORMATION_SCHEMA"})
_DESCRIPTIVE = words(
    """
    CHARACTER_SETS CHECK_CONSTRAINTS COLLATIONS COLLATION_CHARACTER_SET_APPLICABILITY COLUMNS COLUMNS_EXTENSIONS
    GEOMETRY_COLUMNS KEYWORDS KEY_COLUMN_USAGE PARAMETERS PARTITIONS REFERENTIAL_CONSTRAINTS ROUTINES SCHEMATA
    SCHEMATA_EXTENSIONS SEQUENCES SPATIAL_REF_SYS SQL_FUNCTIONS STATISTICS ST_GEOMETRY_COLUMNS ST_SPATIAL_REFERENCE_SYSTEMS
    ST_UNITS_OF_MEASURE TABLES TABLES_EXTENSIONS TABLE_CONSTRAINTS TABLE_CONSTRAINTS_EXTENSIONS TRIGGERS VIEWS
    VIEW_ROUTINE_USAGE VIEW_TABLE_USAGE *
    """
)
# Of a qualified name, without the points.
PARTS = re.compile(r"`(?:[^`]|``)*`|\"(?:[^\"]|\"\")*\"|[^.`\"]+")
_SEQUENCE_COLUMNS = frozenset({"NEXTVAL", "CURRVAL", "LASTVAL"})
_QUALIFIED_MARKS = (*sorted(SYSTEM_SCHEMAS), *sorted(_SEQUENCE_COLUMNS))
# More severe first: what is reported, and what decides, when a statement holds several.
_SEVERITY = (
    StatementKind.UNKNOWN,
    StatementKind.WRITE,
    StatementKind.LOCKING_READ,
    StatementKind.LOCK,
    StatementKind.UNLOCK,
)


@dataclass(frozen=True, slots=True)
class Grammar:
    """What a family, in a given sql_mode, takes for a call. `safe` are tokens as the lexer makes them: `COUNT(`."""

    flavour: Flavour
    mode: SqlMode
    safe: frozenset[str]
    before_parenthesis: frozenset[str]


@cache
def grammar(flavour: Flavour, mode: SqlMode) -> Grammar:
    built_in, not_calls = BUILT_IN[flavour], NOT_CALLS[flavour]
    apart = built_in if mode.ignore_space else built_in - NEED_PARENTHESIS
    # `INSERT (` and `REPLACE (` may be a statement behind EXPLAIN; then they are found as words of their own.
    return Grammar(
        flavour,
        mode,
        safe=frozenset(f"{word}(" for word in built_in | not_calls) | {"("},
        before_parenthesis=apart | not_calls | SIGNS_BEFORE,
    )


def scan(words: Sequence[str], grammar: Grammar) -> Finding | None:
    """The gravest thing found in `words`, or None: then they may run on any replica, and may run twice."""
    found = list(_find(words, grammar))
    if not found:
        return None
    if all(one.functions for one in found):
        names = dict.fromkeys(name for one in found for name in one.functions)
        return replace(found[0], functions=tuple(names))
    gravest = min(found, key=_gravity)
    return replace(gravest, functions=(), pins=any(one.pins for one in found))


def _gravity(finding: Finding) -> tuple[bool, int]:
    kind = finding.kind
    return finding.target is not Target.PRIMARY, _SEVERITY.index(kind) if kind in _SEVERITY else len(_SEVERITY)


def _find(words: Sequence[str], grammar: Grammar) -> list[Finding]:
    found: list[Finding] = []
    if not _WATCHED.isdisjoint(words):
        found += (_RESERVED[word] for word in words if word in _RESERVED)
        found += (_IN_PAIRS[pair] for pair in pairwise(words) if pair in _IN_PAIRS)
        found += (_INTO_VARIABLE for word, behind in pairwise(words) if word == "INTO" and behind[:1] == "@")
    opening = [at for at, word in enumerate(words) if word[-1:] == "("]
    if len(opening) != words.count(")"):
        found.append(_UNBALANCED)
    safe, before = grammar.safe, grammar.before_parenthesis
    doubtful = [at for at in opening if words[at] not in safe or (words[at] == "(" and at and words[at - 1] not in before)]
    if doubtful:
        around = _Around(words)
        found += filter(None, (_call(around, at) for at in doubtful))
    # Looking once for a mark in all of them is cheaper than looking at each of them.
    all_words = " ".join(words)
    if "@" in all_words:
        found += (_variable(words, at) for at, word in enumerate(words) if word[:1] == "@")
    if "." in all_words:
        if "." in words:
            found.append(_NAME_APART)
        if any(mark in all_words for mark in _QUALIFIED_MARKS):
            for word in words:
                found += _qualified(word)
    return found


def _variable(words: Sequence[str], at: int) -> Finding:
    if words[at][1:2] == "@":
        return _SYSTEM_VARIABLE
    # A name in quotes is a word of its own.
    behind = at + 2 if words[at] == "@" else at + 1
    return _VARIABLE_ASSIGNED if list(words[behind : behind + 2]) == [":", "="] else _VARIABLE_READ


def _qualified(word: str) -> list[Finding]:
    """What a qualified name says: a schema that belongs to one server, or a sequence asked the way Oracle does."""
    if "." not in word:
        return []
    parts = [part.strip('`"') for part in word.split(".")]
    if parts[-1] in _SEQUENCE_COLUMNS:
        return [_SEQUENCE]
    schema = parts[0]
    if schema in LOCAL_SCHEMAS or (schema == "INFORMATION_SCHEMA" and parts[1] not in _DESCRIPTIVE):
        return [Finding(Target.PRIMARY, f"{schema.lower()} tells the state of one server", resend=True)]
    return []


def uses_variable(words: Sequence[str]) -> bool:
    """Whether a user variable is named anywhere."""
    return any(word[:1] == "@" and word[1:2] != "@" for word in words)


def assigns(words: Sequence[str]) -> bool:
    """Whether a user variable is assigned with `:=`."""
    return any(word[:1] == "@" and _variable(words, at) is _VARIABLE_ASSIGNED for at, word in enumerate(words))


class _Around:
    """What the names in front of parentheses are judged by, looked up once: a statement may hold thousands of them."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words
        self.present = frozenset(words)
        self.first_with = words.index("WITH") if "WITH" in self.present else len(words)
        # One AGAINST for each MATCH; a stored function of that name makes it one too many.
        against, match = (words.count(name) + words.count(f"{name}(") for name in ("AGAINST", "MATCH"))
        self.against_match = against <= match


def _call(around: _Around, at: int) -> Finding | None:
    """What is wrong with the parenthesis at `at`, if anything: the name of a call is in the same token or before it."""
    words = around.words
    behind = at - 1 if words[at] == "(" else at
    name = words[behind].removesuffix("(")
    if _names_columns(around, at, behind, name):
        return None
    if name in UNSAFE:
        return UNSAFE[name]
    if name == "":
        return _LITERAL_CALLED
    parts = [unquoted(part).lower() for part in PARTS.findall(name)]
    # In a package of MariaDB there are three.
    functions = (FunctionName("".join(parts[:-1]), parts[-1]),) if len(parts) in {1, 2} else ()
    reason = f"the function {name.lower()[:64]}() is not known to be safe on a replica"
    return Finding(Target.PRIMARY, reason, functions=functions)


def _names_columns(around: _Around, at: int, behind: int, name: str) -> bool:
    """Whether the parenthesis is not a call after all, but one of the places where the grammar puts names in front of one."""
    words = around.words
    before = words[behind - 1] if behind else ""
    match name:
        case "ANY" | "SOME":
            return before in {"=", "<", ">"}
        case "AGAINST":
            return around.against_match
        case "COLUMNS":
            return before == "" and "JSON_TABLE(" in around.present
        case "JSON_TABLE":
            return "COLUMNS" in around.present or "COLUMNS(" in around.present
        case "OF":
            return before == "AS"
    # A derived table's column list: `(SELECT …) AS d (a, b)`.
    if before == ")" or (before == "AS" and behind >= 2 and words[behind - 2] == ")"):
        return True
    # A common table expression's: `WITH a (x) AS (…), b (y) AS (…)`.
    return behind > around.first_with and before in {"WITH", "RECURSIVE", ","} and _as_follows(words, at)


def _as_follows(words: Sequence[str], at: int) -> bool:
    """Whether the parenthesis at `at` closes before `AS (`, and holds plain names only."""
    for close in range(at + 1, len(words)):
        if words[close] == ")":
            return words[close + 1 : close + 2] == ["AS("] or words[close + 1 : close + 3] == ["AS", "("]
        if words[close][-1:] == "(":
            return False
    return False
