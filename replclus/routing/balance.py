"""Which of several replicas takes the next read.

A balancer chooses among candidates that may serve (`eligible`). It is not a lock: callers that share one across threads
may at worst see an uneven turn, never a wrong node. Randomness is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Backend:
    """A replica as a balancer sees it. `lag_ms` is None while unknown; `latency_ms` a moving average (`ewma`)."""

    name: str
    weight: int = 1
    lag_ms: float | None = None
    healthy: bool = True
    draining: bool = False
    open_connections: int = 0
    latency_ms: float = 0.0


class Balancer(Protocol):
    def choose(self, candidates: Sequence[Backend]) -> str | None:
        """The name of the node to use; None if there is no candidate."""
        ...


def eligible(backends: Sequence[Backend], *, lag_ms_max: float | None = None) -> list[Backend]:
    """Those in rotation: healthy, not draining, of a weight above 0, and not lagging beyond the bound.

    With a bound, a replica whose lag is unknown is beyond it.
    """
    return [
        one
        for one in backends
        if one.healthy
        and not one.draining
        and one.weight > 0
        and (lag_ms_max is None or (one.lag_ms is not None and one.lag_ms <= lag_ms_max))
    ]


def ewma(average_ms: float, sample_ms: float, *, weight: float = 0.2) -> float:
    """The moving average after one more sample. An average of 0 means there was none yet."""
    return sample_ms if average_ms == 0 else average_ms + weight * (sample_ms - average_ms)


class RoundRobin:
    """Each in turn. `start` lets processes that begin together begin at different nodes."""

    def __init__(self, start: int = 0) -> None:
        self._turn = count(start)

    def choose(self, candidates: Sequence[Backend]) -> str | None:
        return candidates[next(self._turn) % len(candidates)].name if candidates else None


class WeightedRoundRobin:
    """In proportion to weight, and evenly spread: 5, 1, 1 gives a a b a c a a, not a a a a a b c.

    Each turn everybody's credit grows by its weight; who has most is chosen and pays the sum.
    """

    def __init__(self) -> None:
        self._credit: dict[str, int] = {}

    def choose(self, candidates: Sequence[Backend]) -> str | None:
        if not candidates:
            return None
        # Whoever left starts anew when it comes back, instead of catching up on what it missed.
        self._credit = {one.name: self._credit.get(one.name, 0) + one.weight for one in candidates}
        chosen = max(candidates, key=lambda one: self._credit[one.name])
        self._credit[chosen.name] -= sum(one.weight for one in candidates)
        return chosen.name


class LeastConnections:
    """Whoever has the fewest open connections, in proportion to weight if `weighted`. Ties go round."""

    def __init__(self, *, weighted: bool = False, start: int = 0) -> None:
        self._weighted = weighted
        self._ties = RoundRobin(start)

    def choose(self, candidates: Sequence[Backend]) -> str | None:
        if not candidates:
            return None
        least = min(self._load(one) for one in candidates)
        return self._ties.choose([one for one in candidates if self._load(one) == least])

    def _load(self, one: Backend) -> float:
        # One more than there are: that is the load after choosing, and it tells weights apart while nobody has any.
        return (one.open_connections + 1) / one.weight if self._weighted else one.open_connections


class Latency:
    """The quicker of two chosen at random: follows the load without everybody running to the same node.

    `random` returns a number in [0, 1). A node without a sample counts as quickest, so that it gets one.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random

    def choose(self, candidates: Sequence[Backend]) -> str | None:
        if not candidates:
            return None
        first = self._draw(candidates)
        others = [one for one in candidates if one is not first]
        second = self._draw(others) if others else first
        return min(first, second, key=lambda one: one.latency_ms).name

    def _draw(self, among: Sequence[Backend]) -> Backend:
        return among[int(self._random() * len(among))]


def balancer(name: str, random: Callable[[], float]) -> Balancer:
    """By the names `connect(balance=…)` takes; KeyError for another."""
    start = int(random() * 1024)
    made: dict[str, Callable[[], Balancer]] = {
        "round_robin": lambda: RoundRobin(start),
        "weighted_round_robin": WeightedRoundRobin,
        "least_connections": lambda: LeastConnections(start=start),
        "weighted_least_connections": lambda: LeastConnections(weighted=True, start=start),
        "latency": lambda: Latency(random),
    }
    return made[name]()
