"""What the applications saw: each writes a file of its own, so that nothing tested can take the evidence down with it.

One JSON array per line: `["write", at, took_ms, node, kind, order_id, lines]` as soon as a write was acknowledged,
`["error", at, sentence]` for every exception, `["end", reads per node, stale reads]` as the last line. `at` is
`time.monotonic()`, which is one clock for all processes of a machine.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO


class Kind(StrEnum):
    ORDER = "order"  # the order's row
    LINES = "lines"  # all its lines, in one statement
    PAID = "paid"  # its status set to paid, which it keeps


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """An acknowledged write. `lines` is how many lines the order has, for Kind.LINES."""

    at: float
    took_ms: float
    node: str
    kind: Kind
    order_id: int
    lines: int = 0


@dataclass(frozen=True, slots=True)
class Gap:
    """From one acknowledged write to the next one of any process, in seconds."""

    began: float
    ended: float

    @property
    def ms(self) -> float:
        return (self.ended - self.began) * 1000


@dataclass(slots=True)
class History:
    """What all applications wrote down so far. `ended` counts those that reached their last line."""

    writes: list[Write] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    reads: Counter[str] = field(default_factory=Counter)
    stale_reads: int = 0
    ended: int = 0

    @property
    def writes_by_node(self) -> Counter[str]:
        return Counter(write.node for write in self.writes)

    def first_after(self, moment: float) -> Write | None:
        """The first write that was acknowledged later than `moment`."""
        return min((write for write in self.writes if write.at > moment), key=lambda write: write.at, default=None)

    def outage(self, ended_at: float, began_at: float = float("-inf")) -> Gap:
        """The longest time in which no process had a write acknowledged, up to `ended_at`, when the load was stopped.

        It counts from the first write after `began_at`. ValueError if no write was acknowledged at all.
        """
        moments = sorted(write.at for write in self.writes if began_at <= write.at <= ended_at)
        return max((Gap(*pair) for pair in pairwise([*moments, ended_at])), key=lambda gap: gap.ms)

    def add(self, line: str) -> None:
        """Read one line back. ValueError if it is not one of ours."""
        match json.loads(line):
            case ["write", float(at), float(took_ms), str(node), str(kind), int(order_id), int(lines)]:
                written = Write(at=at, took_ms=took_ms, node=node, kind=Kind(kind), order_id=order_id, lines=lines)
                self.writes.append(written)
            case ["error", float(), str(sentence)]:
                self.errors.append(sentence)
            case ["end", dict(reads), int(stale)]:
                self.reads.update(reads)
                self.stale_reads += stale
                self.ended += 1
            case other:
                raise ValueError(f"not a line of a history: {other!r}")


class Recorder:
    """The application's side: every line is handed to the operating system at once, and survives the process."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, written: Write) -> None:
        self._line("write", written.at, written.took_ms, written.node, written.kind, written.order_id, written.lines)

    def error(self, at: float, sentence: str) -> None:
        self._line("error", at, sentence)

    def end(self, reads: Counter[str], stale_reads: int) -> None:
        self._line("end", dict(reads), stale_reads)

    def _line(self, *parts: Any) -> None:
        self._file.write(json.dumps(parts) + "\n")
        self._file.flush()


class Follower:
    """Reads several files while they grow."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.history = History()
        self._offsets = dict.fromkeys(paths, 0)

    def read(self) -> History:
        """Everything written until now. A line that is still being written is left for the next time."""
        for path, offset in self._offsets.items():
            if not path.exists():
                continue
            with path.open("rb") as file:
                file.seek(offset)
                fresh = file.read()
            complete = fresh.rfind(b"\n") + 1
            for line in fresh[:complete].decode().splitlines():
                self.history.add(line)
            self._offsets[path] = offset + complete
        return self.history
