"""Who takes the next read."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replclus.routing import Backend, balancer, eligible
from replclus.routing.balance import Latency, LeastConnections, RoundRobin, WeightedRoundRobin, ewma

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
        Backend("down", healthy=False, lag_ms=0),
        Backend("draining", draining=True, lag_ms=0),
        Backend("off", weight=0, lag_ms=0),
    ]
    assert [one.name for one in eligible(some)] == ["fine", "late", "unknown"]
    assert [one.name for one in eligible(some, lag_ms_max=100)] == ["fine"]
