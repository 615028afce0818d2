"""Programs of the user that hear of what happened. They run behind the watchdog's back, one at a time, and none can hold it up.

What a hook is given stands in docs/configuration.md.
"""

from __future__ import annotations

import json
import os
import queue
import select
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO

from replclus.events import Event, HookRan, PrimaryChanged, ProblemAppeared, Report, Warned
from replclus.model.record import OperationKind
from replclus.model.spec import Hooks

WAITING_MAX = 100
"""Events that may wait for their hook. Beyond that the newest are dropped, with a warning."""

OUTPUT_BYTES_MAX = 4096
OUTPUT_LINES_MAX = 5
POLL_S = 0.05

PASSED_ON = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SSH_AUTH_SOCK", "TMPDIR", "TZ", "USER")
"""The only variables of the watchdog's environment that a hook sees: the others may be passwords."""


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
        try:
            self._waiting.put(None, timeout=self._hooks.timeout_s)
        except queue.Full:
            return
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
            complaint = self._run_one(command, event, began + limit_s)
            if complaint is None:
                self._report(HookRan(hook=name, took_ms=(self._clock() - began) * 1000))
            else:
                self._report(Warned(what=f"hook {name} ({command[0]}) {complaint}"))

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

    def _run_one(self, command: tuple[str, ...], event: Event, deadline: float) -> str | None:
        """What went wrong, in words that follow the hook's name; None if it ended with 0."""
        try:
            with tempfile.TemporaryFile() as question:
                # A file, not a pipe: a hook that never reads its input must not block us.
                question.write(json.dumps(event.to_dict(), default=str).encode() + b"\n")
                question.seek(0)
                process = subprocess.Popen(  # noqa: S603  # the user's own file names it, and no shell reads it
                    command,
                    stdin=question,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    env=environment(self._cluster, event),
                    start_new_session=True,
                )
        except (OSError, ValueError) as error:
            return f"cannot be run: {error}"
        assert process.stdout is not None
        with process.stdout as output:
            said = self._listen(process, output, deadline)
            if process.poll() is None:
                _kill_group(process)
                process.wait()
                return f"was killed after {self._hooks.timeout_s:g} s{said}"
            return None if process.returncode == 0 else f"ended with {_ending(process.returncode)}{said}"

    def _listen(self, process: subprocess.Popen[bytes], output: IO[bytes], deadline: float) -> str:
        """Its last lines. Ends with the process or at the deadline, even where a child of it keeps the pipe open."""
        tail = b""
        readable = True
        while (left := deadline - self._clock()) > 0:
            ended = process.poll() is not None
            ready = readable and bool(select.select([output], [], [], 0 if ended else min(POLL_S, left))[0])
            if ready:
                chunk = os.read(output.fileno(), OUTPUT_BYTES_MAX)
                tail = (tail + chunk)[-OUTPUT_BYTES_MAX:]
                readable = bool(chunk)
            elif ended:
                break
            elif not readable:
                time.sleep(min(POLL_S, left))
        lines = [line.strip() for line in tail.decode(errors="replace").splitlines() if line.strip()]
        return f": {' / '.join(lines[-OUTPUT_LINES_MAX:])}" if lines else ""


def environment(cluster: str, event: Event, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What a hook finds in its environment: the few variables of PASSED_ON, and the event's plain values as REPLCLUS_*."""
    facts = {"cluster": cluster, **event.to_dict()}
    own = {f"REPLCLUS_{key.upper()}": str(value) for key, value in facts.items() if isinstance(value, str | int | float)}
    return {name: inherited[name] for name in PASSED_ON if name in inherited} | own


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for the hook and its children. It leads a process group of its own, and is not reaped yet."""
    os.killpg(process.pid, signal.SIGKILL)


def _ending(code: int) -> str:
    return f"exit code {code}" if code > 0 else f"signal {-code}"
