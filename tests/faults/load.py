"""The client processes of a lab: started each in a namespace of its own, stopped, and their history read."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from tests.clusters import REPOSITORY
from tests.faults.client import LAST_OPERATIONS_S
from tests.faults.history import History, Reader
from tests.faults.lab import CLIENTS, Lab

SECONDS_MAX = 900.0
"""No client outlives this, whatever happens to us."""


class Load:
    """`c1` is an ordinary application; `c2` has its outcomes tracked, so that it should hardly ever be left in the dark."""

    def __init__(self, lab: Lab, directory: Path, *, direct: bool = False) -> None:
        self.files = tuple(directory / f"{name}.jsonl" for name in CLIENTS)
        self._reader = Reader(self.files)
        self._log: IO[str] = (directory / "clients.log").open("a")
        self.processes = {
            name: subprocess.Popen(
                [*lab.network.inside(name), sys.executable, "-m", "tests.faults.client", name, lab.url, str(file),
                 "--seconds", str(SECONDS_MAX), *(["--track"] if name == CLIENTS[1] else []), *(["--direct"] if direct else [])],
                stdin=subprocess.PIPE, stderr=self._log, cwd=REPOSITORY,
            )
            for name, file in zip(CLIENTS, self.files, strict=True)
        }  # fmt: skip

    def history(self) -> History:
        return self._reader.history()

    def acknowledged_since(self, moment_ns: int, process: str | None = None) -> bool:
        """Was a write acknowledged that began after the moment, to any client or to this one?"""
        self._reader.read()
        return any(began > moment_ns for name, began in self._reader.latest.items() if process in (None, name))

    def stop(self) -> History:
        """The whole history. Operations that have not ended within their bounds stay without an end."""
        for process in self.processes.values():
            if process.stdin is not None and not process.stdin.closed:
                process.stdin.close()
        deadline = time.monotonic() + LAST_OPERATIONS_S + 10
        for process in self.processes.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._log.close()
        return self.history()
