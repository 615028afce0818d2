"""Fuzzing of the classifier: mutants of the corpus, noise, and repetitions that must not take more than linear time.

    .venv/bin/python -m tests.fuzz.routing [INPUTS] [SEED]          (or make fuzz)

What must hold for every input: a verdict, quickly; and where a mutant differs from a write only by what is in front of it or
behind it, it goes to no replica. A failure prints its input and how to get it again.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

from replclus.model.spec import Flavour
from replclus.routing import Classified, Classifier, Holds, SqlMode, Target, classifier
from replclus.routing.lexer import END, tokens
from tests.unit.routing_corpus import Labelled, corpus

CORPUS = corpus()
MODES = (
    "",
    "ANSI_QUOTES",
    "NO_BACKSLASH_ESCAPES",
    "ANSI_QUOTES,NO_BACKSLASH_ESCAPES",
    "IGNORE_SPACE",
    "PIPES_AS_CONCAT",
    "ORACLE",
)
_MAY_LEAVE = frozenset({Target.REPLICA})

# ␣ is a blank, ␤ a line break.
_PIECES = r"""
    /* */ /*! /*!99999␣ /*!50000␣ /*!50701␣ /*!100600␣ /*M!␣ /*M!100500␣ /*+␣ */ ' ' " " ` ` -- --␣ # ␤ ␣ \ '' \' ; ;␣ ( ) , . =
    := @a @@x @`b` @'c' fw(1) `fw`(1) app.fw(1) NOW() NOW␣() GET_LOCK('a',1) LAST_INSERT_ID() FOR␣UPDATE LOCK␣IN␣SHARE␣MODE
    FOR␣SHARE INTO␣@v INTO␣OUTFILE␣'/x' SELECT UNION␣SELECT␣1 WITH␣a␣AS␣( VALUES TABLE␣t SET SET␣STATEMENT␣x=1␣FOR GLOBAL
    EXPLAIN ANALYZE DO BEGIN COMMIT XA␣START␣'x' INSERT␣INTO␣t DELETE␣FROM␣t %s %(a)s %% %sx 1 1. .5 1e5 0x1F N'a' _utf8'a' $ $$
    { } [ ] ~ ! ? : \N NULL NEXTVAL(s) s.nextval mysql.user information_schema.processlist replclus:␣replica hostgroup=1 é 日 😀
    """.replace("\n", " ").split(" ")
_PIECES = [piece.replace("␣", " ").replace("␤", "\n") for piece in _PIECES if piece] + ["\0", "\x7f", "\xa0", "\ud800", "\u0130"]
_BEFORE = ("/* x */", "-- x\n", "# x\n", " \n\t", "/**/", "/* ' */", "/* SELECT 1 */", "\f\v\r", "--\n", "/*a*//*b*/")
_BEHIND = (" ", "\n", ";", " ;; ", " -- x", " # x", "/* x */", "/* ' */", "-- '\n")


class Input(NamedTuple):
    """`keeps`: the statement whose target a mutant must not leave for a replica, if it is a mutant of that sort."""

    flavour: Flavour
    mode: str
    sql: str
    keeps: Labelled | None = None


def inputs(seed: int) -> Iterator[Input]:
    """For ever, and the same ones for the same seed."""
    chance = random.Random(seed)  # noqa: S311
    makers: tuple[Callable[[random.Random], Input], ...] = (_surrounded, _mutated, _mutated, _spliced, _patchwork, _noise)
    while True:
        yield chance.choice(makers)(chance)


def _surrounded(chance: random.Random) -> Input:
    """A labelled statement with something harmless around it."""
    one = chance.choice(CORPUS)
    sql = one.sql
    for _ in range(chance.randint(1, 4)):
        sql = chance.choice(_BEFORE) + sql
    in_comment = any(mark in one.sql.rsplit("\n", 1)[-1] for mark in ("--", "#", "/*"))
    # What cannot be cut may have a quote open, and something behind it might close that.
    if not in_comment and tokens(one.sql, SqlMode.parse(one.mode))[-1:] == [END]:
        for _ in range(chance.randint(0, 3)):
            sql = sql + ("\n" if "--" in sql or "#" in sql else "") + chance.choice(_BEHIND)
        if one.target is not Target.REPLICA and chance.random() < 0.2 and ";" not in sql:
            sql = f"({sql}\n)"
    return Input(one.flavour, one.mode, sql, one)


def _mutated(chance: random.Random) -> Input:
    one = chance.choice(CORPUS)
    signs = list(one.sql)
    for _ in range(chance.randint(1, 6)):
        at = chance.randint(0, len(signs))
        match chance.randint(0, 4):
            case 0:
                signs[at : at + chance.randint(1, 5)] = []
            case 1:
                signs[at:at] = list(chance.choice(_PIECES))
            case 2:
                signs[at : at + 1] = [chr(chance.choice((chance.randint(0, 127), chance.randint(128, 0x2FFF))))]
            case 3:
                signs[at:at] = signs[at : at + chance.randint(1, 20)] * chance.randint(1, 3)
            case _:
                end = at + chance.randint(1, 10)
                signs[at:end] = list("".join(signs[at:end]).swapcase())
    return Input(chance.choice(list(Flavour)), chance.choice(MODES), "".join(signs))


def _spliced(chance: random.Random) -> Input:
    left, right = chance.choice(CORPUS).sql, chance.choice(CORPUS).sql
    sql = left[: chance.randint(0, len(left))] + chance.choice(_PIECES) + right[chance.randint(0, len(right)) :]
    return Input(chance.choice(list(Flavour)), chance.choice(MODES), sql)


def _patchwork(chance: random.Random) -> Input:
    sql = "".join(chance.choice(_PIECES) + chance.choice(("", " ")) for _ in range(chance.randint(1, 15)))
    return Input(chance.choice(list(Flavour)), chance.choice(MODES), "SELECT " * chance.randint(0, 1) + sql)


def _noise(chance: random.Random) -> Input:
    if chance.random() < 0.5:
        sql = chance.randbytes(chance.randint(0, 80)).decode("latin-1")
    else:
        sql = "".join(chr(chance.randint(0, 0x10FFFF)) for _ in range(chance.randint(0, 40)))
    return Input(chance.choice(list(Flavour)), chance.choice(MODES), sql)


def complaint(one: Input) -> str:
    """What is wrong with the verdict on `one`; empty if nothing. Raises if the classifier does."""
    mode = SqlMode.parse(one.mode)
    found = classifier(one.flavour, mode).afresh(one.sql)
    if not isinstance(found, Classified) or not found.reason:
        return "no verdict"
    if found.if_safe is not None and (found.target is not Target.PRIMARY or found.pins or not found.functions):
        return "functions settle what is not in doubt"
    if found.target is Target.REPLICA and (found.pins or found.schema is not None):
        return "a replica is given what pins"
    if one.keeps is not None and one.keeps.target not in _MAY_LEAVE and found.target in _MAY_LEAVE:
        return f"{one.keeps} is sent to a replica: {found.reason}"
    if found.pins:
        holds = Holds()
        holds.note(found, one.sql, mode, one.flavour)
        assert bool(holds) is bool(holds.why)
    return ""


# Time -------------------------------------------------------------------------------------------------------------------

_UNITS = (
    *("'", '"', "`", "\\'", "''", "''\\", "/*", "/*!", "/*! */", "/*M!1", "/*!99999 x */", "*/", "/*/", "/*+`", "-/*", "--"),
    *(
        "-- \n",
        "#\n",
        "(",
        "((a)",
        "f(",
        "a.",
        "@",
        "@a:=",
        "a ",
        ", a (",
        "1e",
        "%(",
        "%s",
        "%sx",
        ";",
        "; SELECT 1",
        "WITH a (",
    ),
    *("'' COLUMNS(", "SET a=1,", "@@a . b ", " FOR ", "AGAINST(", "replclus:", "/* hostgroup */", "/*!80100 a*//*!80200 b*/"),
    *("-- ms=\n", "f(1), ", "`f`(", "a.b.", "INTO @a,", " . "),
)
_HEADS = ("", "SELECT ", "SELECT '", "SET @a=", "SELECT 1 /*! ", "WITH ", "SHOW TABLES FROM ", "CALL p(", "PREPARE s FROM '")
# t(2n) / t(n) is 2 for linear time and 4 for quadratic. It is processor time, and measured again before it counts, because
# machines are busy.
_RATIO_MAX = 3.2
_LENGTH = 60_000


def growth(classify: Classifier, head: str, unit: str) -> float:
    """How much longer twice as much of `unit` takes; the best of several measurements."""
    count = _LENGTH // len(unit)
    once, twice = head + unit * count, head + unit * count * 2
    best = float("inf")
    for _ in range(6):
        best = min(best, _seconds(classify, twice) / max(_seconds(classify, once), 1e-5))
        if best < _RATIO_MAX:
            break
    return best


def _seconds(classify: Classifier, sql: str) -> float:
    times = []
    for _ in range(3):
        began = time.process_time()
        classify.afresh(sql)
        times.append(time.process_time() - began)
    return min(times)


def slow_families() -> list[str]:
    """Every unit behind every head that takes more than linear time."""
    slow = []
    for flavour in Flavour:
        for head in _HEADS:
            for unit in _UNITS:
                ratio = growth(classifier(flavour), head, unit)
                if ratio >= _RATIO_MAX:
                    slow.append(f"{flavour.value}: {head!r} + {unit!r} * n: twice the length takes {ratio:.1f} times as long")
    return slow


def main(count: int, seed: int) -> int:
    began, failed = time.monotonic(), 0
    for number, one in enumerate(islice(inputs(seed), count)):
        try:
            wrong = complaint(one)
        except Exception as error:
            wrong = f"{type(error).__name__}: {error}"
        if wrong:
            failed += 1
            print(f"input {number} of seed {seed}: {one.flavour.value} {one.mode!r} {one.sql!r}\n  {wrong}")
    took = time.monotonic() - began
    print(f"{count} inputs, seed {seed}: {failed} failures, {took:.0f} s, {took / max(count, 1) * 1e6:.0f} µs each")
    began = time.monotonic()
    slow = slow_families()
    print("\n".join(slow), end="\n" if slow else "")
    families = len(Flavour) * len(_HEADS) * len(_UNITS)
    print(f"{families} repetitions: {len(slow)} of them not linear, {time.monotonic() - began:.0f} s")
    return 1 if failed or slow else 0


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(*(given + [1_000_000, 1][len(given) :])))
