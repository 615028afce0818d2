"""Plays one story to its end."""

from __future__ import annotations

from dataclasses import dataclass

from replclus.failover.invariants import Violation
from tests.simulation.faults import Script
from tests.simulation.scripts import Story
from tests.simulation.world import World


@dataclass(frozen=True, slots=True)
class Outcome:
    """`law` is the sentence of the law that was broken, None if none was. `log` is empty unless it was asked for."""

    seed: int
    law: str | None
    quanta: int
    log: tuple[str, ...] = ()


def play(seed: int, story: Story, *, talkative: bool = False) -> Outcome:
    world = World(seed, story.setting, talkative=talkative)
    script = Script(world, story.faults)
    law: str | None = None
    try:
        while world.now < story.quanta:
            script.work()
            world.step()
        world.tell("* everything heals")
        world.heal()
        world.come_to_rest()
    except Violation as violation:
        law = str(violation)
        world.tell(f"VIOLATION: {law}")
    return Outcome(seed, law, world.now, tuple(world.log or ()))
