"""Whether a stored function may run on a replica, judged by what its server tells of it.

SQL_DATA_ACCESS is what its author says; both families let a function that is declared READS SQL DATA write. With a DEFINER
who may write to a read-only server, it would write there, silently. So the body is read as well, by the rules for statements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from replclus.model.spec import Flavour
from replclus.routing import executable
from replclus.routing.lexer import END, tokens, unquoted, upper
from replclus.routing.scan import Grammar, grammar, scan
from replclus.routing.sqlmode import SqlMode
from replclus.routing.verdict import FunctionName
from replclus.routing.wordlist import words

_HARMLESS = frozenset({"NO SQL", "READS SQL DATA"})
BODY_LENGTH_MAX = 65536
# What begins a statement that does more than read, or is part of one. SELECT … INTO a variable of the function is a read.
_FORBIDDEN = words(
    """
    ALTER ANALYZE BACKUP CACHE CALL CHANGE CHECKSUM CLONE COMMIT CREATE DEALLOCATE DROP EXECUTE EXPLAIN FLUSH GLOBAL GRANT
    IMPORT INSTALL KILL LOAD LOCAL OPTIMIZE PERSIST PERSIST_ONLY PREPARE PURGE RENAME REPAIR RESET REVOKE ROLLBACK SAVEPOINT
    SESSION SHOW SHUTDOWN START STOP TRUNCATE UNINSTALL UNLOCK XA
    """
)
# Words of a body that a parenthesis may follow without a call.
_BEFORE_EXPRESSIONS = words("RETURN WHILE ELSEIF UNTIL IF DO ENUM BIT BLOB")
_DECLARES_HANDLER = frozenset({"CONTINUE", "EXIT", "UNDO"})

IsSafe = Callable[[FunctionName], bool]


@dataclass(frozen=True, slots=True)
class Routine:
    """A row of information_schema.ROUTINES. `definition` is None if the account may not see it. `parameters` are the names."""

    name: FunctionName
    language: str
    data_access: str
    definition: str | None
    sql_mode: str
    parameters: frozenset[str] = frozenset()


def objection(routine: Routine, flavour: Flavour, is_safe: IsSafe) -> str:
    """Why `routine` must stay on the primary; empty if it may run on a replica. `is_safe` judges the functions it calls."""
    if routine.language.upper() != "SQL":
        return f"it is written in {routine.language}"
    if routine.data_access.upper() not in _HARMLESS:
        return f"it is declared {routine.data_access}"
    if not routine.definition:
        return "this account may not see its body"
    if len(routine.definition) > BODY_LENGTH_MAX:
        return "its body is too long to be judged"
    mode = SqlMode.parse(routine.sql_mode)
    if mode.oracle or executable.present(routine.definition):
        return "its body is written for another version or language"
    body = tokens(routine.definition, mode)
    if body[-1:] != [END]:
        return "its body cannot be parsed"
    return _in_body(body[:-1], routine, grammar(flavour, mode), is_safe)


def _in_body(body: Sequence[str], routine: Routine, known: Grammar, is_safe: IsSafe) -> str:
    forbidden = next((word for word in body if word.removesuffix("(") in _FORBIDDEN), None)
    if forbidden is not None:
        return f"its body holds {forbidden}"
    if any(word == "HANDLER" and body[at - 1] not in _DECLARES_HANDLER for at, word in enumerate(body)):
        return "its body holds HANDLER"
    declared = _declared(body) | {upper(name) for name in routine.parameters}
    if not all(name in declared for name in _set(body)):
        return "its body sets a variable that it has not declared"
    finding = scan(_as_a_read(body, declared), known)
    if finding is None:
        return ""
    if not finding.functions:
        return f"in its body: {finding.reason}"
    for name in finding.functions:
        called = name if name.schema else FunctionName(routine.name.schema, name.name)
        if not is_safe(called):
            return f"it calls {called.schema}.{called.name}(), which is not known to be safe"
    return ""


def _as_a_read(body: Sequence[str], declared: frozenset[str]) -> list[str]:
    """The body with what only bodies have taken out: INTO variables of its own, and keywords in front of expressions."""
    read: list[str] = []
    for at, word in enumerate(body):
        name = word.removesuffix("(")
        if name in _BEFORE_EXPRESSIONS or word == "FOR(" or (word == "FOR" and list(body[at + 1 : at + 2]) == ["("]):
            read += [","] if word == name else [",", "("]
        elif word == "INTO" and at + 1 < len(body) and unquoted(body[at + 1]) in declared:
            read.append(",")
        else:
            read.append(word)
    return read


def _declared(body: Sequence[str]) -> frozenset[str]:
    """The names behind each DECLARE."""
    found: set[str] = set()
    for at, word in enumerate(body):
        if word != "DECLARE":
            continue
        at += 1
        while at < len(body):
            found.add(unquoted(body[at]))
            if body[at + 1 : at + 2] != [","]:
                break
            at += 2
    return frozenset(found)


def _set(body: Sequence[str]) -> list[str]:
    """What each SET assigns to. Behind a comma outside of parentheses comes the next."""
    found: list[str] = []
    for at, word in enumerate(body):
        if word != "SET" or (at and body[at - 1] in {"CHARACTER", "CHAR"}):
            continue
        depth, expected = 0, True
        for behind in body[at + 1 :]:
            if behind == ";":
                break
            if expected:
                found.append(unquoted(behind))
            depth += (behind[-1:] == "(") - (behind == ")")
            expected = behind == "," and depth == 0
    return found
