"""The kinds of failure of `failover.py`: how each one strikes the primary, and how its host brings it back."""

from __future__ import annotations

import subprocess
from abc import ABC, abstractmethod
from pathlib import Path

from machine import COMMAND, REPOSITORY

from replclus.model.spec import Flavour
from replclus.sandbox import Sandbox, create
from tests.clusters import Cluster


class Kind(ABC):
    """`p50_s` and `p99_s` are what is promised of the write outage; None where nothing is."""

    name: str
    what: str
    p50_s: float | None
    p99_s: float
    runs = 30
    replicas = 3
    planned = False

    def build(self, directory: Path, flavour: Flavour) -> Sandbox:
        return create(directory, flavour=flavour, replicas=self.replicas)

    @abstractmethod
    def strike(self, cluster: Cluster, primary: str) -> None: ...

    def heal(self, cluster: Cluster, victim: str) -> None:
        """As the host's service manager would: start it again, its unacknowledged tail cut off first."""
        cluster.start(victim)


class Kill(Kind):
    name, what = "kill", "primary SIGKILLed"
    p50_s, p99_s, runs = 0.3, 1.0, 100

    def strike(self, cluster: Cluster, primary: str) -> None:
        cluster.kill(primary)


class Many(Kill):
    name, what = "many", "SIGKILL with 16 replicas"
    p50_s, p99_s, runs = 0.6, 1.5, 30
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


KINDS: dict[str, Kind] = {kind.name: kind for kind in (Kill(), Freeze(), Switchover(), Many())}
