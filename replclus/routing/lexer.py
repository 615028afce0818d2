"""Cuts a statement into words, in one pass of one compiled pattern.

What comes out is a flat list of strings, upper-cased:

    NAME  `NAME`  S.NAME    an identifier, a keyword or an integer, with its qualification
    NAME(                   the same, with a parenthesis directly behind it, as in a call
    (  )  ,  ;  =  -  ...   one sign each; a point only where blanks keep it apart from its names
    @NAME  @@NAME           a user variable, a system variable
    ''  (empty)             a literal: string, decimal number, placeholder

and END at the end. A list that does not end in END could not be cut: an unterminated string or comment, a sign that no
server accepts outside of strings. Comments are dropped; executable ones must have been resolved before (`executable`).

Every quantifier over more than one sign is possessive and no two alternatives begin alike without a bound, so the time
is linear in the length of the statement whatever it holds. The rules followed are those of the servers' own lexers
(sql_lex.cc in both families); where the two differ or the text is doubtful, the list ends without END.
"""

from __future__ import annotations

import re
from functools import cache

from replclus.routing.sqlmode import SqlMode

END = "\0"

_BLANK = r"[ \t\n\r\f\v]"
# `--` needs a blank or a control character behind it; `1--1` is minus minus. An optimizer hint may hold quoted names.
COMMENT = r"""
    \#[^\n\0]*+
  | --(?=[\x00-\x20\x7f])[^\n\0]*+
  | /\*(?!\+)(?:[^*\0]++|\*(?!/))*+\*/
  | /\*\+(?:[^*'"`\0]++|\*(?!/)|`[^`*\0]*+`|"[^"*\0]*+"|'[^'*\0]*+')*+\*/
"""
_BACKTICKED = r"`(?:[^`\0]++|``)*+`"
_WORD = r"[A-Za-z0-9_\xa1-\U0010ffff][A-Za-z0-9_$\xa1-\U0010ffff]*+"
# Digits, then a point or an exponent, end a number at once: `1.5INTO` is two words to the servers, `1INTO` is one.
_NUMBER = r"\d++(?:\.\d*+(?:[eE][+-]?\d++)?+|[eE][+-]?\d++)|\.\d++(?:[eE][+-]?\d++)?+"
_IN_WORD = r"[A-Za-z0-9_$\xa1-\U0010ffff]"
_PLACEHOLDER = rf"%(?:\([A-Za-z0-9_.\ -]*+\))?+[sS](?!{_IN_WORD})"
# `%sLOCK`: a placeholder with a keyword behind it, or a remainder of a column. Filled in with a string, the keyword counts.
_NO_PLACEHOLDER = rf"(?!(?:\([^()\0]*+\))?+[-\#0+]*+\d*+(?:\.\d*+)?+[sraSRA]{_IN_WORD})"


def _quoted(quote: str, *, backslash: bool) -> str:
    if backslash:
        return rf"{quote}(?:[^{quote}\\\0]++|\\[^\0]|{quote}{quote})*+{quote}"
    return rf"{quote}(?:[^{quote}\0]++|{quote}{quote})*+{quote}"


def literals(mode: SqlMode) -> str:
    """A pattern for the string literals of `mode`."""
    backslash = not mode.no_backslash_escapes
    single = _quoted("'", backslash=backslash)
    return single if mode.ansi_quotes else f"{single}|{_quoted(chr(34), backslash=backslash)}"


def quoted_names(mode: SqlMode) -> str:
    """A pattern for the quoted identifiers of `mode`."""
    return rf"{_BACKTICKED}|{_quoted(chr(34), backslash=False)}" if mode.ansi_quotes else _BACKTICKED


@cache
def _pattern(mode: SqlMode) -> re.Pattern[str]:
    part = f"(?:{_WORD}|{quoted_names(mode)})"
    return re.compile(
        rf"""
        (?:{_BLANK}++|{COMMENT})*+
        (?: {_NUMBER} | {literals(mode)} | {_PLACEHOLDER}
          | ( {part}(?:\.{part})*+(?:\.\*)?+\(?+
            | [=(),<>!+\-*&|^~?:;{{}}.]
          | %{_NO_PLACEHOLDER}
            | /(?!\*)
            | @@?+[A-Za-z0-9_$.\xa1-\U0010ffff]*+
            | \0
            | (?s:.++)
            )
        )""",
        re.VERBOSE,
    )


def upper(sql: str) -> str:
    """ASCII letters only: `str.upper` would turn a dotless i into an I, and so one name into another."""
    return sql.upper() if sql.isascii() else sql.encode("utf-8", "surrogatepass").upper().decode("utf-8", "surrogatepass")


def tokens(sql: str, mode: SqlMode) -> list[str]:
    """See the module. A NUL in `sql` is a sign that cannot be cut."""
    if END in sql:
        return []
    return _pattern(mode).findall(upper(sql) + END)


def as_written(sql: str, mode: SqlMode) -> list[str]:
    """As `tokens`, in the case of the text."""
    return _pattern(mode).findall(sql + END)


def unquoted(name: str) -> str:
    """The name inside of its quotes, or as it is."""
    quote = name[:1]
    return name[1:-1].replace(quote * 2, quote) if quote in {"`", '"'} else name


_FIRST = re.compile(rf"(?:[ \t\n\r\f\v(]++|(?!/\*!|/\*[Mm]!)(?:{COMMENT}))*+([A-Za-z_]*+)(?![0-9$.\xa1-\U0010ffff])", re.VERBOSE)


def first_word(sql: str) -> str:
    """The first keyword, upper-cased, past comments and opening parentheses; empty if an executable comment or anything
    else comes first. Looks no further than that.
    """
    found = _FIRST.match(sql)
    return found[1].upper() if found else ""
