"""Programs of the user that hear of what happened. They run behind the watchdog's back, one at a time, and none can hold it up.

What a hook is given stands in docs/configuration.md.
"""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from collections.abc import Callable

from replclus.errors import HostError
from replclus.events import Event, HookRan, PrimaryChanged, ProblemAppeared, Report, Warned
from replclus.model.record import OperationKind
from replclus.model.spec import Hooks
from replclus.server.hook import run_hook

WAITING_MAX = 100
"""Events that may wait for their hook. Beyond that the newest are dropped, with a warning."""


class HookRunner(threading.Thread):
    """Runs the hooks of a cluster. `report` hears how they fared."""

    def __init__(self, hooks: Hooks, cluster: str, report: Report, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(name="hooks", daemon=True)
        self._hooks = hooks
        self._cluster = cluster
        self._report = report
        self._clock = clock
        self._waiting: queue.Queue[tuple[str, tuple[str, ...], Event] | None] = queue.Queue(WAITING_MAX)
        self._overflowing = False
        self._stop_by: float | None = None

    def hear(self, event: Event) -> None:
        """From any thread; returns at once."""
        name, command = self._hook_for(event)
        if not command:
            return
        try:
            self._waiting.put_nowait((name, command, event))
            self._overflowing = False
        except queue.Full:
            if not self._overflowing:
                self._overflowing = True
                self._report(Warned(what=f"{WAITING_MAX} events wait for the hooks already; {name} does not hear of the newest"))

    def stop(self) -> None:
        """Let what waits have its turn, all of it together within one `timeout_s`; then end."""
        if not self.is_alive():
            return
        self._stop_by = self._clock() + self._hooks.timeout_s
        for _ in range(WAITING_MAX):
            try:
                self._waiting.put_nowait(None)
                break
            except queue.Full:
                with contextlib.suppress(queue.Empty):
                    self._waiting.get_nowait()  # so many that the last ones would not have their turn anyway
        self.join(self._hooks.timeout_s + 1.0)

    def run(self) -> None:
        while (item := self._waiting.get()) is not None:
            name, command, event = item
            limit_s = self._hooks.timeout_s
            if self._stop_by is not None:
                limit_s = min(limit_s, self._stop_by - self._clock())
            if limit_s <= 0:
                self._report(Warned(what=f"hook {name} was not run: the watchdog is ending"))
                continue
            began = self._clock()
            question = json.dumps(event.to_dict(), default=str).encode() + b"\n"
            try:
                run_hook(command, environment(self._cluster, event), limit_s, question)
            except HostError as error:
                self._report(Warned(what=f"hook {name}: {error}"))
            else:
                self._report(HookRan(hook=name, took_ms=(self._clock() - began) * 1000))

    def _hook_for(self, event: Event) -> tuple[str, tuple[str, ...]]:
        match event:
            case PrimaryChanged(kind=OperationKind.SWITCHOVER):
                return "on_switchover", self._hooks.on_switchover
            case PrimaryChanged():
                return "on_failover", self._hooks.on_failover
            case ProblemAppeared():
                return "on_problem", self._hooks.on_problem
            case _:
                return "", ()


def environment(cluster: str, event: Event) -> dict[str, str]:
    """The event's plain values, and the cluster's name, as REPLCLUS_*."""
    facts = {"cluster": cluster, **event.to_dict()}
    return {f"REPLCLUS_{key.upper()}": str(value) for key, value in facts.items() if isinstance(value, str | int | float)}
