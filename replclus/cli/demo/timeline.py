"""What happened after the kill, by whom, and how many milliseconds later."""

from __future__ import annotations

import time
from dataclasses import dataclass

from replclus.cli.demo.processes import Heard, WatchdogProcess
from replclus.cli.demo.show import Moment, Show

SETTLE_MS = 300.0
"""Lines are printed this late, so that what happened at nearly the same time in two processes comes out in order."""

CHARS_MAX = 120

_TOLD = frozenset({"RecordChanged", "StepDone", "StepFailed", "PrimaryChanged", "Warned"})
_STYLES = {"ProblemAppeared": "yellow", "StepFailed": "red", "PrimaryChanged": "bold green", "RecordChanged": "bold"}


@dataclass(frozen=True, slots=True)
class Kill:
    """Which process was killed, and when, on both clocks of the machine."""

    node: str
    pid: int
    wall: float
    monotonic: float


class Timeline:
    """Collects moments and prints them in order."""

    def __init__(self, kill: Kill, guard: WatchdogProcess, show: Show) -> None:
        self._kill = kill
        self._guard = guard
        self._show = show
        self._heard = 0
        self._problems: set[str] = set()
        self._pending = [Moment(0.0, "demo", f"kill -9 {kill.pid}: {kill.node}, the primary", "bold red")]

    def add(self, at: float, who: str, sentence: str, style: str = "") -> None:
        """`at` is on the monotonic clock."""
        self._pending.append(Moment((at - self._kill.monotonic) * 1000, who, sentence, style))

    def tell(self, *, everything: bool = False) -> None:
        """Print what is old enough, or all there is."""
        heard = self._guard.heard()
        for event in heard[self._heard :]:
            offset_ms = (event.at - self._kill.wall) * 1000
            # The watchdog's clock is cut to milliseconds: what it did at once may seem to come just before the kill.
            if offset_ms > -1 and self._is_news(event):
                sentence = event.sentence if len(event.sentence) <= CHARS_MAX else f"{event.sentence[:CHARS_MAX]} …"
                self._pending.append(Moment(max(0.0, offset_ms), "watchdog", sentence, _STYLES.get(event.code, "")))
        self._heard = len(heard)
        until_ms = (time.monotonic() - self._kill.monotonic) * 1000 - (0 if everything else SETTLE_MS)
        self._pending.sort(key=lambda moment: moment.offset_ms)
        while self._pending and (everything or self._pending[0].offset_ms <= until_ms):
            self._show.moment(self._pending.pop(0))

    def _is_news(self, event: Heard) -> bool:
        """A problem is told once, not once for each replica that has it."""
        if event.code != "ProblemAppeared":
            return event.code in _TOLD
        known, problem = self._problems, str(event.event["problem"])
        self._problems = known | {problem}
        return problem not in known
