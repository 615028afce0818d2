"""From a seed to a world and what happens in it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from replclus.model.spec import Durability, Flavour, OnDivergence
from tests.simulation.faults import APP, Fault
from tests.simulation.world import Setting

FIRST_AT = 8
SAFETY_QUANTA = 60


@dataclass(frozen=True, slots=True)
class Story:
    setting: Setting
    faults: tuple[Fault, ...]
    quanta: int


def story(seed: int) -> Story:
    luck = random.Random(seed)  # noqa: S311  a seeded world, not a secret
    count = luck.choice((2, 3, 3, 3, 3, 4, 4, 5))
    hosts = luck.random()
    ours = tuple(hosts < 0.4 or (hosts < 0.65 and luck.random() < 0.5) for _ in range(count))
    plot = luck.choice(PLOTS)
    setting = Setting(
        flavour=luck.choice((Flavour.MYSQL, Flavour.MARIADB)),
        durability=Durability.AVAILABLE if luck.random() < 0.15 else Durability.LOSSLESS,
        ours=ours,
        cuts_tails=luck.random() < 0.7,
        on_divergence=luck.choice((OnDivergence.QUARANTINE, OnDivergence.QUARANTINE, OnDivergence.REBUILD)),
        lease=luck.random() < 0.5,
        watchdogs=2 if plot is two_watchdogs else 1,
    )
    faults = [*plot(luck), *(noise(luck) for _ in range(luck.choice((0, 0, 1, 1, 2))))]
    return Story(setting, tuple(faults), SAFETY_QUANTA)


def _when(luck: random.Random, first: int = FIRST_AT, last: int = 30) -> int:
    return luck.randint(first, last)


def _replica(luck: random.Random) -> str:
    return f"replica:{luck.randrange(4)}"


def _span(luck: random.Random) -> int:
    return luck.choice((2, 4, 8, 15, 25, 40))


def noise(luck: random.Random) -> Fault:
    """One more thing, anything."""
    at, who, span = _when(luck, 5, 45), luck.choice(("primary", _replica(luck), _replica(luck))), _span(luck)
    kind = luck.choice(
        (
            *("kill", "freeze", "hang", "slow", "cut", "delay", "trap", "restart-watchdog", "pause-watchdog", "fail-store"),
            *("open", "stop", "ask", "errant", "reset", "close", "break-applier", "pause", "replace", "unsafe", "lock"),
        )
    )
    match kind:
        case "slow":
            return Fault(at, kind, _replica(luck), span=span)
        case "cut":
            other = luck.choice(("w1", APP, _replica(luck), "rest"))
            return Fault(at, kind, who, other, span=span, number=luck.choice((0, 1, 2)))
        case "delay":
            return Fault(at, kind, who, span=span, number=luck.choice((1, 2, 3)))
        case "trap":
            return Fault(at, kind, span=span, number=luck.randrange(8))
        case "open" | "errant" | "reset" | "break-applier" | "replace":
            return Fault(at, kind, _replica(luck), number=luck.randrange(2))
        case "close" | "unsafe":
            return Fault(at, kind, "primary")
        case "lock":
            return Fault(at, kind, "primary", span=span)
        case "ask":
            return Fault(at, kind, who, luck.choice(("", "any")), number=luck.randrange(7))
        case "stop":
            return Fault(at, kind, _replica(luck), number=luck.randrange(3))
        case "fail-store":
            return Fault(at, kind, number=luck.randrange(2))
        case _:
            return Fault(at, kind, who, span=span)


# ---- plots: what usually goes wrong together ---------------------------------------------------------------------------


def primary_dies(luck: random.Random) -> list[Fault]:
    at = _when(luck)
    faults = [Fault(at, luck.choice(("kill", "kill", "freeze", "hang")), "primary", span=_span(luck))]
    if luck.random() < 0.5:
        faults.append(Fault(max(1, at - luck.randrange(12)), "slow", _replica(luck), span=20))
    if luck.random() < 0.5:
        faults.append(Fault(max(1, at - 1), "trap", span=10, number=luck.randrange(10)))
    if luck.random() < 0.4:
        faults.append(Fault(at + luck.randrange(15), luck.choice(("kill", "freeze")), "primary", span=_span(luck)))
    return faults


def partition(luck: random.Random) -> list[Fault]:
    """The primary with some on one side, the watchdog with the others."""
    at, span = _when(luck), luck.choice((10, 20, 35))
    side = ["primary"]
    if luck.random() < 0.6:
        side.append(_replica(luck))
    if luck.random() < 0.5:
        side.append(APP)
    other = luck.choice(("rest", "rest", "w1", _replica(luck), "w1+" + _replica(luck)))
    faults = [Fault(at, "cut", "+".join(side), other, span=span, number=luck.choice((0, 0, 1, 2)))]
    if luck.random() < 0.4:
        faults.append(Fault(at + luck.randrange(-3, 12), luck.choice(("kill", "freeze")), "primary", span=_span(luck)))
    if luck.random() < 0.3:
        faults.append(Fault(at + luck.randrange(-3, 12), "cut", _replica(luck), "rest", span=_span(luck)))
    return faults


def flapping(luck: random.Random) -> list[Fault]:
    """A link, or a server, that comes and goes."""
    kind, who = luck.choice(("cut", "cut", "freeze", "kill")), luck.choice(("primary", "primary", _replica(luck)))
    other = luck.choice(("rest", "w1", _replica(luck)))
    at, faults = _when(luck, 8, 15), []
    for _ in range(luck.randint(2, 6)):
        span = luck.randint(1, 6)
        faults.append(Fault(at, kind, who, other if kind == "cut" else "", span=span))
        at += span + luck.randint(1, 6)
    return faults


def replica_away(luck: random.Random) -> list[Fault]:
    """A replica is lost, stops to count as an acker, comes back; then the primary goes."""
    at, who = _when(luck, 6, 12), _replica(luck)
    kind = luck.choice(("kill", "kill", "freeze", "cut", "hang"))
    first = Fault(at, kind, who, luck.choice(("rest", "w1")) if kind == "cut" else "", span=luck.choice((5, 15, 30, 45)))
    last = Fault(at + luck.randrange(5, 35), luck.choice(("kill", "freeze", "kill")), "primary", span=_span(luck))
    slow = [Fault(at - 4, "slow", _replica(luck), span=30)] if luck.random() < 0.5 else []
    return [first, last, *slow]


def last_holder(luck: random.Random) -> list[Fault]:
    """One replica falls behind, the other alone holds what was acknowledged, and goes too; then the primary."""
    at = _when(luck, 6, 12)
    gone = at + luck.randint(2, 8)
    return [
        Fault(at, luck.choice(("hang", "hang", "slow", "cut")), "replica:0", "primary", span=luck.choice((15, 30, 50))),
        Fault(gone, luck.choice(("kill", "kill", "freeze")), "replica:1", span=luck.choice((2, 20, 50))),
        Fault(gone + luck.choice((1, 2, 4, 12, 14, 18)), luck.choice(("kill", "kill", "freeze")), "primary", span=_span(luck)),
    ]


def relay_lost(luck: random.Random) -> list[Fault]:
    """A replica starts anew with what it received and had not applied yet, and the primary goes before it is fetched again."""
    at = _when(luck, 8, 20)
    others = [Fault(at - 4, "hang", "replica:0", span=20)] if luck.random() < 0.6 else []
    return [
        Fault(at - luck.randint(1, 4), "slow", "replica:1", span=20),
        *others,
        Fault(at, "kill", "replica:1", span=luck.randint(1, 2), number=luck.randrange(2)),
        Fault(at + luck.randint(1, 4), luck.choice(("kill", "kill", "freeze")), "primary", span=luck.choice((2, 10, 40))),
    ]


def ringed(luck: random.Random) -> list[Fault]:
    at = _when(luck)
    faults = [Fault(at, "ring", span=_span(luck), number=luck.randrange(5))]
    if luck.random() < 0.6:
        faults.append(Fault(at + luck.randrange(8), "kill", luck.choice(("primary", _replica(luck))), span=_span(luck)))
    return faults


def switchover(luck: random.Random) -> list[Fault]:
    """A person wants another primary, and something goes wrong in the middle."""
    at = _when(luck, 6, 15)
    faults = [Fault(at, "ask", luck.choice(("primary", _replica(luck), _replica(luck))), luck.choice(("", "any")), number=0)]
    if luck.random() < 0.5:
        faults.append(Fault(at - 3, "slow", _replica(luck), span=luck.choice((6, 20))))
    if luck.random() < 0.7:
        who = luck.choice(("primary", _replica(luck)))
        faults.append(
            Fault(at + luck.randrange(6), luck.choice(("kill", "freeze", "cut", "hang")), who, "rest", span=_span(luck))
        )
    if luck.random() < 0.5:
        faults.append(Fault(at, "trap", span=luck.choice((4, 10)), number=luck.randrange(8)))
    return faults


def meddling(luck: random.Random) -> list[Fault]:
    """People with administrator's rights."""
    at, who = _when(luck, 6, 20), _replica(luck)
    kind = luck.choice(("open", "stop", "reset", "errant", "errant", "close", "break-applier", "replace"))
    faults = [Fault(at, kind, "primary" if kind == "close" else who, number=luck.randrange(3))]
    if luck.random() < 0.7:
        faults.append(
            Fault(at + luck.randrange(-2, 12), luck.choice(("kill", "freeze", "cut")), "primary", "rest", span=_span(luck))
        )
    if luck.random() < 0.4:
        faults.append(Fault(at + luck.randrange(15), "ask", who, luck.choice(("", "any")), number=luck.randrange(7)))
    return faults


def two_watchdogs(luck: random.Random) -> list[Fault]:
    """One loses the lock while it works, perhaps because it was paused."""
    at = _when(luck)
    faults = [
        Fault(at, luck.choice(("kill", "freeze")), "primary", span=_span(luck)),
        Fault(at + luck.randrange(8), "lose-lock"),
    ]
    if luck.random() < 0.6:
        faults.append(Fault(at + luck.randrange(6), "pause-watchdog", span=luck.choice((3, 10, 25))))
    if luck.random() < 0.5:
        faults.append(Fault(at + luck.randrange(5, 20), "lose-lock"))
    return faults


def paused_watchdog(luck: random.Random) -> list[Fault]:
    """It sees the beginning, sleeps, and wakes up in another world."""
    at, span = _when(luck), luck.choice((3, 10, 20))
    who = luck.choice(("primary", "primary", _replica(luck)))
    return [
        Fault(at, luck.choice(("kill", "freeze", "cut")), who, "rest", span=luck.choice((2, 5, span))),
        Fault(at + luck.randrange(-2, 8), "pause-watchdog", span=span),
        Fault(at + luck.randrange(span + 10), luck.choice(("kill", "freeze")), _replica(luck), span=_span(luck)),
    ]


PLOTS: tuple[Callable[[random.Random], list[Fault]], ...] = (
    primary_dies,
    primary_dies,
    partition,
    partition,
    flapping,
    replica_away,
    replica_away,
    last_holder,
    relay_lost,
    ringed,
    switchover,
    meddling,
    two_watchdogs,
    paused_watchdog,
)
