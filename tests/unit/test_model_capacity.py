"""How much a cluster takes, by arithmetic."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replclus.model.capacity import Load, capacity, limit

TENTH = Fraction(1, 10)
ARTICLE = Load.of(TENTH, Fraction(2), Fraction(2))
costs = st.fractions(min_value=0, max_value=100, max_denominator=100)
parts = st.fractions(min_value=Fraction(1, 100), max_value=1, max_denominator=100)
numbers = st.integers(min_value=1, max_value=30)


def test_ten_percent_writes_that_cost_two_reads() -> None:
    """One server T/11, one primary and three replicas T/5, the limit T/2."""
    assert ARTICLE.reads == 9
    assert ARTICLE.one_server == capacity(ARTICLE, 0).cost == 11
    assert capacity(ARTICLE, 3).cost == 5
    assert capacity(ARTICLE, 3).gain == Fraction(11, 5)
    assert limit(ARTICLE) == 2


@pytest.mark.parametrize("replicas", range(1, 20))
def test_it_is_the_formula_where_applying_costs_what_writing_does(replicas: int) -> None:
    assert capacity(ARTICLE, replicas).cost == 2 + Fraction(9, replicas)


def test_an_idle_primary_reads_until_it_is_as_busy_as_the_others() -> None:
    helped = capacity(ARTICLE, 3, idle_primary_reads=True)
    assert helped.cost == Fraction(17, 4)
    assert helped.primary_busy == helped.replicas_busy == 1
    assert helped.primary_reads == Fraction(1, 4)


def test_a_write_that_is_cheaper_to_apply() -> None:
    """Three replicas: 1 + 9/3 there, and the primary is half idle; in the end the primary is the limit."""
    load = Load.of(TENTH, Fraction(2), Fraction(1))
    assert capacity(load, 3).cost == 4
    assert capacity(load, 3).primary_busy == Fraction(1, 2)
    assert limit(load) == 2
    assert capacity(load, 100).cost == 2
    assert capacity(load, 100, idle_primary_reads=True).primary_reads == 0


def test_a_write_that_is_dearer_to_apply_makes_a_cluster_slower_than_one_server() -> None:
    assert capacity(Load.of(Fraction(1), Fraction(1), Fraction(2)), 3).gain == Fraction(1, 2)


def test_without_writes_there_is_no_limit() -> None:
    load = Load.of(Fraction(0), Fraction(2), Fraction(2))
    assert (load.one_server, limit(load)) == (1, None)
    assert capacity(load, 4).gain == 4
    assert capacity(load, 4, idle_primary_reads=True).gain == 5


@given(parts, costs.filter(bool), costs, numbers)
def test_laws(writes: Fraction, write: Fraction, apply: Fraction, replicas: int) -> None:
    load = Load.of(writes, write, apply)
    least = limit(load)
    assert least is not None
    alone, helped = capacity(load, replicas), capacity(load, replicas, idle_primary_reads=True)
    assert helped.cost <= alone.cost, "reading when idle never costs anything"
    assert capacity(load, replicas + 1).cost <= alone.cost, "another replica never costs anything"
    assert least <= helped.cost
    for found in (alone, helped):
        assert max(found.primary_busy, found.replicas_busy) == 1
        assert 0 <= found.primary_reads <= 1
    # Nothing is lost: all work that there is in a round is done by somebody.
    done = helped.cost * (helped.primary_busy + replicas * helped.replicas_busy)
    assert done == write + replicas * apply + load.reads
