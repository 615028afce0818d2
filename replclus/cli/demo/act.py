"""The time under load: the primary is killed, replaced, and brought back as a replica."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from replclus.cli.demo.history import History, Write
from replclus.cli.demo.processes import Applications, WatchdogProcess
from replclus.cli.demo.show import Bar, Show
from replclus.cli.demo.timeline import Kill, Timeline
from replclus.cli.hosts import start_node
from replclus.errors import ExecutionFailed
from replclus.failover.status import NodeStatus, status
from replclus.model.record import ClusterRecord
from replclus.model.spec import ClusterSpec
from replclus.model.topology import Role
from replclus.store import SqliteStore
from replclus.store.secrets import Secrets, load_secrets
from replclus.watchdog import observe_once

KILL_AT = 0.4
"""The primary dies after this part of the time under load."""
AWAY_S = 1.5
"""How long after the first write on the new primary the old one is started again."""
FAILOVER_S_MAX = 15.0
REJOIN_S_MAX = 20.0
LINGER_S = 2.0
"""How long the load goes on at least once the old primary is back, so that it is seen to serve reads."""
LAG_MS_MAX = 500
"""A replica that is further behind has not caught up yet."""
_POLL_S = 0.05
_LOOK_EVERY_S = 0.3


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the time under load left behind. `not_rejoined` is empty if the old primary came back healthy."""

    history: History
    primary: str
    began_at: float
    killed_at: float
    ended_at: float
    not_rejoined: str


class Act:
    """Plays once, for about `seconds` of load; longer if the old primary takes its time to come back."""

    def __init__(
        self, spec: ClusterSpec, guard: WatchdogProcess, shops: Applications, show: Show, bar: Bar, seconds: float
    ) -> None:
        self._spec = spec
        self._guard = guard
        self._shops = shops
        self._show = show
        self._bar = bar
        self._seconds = seconds
        self._began = time.monotonic()
        self._timeline: Timeline | None = None

    def play(self) -> Loaded:
        self._until_time(self._began + self._seconds * KILL_AT)
        kill = self._kill(_record(self._spec).primary)
        self._timeline = Timeline(kill, self._guard, self._show)
        not_rejoined = f"no write was acknowledged within {FAILOVER_S_MAX:g} s of the kill"
        if self._until(lambda: self._first_write_after(kill), FAILOVER_S_MAX):
            self._until_time(time.monotonic() + AWAY_S)
            not_rejoined = self._bring_back(kill)
        self._until_time(max(self._began + self._seconds, time.monotonic() + LINGER_S))
        ended_at = self._shops.stop()
        self._timeline.tell(everything=True)
        history, primary = self._shops.follower.read(), _record(self._spec).primary
        return Loaded(history, primary, self._began, kill.monotonic, ended_at, not_rejoined)

    def _kill(self, primary: str) -> Kill:
        """`kill -9`, as anybody could: of the pid in the server's pid file."""
        directory = self._spec.node(primary).process_dir
        if directory is None:
            raise ExecutionFailed("kill", primary, "it is not a local process")
        pid = int((directory / "mysqld.pid").read_text())
        kill = Kill(node=primary, pid=pid, wall=time.time(), monotonic=time.monotonic())
        os.kill(pid, signal.SIGKILL)
        return kill

    def _first_write_after(self, kill: Kill) -> bool:
        """Was a write acknowledged by another node? One that the old primary acknowledged may be recorded late."""
        writes = self._shops.follower.history.writes
        first = min((one for one in writes if one.at > kill.monotonic and one.node != kill.node), key=_at, default=None)
        if first is None or self._timeline is None:
            return False
        sentence = f"first write acknowledged by {first.node}: the application waited {first.took_ms:.0f} ms"
        self._timeline.add(first.at, "application", sentence, "bold green")
        return True

    def _bring_back(self, kill: Kill) -> str:
        """Start the old primary as its host would. Empty if it becomes a healthy replica, else what keeps it."""
        assert self._timeline is not None
        self._timeline.add(time.monotonic(), "demo", f"{kill.node} is started again", "bold")
        with ThreadPoolExecutor(1) as aside:
            starting = aside.submit(start_node, self._spec, kill.node)
            self._until(starting.done)
            report = starting.result()
        cut = f"; cut off what nobody had acknowledged: {report.cut}" if report.cut else ""
        self._timeline.add(time.monotonic(), "demo", f"{kill.node} is up, read-only, replicating from nobody{cut}")
        look = _Looks(self._spec, kill.node)
        if not self._until(look.is_healthy, REJOIN_S_MAX):
            return look.complaint
        self._timeline.add(
            time.monotonic(), "demo", f"{kill.node} is a healthy replica of {look.source}, caught up", "bold green"
        )
        return ""

    def _until_time(self, moment: float) -> None:
        self._until(lambda: time.monotonic() >= moment)

    def _until(self, done: Callable[[], bool], timeout_s: float = float("inf")) -> bool:
        """Keep the picture moving until `done`; False if that takes longer than `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while True:
            self._shops.check()
            self._guard.check()
            writes = len(self._shops.follower.read().writes)
            if done():
                return True
            now = time.monotonic()
            if now > deadline:
                return False
            elapsed = min(now - self._began, self._seconds)
            self._bar.to(elapsed, self._seconds, f"{elapsed:.1f} s, {writes:,} writes acknowledged")
            if self._timeline is not None:
                self._timeline.tell()
            time.sleep(_POLL_S)


class _Looks:
    """Looks at one node now and then, and remembers what was wrong with it."""

    def __init__(self, spec: ClusterSpec, node: str) -> None:
        self._spec = spec
        self._node = node
        self._next = 0.0
        self.complaint = "not looked at yet"
        self.source = ""

    def is_healthy(self) -> bool:
        if time.monotonic() < self._next:
            return False
        seen = status(observe_once(self._spec, _record(self._spec), _secrets(self._spec)))
        self._next = time.monotonic() + _LOOK_EVERY_S
        node = next(node for node in seen.nodes if node.name == self._node)
        self.source = node.source or ""
        self.complaint = _complaint(node, seen.primary)
        return not self.complaint


def _complaint(node: NodeStatus, primary: str | None) -> str:
    if node.problems:
        return "; ".join(problem.sentence for problem in node.problems)
    if node.role is not Role.REPLICA or node.writable or node.source != primary or node.lag_ms is None:
        return f"{node.name} is {node.role.value}, its source is {node.source}, its lag {node.lag_ms} ms"
    if node.lag_ms > LAG_MS_MAX:
        return f"{node.name} is still {node.lag_ms} ms behind"
    return ""


def _record(spec: ClusterSpec) -> ClusterRecord:
    store = SqliteStore(spec.state_dir, create=False)
    try:
        record = store.load()
    finally:
        store.close()
    if record is None:
        raise ExecutionFailed("demo", None, "the cluster's record is gone")
    return record


def _secrets(spec: ClusterSpec) -> Secrets:
    secrets = load_secrets(spec.state_dir)
    if secrets is None:
        raise ExecutionFailed("demo", None, "the cluster's passwords are gone")
    return secrets


def _at(write: Write) -> float:
    return write.at
