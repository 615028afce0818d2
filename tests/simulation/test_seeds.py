"""Seeded worlds: a safety phase in which things break, then a liveness phase in which they heal.

A failing seed prints the command that replays it and the world's log.
"""

from __future__ import annotations

import os

import pytest

from replclus.failover.invariants import Violation
from tests.simulation.world import World

SEEDS = int(os.environ.get("SEEDS", "300"))
FIRST = int(os.environ.get("SEED", "0"))
SAFETY_TICKS = 60
LIVENESS_TICKS = 150


def play(seed: int, *, partitions: bool, nodes: int) -> World:
    """One world from beginning to end; raises Violation with its log."""
    world = World(seed, nodes=nodes, partitions=partitions)
    try:
        for _ in range(SAFETY_TICKS):
            world.disturb()
            world.check()
            world.tick()
            world.check()
        world.heal()
        for _ in range(LIVENESS_TICKS):
            for server in world.servers.values():
                world._fetch(server)
            world.tick()
            world.check()
            if world.settled():
                return world
        raise Violation("the cluster did not settle after everything healed")
    except Violation as violation:
        story = "\n".join(world.log[-60:])
        raise Violation(f"{violation}\nreplay: SEED={seed} SEEDS=1 pytest {__file__}\n{story}") from violation


@pytest.mark.parametrize("partitions", [False, True], ids=["kills", "partitions"])
@pytest.mark.parametrize("nodes", [2, 3, 4])
def test_seeds(nodes: int, partitions: bool) -> None:
    for seed in range(FIRST, FIRST + SEEDS):
        play(seed, partitions=partitions, nodes=nodes)
