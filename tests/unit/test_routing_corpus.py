"""Every labelled statement goes where its label says, however it is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from replclus.model.spec import Flavour
from replclus.routing import Target, classify
from tests.unit.routing_corpus import Labelled, corpus, variants

CORPUS = corpus()
_HERE = Path(__file__).parent
_TABLE = (_HERE.parent.parent / "docs" / "routing.md").read_text(encoding="utf-8")
_CORPUS_TEXT = "".join(path.read_text(encoding="utf-8") for path in sorted((_HERE / "corpus").glob("*.txt")))


def _wrong(one: Labelled, sql: str, how: str) -> str | None:
    found = classify(sql, flavour=one.flavour, sql_mode=one.mode)
    return None if found.target is one.target else f"{one}\n  {how}: {found.target}, not {one.target}: {found.reason}\n  {sql!r}"


def test_the_corpus_is_as_large_as_promised() -> None:
    distinct = {(one.place, one.sql) for one in CORPUS}
    assert len(distinct) >= 600
    for flavour in Flavour:
        assert {one.target for one in CORPUS if one.flavour is flavour} == set(Target)


@pytest.mark.parametrize("flavour", list(Flavour))
@pytest.mark.parametrize("target", list(Target))
def test_as_labelled(target: Target, flavour: Flavour) -> None:
    wrong = [_wrong(one, one.sql, "as written") for one in CORPUS if one.target is target and one.flavour is flavour]
    assert not [text for text in wrong if text], "\n".join(text for text in wrong if text)


@pytest.mark.parametrize("flavour", list(Flavour))
def test_variants_change_nothing(flavour: Flavour) -> None:
    wrong = [_wrong(one, sql, how) for one in CORPUS if one.flavour is flavour for how, sql in variants(one)]
    assert not [text for text in wrong if text], "\n".join(text for text in wrong if text)


def test_every_verdict_has_a_reason() -> None:
    for one in CORPUS:
        reason = classify(one.sql, flavour=one.flavour, sql_mode=one.mode).reason
        assert reason and "\n" not in reason and len(reason) < 160, one


def test_only_what_a_replica_may_serve_is_sent_twice() -> None:
    """A statement that is sent again must be a read, whatever its target."""
    for one in CORPUS:
        found = classify(one.sql, flavour=one.flavour, sql_mode=one.mode)
        if found.is_select_like:
            assert found.target is Target.REPLICA or "state of one server" in found.reason, one
            assert not found.pins, one


def test_every_construct_of_the_documented_table_is_in_the_corpus() -> None:
    """Except those that a text alone does not show."""
    rows = {int(number) for number in re.findall(r"(?m)^\| (\d+)", _TABLE)} | {22, 44}
    assert rows == set(range(1, 50))
    headings = " ".join(re.findall(r"(?m)^## (.*)", _CORPUS_TEXT))
    spans = [range(int(a), int(b) + 1) for a, b in re.findall(r"(\d+) to (\d+)", headings)]
    labelled = {int(number) for number in re.findall(r"\d+", headings)} | {number for span in spans for number in span}
    assert rows - labelled == {26, 31, 43, 44, 47, 48}
