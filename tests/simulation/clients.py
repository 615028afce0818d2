"""Applications: a router that follows the pulse, and one that has not heard of anything and writes wherever it can."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.clock import TTL_QUANTA

if TYPE_CHECKING:
    from tests.simulation.servers import Server
    from tests.simulation.world import World

POLL_QUANTA = 3


class Clients:
    """The router writes to the primary of the highest epoch that it has seen a new beat of within the routing TTL."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.epoch = 1
        self.primary = "n1"
        self.fresh_until = TTL_QUANTA
        self.beat = 0

    def work(self) -> None:
        world = self.world
        if world.now % POLL_QUANTA == 0:
            self._poll()
        luck = world.luck.random()
        if luck < 0.55 and world.now < self.fresh_until:
            self._write(world.servers[self.primary])
        elif luck > 0.85:
            for server in world.servers.values():
                if server.writable and not server.opened_by_person:
                    self._write(server)

    def _poll(self) -> None:
        world = self.world
        for server in world.servers.values():
            pulse = server.pulse
            if pulse is None or not server.running or not world.network.both("app", server.name):
                continue
            if (pulse.epoch, pulse.beat) > (self.epoch, self.beat):
                self.epoch, self.beat, self.primary = pulse.epoch, pulse.beat, pulse.primary
                self.fresh_until = world.now + TTL_QUANTA

    def _write(self, server: Server) -> None:
        """What hangs before the binary log is not tried again and again."""
        if (
            server.running
            and server.writable
            and not server.offline
            and len(server.stuck) < 3
            and self.world.network.passes("app", server.name)
        ):
            server.commit()
