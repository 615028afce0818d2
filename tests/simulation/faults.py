"""What happens to a world: a script, drawn from the seed beforehand, so that it can be shrunk line by line.

A fault names roles, not servers, where it can: "primary" is whoever that is when it happens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from replclus.model.record import RequestKind

if TYPE_CHECKING:
    from tests.simulation.servers import Server
    from tests.simulation.world import World

APP = "app"
FOREVER = 10_000


@dataclass(frozen=True, slots=True)
class Fault:
    """`span` is how many quanta it lasts, where it ends by itself. `number` is for whatever else the kind needs to know."""

    at: int
    kind: str
    who: str = "primary"
    other: str = ""
    span: int = 0
    number: int = 0

    def __str__(self) -> str:
        lasting = f" for {self.span} quanta" if self.span else ""
        return f"at {self.at}: {self.kind} {self.who}{' ' + self.other if self.other else ''}{lasting} ({self.number})"


class Script:
    """Carries faults out when their time has come, and ends them."""

    def __init__(self, world: World, faults: tuple[Fault, ...]) -> None:
        self.world = world
        self._left = sorted(faults, key=lambda fault: fault.at)
        self._ends: list[tuple[int, Callable[[], None]]] = []

    def work(self) -> None:
        now = self.world.now
        if self._ends:
            for end in [end for at, end in self._ends if at <= now]:
                end()
            self._ends = [(at, end) for at, end in self._ends if at > now]
        while self._left and self._left[0].at <= now:
            fault = self._left.pop(0)
            self.world.tell(f"* {fault}")
            end = KINDS[fault.kind](self.world, fault)
            if end is not None and fault.span:
                self._ends.append((now + fault.span, end))

    @property
    def done(self) -> bool:
        return not self._left and not self._ends


End = Callable[[], None] | None


def _servers(world: World, who: str) -> list[Server]:
    """The servers that a role stands for: a name, "primary", "old" (the claimed one's), "replica:K", "all", "replicas"."""
    primary = world.record.primary
    others = [server for name, server in world.servers.items() if name != primary]
    match who.split(":"):
        case ["primary"]:
            return [world.servers[primary]]
        case ["replica", number]:
            return [others[int(number) % len(others)]]
        case ["replicas"]:
            return others
        case ["all"]:
            return list(world.servers.values())
        case _:
            return [world.servers[who]]


def _kill(world: World, fault: Fault) -> End:
    killed = _servers(world, fault.who)
    for server in killed:
        server.kill()

    def end() -> None:
        for server in killed:
            if not server.alive:
                world.start(server, lose_relay=bool(fault.number))

    return end


def _freeze(world: World, fault: Fault) -> End:
    frozen = [server for server in _servers(world, fault.who) if server.alive]
    for server in frozen:
        server.frozen = True

    def end() -> None:
        for server in frozen:
            if server.frozen:
                server.thaw()

    return end


def _hang(world: World, fault: Fault) -> End:
    hung = [server for server in _servers(world, fault.who) if server.alive]
    for server in hung:
        server.hung = True

    def end() -> None:
        for server in hung:
            server.unhang()

    return end


def _slow(world: World, fault: Fault) -> End:
    slow = _servers(world, fault.who)
    for server in slow:
        server.quick = False

    def end() -> None:
        for server in slow:
            server.quick = True

    return end


def _everyone(world: World) -> list[str]:
    return [*world.servers, *world.watchdogs, APP]


def _side(world: World, text: str) -> list[str]:
    """`primary+replica:0+w1`; "rest" is everybody else."""
    names: list[str] = []
    for word in text.split("+"):
        if word in world.watchdogs or word == APP:
            names.append(word)
        elif word:
            names.extend(server.name for server in _servers(world, word))
    return names


def _cut(world: World, fault: Fault) -> End:
    """`number`: 0 both directions, 1 only from `who` to `other`, 2 only back."""
    here = _side(world, fault.who)
    there = [name for name in _everyone(world) if name not in here] if fault.other == "rest" else _side(world, fault.other)
    network = world.network
    before = set(network.cuts)
    if fault.number != 2:
        network.cut(here, there, world.now)
    if fault.number != 1:
        network.cut(there, here, world.now)
    made = set(network.cuts) - before

    def end() -> None:
        for pair in made:
            network.cuts.pop(pair, None)

    return end


def _ring(world: World, fault: Fault) -> End:
    """Everybody sees only its neighbours."""
    names = list(world.servers)
    network, before = world.network, set(world.network.cuts)
    for i, one in enumerate(names):
        for j, other in enumerate(names):
            if i < j and j - i not in (1, len(names) - 1):
                network.part((one,), (other,), world.now)
    # The watchdog and the applications sit beside one of them each.
    beside = names[fault.number % len(names)]
    network.part(("w1",), [name for name in names if name != beside], world.now)
    made = set(network.cuts) - before

    def end() -> None:
        for pair in made:
            network.cuts.pop(pair, None)

    return end


def _delay(world: World, fault: Fault) -> End:
    pairs = [
        pair
        for one in _side(world, fault.who)
        for other in (_side(world, fault.other) if fault.other else _everyone(world))
        for pair in ((one, other), (other, one))
    ]
    for pair in pairs:
        world.network.slow[pair] = fault.number

    def end() -> None:
        for pair in pairs:
            world.network.slow.pop(pair, None)

    return end


# ---- the watchdog and its store --------------------------------------------------------------------------------------


def _trap(world: World, fault: Fault) -> End:
    """The watchdog dies before the `number`-th action from now, or at the end of the span without one."""
    dog = world.watchdogs[world.lock_holder]
    dog.trap = fault.number

    def end() -> None:
        dog.trap = None
        if not dog.alive:
            world.tell(f"{dog.name} is started again")
            dog.start()

    return end


def _restart_watchdog(world: World, fault: Fault) -> End:
    dog = world.watchdogs[world.lock_holder]
    dog.kill()
    return lambda: None if dog.alive else dog.start()


def _pause_watchdog(world: World, fault: Fault) -> End:
    dog = world.watchdogs[world.lock_holder]
    dog.paused = True

    def end() -> None:
        dog.paused = False

    return end


def _lose_lock(world: World, fault: Fault) -> End:
    """Another watchdog takes over, and the first does not know yet."""
    names = list(world.watchdogs)
    world.lock_holder = names[(names.index(world.lock_holder) + 1) % len(names)]
    taker = world.watchdogs[world.lock_holder]
    if not taker.alive:
        taker.start()
    return None


def _fail_store(world: World, fault: Fault) -> End:
    """The next change of the record fails (1), or succeeds and says that it failed (2)."""
    world.store_fails = 1 + fault.number
    return None


# ---- people ----------------------------------------------------------------------------------------------------------


def _open_by_hand(world: World, fault: Fault) -> End:
    for server in _servers(world, fault.who):
        if server.running and not server.writable:
            server.writable = server.opened_by_person = True
            server.changed()
            if fault.number:
                server.write_errant()
    return None


def _close_by_hand(world: World, fault: Fault) -> End:
    for server in _servers(world, fault.who):
        if server.running:
            server.close()
    return None


def _stop_by_hand(world: World, fault: Fault) -> End:
    """0: the receiver, 1: the applier, 2: both."""
    for server in _servers(world, fault.who):
        if server.running and server.source is not None:
            if fault.number != 1:
                server.stop_receiver()
            if fault.number != 0:
                server.stop_applier()
    return None


def _break_applier(world: World, fault: Fault) -> End:
    for server in _servers(world, fault.who):
        if server.running and server.source is not None:
            server.applier, server.applier_errno = False, 1062
            server.changed()
    return None


def _reset_by_hand(world: World, fault: Fault) -> End:
    """RESET SLAVE ALL; `number` 1: STOP SLAVE and START SLAVE, which loses a MariaDB server's relay logs.

    Between two looks nobody can see the latter. What a person throws away like that is not promised any more.
    """
    for server in _servers(world, fault.who):
        if server.running and server.source is not None and not server.writable:
            if fault.number:
                if server.source == world.record.primary and server.receiver:
                    had = server.everything
                    server.stop_receiver()
                    server.stop_applier()
                    server.start_receiver()
                    server.start_applier()
                    world.acknowledged &= ~(had & ~server.everything)
            else:
                server.change_source(None)
    return None


def _write_errant(world: World, fault: Fault) -> End:
    for server in _servers(world, fault.who):
        if server.running and not server.hung and server.name != world.record.primary and not server.source_on:
            server.write_errant()
    return None


def _switch_semi_sync_off(world: World, fault: Fault) -> End:
    """On the primary: whoever waits is answered OK, and so is everybody after that. No promise covers it."""
    for server in _servers(world, fault.who):
        if server.running and server.writable and server.source_on:
            server.unsafe_by_person = True
            server.leave_source_role()
            server.changed()
    return None


def _lock_globally(world: World, fault: Fault) -> End:
    """FLUSH TABLES WITH READ LOCK."""
    locked = [server for server in _servers(world, fault.who) if server.running]
    for server in locked:
        server.locked = True
        server.changed()

    def end() -> None:
        for server in locked:
            if server.locked and not server.hung:
                server.unhang()
                server.changed()

    return end


def _replace_server(world: World, fault: Fault) -> End:
    for server in _servers(world, fault.who):
        if server.name != world.record.primary and world.record.operation is None:
            server.become_another()
    return None


REQUESTS = (
    RequestKind.SWITCHOVER,
    RequestKind.SWITCHOVER,
    RequestKind.FAILOVER,
    RequestKind.REJOIN,
    RequestKind.DRAIN,
    RequestKind.UNDRAIN,
    RequestKind.REBUILD,
)


def _ask(world: World, fault: Fault) -> End:
    kind = REQUESTS[fault.number % len(REQUESTS)]
    to = _servers(world, fault.who)[0].name
    free = kind in (RequestKind.SWITCHOVER, RequestKind.FAILOVER) and fault.other == "any"
    world.ask(kind, None if free else to)
    return None


def _pause_cluster(world: World, fault: Fault) -> End:
    world.ask(RequestKind.PAUSE)
    return lambda: world.ask(RequestKind.RESUME)


KINDS: dict[str, Callable[[World, Fault], End]] = {
    "kill": _kill,
    "freeze": _freeze,
    "hang": _hang,
    "slow": _slow,
    "cut": _cut,
    "ring": _ring,
    "delay": _delay,
    "trap": _trap,
    "restart-watchdog": _restart_watchdog,
    "pause-watchdog": _pause_watchdog,
    "lose-lock": _lose_lock,
    "fail-store": _fail_store,
    "open": _open_by_hand,
    "close": _close_by_hand,
    "stop": _stop_by_hand,
    "break-applier": _break_applier,
    "reset": _reset_by_hand,
    "errant": _write_errant,
    "replace": _replace_server,
    "unsafe": _switch_semi_sync_off,
    "lock": _lock_globally,
    "ask": _ask,
    "pause": _pause_cluster,
}
