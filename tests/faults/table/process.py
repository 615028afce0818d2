"""Faults of the servers' processes."""

from __future__ import annotations

from tests.faults.catalogue import Expect, fault
from tests.faults.scene import Scene


@fault("P1", "The primary is killed.", Expect.FAILOVER, ci=True)
def killed(scene: Scene) -> None:
    scene.kill(scene.primary)
    scene.promoted()
