"""The algebra of both families against the plainest model there is: a Python set of (origin, number)."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from replclus.model.gtid import (
    Comparison,
    GtidSet,
    MariadbGtidSet,
    MysqlGtidSet,
    compare,
    empty_gtid_set,
    parse_gtid_set,
)
from replclus.model.spec import Flavour

Transactions = frozenset[tuple[tuple[str, str] | tuple[int, int], int]]

UUIDS = ("3e11fa47-71ca-11e1-9e33-c80aa9429562", "00000000-0000-0000-0000-000000000001")
MYSQL_ORIGINS = st.tuples(st.sampled_from(UUIDS), st.sampled_from(("", "a", "a_", "tag", "_x9")))
MARIADB_ORIGINS = st.tuples(st.sampled_from((0, 1, 4294967295)), st.sampled_from((0, 1, 2)))
# Small numbers, so that intervals touch, overlap and nest often.
PAIRS = st.lists(st.tuples(st.integers(1, 24), st.integers(0, 6)).map(lambda p: (p[0], p[0] + p[1])), max_size=6)


MYSQL = st.dictionaries(MYSQL_ORIGINS, PAIRS, max_size=5).map(MysqlGtidSet.of)
MARIADB = st.dictionaries(MARIADB_ORIGINS, PAIRS, max_size=5).map(MariadbGtidSet.of)
ONE = MYSQL | MARIADB
TWO = st.tuples(MYSQL, MYSQL) | st.tuples(MARIADB, MARIADB)
THREE = st.tuples(MYSQL, MYSQL, MYSQL) | st.tuples(MARIADB, MARIADB, MARIADB)


def model(value: GtidSet) -> Transactions:
    return frozenset(
        (origin, number) for origin, intervals in value.ranges for first, last in intervals for number in range(first, last + 1)
    )


@given(TWO)
def test_operations_agree_with_python_sets(pair: tuple[GtidSet, GtidSet]) -> None:
    a, b = pair
    assert model(a | b) == model(a) | model(b)
    assert model(a - b) == model(a) - model(b)
    assert model(a & b) == model(a) & model(b)
    assert (a >= b) == (model(a) >= model(b))
    assert (a <= b) == (model(a) <= model(b))
    assert (a == b) == (model(a) == model(b))
    assert bool(a) == bool(model(a)) == (not a.is_empty)


@given(TWO)
def test_laws_of_two_sets(pair: tuple[GtidSet, GtidSet]) -> None:
    a, b = pair
    assert (a | b) >= a
    assert (a | b) == (b | a)
    assert (a & b) == (b & a)
    assert ((a - b) & b).is_empty
    assert a == (a - b) | (a & b)
    assert (a >= b) == (not (b - a))
    assert (a - b) >= a.beyond(b)
    assert a.beyond(a).is_empty


@given(ONE)
def test_laws_of_one_set(a: GtidSet) -> None:
    assert a | a == a & a == a
    assert (a - a).is_empty
    assert a >= a
    assert type(a).parse(str(a)) == a
    assert hash(type(a).parse(str(a))) == hash(a)


@given(THREE)
def test_laws_of_three_sets(triple: tuple[GtidSet, GtidSet, GtidSet]) -> None:
    a, b, c = triple
    assert (a | b) | c == a | (b | c)
    assert (a & b) & c == a & (b & c)
    assert a & (b | c) == (a & b) | (a & c)
    assert (a - b) - c == a - (b | c)


@given(THREE)
def test_containing_is_transitive(triple: tuple[GtidSet, GtidSet, GtidSet]) -> None:
    a, b, c = triple
    assert (a | b | c) >= (a | b) >= a
    assume(a >= b and b >= c)
    assert a >= c


@given(MYSQL)
def test_mysql_counts_every_transaction(a: MysqlGtidSet) -> None:
    assert a.count() == len(model(a))


@given(MARIADB)
def test_mariadb_counts_every_number_of_a_domain_once(a: MariadbGtidSet) -> None:
    assert a.count() == len({(origin[0], number) for origin, number in model(a)})


@given(TWO)
def test_every_form_of_a_set_is_the_same_value(pair: tuple[GtidSet, GtidSet]) -> None:
    a, b = pair
    joined = ",".join(text for text in (str(a), str(b), str(a)) if text)
    assert type(a).parse(joined) == a | b
    assert type(a).parse(joined.upper().replace(",", " ,\n ")) == a | b


@given(TWO)
def test_compare(pair: tuple[GtidSet, GtidSet]) -> None:
    a, b = pair
    opposite = {Comparison.AHEAD: Comparison.BEHIND, Comparison.BEHIND: Comparison.AHEAD}
    answer = compare(a, b)
    assert compare(b, a) is opposite.get(answer, answer)
    assert (answer is Comparison.EQUAL) == (a == b)
    assert (answer is Comparison.AHEAD) == (model(a) > model(b))
    assert (answer is Comparison.INCOMPARABLE) == (not a >= b and not b >= a)


@pytest.mark.parametrize("operation", ["union", "subtract", "intersection", "contains", "beyond"])
def test_families_do_not_mix(operation: str) -> None:
    for a, b in ((MysqlGtidSet(), MariadbGtidSet()), (MariadbGtidSet(), MysqlGtidSet())):
        with pytest.raises(TypeError, match="cannot combine"):
            getattr(a, operation)(b)
        with pytest.raises(TypeError, match="cannot combine"):
            compare(a, b)
        with pytest.raises(TypeError, match="cannot combine"):
            assert a <= b
        assert a != b


@pytest.mark.parametrize(
    ("flavour", "text", "family"),
    [(Flavour.MYSQL, f"{UUIDS[0]}:1-3", MysqlGtidSet), (Flavour.MARIADB, "0-1-3", MariadbGtidSet)],
)
def test_the_flavour_chooses_the_family(flavour: Flavour, text: str, family: type[GtidSet]) -> None:
    assert type(parse_gtid_set(flavour, text)) is family
    assert str(parse_gtid_set(flavour, text)) == text
    assert parse_gtid_set(flavour, "") == empty_gtid_set(flavour) == family()
