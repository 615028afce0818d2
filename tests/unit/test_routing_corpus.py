"""Every labelled statement goes where its label says, however it is written."""

from __future__ import annotations

import pytest
from routing_corpus import Labelled, corpus, variants

from replclus.model.spec import Flavour
from replclus.routing import Target, classify

CORPUS = corpus()


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
