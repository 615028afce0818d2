"""Words, as the servers cut them; and executable comments, as they read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replclus.model.spec import Flavour
from replclus.routing import SqlMode, Target, classify
from replclus.routing.executable import resolve
from replclus.routing.lexer import END, first_word, tokens

PLAIN = SqlMode()
ANSI = SqlMode(ansi_quotes=True)
NO_ESCAPES = SqlMode(no_backslash_escapes=True)


@pytest.mark.parametrize(
    ("sql", "mode", "words"),
    [
        ("select a.b, `c d`.e", PLAIN, ["SELECT", "A.B", ",", "`C D`.E"]),
        ("f(1) g (2)", PLAIN, ["F(", "1", ")", "G", "(", "2", ")"]),
        ("t.* count(*)", PLAIN, ["T.*", "COUNT(", "*", ")"]),
        ("'a''b' 'c\\'d' \"e\"", PLAIN, ["", "", ""]),
        ("'a\\' b", NO_ESCAPES, ["", "B"]),
        ('"a""b"(', ANSI, ['"A""B"(']),
        ("1.5x 1e1x 1x .5x 1.x", PLAIN, ["", "X", "", "X", "1X", "", "X", "", "X"]),
        ("a--1", PLAIN, ["A", "-", "-", "1"]),
        ("a-- 1\nb#c\nd/*e*/f", PLAIN, ["A", "B", "D", "F"]),
        ("a --", PLAIN, ["A"]),
        ("%s %(x)s %%s 5 % s 5%3", PLAIN, ["", "", "%", "", "5", "%", "S", "5", "%", "3"]),
        ("a . b .c", PLAIN, ["A", ".", "B", ".", "C"]),
        ("@a @@b.c @`d`", PLAIN, ["@A", "@@B.C", "@", "`D`"]),
        ("x'41' _utf8'a'", PLAIN, ["X", "", "_UTF8", ""]),
        ("", PLAIN, []),
        ("\u017f\u0131 é", PLAIN, ["\u017f\u0131", "é"]),
        ("/*+ QB_NAME(`a`) */ x", PLAIN, ["X"]),
    ],
)
def test_words(sql: str, mode: SqlMode, words: list[str]) -> None:
    assert tokens(sql, mode) == [*words, END]


@pytest.mark.parametrize(
    "sql", ["'a", '"a', "`a", "/* a", "%sx", "%(a)sé", "a%r1", "[a]", "\\", "a\0b", "\xa0", "\x01", "'a\\", "/*+ ' */"]
)
def test_what_cannot_be_cut(sql: str) -> None:
    assert tokens(sql, PLAIN)[-1:] != [END]


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("insert into t", "INSERT"),
        ("/* a */ -- b\n#c\n (( select", "SELECT"),
        ("/*! insert */ x", ""),
        ("/*!", ""),
        ("select1", ""),
        ("select.x", ""),
        ("'a'", ""),
        ("", ""),
        ("/* unterminated", ""),
    ],
)
def test_first_word(sql: str, word: str) -> None:
    assert first_word(sql) == word


def _readings(sql: str, flavour: Flavour) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(tokens(text, PLAIN)[:-1]) for text in resolve(sql, flavour, PLAIN))


@pytest.mark.parametrize(
    ("sql", "mariadb", "mysql"),
    [
        ("a /*! b */ c", [("A", "B", "C")], [("A", "B", "C")]),
        ("a /*!40000 b */ c", [("A", "B", "C")], [("A", "B", "C")]),
        ("a /*!50701 b */ c", [("A", "C")], [("A", "B", "C")]),
        ("a /*!80100 b */ c", [("A", "C")], [("A", "C"), ("A", "B", "C")]),
        ("a /*!100500 b */ c", [("A", "B", "C")], [("A", "C"), ("A", "B", "C")]),
        ("a /*!110000 b */ c", [("A", "C"), ("A", "B", "C")], [("A", "C"), ("A", "B", "C")]),
        ("a /*M! b */ c", [("A", "B", "C")], [("A", "C")]),
        ("a /*M!50701 b */ c", [("A", "B", "C")], [("A", "C")]),
        ("'/*! b */' c", [("", "C")], [("", "C")]),
        ("a -- /*! b\n/*! c */", [("A", "C")], [("A", "C")]),
        ("a /*! /* b */ c */ d", [("A", "C", "D")], [("A", "C", "D")]),
        ("2*/*c*/3 /*! d */", [("2", "*", "3", "D")], [("2", "*", "3", "D")]),
        ("a --/*! b */", [("A", "-", "-", "B")], [("A", "-", "-", "B")]),
        ("/*! a", [], []),
        ("/*! /*! a */ */", [], []),
        ("a /*!80100 b */ /*!80200 c */ /*!80300 d */ /*!80400 e */ /*!90000 f */", [("A",)], []),
    ],
)
def test_executable_comments(sql: str, mariadb: list[tuple[str, ...]], mysql: list[tuple[str, ...]]) -> None:
    assert list(_readings(sql, Flavour.MARIADB)) == mariadb
    assert list(_readings(sql, Flavour.MYSQL)) == mysql


# Signs that mean something to the lexer, more often than others.
_PIECES = (
    *"'\"`\\/*!#-;()@.,%$ \n\0é\ud800",
    *("/*", "*/", "/*!", "/*!99999 ", "/*M!", "-- ", "%s", "%(a)s", "1e1", "@a:=", "fw(", "EXECUTE IMMEDIATE '"),
    *("SELECT ", "FOR UPDATE", "SET ", "USE ", "WITH ", "INTO", "BEGIN", "replclus: node=n1"),
)
_TEXT = st.lists(st.sampled_from(_PIECES) | st.text(max_size=3), max_size=40).map("".join)


@given(_TEXT, st.sampled_from(list(Flavour)), st.tuples(*[st.booleans()] * 4))
def test_nothing_makes_it_fail(sql: str, flavour: Flavour, mode: tuple[bool, bool, bool, bool]) -> None:
    found = classify(sql, flavour=flavour, sql_mode=SqlMode(*mode))
    assert isinstance(found.target, Target) and found.reason
