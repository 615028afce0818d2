"""What a step of a plan does to a server: the meaning that `replclus.watchdog.executor` gives it.

Every action is a generator: each `yield` lets a quantum pass, `Failed` is what a ReplclusError is to the executor. A
statement may reach its server although the answer does not come back, and a frozen server carries it out when it thaws.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, assert_never

from replclus.failover.decision import (
    Action,
    CatchUp,
    CloseForWrites,
    Configure,
    Detach,
    Fence,
    Follow,
    FreeSenders,
    OpenForWrites,
    Promote,
    Publish,
    Reconnect,
    Salvage,
    Seed,
    StopReceiving,
    Swap,
    WaitApplied,
)
from replclus.model.gtid import GtidSet
from replclus.model.record import ClusterRecord
from tests.simulation import laws
from tests.simulation.clock import CLOSE_QUANTA, DRAIN_QUANTA_MAX, QUANTUM_S, STEP_QUANTA
from tests.simulation.servers import Server

if TYPE_CHECKING:
    from tests.simulation.watchdog import Watchdog
    from tests.simulation.world import World


Doing = Generator[None, None, None]


class Failed(Exception):
    """The step did not succeed, or nobody knows whether it did."""


def perform(dog: Watchdog, action: Action, record: ClusterRecord) -> Doing:
    """Carry out one action. Hands are one per server: a straggler that holds one is waited for, within bounds."""
    assert action.node is not None, "the record is never changed beside other actions"
    world = dog.world
    if isinstance(action, Seed):
        dog.begin_rebuild(world.servers[action.node], world.servers[action.source])
        return
    if isinstance(action, Fence):
        # A connection of its own: a fence waits for no earlier step.
        yield from _fence(dog, world.servers[action.node])
        dog.sight.note_fenced(action.node, record.epoch)
        return
    waited = 0
    while action.node in dog.busy:
        waited += 1
        if waited > STEP_QUANTA:
            raise Failed("an earlier step has not ended")
        yield
    dog.busy.add(action.node)
    try:
        yield from _on(dog, world.servers[action.node], action, record)
    finally:
        dog.busy.discard(action.node)


def _on(dog: Watchdog, server: Server, action: Action, record: ClusterRecord) -> Doing:
    match action:
        case StopReceiving():
            yield from _say(dog, server, "stop receiving")
        case Reconnect():
            if server.receiver:
                yield from _say(dog, server, "stop receiving")
                yield from _say(dog, server, "start receiving")
        case WaitApplied(timeout_s=timeout_s):
            yield from _wait_applied(dog, server, _quanta(timeout_s))
        case CatchUp(source=source, timeout_s=timeout_s):
            yield from _catch_up(dog, server, dog.world.servers[source], _quanta(timeout_s))
        case Promote():
            yield from _promote(dog, server)
        case OpenForWrites():
            yield from _say(dog, server, "open")
        case CloseForWrites(deadline_s=deadline_s):
            if not (yield from _close(dog, server, _quanta(deadline_s))):
                raise Failed("did not become read-only")
        case Publish():
            yield from _publish(dog, server, record)
        case Follow(source=source, covered=covered):
            yield from _follow(dog, server, source, covered)
        case Detach():
            yield from _detach(dog, server)
        case Configure():
            yield from _say(dog, server, "configure")
        case Salvage(source=source, timeout_s=timeout_s):
            yield from _salvage(dog, server, dog.world.servers[source], _quanta(timeout_s))
        case FreeSenders(source=source):
            # No connection of this world hangs in that way: there is nothing to end.
            yield from _reach(dog, dog.world.servers[source])
        case Swap() | Seed() | Fence():
            raise AssertionError("the record is never changed beside other actions")
        case never:
            assert_never(never)


def _quanta(seconds: float) -> int:
    return max(1, min(DRAIN_QUANTA_MAX, round(seconds / QUANTUM_S)))


def _fence(dog: Watchdog, server: Server) -> Doing:
    """By whatever is a proof: its host, or offline_mode. Read-only is none. Not if the record has changed its mind."""
    world, name = dog.world, server.name
    if world.record.primary == name and world.record.operation is None:
        raise Failed("it is the primary by the record now, so it is left alone")
    if world.ours[name]:
        yield from _kill(world, server)
    elif server.mysql:
        yield from _say(dog, server, "turn clients away")
    else:
        yield from _close(dog, server, CLOSE_QUANTA)
        raise Failed("nothing proves that it accepts no more writes")


def _kill(world: World, server: Server) -> Doing:
    world.kill(server)
    for _ in range(STEP_QUANTA):
        if not server.zombie:
            return
        yield
    raise Failed("its process is still there")


def _say(dog: Watchdog, server: Server, what: str, source: str = "") -> Doing:
    """Send one statement and wait for its answer."""
    world, network = dog.world, dog.world.network
    if not server.alive and not server.zombie and network.both(dog.name, server.name):
        raise Failed("connection refused")
    sent = done = False
    for _ in range(STEP_QUANTA):
        if not sent and network.passes(dog.name, server.name):
            sent = True
            if server.frozen:
                server.inbox.append((what, source))
                done = True
            elif server.alive:
                world.carry_out(server, what, source)
                done = True
        if done and server.running and network.passes(server.name, dog.name):
            return
        if not server.alive and not server.zombie and network.both(dog.name, server.name):
            raise Failed("the connection was cut")
        yield
    raise Failed("no answer")


def _reach(dog: Watchdog, server: Server) -> Doing:
    """Until the server answers a question."""
    for _ in range(STEP_QUANTA):
        if dog.world.network.both(dog.name, server.name):
            if server.running:
                return
            if not server.alive and not server.zombie:
                raise Failed("connection refused")
        yield
    raise Failed("no answer")


def _close(dog: Watchdog, server: Server, quanta: int) -> Generator[None, None, bool]:
    """Read-only within the deadline; it blocks behind a commit that waits."""
    for _ in range(quanta):
        yield from _reach(dog, server)
        if server.close():
            return True
        yield
    return False


def _wait_applied(dog: Watchdog, server: Server, quanta: int) -> Doing:
    started = False
    for _ in range(quanta):
        yield from _reach(dog, server)
        if server.source is None or not server.relay:
            return
        if not server.applier:
            if server.applier_errno or started:
                raise Failed("its applier stopped")
            if not (server.receiver or server.mysql):
                raise Failed("starting its applier would throw away what it received")
            server.start_applier()
            started = True
        yield
    raise Failed("has not applied all it received")


def _catch_up(dog: Watchdog, server: Server, source: Server, quanta: int) -> Doing:
    yield from _reach(dog, source)
    executed = source.look().executed
    for _ in range(quanta):
        yield from _reach(dog, server)
        if server.look().received.contains(executed):
            yield from _say(dog, server, "stop receiving")
            return
        yield
    raise Failed("has not received everything")


def _promote(dog: Watchdog, server: Server) -> Doing:
    yield from _reach(dog, server)
    if server.source is not None:
        yield from _say(dog, server, "stop receiving")
        yield from _wait_applied(dog, server, STEP_QUANTA)
        yield from _say(dog, server, "forget source")
    if not dog.world.lossless and server.waiting:
        raise Failed("commits wait for an acknowledgement")
    yield from _say(dog, server, "become source")


def _publish(dog: Watchdog, server: Server, record: ClusterRecord) -> Doing:
    yield from _reach(dog, server)
    row = dog.world.beat_row(record.primary, record.epoch)
    if not server.writable or (server.pulse is not None and server.pulse.epoch > row.epoch):
        raise Failed("it takes no pulse")
    bit = 0 if dog.world.beat_waits(server) else server.commit(row)
    for _ in range(STEP_QUANTA):
        if bit and server.executed & bit and server.running and dog.world.network.passes(server.name, dog.name):
            return
        yield
    raise Failed("the first beat was not acknowledged")


def _follow(dog: Watchdog, server: Server, source: str, covered: GtidSet | None = None) -> Doing:
    lossless = dog.world.lossless
    if not (yield from _close(dog, server, CLOSE_QUANTA)):
        raise Failed("it cannot be made read-only")
    if server.source_on and server.waiting:
        raise Failed("commits wait for an acknowledgement")
    laws.nothing_diverged_is_attached(dog, server, source)
    if server.source == source and server.ack_on == lossless:
        yield from _say(dog, server, "start")
        return
    stopped = not (server.mysql or server.receiver or server.applier or server.applier_errno)
    if server.source is not None and not (stopped and covered is not None and covered.contains(server.look().received)):
        yield from _say(dog, server, "stop receiving")
        yield from _wait_applied(dog, server, STEP_QUANTA)
    yield from _say(dog, server, "follow", source)


def _detach(dog: Watchdog, server: Server) -> Doing:
    yield from _reach(dog, server)
    if server.source is None:
        return
    yield from _say(dog, server, "stop receiving")
    for _ in range(STEP_QUANTA):
        if not (server.relay and server.applier):
            break
        yield
    yield from _say(dog, server, "stop replicating")


def _salvage(dog: Watchdog, server: Server, dead: Server, quanta: int) -> Doing:
    """From the files of a server that is down, where its host is ours."""
    if not dog.world.ours[dead.name]:
        raise Failed("its host is not ours")
    for _ in range(min(quanta, 2)):
        yield
    yield from _reach(dog, server)
    if dead.alive:
        raise Failed("it runs again")
    server.salvage(dead.executed & ~server.everything)


def statement(server: Server, what: str, source: str, *, lossless: bool) -> None:
    """What a server does when it is told so."""
    match what:
        case "stop receiving":
            if server.source is not None and server.receiver:
                if not (server.applier or server.applier_errno or server.mysql):
                    server.start_applier()
                server.stop_receiver()
        case "start receiving":
            if server.source is not None and not server.receiver:
                server.start_receiver()
        case "forget source":
            server.change_source(None)
        case "become source":
            server.source_on, server.ack_on, server.unsafe_by_person = lossless, False, False
        case "open":
            server.writable, server.opened_by_person, server.offline = True, False, False
            server.leased, server.pulse_at = server.world.setting.lease, server.world.now
        case "turn clients away":
            server.offline = True
        case "start":
            server.offline = server.leased = False
            if not server.receiver:
                server.start_receiver()
            server.leave_source_role()
            if not server.applier:
                server.start_applier()
        case "follow":
            server.offline = server.leased = False
            server.change_source(source)
            server.receiver = server.applier = True
            server.ack_on = lossless
            server.leave_source_role()
        case "configure":
            server.unsafe_by_person = False
            if server.writable:
                server.source_on = lossless
        case "stop replicating":
            server.stop_receiver()
            server.stop_applier()
        case _:
            raise AssertionError(what)
    server.changed()
