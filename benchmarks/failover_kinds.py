"""The kinds of failure of `failover.py`: how each one strikes the primary, and how its host brings it back."""

from __future__ import annotations

import os
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from machine import COMMAND, REPOSITORY

from replclus.model.spec import Flavour
from replclus.sandbox import Sandbox, create
from replclus.sandbox.options import first_start
from tests.clusters import Cluster, WatchdogProcess, eventually, initialised
from tests.faults.inject.launching import equip
from tests.faults.inject.shim import Action, Call, Rule, Shim, compile_shim
from tests.faults.lab import CLIENTS, Lab, make_lab


@dataclass(frozen=True, slots=True)
class World:
    """A cluster, how its watchdog is started, what clients connect to, and what stands before a client's command."""

    cluster: Cluster
    watchdog: Callable[[], AbstractContextManager[WatchdogProcess]]
    address: str
    client_prefix: tuple[str, ...] = ()


class Kind(ABC):
    """`p50_s` and `p99_s` are what is promised of the write outage, `back_s` of the victim's return; None where nothing is."""

    name: str
    what: str
    p50_s: float | None
    p99_s: float
    back_s: float | None = None
    runs = 30
    replicas = 3
    planned = False

    @contextmanager
    def world(self, directory: Path, flavour: Flavour) -> Iterator[World]:
        """All on this machine; the watchdog can kill servers, as on hosts that are its own."""
        sandbox = create(directory, flavour=flavour, replicas=self.replicas)
        try:
            yield _world(sandbox)
        finally:
            sandbox.destroy()

    @abstractmethod
    def strike(self, cluster: Cluster, primary: str) -> None: ...

    def heal(self, cluster: Cluster, victim: str) -> None:
        """As the host's service manager would: start it again, its unacknowledged tail cut off first."""
        cluster.start(victim)


def _world(sandbox: Sandbox) -> World:
    cluster = initialised(sandbox)
    return World(cluster, cluster.watchdog, str(sandbox.config))


class Kill(Kind):
    name, what = "kill", "primary SIGKILLed"
    p50_s, p99_s, back_s, runs = 0.3, 1.0, 5.0, 100

    def strike(self, cluster: Cluster, primary: str) -> None:
        cluster.kill(primary)


class Stop(Kind):
    """As a service manager stops it; nobody has told the watchdog."""

    name, what = "stop", "primary stopped cleanly (SIGTERM)"
    p50_s, p99_s = None, 3.0

    def strike(self, cluster: Cluster, primary: str) -> None:
        os.kill(int(cluster.process(primary).pid_file.read_text()), signal.SIGTERM)

    def heal(self, cluster: Cluster, victim: str) -> None:
        process = cluster.process(victim)
        eventually(lambda: not process.is_running(), "the stopped one is gone", within_s=60)
        super().heal(cluster, victim)


class Many(Kill):
    name, what = "many", "SIGKILL with 16 replicas"
    p50_s, p99_s, back_s, runs = 0.6, 1.5, None, 30
    replicas = 16


class Freeze(Kind):
    name, what = "freeze", "primary frozen (SIGSTOP)"
    p50_s, p99_s = 1.8, 3.0

    def strike(self, cluster: Cluster, primary: str) -> None:
        cluster.process(primary).freeze()

    def heal(self, cluster: Cluster, victim: str) -> None:
        process = cluster.process(victim)
        if process.is_running():
            process.thaw()
        super().heal(cluster, victim)


class Switchover(Kind):
    name, what = "switchover", "planned switchover"
    p50_s, p99_s, planned = 0.1, 0.4, True

    def strike(self, cluster: Cluster, primary: str) -> None:
        command = [*COMMAND, "switchover", "-c", str(cluster.sandbox.config)]
        ended = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
        if ended.returncode:
            raise RuntimeError(f"the switchover was refused: {ended.stderr.strip()}")

    def heal(self, cluster: Cluster, victim: str) -> None:
        """Nothing is broken."""


class Drop(Kind):
    """Every server, the watchdog and the client have a network namespace each. Nothing reaches the primary but packets."""

    name, what = "drop", "primary silently cut off (DROP)"
    p50_s, p99_s = 1.8, 3.0
    _lab: Lab

    @contextmanager
    def world(self, directory: Path, flavour: Flavour) -> Iterator[World]:
        self._lab = lab = make_lab(directory, flavour, replicas=self.replicas)
        try:
            yield World(lab.cluster, lab.watchdog, lab.url, tuple(lab.network.inside(CLIENTS[0])))
        finally:
            lab.destroy()

    def strike(self, cluster: Cluster, primary: str) -> None:
        self._lab.network.isolate(primary)

    def heal(self, cluster: Cluster, victim: str) -> None:
        """Commits may wait on it that nobody will acknowledge, so it comes back as after a power cycle."""
        cluster.kill(victim)
        self._lab.network.mend_all()
        super().heal(cluster, victim)


class Disk(Kind):
    """A shim between each server and its system calls: on the primary every fsync begins and does not end."""

    name, what = "disk", "primary's fsyncs hang"
    p50_s, p99_s = None, 4.0
    _shims: dict[str, Shim]

    @contextmanager
    def world(self, directory: Path, flavour: Flavour) -> Iterator[World]:
        sandbox = create(directory, flavour=flavour, replicas=self.replicas)
        try:
            sandbox.stop()
            self._shims = {}
            for place in sandbox.places:
                self._shims[place.name] = compile_shim(place.directory)
                equip(place.directory, [self._shims[place.name].equipment()])
                sandbox.process(place.name).start(options=first_start(flavour))
            yield _world(sandbox)
        finally:
            sandbox.destroy()

    def strike(self, cluster: Cluster, primary: str) -> None:
        self._shims[primary].obey(Rule(Call.SYNC, Action.HANG, "*"))

    def heal(self, cluster: Cluster, victim: str) -> None:
        cluster.kill(victim)
        self._shims[victim].rest()
        super().heal(cluster, victim)


KINDS: dict[str, Kind] = {kind.name: kind for kind in (Kill(), Stop(), Freeze(), Drop(), Disk(), Switchover(), Many())}
