"""A real cluster for tests: a sandbox, initialised by the real `init`, and a real watchdog process when asked for."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql

from replclus.config import load
from replclus.failover.status import Status, status
from replclus.model.record import ClusterRecord
from replclus.model.spec import ClusterSpec
from replclus.provision import bootstrap, known_to_primary
from replclus.sandbox import Sandbox
from replclus.server.process import LocalProcess, StartReport
from replclus.store import SqliteStore
from replclus.store.secrets import Secrets, load_secrets
from replclus.watchdog import observe_once

REPOSITORY = Path(__file__).parent.parent
PATIENCE_S = 30.0


def eventually(condition: Callable[[], object], what: str, *, within_s: float = PATIENCE_S) -> float:
    """Wait until `condition` is true; returns how long it took. Fails with `what` when it never was."""
    began = time.monotonic()
    while time.monotonic() - began < within_s:
        if condition():
            return time.monotonic() - began
        time.sleep(0.02)
    raise AssertionError(f"not within {within_s:g} s: {what}")


@dataclass
class WatchdogProcess:
    """`replclus watchdog` as a user runs it; `lines` are the events it printed, one JSON object each."""

    process: subprocess.Popen[str]
    events: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def said(self, event: str, **fields: object) -> bool:
        return any(
            seen["event"] == event and all(seen.get(key) == value for key, value in fields.items()) for seen in list(self.events)
        )

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(timeout=PATIENCE_S)
        self._reader.join(timeout=5)
        return code


@dataclass
class Cluster:
    """A sandbox that was made a cluster."""

    sandbox: Sandbox
    spec: ClusterSpec
    store: SqliteStore
    secrets: Secrets

    @property
    def record(self) -> ClusterRecord:
        record = self.store.load()
        assert record is not None
        return record

    def status(self) -> Status:
        return status(observe_once(self.spec, self.record, self.secrets))

    def healthy(self) -> bool:
        """One primary, everybody else replicating from it, nothing to complain about."""
        seen = self.status()
        writable = [node.name for node in seen.nodes if node.writable]
        return not seen.problems and writable == [seen.primary] and self.record.operation is None

    def until_healthy(self, what: str, *, within_s: float = PATIENCE_S) -> None:
        """Wait for it, and when it is not, say what is the matter."""
        try:
            eventually(self.healthy, what, within_s=within_s)
        except AssertionError as error:
            seen, record = self.status(), self.record
            problems = "; ".join(problem.sentence for problem in seen.problems) or "no problem"
            writable = ", ".join(node.name for node in seen.nodes if node.writable) or "nobody"
            raise AssertionError(f"{error}: {problems}; {writable} is writable; the record is {record}") from None

    def process(self, name: str) -> LocalProcess:
        return self.sandbox.process(name)

    def kill(self, name: str) -> None:
        self.process(name).kill()

    def start(self, name: str) -> StartReport:
        """As `replclus sandbox start` does: the unacknowledged tail is cut off first, where there is one."""
        known = known_to_primary(self.spec, self.store, self.secrets, name)
        return self.sandbox.start(name, known)[name]

    def connect(self, name: str, **options: Any) -> pymysql.Connection[Any]:
        """As root over the node's own socket, past every router."""
        place = self.sandbox.place(name)
        return pymysql.connect(unix_socket=str(place.socket), user="root", password="", **{"autocommit": True, **options})

    def rows(self, name: str, sql: str) -> tuple[tuple[Any, ...], ...]:
        with self.connect(name) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return tuple(cursor.fetchall())

    def writable(self, name: str) -> bool:
        """Does it answer, and take writes?"""
        try:
            return self.rows(name, "SELECT @@global.read_only") == ((0,),)
        except pymysql.err.OperationalError:
            return False

    def run(self, name: str, *statements: str) -> None:
        with self.connect(name) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    @contextmanager
    def watchdog(self, **popen: Any) -> Iterator[WatchdogProcess]:
        command = [sys.executable, "-m", "replclus.cli.main", "watchdog", "--json", "-c", str(self.sandbox.config)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, **popen)
        watching = WatchdogProcess(process)
        try:
            eventually(lambda: watching.events or process.poll() is not None, "the watchdog says something")
            yield watching
        finally:
            watching.stop()

    def equal(self, table: str) -> bool:
        """Does every node hold the same rows of `table`?"""
        return len({self.rows(name, f"SELECT * FROM {table} ORDER BY 1") for name in self.sandbox.names}) == 1


def allow_many_failovers(config: Path) -> None:
    """Tests fail one primary over after the other; a cluster of somebody's stops after the third within ten minutes."""
    config.write_text(config.read_text() + "\n[failover]\nfailovers_max = 20\nfailovers_window_s = 1\n")


def initialised(sandbox: Sandbox) -> Cluster:
    """Run the real `init` on a sandbox."""
    allow_many_failovers(sandbox.config)
    spec = load(sandbox.config)
    store = SqliteStore(spec.state_dir)
    bootstrap(spec, store)
    secrets = load_secrets(spec.state_dir)
    assert secrets is not None
    return Cluster(sandbox, spec, store, secrets)
