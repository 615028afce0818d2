"""What the clients saw, written down by the clients themselves: JSON lines, one file per process.

    {"type": "invoke", "process": "c1", "session": "c1/insert-0", "n": 7, "what": "insert", "value": "c1/insert-0 7", "at": …}
    {"type": "ok", "session": "c1/insert-0", "n": 7, "at": …, "result": …, "node": "n2", "epoch": 3, "error": ""}

`at` is CLOCK_MONOTONIC in nanoseconds, one clock for all processes of a machine. An operation ends `ok` if the driver said so,
`fail` if the error proves that nothing was executed, `info` if nobody can tell. Without a second line it was cut short: `info`.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO


class Outcome(StrEnum):
    OK = "ok"
    FAIL = "fail"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One operation of one session. `ended` is the end of time for what never ended."""

    process: str
    session: str
    n: int
    what: str
    value: Any
    began: int
    ended: int
    outcome: Outcome
    result: Any = None
    node: str = ""
    epoch: int = -1
    error: str = ""


NEVER_ENDED = 2**63 - 1
History = tuple[Op, ...]


class Recorder:
    """The client's side. Every line is handed to the operating system at once, and survives the process."""

    def __init__(self, process: str, file: TextIO) -> None:
        self._process = process
        self._file = file
        self._lock = threading.Lock()

    def invoke(self, session: str, n: int, what: str, value: Any) -> None:
        line = {"type": "invoke", "process": self._process, "session": session, "n": n, "what": what, "value": value}
        self._write({**line, "at": time.monotonic_ns()})

    def end(self, outcome: Outcome, session: str, n: int, **told: Any) -> None:
        self._write({"type": outcome.value, "session": session, "n": n, "at": time.monotonic_ns(), **told})

    def _write(self, line: dict[str, Any]) -> None:
        text = json.dumps(line) + "\n"
        with self._lock:
            self._file.write(text)
            self._file.flush()


class Reader:
    """Reads the files of several processes while they grow, each line once.

    `latest` is, for each process, when its latest acknowledged insert began.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._offsets = dict.fromkeys(paths, 0)
        self._begun: dict[tuple[str, int], dict[str, Any]] = {}
        self._ended: dict[tuple[str, int], dict[str, Any]] = {}
        self.latest: dict[str, int] = {}

    def read(self) -> None:
        """Everything written until now. A line that is still being written is left for the next time."""
        for path, offset in self._offsets.items():
            if not path.exists():
                continue
            with path.open("rb") as file:
                file.seek(offset)
                fresh = file.read()
            complete = fresh.rfind(b"\n") + 1
            for text in fresh[:complete].splitlines():
                self._note(json.loads(text))
            self._offsets[path] = offset + complete

    def history(self) -> History:
        """All operations of all processes, in the order in which they began."""
        self.read()
        ops = (_op(line, self._ended.get(key)) for key, line in self._begun.items())
        return tuple(sorted(ops, key=lambda op: op.began))

    def _note(self, line: dict[str, Any]) -> None:
        key = (line["session"], line["n"])
        if line["type"] == "invoke":
            self._begun[key] = line
            return
        self._ended[key] = line
        begun = self._begun[key]
        if begun["what"] == "insert" and line["type"] == Outcome.OK:
            self.latest[begun["process"]] = max(begun["at"], self.latest.get(begun["process"], 0))


def _op(begun: dict[str, Any], ended: dict[str, Any] | None) -> Op:
    ended = ended or {"type": "info", "at": NEVER_ENDED, "error": "never ended"}
    return Op(
        process=begun["process"],
        session=begun["session"],
        n=begun["n"],
        what=begun["what"],
        value=begun["value"],
        began=begun["at"],
        ended=ended["at"],
        outcome=Outcome(ended["type"]),
        result=ended.get("result"),
        node=ended.get("node", ""),
        epoch=ended.get("epoch", -1),
        error=ended.get("error", ""),
    )


def outage_s(history: History, since: int = 0, until: int = NEVER_ENDED) -> float:
    """The longest time in which no insert of any client was acknowledged, within the bounds (CLOCK_MONOTONIC, ns)."""
    moments = sorted(op.ended for op in history if op.what == "insert" and op.outcome is Outcome.OK)
    moments = [moment for moment in moments if since <= moment <= until]
    return max((after - before for before, after in pairwise(moments)), default=0) / 1e9
