"""Where the probers pin up what they saw, and the loop reads it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from replclus.failover.view import NEVER, NodeHistory
from replclus.model.observation import Observation

BACKOFF_S_MIN = 0.2
BACKOFF_S_MAX = 5.0
SLEPT_S = 0.5
"""Probes follow each other by the tick. After a pause as long as this the process was stopped, or starved of its processor."""


class Board:
    """The latest observation of every node, and what is remembered beyond it. Safe to use from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._alarm = False
        self._observations: dict[str, Observation] = {}
        self._history: dict[str, NodeHistory] = {}
        self._backoff_s: dict[str, float] = {}

    def put(self, seen: Observation, *, asked_at: float) -> None:
        """Pin up the answer to a probe that was sent at `asked_at`. A change in reach wakes the loop."""
        with self._changed:
            before = self._observations.get(seen.node)
            self._observations[seen.node] = seen
            self._history[seen.node] = _remember(self._history.get(seen.node, NodeHistory()), before, seen, asked_at)
            changed = before is None or before.reach is not seen.reach or before.process_alive is not seen.process_alive
            self._alarm = self._alarm or changed
            self._changed.notify_all()

    def ring(self) -> None:
        """Wake the loop: something cannot wait for the next tick."""
        with self._changed:
            self._alarm = True
            self._changed.notify_all()

    def snapshot(self) -> tuple[dict[str, Observation], dict[str, NodeHistory]]:
        with self._changed:
            return dict(self._observations), dict(self._history)

    def wait_for_alarm(self, timeout_s: float) -> None:
        """Sleep for `timeout_s`, or until something that cannot wait."""
        with self._changed:
            self._changed.wait_for(lambda: self._alarm, timeout_s)
            self._alarm = False

    def wait_for_news(self, names: Iterable[str], since: float, timeout_s: float) -> None:
        """Until each of `names` was probed completely, or found silent, after `since`; at most `timeout_s`."""
        wanted = tuple(names)
        with self._changed:
            self._changed.wait_for(lambda: all(self._is_newer(name, since) for name in wanted), timeout_s)

    def _is_newer(self, name: str, since: float) -> bool:
        seen = self._observations.get(name)
        return seen is not None and seen.at >= since and (seen.full_at >= since or not seen.answered)

    def forget_positions(self, names: Iterable[str]) -> None:
        """These nodes start anew as ackers: what they had before, e.g. as a primary whose tail was cut off, does not count."""
        with self._changed:
            for name in names:
                self._history[name] = replace(self._history.get(name, NodeHistory()), highest_received=None)

    def note_fenced(self, name: str, epoch: int) -> None:
        """It provably accepts nothing in `epoch`."""
        with self._changed:
            self._history[name] = replace(self._history.get(name, NodeHistory()), fenced_in=epoch)

    def note_entry(self, name: str, shut_out: str, knocked_at: float) -> None:
        """What came of trying to log in anew there at `knocked_at`: why it was impossible, or an empty string."""
        with self._changed:
            remembered = self._history.get(name, NodeHistory())
            self._history[name] = replace(remembered, shut_out=shut_out, knocked_at=knocked_at)

    def note_failure(self, name: str) -> None:
        """A step failed there: leave the node alone for a while, longer each time."""
        with self._changed:
            pause_s = min(BACKOFF_S_MAX, 2 * self._backoff_s.get(name, BACKOFF_S_MIN / 2))
            self._backoff_s[name] = pause_s
            self._note_end(name, not_before=self._clock() + pause_s)

    def note_success(self, name: str) -> None:
        with self._changed:
            self._backoff_s.pop(name, None)
            self._note_end(name, not_before=NEVER)

    def _note_end(self, name: str, *, not_before: float) -> None:
        """What was asked before says nothing of what the step did."""
        remembered = self._history.get(name, NodeHistory())
        self._history[name] = replace(remembered, not_before=not_before, step_ended_at=self._clock())

    def note_begun(self, name: str, bound_s: float) -> None:
        """A step is under way there, for at most `bound_s`: the plan may end before it, and the next one must not wait for it."""
        with self._changed:
            remembered = self._history.get(name, NodeHistory())
            self._history[name] = replace(remembered, not_before=self._clock() + bound_s)


def _remember(history: NodeHistory, before: Observation | None, seen: Observation, asked_at: float) -> NodeHistory:
    silent_since = answering_since = None
    if not seen.reach.alive:
        silent_since = asked_at if history.silent_since is None else history.silent_since
    elif seen.answered and (before is None or history.answering_since is None or asked_at - before.at > SLEPT_S):
        answering_since = asked_at
    elif seen.answered:
        answering_since = history.answering_since
    highest = history.highest_received
    if seen.facts is not None and seen.answered:
        received = seen.facts.received
        if highest is None or received.contains(highest):
            highest = received
    fed_at = seen.full_at if _was_fed(before, seen) else history.fed_at
    receives = seen.answered and seen.facts is not None and seen.facts.channel is not None and seen.facts.channel.receiver.running
    since = (seen.at if history.receiving_since == NEVER else history.receiving_since) if receives else NEVER
    return replace(
        history,
        asked_at=asked_at,
        looked_at=asked_at if seen.answered and (before is None or seen.full_at > before.full_at) else history.looked_at,
        silent_since=silent_since,
        highest_received=highest,
        fed_at=fed_at,
        receiving_since=since,
        answering_since=answering_since,
        synced_at=seen.full_at if _synced(before, seen) else history.synced_at,
        executed_at=seen.at if _executed(before, seen) else history.executed_at,
    )


def _executed(before: Observation | None, seen: Observation) -> bool:
    """Has it executed something between the two looks?"""
    if before is None or before.facts is None or seen.facts is None or not seen.answered:
        return False
    return seen.facts.executed != before.facts.executed


def _synced(before: Observation | None, seen: Observation) -> bool:
    """Has its disk made something durable between the two looks?"""
    if before is None or before.facts is None or seen.facts is None or before.facts.syncs is None or seen.facts.syncs is None:
        return False
    return seen.facts.syncs > before.facts.syncs


def _was_fed(before: Observation | None, seen: Observation) -> bool:
    """Did its receiver get something since the look before? One that was not seen just before gets the benefit of the doubt."""
    if not seen.answered or seen.facts is None or (before is not None and seen.full_at == before.full_at):
        return False
    if before is None or not before.answered or before.facts is None:
        return True
    one, other = before.facts.channel, seen.facts.channel
    if one is None or other is None:
        return True
    same_source = (one.source_host, one.source_port) == (other.source_host, other.source_port)
    silent = not other.receiver.running or one.receiver.heartbeats == other.receiver.heartbeats
    quiet = silent and before.facts.received == seen.facts.received
    return not (same_source and quiet and one.receiver.running)
