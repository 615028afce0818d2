"""The demo's own processes: a watchdog and the applications. Ended with the demo, however it ends."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from replclus.cli.demo.history import Follower
from replclus.errors import ExecutionFailed

STOP_S_MAX = 5.0
WARM_WRITES = 10
READY_S_MAX = 20.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Heard:
    """An event of the watchdog. `at` is wall time in seconds since 1970."""

    at: float
    code: str
    sentence: str
    event: dict[str, Any]


class WatchdogProcess:
    """`replclus watchdog --json`, and what it has said so far."""

    def __init__(self, process: subprocess.Popen[str], stderr: Path) -> None:
        self._process = process
        self._stderr = stderr
        self._heard: list[Heard] = []
        self._reader = threading.Thread(target=self._read, name="watchdog-events", daemon=True)
        self._reader.start()

    def heard(self) -> tuple[Heard, ...]:
        return tuple(self._heard)

    def check(self) -> None:
        """ExecutionFailed if it has ended, with its last words."""
        if self._process.poll() is not None:
            raise ExecutionFailed("watchdog", None, f"ended with code {self._process.returncode}: {_last_line(self._stderr)}")

    def wait_until_ready(self) -> None:
        """Until it has decided for the first time."""
        deadline = time.monotonic() + READY_S_MAX
        while not any(heard.code == "Decided" for heard in self._heard):
            self.check()
            if time.monotonic() > deadline:
                raise ExecutionFailed("watchdog", None, f"decided nothing within {READY_S_MAX:g} s")
            time.sleep(_POLL_S)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            at = datetime.fromisoformat(event["at"]).timestamp()
            self._heard.append(Heard(at, event["event"], event["sentence"], event))


@contextmanager
def watchdog(config: Path, log: Path) -> Iterator[WatchdogProcess]:
    with log.open("w") as stderr:
        command = _python("replclus.cli.main", "watchdog", "--json", "--config", str(config))
        process = subprocess.Popen(  # noqa: S603 - our own program
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True
        )
    try:
        yield WatchdogProcess(process, log)
    finally:
        end([process])


@dataclass(slots=True)
class Applications:
    """Processes that write and read, and the histories they keep."""

    processes: list[subprocess.Popen[bytes]]
    follower: Follower
    logs: list[Path]

    def check(self) -> None:
        for process, log in zip(self.processes, self.logs, strict=True):
            if process.poll() is not None:
                raise ExecutionFailed("application", None, f"ended with code {process.returncode}: {_last_line(log)}")

    def wait_until_writing(self) -> None:
        """Until every process has had WARM_WRITES writes acknowledged: its connections are made, its pools are warm."""
        deadline = time.monotonic() + READY_S_MAX
        wanted = len(self.processes)
        while not self._warm(wanted):
            self.check()
            if time.monotonic() > deadline:
                errors = self.follower.history.errors
                why = errors[-1] if errors else "no errors either"
                raise ExecutionFailed("application", None, f"not all wrote within {READY_S_MAX:g} s ({why})")
            time.sleep(_POLL_S)

    def _warm(self, wanted: int) -> bool:
        writes = Counter(write.order_id // 1_000_000_000 for write in self.follower.read().writes)
        return len(writes) == wanted and min(writes.values()) >= WARM_WRITES

    def stop(self) -> float:
        """Let them finish what they are doing. Returns when they were asked to, on the monotonic clock."""
        self.check()
        asked_at = time.monotonic()
        end(self.processes)
        return asked_at


@contextmanager
def applications(config: Path, directory: Path, number: int) -> Iterator[Applications]:
    """`number` processes with histories and logs in `directory`."""
    started = Applications([], Follower([directory / f"app{one}.jsonl" for one in range(1, number + 1)]), [])
    try:
        for one in range(1, number + 1):
            history, log = directory / f"app{one}.jsonl", directory / f"app{one}.log"
            arguments = ("--config", str(config), "--number", str(one), "--history", str(history))
            with log.open("wb") as output:
                process = subprocess.Popen(  # noqa: S603 - our own program
                    _python("replclus.cli.demo.application", *arguments),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            started.processes.append(process)
            started.logs.append(log)
        yield started
    finally:
        end(started.processes)


def end(processes: list[subprocess.Popen[Any]]) -> None:
    """SIGTERM, a while to obey, SIGKILL."""
    for process in processes:
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + STOP_S_MAX
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    return next((line for line in reversed(lines) if line.strip()), "it said nothing")
