"""A client process: `python -m tests.faults.client NAME URL FILE [--seconds N] [--track] [--direct]`.

Sessions, each with a connection of its own from `replclus.connect`, do what `workloads` says and record it in FILE. It ends when
its standard input does, at the latest after `--seconds`, and does not wait for a statement that hangs longer than a bound.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pymysql
from pymysql import err

import replclus
from replclus.config import parse_url
from replclus.dbapi.errors import NoConnectionLeft, SessionLost, TransactionLost, Unavailable
from tests.faults.history import Outcome, Recorder
from tests.faults.workloads import PER_S, READS, SESSIONS, WORKLOADS, Request

# How long a statement may be held while there is no primary, and how long the answer of a server may take.
FAILOVER_TIMEOUT_S = 15
CONNECT_TIMEOUT_S = 3
READ_TIMEOUT_S = 20
# After this, operations that have not ended stay without an end in the history.
LAST_OPERATIONS_S = 25.0
DIRECT_TIMEOUT_S = 5

# What servers answer to a statement that they have not executed: read-only, deadlock, no lock in time.
_NOT_EXECUTED = frozenset({1290, 1836, 1792, 1213, 1205})
_NOT_SENT = (TransactionLost, SessionLost, Unavailable, NoConnectionLeft)


class Session(threading.Thread):
    """One connection, one operation after the other."""

    def __init__(self, name: str, kind: str, options: dict[str, Any], recorder: Recorder, stop: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self._pause_s = 1 / PER_S[kind]
        self._requests = WORKLOADS[kind](name, random.Random(name))  # noqa: S311  # the same at every run
        self._options = options
        self._recorder = recorder
        self._stop_asked = stop
        self._connection: Any = None

    def run(self) -> None:
        due = time.monotonic()
        for n, request in enumerate(self._requests):
            if self._stop_asked.wait(max(0.0, due - time.monotonic())):
                break
            # Never to catch up with what was missed.
            due = max(due, time.monotonic() - self._pause_s) + self._pause_s
            self._do(n, request)
        if self._connection is not None:
            self._connection.close()

    def _do(self, n: int, request: Request) -> None:
        self._recorder.invoke(self.name, n, request.what, request.value)
        try:
            connection = self._connected()
        except (err.OperationalError, OSError) as error:
            self._end(Outcome.FAIL, n, error)
            return
        try:
            result = request.run(connection)
        except Exception as error:  # of whatever kind: the history must say it, and the checker judges it
            self._end(self._outcome(request, error), n, error)
            self._leave_transaction()
            return
        self._end(Outcome.OK, n, None, result)

    @staticmethod
    def _outcome(request: Request, error: Exception) -> Outcome:
        if request.what in READS or isinstance(error, _NOT_SENT):
            return Outcome.FAIL
        if request.what == "claim" and isinstance(error, err.IntegrityError):
            return Outcome.FAIL
        if isinstance(error, err.MySQLError) and error.args and error.args[0] in _NOT_EXECUTED:
            return Outcome.FAIL
        return Outcome.INFO

    def _end(self, outcome: Outcome, n: int, error: Exception | None, result: Any = None) -> None:
        told: dict[str, Any] = {"result": result}
        if error is not None:
            told["error"] = f"{type(error).__name__}: {error}"
        route = getattr(self._connection, "lab_route", None)
        if route is not None:
            told["node"] = route.node
        if getattr(self._connection, "_session", None) is not None:
            told["epoch"] = self._connection._session.backends.watcher.map.term[0]
        self._recorder.end(outcome, self.name, n, **told)

    def _connected(self) -> Any:
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def _open(self) -> Any:
        return replclus.connect(**self._options)

    def _leave_transaction(self) -> None:
        """A connection that cannot even roll back is given up."""
        try:
            self._connection.rollback()
        except (err.Error, OSError):
            with suppress(err.Error, OSError):
                self._connection.close()
            self._connection = None


class Direct(Session):
    """Writes to one server whether it is primary or not: no router protects anybody here."""

    def _open(self) -> Any:
        return pymysql.connect(**self._options)


def _direct_sessions(name: str, url: str, recorder: Recorder, stop: threading.Event) -> list[Session]:
    where = parse_url(url)
    access = {"user": where.user, "password": where.password, "database": where.database, "autocommit": True}
    bounds = dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), DIRECT_TIMEOUT_S)
    return [
        Direct(f"{name}/direct-{host}", "direct", {"host": host, "port": port, **access, **bounds}, recorder, stop)
        for host, port in where.hosts
    ]


def _wait_for_end(stop: threading.Event) -> None:
    sys.stdin.buffer.read()
    stop.set()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("url")
    parser.add_argument("file", type=Path)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--track", action="store_true")
    parser.add_argument("--direct", action="store_true")
    given = parser.parse_args()
    options = {
        "cluster": given.url,
        "autocommit": True,
        "failover_timeout": FAILOVER_TIMEOUT_S,
        "connect_timeout": CONNECT_TIMEOUT_S,
        "read_timeout": READ_TIMEOUT_S,
        "write_timeout": READ_TIMEOUT_S,
        "track_outcome": given.track,
    }
    stop = threading.Event()
    threading.Thread(target=_wait_for_end, args=(stop,), daemon=True).start()
    with given.file.open("w") as file:
        recorder = Recorder(given.name, file)
        kinds = [(kind, number) for kind, count in SESSIONS.items() for number in range(count)]
        sessions = [Session(f"{given.name}/{kind}-{number}", kind, options, recorder, stop) for kind, number in kinds]
        if given.direct:
            sessions += _direct_sessions(given.name, given.url, recorder, stop)
        for session in sessions:
            session.start()
        stop.wait(given.seconds)
        stop.set()
        last = time.monotonic() + LAST_OPERATIONS_S
        for session in sessions:
            session.join(max(0.0, last - time.monotonic()))
        # Threads that hang must not keep the process.
        os._exit(0)


if __name__ == "__main__":
    main()
