"""Hints in comments: what a person wants to say about one statement.

    /* replclus: primary */   /* replclus: replica */   /* replclus: last_used */   /* replclus: node=n3 */

and, so that people can move here, those of mysqlnd_ms (`/*ms=master*/`) and MaxScale (`-- maxscale route to master`). What
ProxySQL reads from a comment (`hostgroup=1`) names something that does not exist here and is reported as ignored.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

from replclus.routing.lexer import COMMENT, literals, quoted_names
from replclus.routing.sqlmode import SqlMode
from replclus.routing.verdict import Classified, Hint, StatementKind, Target

_TARGETS = {
    "primary": Target.PRIMARY,
    "replica": Target.REPLICA,
    "last_used": Target.LAST_USED,
    "master": Target.PRIMARY,
    "slave": Target.REPLICA,
}
_OWN = re.compile(r"replclus:\s*+(?:(primary|replica|last_used)|node=([A-Za-z0-9_.-]+))(?![\w=])", re.IGNORECASE)
_MS = re.compile(r"/\*\s*+ms=(master|slave|last_used)\s*+\*/", re.IGNORECASE)
_MAXSCALE = re.compile(r"\bmaxscale\s++route\s++to\s++(master|slave)\b", re.IGNORECASE)
_IGNORED = re.compile(r"\bmaxscale\s++route\s++to\s++\S+(?:\s++[\w-]++)?|\bhostgroup\s*+=\s*+\w++", re.IGNORECASE)
# Any of these must be in the text, lower-cased, for a comment to be worth finding.
_MARKS = ("replclus:", "ms=", "maxscale", "hostgroup")


def find(sql: str, mode: SqlMode) -> Hint | None:
    """The first hint in a comment of `sql`, and the first one to be ignored. What is inside strings and quoted names does not
    count.
    """
    if "/*" not in sql and "--" not in sql and "#" not in sql:
        return None
    lowered = sql.lower()
    if not any(mark in lowered for mark in _MARKS):
        return None
    ignored: Hint | None = None
    for found in _comments(mode).finditer(sql):
        hint = _parse(found[1] or "")
        if hint is not None and hint.ignored is None:
            return hint if ignored is None else replace(hint, ignored=ignored.ignored)
        ignored = ignored or hint
    return ignored


@cache
def _comments(mode: SqlMode) -> re.Pattern[str]:
    return re.compile(rf"{literals(mode)}|{quoted_names(mode)}|({COMMENT})|['\"`](?s:.++)|/\*(?s:.++)", re.VERBOSE)


def _parse(comment: str) -> Hint | None:
    own = _OWN.search(comment)
    if own is not None:
        return Hint(node=own[2]) if own[2] else Hint(_TARGETS[own[1].lower()])
    peer = _MS.fullmatch(comment) or _MAXSCALE.search(comment)
    if peer is not None:
        return Hint(_TARGETS[peer[1].lower()])
    ignored = _IGNORED.search(comment)
    return Hint(ignored=ignored[0]) if ignored is not None else None


def apply(found: Classified, hint: Hint) -> Classified:
    """A hint moves reads only, and never a read that depends on one connection: what a statement is remains what it is."""
    if hint.target is not None or hint.node is not None:
        # Whoever says where it goes does not want it settled by what its functions do.
        found = replace(found, functions=(), if_safe=None)
    movable = found.kind is StatementKind.READ and not found.pins
    if hint.target is None or hint.target is found.target or not movable:
        return replace(found, hint=hint)
    return replace(found, target=hint.target, reason=f"a hint in the statement asks for {hint.target.value}", hint=hint)
