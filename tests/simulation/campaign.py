"""Many seeds over several processes. A failing one is shrunk, and told with the command that replays it."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.simulation.play import Outcome, play
from tests.simulation.scripts import Story, story
from tests.simulation.shrink import shrink

CHUNK = 100
SHRUNK_MAX = 5
"""So many failing seeds are shrunk and told; the others are only counted."""
COMMAND = "python -m tests.simulation"


@dataclass(frozen=True, slots=True)
class Result:
    """`failed` holds the outcomes in which a law was broken, by seed."""

    seeds: int
    quanta: int
    failed: tuple[Outcome, ...]
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.seeds} seeds, {self.quanta * 0.1 / 3600:.1f} hours of simulated time, {self.seconds:.0f} s:"
            f" {len(self.failed)} violations"
        )


def run(first: int, seeds: int, processes: int = 2) -> Result:
    began = time.monotonic()
    chunks = [range(at, min(at + CHUNK, first + seeds)) for at in range(first, first + seeds, CHUNK)]
    quanta, failed = 0, []
    for chunk_quanta, chunk_failed in _spread(chunks, processes):
        quanta += chunk_quanta
        failed += chunk_failed
    failed.sort(key=lambda outcome: outcome.seed)
    return Result(seeds, quanta, tuple(failed), time.monotonic() - began)


def _spread(chunks: Iterable[range], processes: int) -> Iterator[tuple[int, list[Outcome]]]:
    if processes == 1:
        yield from map(_play_chunk, chunks)
        return
    # Forking would copy whatever threads and locks the tests of this process have.
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(_play_chunk, chunks)


def _play_chunk(seeds: range) -> tuple[int, list[Outcome]]:
    outcomes = [play(seed, story(seed)) for seed in seeds]
    return sum(outcome.quanta for outcome in outcomes), [outcome for outcome in outcomes if outcome.law is not None]


def explain(failed: tuple[Outcome, ...]) -> str:
    """What a person needs to go on: the law, the shortest story found, its log, and the command."""
    told = []
    for outcome in failed[:SHRUNK_MAX]:
        assert outcome.law is not None
        told.append(tell(outcome.seed, shrink(outcome.seed, story(outcome.seed), outcome.law)))
    if len(failed) > SHRUNK_MAX:
        told.append(f"and {len(failed) - SHRUNK_MAX} more seeds: {[outcome.seed for outcome in failed[SHRUNK_MAX:50]]}")
    return "\n\n".join(told)


def tell(seed: int, told: Story) -> str:
    outcome = play(seed, told, talkative=True)
    setting = told.setting
    where = ", ".join(f"n{i + 1} {'ours' if ours else 'not ours'}" for i, ours in enumerate(setting.ours))
    return "\n".join(
        (
            f"seed {seed}: {outcome.law or 'all laws were kept'}",
            f"  {setting.flavour.value}, {setting.durability.value}, {where},"
            f" tails {'cut off' if setting.cuts_tails else 'kept'}, {setting.watchdogs} watchdogs",
            *(f"  {fault}" for fault in told.faults),
            *(f"    {line}" for line in outcome.log[-80:]),
            f"  replay: {COMMAND} {seed}",
        )
    )
