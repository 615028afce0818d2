"""Makes the story of a violation shorter: fewer faults, shorter ones, fewer servers, as long as the same law is broken."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from tests.simulation.play import play
from tests.simulation.scripts import Story

PLAYS_MAX = 400
"""How many worlds a shrinking may cost."""


def shrink(seed: int, story: Story, law: str) -> Story:
    """The shortest story found that still breaks the law. Luck is drawn anew in each quantum, so the rest stays as it was."""
    plays, wanted, again = 0, kind_of(law), True
    while again:
        again = False
        for shorter in _shorter(story):
            plays += 1
            if plays > PLAYS_MAX:
                return story
            broken = play(seed, shorter).law
            if broken is not None and kind_of(broken) == wanted:
                story, again = shorter, True
                break
    return story


def kind_of(law: str) -> str:
    """The law without names and numbers."""
    return re.sub(r"#?\bn?\d+\b", "_", law)[:60]


def _shorter(story: Story) -> Iterator[Story]:
    faults = story.faults
    for index in range(len(faults)):
        yield replace(story, faults=faults[:index] + faults[index + 1 :])
    if len(story.setting.ours) > 2:
        yield replace(story, setting=replace(story.setting, ours=story.setting.ours[:-1]))
    last = max((fault.at + fault.span for fault in faults), default=0)
    for quanta in (last + 1, story.quanta // 2):
        if quanta < story.quanta:
            yield replace(story, quanta=quanta)
    for index, fault in enumerate(faults):
        if fault.span > 2:
            shorter = replace(fault, span=fault.span // 2)
            yield replace(story, faults=(*faults[:index], shorter, *faults[index + 1 :]))
