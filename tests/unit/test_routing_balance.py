"""Who takes the next read."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replclus.routing import Backend, Fitness, admitted, balancer, eligible, ewma, primary_takes
from replclus.routing.balance import (
    EJECTED_S_MAX,
    EJECTED_S_MIN,
    FORGIVEN_S,
    SLOW_START_PART,
    SLOW_START_S,
    Latency,
    LeastConnections,
    RoundRobin,
    WeightedRoundRobin,
)

A, B, C = Backend("a"), Backend("b"), Backend("c")
NAMES = ["round_robin", "weighted_round_robin", "least_connections", "weighted_least_connections", "latency"]


def _chance(seed: int = 1) -> random.Random:
    return random.Random(seed)  # noqa: S311


@pytest.mark.parametrize("name", NAMES)
def test_every_balancer_by_its_name(name: str) -> None:
    made = balancer(name, _chance().random)
    assert made.choose([]) is None
    assert made.choose([A]) == "a"
    assert {made.choose([A, B, C]) for _ in range(100)} == {"a", "b", "c"}


def test_an_unknown_name() -> None:
    with pytest.raises(KeyError):
        balancer("random", _chance().random)


def test_round_robin_is_even() -> None:
    turn = RoundRobin()
    assert Counter(turn.choose([A, B, C]) for _ in range(300)) == {"a": 100, "b": 100, "c": 100}
    assert RoundRobin(1).choose([A, B, C]) == "b"


def test_weights_are_spread() -> None:
    heavy = [Backend("a", weight=5), B, C]
    turn = WeightedRoundRobin()
    assert [turn.choose(heavy) for _ in range(7)] == list("aabacaa")


@given(st.dictionaries(st.sampled_from("abcde"), st.integers(1, 9), min_size=1))
def test_weights_are_exact_over_a_round(weights: dict[str, int]) -> None:
    candidates = [Backend(name, weight=weight) for name, weight in weights.items()]
    turn = WeightedRoundRobin()
    assert Counter(turn.choose(candidates) for _ in range(sum(weights.values()))) == weights


def test_least_connections() -> None:
    busy = [Backend("a", open_connections=3), Backend("b", open_connections=1), Backend("c", open_connections=2)]
    assert LeastConnections().choose(busy) == "b"
    ties = LeastConnections()
    assert Counter(ties.choose([A, B]) for _ in range(10)) == {"a": 5, "b": 5}


def test_least_connections_in_proportion() -> None:
    busy = [Backend("a", weight=4, open_connections=4), Backend("b", weight=1, open_connections=1)]
    assert LeastConnections(weighted=True).choose(busy) == "a"
    assert LeastConnections().choose(busy) == "b"


def test_latency_prefers_the_quick_without_forgetting_the_others() -> None:
    candidates = [Backend("a", latency_ms=1), Backend("b", latency_ms=5), Backend("c", latency_ms=9)]
    quickest = Latency(_chance().random)
    chosen = Counter(quickest.choose(candidates) for _ in range(3000))
    assert chosen["a"] > chosen["b"] > 500 and chosen["c"] == 0
    assert Latency(_chance().random).choose([Backend("a", latency_ms=1), Backend("b")]) == "b"


def test_ewma() -> None:
    assert ewma(0, 5) == 5
    assert ewma(10, 20) == pytest.approx(12)
    assert ewma(10, 20, weight=0.5) == pytest.approx(15)


def test_who_is_in_rotation() -> None:
    some = [
        Backend("fine", lag_ms=5),
        Backend("late", lag_ms=500),
        Backend("unknown"),
        Backend("off", weight=0, lag_ms=0),
    ]
    assert [one.name for one in eligible(some)] == ["fine", "late", "unknown"]
    assert [one.name for one in eligible(some, lag_ms_max=100)] == ["fine"]


class TestFitness:
    def test_a_stranger_has_its_full_share(self) -> None:
        assert Fitness().share(0.0) == 1.0

    def test_one_failure_puts_it_out_and_it_comes_back_gently(self) -> None:
        fitness = Fitness().failed(100.0)
        back = 100.0 + EJECTED_S_MIN
        assert fitness.share(100.0) == fitness.share(back - 0.01) == 0.0
        assert fitness.share(back) == SLOW_START_PART
        assert fitness.share(back + SLOW_START_S / 2) == pytest.approx((1 + SLOW_START_PART) / 2)
        assert fitness.share(back + SLOW_START_S) == fitness.share(1e9) == 1.0

    def test_echoes_of_one_failure_count_once(self) -> None:
        """Fifty threads lose their connections to a server that dies: that is one failure."""
        once = Fitness().failed(100.0)
        assert once.failed(100.0).failed(100.4) == once

    def test_flapping_backs_off_to_a_bound(self) -> None:
        fitness, now, outs = Fitness(), 100.0, []
        for _ in range(10):
            fitness = fitness.failed(now)
            outs.append(fitness.out_until - now)
            now = fitness.out_until
        assert outs[:4] == pytest.approx([EJECTED_S_MIN, 2 * EJECTED_S_MIN, 4 * EJECTED_S_MIN, 8 * EJECTED_S_MIN])
        assert outs[-1] == pytest.approx(EJECTED_S_MAX)

    def test_it_is_forgiven(self) -> None:
        fitness = Fitness().failed(100.0).failed(101.0).failed(110.0)
        later = 110.0 + FORGIVEN_S + 1
        assert fitness.failed(later).out_until == later + EJECTED_S_MIN

    def test_back_in_the_map(self) -> None:
        fitness = Fitness().returned(100.0)
        assert fitness.share(100.0) == SLOW_START_PART
        assert fitness.share(100.0 + SLOW_START_S) == 1.0

    @given(st.lists(st.tuples(st.booleans(), st.floats(0, 100)), max_size=20), st.floats(0, 100))
    def test_a_share_is_a_share(self, happened: list[tuple[bool, float]], later: float) -> None:
        fitness, now = Fitness(), 0.0
        for failed, passed in happened:
            now += passed
            fitness = fitness.failed(now) if failed else fitness.returned(now)
            assert fitness.out_until - now <= EJECTED_S_MAX
        assert 0.0 <= fitness.share(now + later) <= 1.0
        assert fitness.share(now + EJECTED_S_MAX + SLOW_START_S) == 1.0, "whatever happened, it ends"


class TestAdmitted:
    def test_shares_are_parts_of_all_turns(self) -> None:
        some = [A, B, Backend("c", share=0.2)]
        chance = _chance().random
        seen = Counter(one.name for _ in range(3000) for one in admitted(some, chance))
        assert (seen["a"], seen["b"]) == (3000, 3000)
        assert 500 < seen["c"] < 700

    def test_somebody_rather_than_nobody(self) -> None:
        out, coming = Backend("a", share=0.0), Backend("b", share=0.01)
        assert admitted([out], _chance().random) == [out]
        assert admitted([out, coming], lambda: 0.99) == [coming]
        assert admitted([], _chance().random) == []

    def test_a_newcomer_without_connections_is_not_stormed(self) -> None:
        least, chance = LeastConnections(), _chance().random
        some = [Backend("a", open_connections=30), Backend("b", open_connections=0, share=0.1)]
        chosen = Counter(least.choose(admitted(some, chance)) for _ in range(1000))
        assert chosen["b"] < 150


class TestAnIdlePrimary:
    def _share(self, primary: Backend, replica: Backend, replicas: int = 3) -> float:
        chance = _chance().random
        return sum(primary_takes(primary, replica, replicas, chance) for _ in range(10_000)) / 10_000

    def test_as_busy_as_the_others_it_takes_an_even_share(self) -> None:
        assert self._share(A, B) == pytest.approx(0.25, abs=0.02)
        assert self._share(A, B, replicas=1) == pytest.approx(0.5, abs=0.02)

    def test_busy_with_writes_it_takes_little(self) -> None:
        assert self._share(Backend("a", waiting=9), B) < 0.01
        assert self._share(Backend("a", latency_ms=10), Backend("b", latency_ms=1)) < 0.01

    def test_beside_busy_replicas_it_takes_up_to_twice_as_much(self) -> None:
        assert self._share(A, Backend("b", waiting=9)) == pytest.approx(0.5, abs=0.02)

    def test_what_is_too_quick_to_measure_makes_no_difference(self) -> None:
        assert self._share(Backend("a", latency_ms=0.4), Backend("b", latency_ms=0.1)) == pytest.approx(0.25, abs=0.02)

    def test_a_weight_counts_and_none_excludes(self) -> None:
        assert self._share(Backend("a", weight=0), B) == 0
        assert self._share(Backend("a", weight=1), Backend("b", weight=4)) < 0.05
