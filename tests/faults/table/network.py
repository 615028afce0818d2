"""Faults of the network."""

from __future__ import annotations

from tests.faults.catalogue import Expect, fault
from tests.faults.lab import WATCHDOG
from tests.faults.scene import Scene


@fault("N1", "The primary is cut off from everybody, in silence.", Expect.FAILOVER, ci=True)
def isolated(scene: Scene) -> None:
    scene.network.isolate(scene.primary)
    scene.promoted()


@fault("N5", "The primary and a replica are on one side, the other replica and the watchdog on the other.", Expect.NONE, ci=True)
def halves(scene: Scene) -> None:
    one, other = scene.replicas
    near = [scene.primary, one, "c1"]
    scene.network.split(near, [other, WATCHDOG, "c2"])
    scene.quiet()
