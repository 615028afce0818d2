"""The client of `failover.py`: one connection, paced writes with unique ids, and a history of what it was told.

    python benchmarks/failover_client.py --cluster replclus.toml --first-id 1 --history client.jsonl

Runs until SIGTERM, or until the process that started it is gone. A line per write, as soon as its fate is known:
`[outcome, id, began, ended, node, error]`, times on the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, pairwise, takewhile
from pathlib import Path

import pymysql

import replclus

RATE = 200
FAILOVER_TIMEOUT_S = 30
STOP_S_MAX = 45.0
TABLE = "CREATE TABLE app.writes (id BIGINT PRIMARY KEY)"


@dataclass(frozen=True, slots=True)
class Write:
    """`outcome` is acknowledged, unknown (it was sent, and no answer came) or failed (it was not done)."""

    outcome: str
    id: int
    began: float
    ended: float
    node: str
    error: str


def write_for_ever(cluster: str, first_id: int, history: Path, stop: list[int]) -> None:
    """One write each 1/RATE s. Those that wait make the next ones late; what was missed is not made up for in a burst."""
    parent = os.getppid()
    connection = replclus.connect(
        cluster=cluster,
        user="app",
        password="app",  # noqa: S106  the sandbox's published account
        database="app",
        autocommit=True,
        failover_timeout=FAILOVER_TIMEOUT_S,
    )
    cursor = connection.cursor()
    due = time.monotonic()
    with history.open("w", buffering=1) as lines:
        for number in count(first_id):
            if stop or os.getppid() != parent:
                return
            due = max(due + 1 / RATE, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
            began, outcome, error = time.monotonic(), "acknowledged", ""
            try:
                cursor.execute("INSERT INTO writes (id) VALUES (%s)", (number,))
            except replclus.OutcomeUnknown as unknown:
                outcome, error = "unknown", str(unknown)
            except pymysql.MySQLError as failure:
                outcome, error = "failed", f"{type(failure).__name__}: {failure}"
            node = cursor.route.node if outcome == "acknowledged" else ""
            lines.write(json.dumps([outcome, number, began, time.monotonic(), node, error]) + "\n")


@dataclass
class Client:
    """The client's process and its history, from the outside."""

    process: subprocess.Popen[bytes]
    history: Path
    writes: list[Write] = field(default_factory=list)
    _read_to: int = 0

    def read(self) -> list[Write]:
        """All writes so far. A line that is still being written is left for the next time."""
        if self.process.poll() not in (None, 0):
            raise RuntimeError(f"the client ended with code {self.process.returncode}")
        if self.history.exists():
            with self.history.open("rb") as file:
                file.seek(self._read_to)
                fresh = file.read()
            complete = fresh.rfind(b"\n") + 1
            self.writes += [Write(*json.loads(line)) for line in fresh[:complete].splitlines()]
            self._read_to += complete
        return self.writes

    def acknowledged_since(self, moment: float, *, not_by: str = "") -> bool:
        """Was a write that began after `moment` acknowledged, by another node than `not_by`?"""
        late = takewhile(lambda write: write.began > moment, reversed(self.read()))
        return any(write.outcome == "acknowledged" and write.node != not_by for write in late)

    def outage_s(self, since: float, until: float) -> float:
        """The longest time without an acknowledgement, of those that touch the time from `since` to `until`."""
        moments = [write.ended for write in self.read() if write.outcome == "acknowledged"]
        return max(after - before for before, after in pairwise(moments) if after >= since and before <= until)

    def fates(self, since: float, outcome: str) -> list[Write]:
        return [write for write in self.read() if write.ended >= since and write.outcome == outcome]


@contextmanager
def writing(cluster: str, history: Path, *, first_id: int = 1, prefix: tuple[str, ...] = ()) -> Iterator[Client]:
    """A client of `cluster`, a file or a URL; `prefix` stands before its command."""
    command = [*prefix, sys.executable, __file__, "--cluster", cluster, "--first-id", str(first_id), "--history", str(history)]
    process = subprocess.Popen(command)
    try:
        yield Client(process, history)
    finally:
        process.terminate()
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cluster", required=True)
    parser.add_argument("--first-id", type=int, required=True)
    parser.add_argument("--history", type=Path, required=True)
    given = parser.parse_args()
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stop.append(number))
    write_for_ever(given.cluster, given.first_id, given.history, stop)


if __name__ == "__main__":
    main()
