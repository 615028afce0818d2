"""Which of several nodes takes the next reads.

A balancer chooses among candidates that may serve (`eligible`) and whose turn it may be (`admitted`). It is not a lock:
callers that share one across threads may at worst see an uneven turn, never a wrong node. Randomness and time are passed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Protocol, Self

# A node that failed is left alone for this long; twice as long each time that it fails again.
EJECTED_S_MIN, EJECTED_S_MAX = 0.5, 30.0
# After this long without a failure the next one counts as the first.
FORGIVEN_S = 60.0
# A node that comes back begins with this part of its share, and has all of it after SLOW_START_S.
SLOW_START_PART, SLOW_START_S = 0.1, 5.0
# Nodes that answer within this time are equally quick: below it we would measure ourselves.
LATENCY_MS_MIN = 0.5


@dataclass(frozen=True, slots=True)
class Backend:
    """A node as a balancer sees it.

    `lag_ms` is None while unknown; `latency_ms` a moving average (`ewma`); `share` is `Fitness.share`; `waiting` counts the
    statements that it has not answered yet.
    """

    name: str
    weight: int = 1
    lag_ms: float | None = None
    open_connections: int = 0
    latency_ms: float = 0.0
    share: float = 1.0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Fitness:
    """How a node has behaved so far. Times are seconds of the caller's clock.

    It is out until `out_until`. Serving again since `back_at`, it gets its share by and by, so that a server with cold
    caches, or one that fails whenever it is used, does not meet everybody at once.
    """

    strikes: int = 0
    failed_at: float = -math.inf
    out_until: float = -math.inf
    back_at: float = -math.inf

    def failed(self, now: float) -> Self:
        """After one more failure. Failures while it is out are echoes of the one that put it out."""
        if now < self.out_until:
            return self
        strikes = 1 if now - self.failed_at > FORGIVEN_S else self.strikes + 1
        out_s = min(EJECTED_S_MAX, EJECTED_S_MIN * 2 ** min(strikes - 1, 16))
        return replace(self, strikes=strikes, failed_at=now, out_until=now + out_s)

    def returned(self, now: float) -> Self:
        """It had left the map, for whatever reason, and is there again."""
        return replace(self, back_at=now)

    def share(self, now: float) -> float:
        """From 0 (out) to 1."""
        if now < self.out_until:
            return 0.0
        back_for_s = now - max(self.back_at, self.out_until)
        return min(1.0, SLOW_START_PART + (1 - SLOW_START_PART) * max(0.0, back_for_s) / SLOW_START_S)


class Balancer(Protocol):
    def choose(self, candidates: Sequence[Backend]) -> str | None:
        """The name of the node to use; None if there is no candidate."""
        ...


def eligible(backends: Iterable[Backend], *, lag_ms_max: float | None = None) -> list[Backend]:
    """Those in rotation: of a weight above 0, and not lagging beyond the bound. An unknown lag is beyond any bound."""
    return [
        one
        for one in backends
        if one.weight > 0 and (lag_ms_max is None or (one.lag_ms is not None and one.lag_ms <= lag_ms_max))
    ]


def admitted(candidates: Sequence[Backend], random: Callable[[], float]) -> Sequence[Backend]:
    """Those that take part in this turn: a node takes part in its share of all turns.

    Never nobody, if there is somebody: where all are out, all are tried, because a suspect is better than no replica.
    """
    taking_part = [one for one in candidates if one.share >= 1 or random() < one.share]
    return taking_part or [one for one in candidates if one.share > 0] or candidates


def primary_takes(primary: Backend, chosen: Backend, replicas: int, random: Callable[[], float]) -> bool:
    """Does an idle primary take this turn instead of `chosen`, the balancer's choice among that many `replicas`?

    A primary as quick as they are gets the same share as each of them, a busy one next to nothing, an idle one beside busy
    replicas up to twice an even share. Between these the share is continuous: a threshold would send everybody to and fro.
    """
    ours, theirs = _burden(primary), _burden(chosen)
    return primary.weight > 0 and random() < 2 / (replicas + 1) * theirs / (ours + theirs)


def _burden(one: Backend) -> float:
    """How long one more statement will take there, squared so that small differences count: the queue, times its pace."""
    return ((one.waiting + 1) * max(one.latency_ms, LATENCY_MS_MIN) / max(one.weight, 1)) ** 2


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
