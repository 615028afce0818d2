"""Many faults in a row: `python -m tests.faults.campaign partitions|noise|failovers [--flavour F] [--count N] [--seed N]`.

    partitions   random partitions, one-way cuts and rings: does anybody accept what another one may contradict?
    failovers    the primary is killed, frozen, cut off or stopped, again and again: is anything acknowledged ever lost?
    noise        minutes of what is no failure: is anybody promoted?

Each prints what was done, and its seed; exit 0 only if every promise was kept. The history of what was not is in build/faults.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from itertools import permutations
from pathlib import Path

import pymysql

from replclus.model.spec import Flavour
from replclus.sandbox import throw_away
from tests.faults.catalogue import Expect, Fault
from tests.faults.inject.cgroups import throttled
from tests.faults.inject.shim import Action, Call, Rule
from tests.faults.lab import WATCHDOG
from tests.faults.network import why_not
from tests.faults.preparing import both, clock, clocks_for, shim, shims_for
from tests.faults.run import Labs, Played
from tests.faults.scene import Scene

AT_ONCE = 8
"""So many faults are played under one load, and judged together."""
Step = Callable[[Scene, random.Random], str]


# ---- partitions ----------------------------------------------------------------------------------------------------


def partition(scene: Scene, chance: random.Random) -> str:
    """One partition for a few seconds. Returns what it was."""
    kind = chance.choice([_acker_with_primary, _two_sides, _two_sides, _three_sides, _one_way, _ring, _alone])
    said = kind(scene, chance)
    scene.wait(chance.uniform(1.0, 6.0))
    if chance.random() < 0.3:
        # The partition changes before it heals.
        said += f", then {_two_sides(scene, chance)}"
        scene.wait(chance.uniform(0.5, 4.0))
    return said


def _acker_with_primary(scene: Scene, chance: random.Random) -> str:
    one, *others = chance.sample(scene.replicas, len(scene.replicas))
    return _split(scene, [scene.primary, one, "c1"], [*others, WATCHDOG, "c2"])


def _two_sides(scene: Scene, chance: random.Random) -> str:
    members = chance.sample(scene.network.members, len(scene.network.members))
    place = chance.randrange(1, len(members))
    return _split(scene, members[:place], members[place:])


def _three_sides(scene: Scene, chance: random.Random) -> str:
    members = chance.sample(scene.network.members, len(scene.network.members))
    one, other = sorted(chance.sample(range(1, len(members)), 2))
    return _split(scene, members[:one], members[one:other], members[other:])


def _split(scene: Scene, *sides: list[str]) -> str:
    scene.network.split(*sides)
    return " | ".join(",".join(sorted(side)) for side in sides)


def _one_way(scene: Scene, chance: random.Random) -> str:
    """Each direction between two members is cut with the same chance, and the primary's to one replica certainly."""
    pairs = {pair for pair in permutations(scene.network.members, 2) if chance.random() < 0.25}
    pairs.add(tuple(chance.sample((scene.primary, chance.choice(scene.replicas)), 2)))  # type: ignore[arg-type]
    for sender, receiver in pairs:
        scene.network.cut(sender, receiver)
    return " ".join(f"{sender}>{receiver}" for sender, receiver in sorted(pairs))


def _ring(scene: Scene, chance: random.Random) -> str:
    """The servers and the watchdog in a ring: each sees the two beside it."""
    circle = chance.sample((*scene.names, WATCHDOG), len(scene.names) + 1)
    for place, name in enumerate(circle):
        neighbours = {circle[place - 1], circle[(place + 1) % len(circle)], name}
        scene.network.cut([other for other in circle if other not in neighbours], name)
    return f"ring {'-'.join(circle)}"


def _alone(scene: Scene, chance: random.Random) -> str:
    name = chance.choice(scene.network.members)
    scene.network.isolate(name)
    return f"{name} alone"


# ---- failovers -----------------------------------------------------------------------------------------------------


def failover(scene: Scene, chance: random.Random) -> str:
    """One failure of the primary, until somebody else serves."""
    kind = chance.choice([_kill, _kill, _stop, _freeze, _cut_off])
    old, epoch = scene.primary, scene.cluster.record.epoch
    scene.first_epoch = epoch
    kind(scene)
    began = time.monotonic()
    scene.promoted()
    return f"{kind.__name__.strip('_').replace('_', ' ')} {old}: {scene.primary} after {time.monotonic() - began:.1f} s"


def _kill(scene: Scene) -> None:
    scene.kill(scene.primary)


def _stop(scene: Scene) -> None:
    os.kill(scene.pid(scene.primary), signal.SIGTERM)


def _freeze(scene: Scene) -> None:
    scene.freeze(scene.primary)


def _cut_off(scene: Scene) -> None:
    scene.network.isolate(scene.primary)


# ---- noise ---------------------------------------------------------------------------------------------------------

NOISE_S = 12.0


def noise(scene: Scene, chance: random.Random) -> str:
    """Twelve seconds of one kind of noise, and a moment of rest."""
    kind = chance.choice([_pauses, _loss, _flaps, _slow_disk, _clocks, _starved, _full])
    for _ in kind(scene, chance):
        scene.quiet(0.2)
    scene.network.mend_all()
    scene.quiet(1.0)
    return kind.__name__.strip("_").replace("_", " ")


def _for_a_while() -> Iterator[None]:
    end = time.monotonic() + NOISE_S
    while time.monotonic() < end:
        yield


def _pauses(scene: Scene, chance: random.Random) -> Iterator[None]:
    for _ in _for_a_while():
        name = chance.choice(scene.names)
        scene.cluster.process(name).freeze()
        scene.wait(chance.uniform(0.1, 0.5))
        scene.cluster.process(name).thaw()
        yield


def _loss(scene: Scene, chance: random.Random) -> Iterator[None]:
    scene.network.lose(chance.choice([*scene.names, WATCHDOG]), 0.2)
    yield from _for_a_while()


def _flaps(scene: Scene, chance: random.Random) -> Iterator[None]:
    name = chance.choice([*scene.names, WATCHDOG])
    for _ in _for_a_while():
        scene.network.isolate(name)
        scene.wait(0.2)
        scene.network.mend_all()
        scene.wait(0.6)
        yield


def _slow_disk(scene: Scene, chance: random.Random) -> Iterator[None]:
    name = chance.choice(scene.names)
    shim(scene, name).obey(Rule(Call.SYNC, Action.DELAY, "*", 0.3))
    try:
        yield from _for_a_while()
    finally:
        shim(scene, name).rest()


def _clocks(scene: Scene, chance: random.Random) -> Iterator[None]:
    name = chance.choice(scene.names)
    for _ in _for_a_while():
        with clock(scene, name).moved(chance.choice([3600.0, -3600.0, 0.3, -0.3])):
            scene.wait(0.5)
        yield


def _starved(scene: Scene, chance: random.Random) -> Iterator[None]:
    name = chance.choice([*scene.names, WATCHDOG])
    pid = scene.watchdog.process.pid if name == WATCHDOG else scene.pid(name)
    with throttled(pid, 0.2):
        yield from _for_a_while()


def _full(scene: Scene, chance: random.Random) -> Iterator[None]:
    """The server has no connection left for anybody but administrators."""
    name = chance.choice(scene.names)
    with ExitStack() as held:
        admin = held.enter_context(scene.cluster.connect(name)).cursor()
        admin.execute("SELECT @@global.max_connections")
        ((before,),) = admin.fetchall()
        admin.execute("SET GLOBAL max_connections = 10")
        try:
            with suppress(pymysql.err.OperationalError):
                for _ in range(10):
                    held.enter_context(scene.cluster.connect(name))
            yield from _for_a_while()
        finally:
            admin.execute(f"SET GLOBAL max_connections = {before}")


# ---- playing -------------------------------------------------------------------------------------------------------


def play(name: str, flavour: Flavour, count: int, seed: int) -> bool:
    """True if every promise was kept."""
    began, done, ok = time.monotonic(), 0, True
    with throw_away("rlc-") as root:
        labs = Labs(Path(root))
        try:
            while done < count:
                played, done_now = _batch(labs, name, flavour, seed + done, min(AT_ONCE, count - done))
                print(f"  {played}", flush=True)
                done += done_now
                ok = ok and played.ok
        finally:
            labs.destroy()
    print(f"{name} on {flavour.value}: {done} in {time.monotonic() - began:.0f} s: {'kept' if ok else 'BROKEN'}", flush=True)
    return ok


def _batch(labs: Labs, name: str, flavour: Flavour, seed: int, size: int) -> tuple[Played, int]:
    """A few steps under one load. It ends early if a server has to be rebuilt."""
    step, expect = STEPS[name]
    done = 0

    def inject(scene: Scene) -> None:
        nonlocal done
        for number in range(size):
            print(f"    seed {seed + number}: {step(scene, random.Random(seed + number))}", flush=True)  # noqa: S311
            done += 1
            scene.heal(quarantine=True)
            if scene.serving() != scene.names:
                break

    prepare = both(shims_for("n1", "n2", "n3"), clocks_for("n1", "n2", "n3")) if name == "noise" else None
    fault = Fault(
        code=f"{name}-{seed}",
        sentence="",
        expect=expect,
        inject=inject,
        quarantine=name != "noise",
        before_load=prepare,
        direct=name != "noise",
    )
    return labs.play(fault, flavour), max(1, done)


STEPS: dict[str, tuple[Step, Expect]] = {
    "partitions": (partition, Expect.EITHER),
    "failovers": (failover, Expect.EITHER),
    "noise": (noise, Expect.NONE),
}
COUNTS = {"partitions": 100, "failovers": 250, "noise": 70}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=list(STEPS))
    parser.add_argument("--flavour", type=Flavour, action="append", choices=list(Flavour), help="both, if not given")
    parser.add_argument("--count", type=int, help="how many, of each family")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if reason := why_not():
        print(reason, file=sys.stderr)
        return 1
    run = partial(play, given.name, count=given.count or COUNTS[given.name], seed=given.seed)
    kept = [run(flavour) for flavour in given.flavour or list(Flavour)]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
