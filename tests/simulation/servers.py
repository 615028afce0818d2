"""One database server, as far as the deciding room relies on it. Both families; what differs is said where it differs.

Sets of transactions are bits (`transactions`). `executed` is committed; `waiting` is in the binary log and not committed,
because nobody has acknowledged it yet (AFTER_SYNC); `relay` is received and not applied. Time is counted in quanta.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from replclus.model.observation import Applier, Channel, Facts, Identity, Receiver, SemiSync, Version
from replclus.model.spec import Flavour
from replclus.model.topology import PulseRow
from tests.simulation.clock import LEASE_QUANTA, NET_TIMEOUT
from tests.simulation.transactions import lowest, uuid_of

if TYPE_CHECKING:
    from tests.simulation.world import World

DEAF_GRACE = 2
"""Quanta for which a source goes on sending although nothing comes back (its TCP window)."""

SOURCE_LACKS_IT = 1236
OUT_OF_ORDER = 1950
PORT = 3306
CLUSTER = "c1"


class Server:
    """`opened_by_person` marks a server that somebody made writable behind the cluster's back: no promise covers that."""

    def __init__(self, world: World, index: int) -> None:
        self.world = world
        self.index = index
        self.name = f"n{index + 1}"
        self.mysql = world.flavour is Flavour.MYSQL
        self.alive = True
        self.zombie = False  # killed while its disk hung: gone for everybody, and still a process
        self.frozen = False
        self.hung = False
        self.locked = False  # a person holds a global lock: commits wait for it
        self.writable = False
        self.opened_by_person = False
        self.unsafe_by_person = False  # its semi-sync was switched off behind the cluster's back
        self.offline = False  # fenced by offline_mode: it answers administrators only
        self.leased = False  # opened by the watchdog: it turns itself read-only when no pulse comes for the lease
        self.pulse_at = 0
        self.source_on = False
        self.ack_on = False
        self.executed = self.waiting = self.relay = 0
        self.stuck: list[PulseRow | None] = []  # commits that hang before the binary log
        self.acks = 0
        self.source: str | None = None
        self.receiver = self.applier = False
        self.connected = self.acking = False
        self.heard_at = self.heartbeats = 0
        self.boots = 0
        self.connected_to = 0  # which life of the source
        self.receiver_errno = self.applier_errno = 0
        self.pulse: PulseRow | None = None
        self.top = 0  # the highest number in its binary log: of its own on MySQL, of the domain on MariaDB
        self.inbox: list[tuple[str, str]] = []  # statements that reached it while it was frozen
        self.quick = True
        self.identity = identity(index, world.flavour, CLUSTER)
        self.foreign_since: int | None = None
        self.facts: Facts | None = None

    # ---- what it has -------------------------------------------------------------------------------------------------

    @property
    def logged(self) -> int:
        """What its binary log holds, and therefore what its replicas can fetch."""
        return self.executed | self.waiting

    @property
    def everything(self) -> int:
        return self.executed | self.waiting | self.relay

    @property
    def running(self) -> bool:
        """Does it answer?"""
        return self.alive and not self.frozen

    def changed(self) -> None:
        self.facts = None

    def look(self) -> Facts:
        """A full probe."""
        if self.facts is None or (self.facts.channel is not None and self.facts.channel.receiver.heartbeats != self.heartbeats):
            self.facts = self._facts()
        return self.facts

    def _facts(self) -> Facts:
        gtids = self.world.transactions.gtids
        executed = self.executed if self.mysql else self.logged
        received = executed | self.relay
        channel = None
        if self.source is not None:
            channel = Channel(
                source_host=self.source,
                source_port=PORT,
                receiver=Receiver(
                    running=self.receiver, connected=self.connected, errno=self.receiver_errno, heartbeats=self.heartbeats
                ),
                applier=Applier(running=self.applier, errno=self.applier_errno),
            )
            if not self.mysql and self.relay:
                # Gtid_IO_Pos names the last transaction only, not what came before it from other origins.
                received = executed | 1 << (self.relay.bit_length() - 1)
        return Facts(
            identity=self.identity,
            writable=self.writable,
            executed=gtids(executed),
            received=gtids(received),
            channel=channel,
            semi_sync=SemiSync(
                source_enabled=self.source_on,
                source_active=self.source_on,
                replica_enabled=self.ack_on,
                waiting=self.waiting.bit_count(),
                clients=sum(other.acking and other.source == self.name for other in self.world.servers.values()),
            ),
            pulse=self.pulse,
            locked=self.locked and bool(self.stuck),
            drift=("semi_sync",) if self.unsafe_by_person else (),
        )

    # ---- committing --------------------------------------------------------------------------------------------------

    def commit(self, row: PulseRow | None = None) -> int:
        """A write of a client (or of the pulse): its bit, to be looked for in `executed`; 0 if it hangs before the log."""
        if self.hung or self.locked:
            self.stuck.append(row)
            return 0
        return self._log(row)

    def _log(self, row: PulseRow | None) -> int:
        transactions = self.world.transactions
        self.top += 1
        bit = transactions.new(self.index, self.top)
        if row is not None:
            transactions.beats[bit] = row
            transactions.beat_bits |= bit
        self.waiting |= bit
        if not self.source_on:
            self._complete(bit)
        self.changed()
        return bit

    def _complete(self, bits: int) -> None:
        """Commit, and tell the clients."""
        self.waiting &= ~bits
        self._commit(bits)
        self.world.completed(self, bits)

    def _commit(self, bits: int) -> None:
        self.executed |= bits
        beats = bits & self.world.transactions.beat_bits
        if beats:
            self.pulse = self.world.transactions.beats[1 << (beats.bit_length() - 1)]
            self.pulse_at = self.world.now
        self.changed()

    def write_errant(self) -> None:
        """An administrator writes here, although this is no primary."""
        transactions = self.world.transactions
        self.top += 1
        bit = transactions.new(self.index, self.top)
        transactions.errant |= bit
        self._commit(bit)

    def close(self) -> bool:
        """Read-only; False if a commit that waits (or hangs) is in the way."""
        if self.waiting or (self.stuck and self.writable):
            return False
        self.writable = self.opened_by_person = False
        self.changed()
        return True

    # ---- one quantum -------------------------------------------------------------------------------------------------

    def work(self) -> None:
        if not self.alive or self.frozen:
            return
        if self.waiting and self.acks & self.waiting:
            # An acknowledgement is of a place in the log: whatever comes before it is acknowledged too.
            reached = (1 << (self.acks & self.waiting).bit_length()) - 1
            self._complete(self.waiting & reached)
        if self.acks:
            self.acks = 0
        if self.leased and self.writable and self.world.now - self.pulse_at > LEASE_QUANTA and self.close():
            self.world.tell(f"{self.name} turns itself read-only: no pulse for the length of its lease")
        if self.source is not None and not self.hung:
            if self.receiver:
                self._receive(self.world.servers[self.source])
            if self.relay and self.applier and not self.applier_errno:
                self._apply()

    def _receive(self, source: Server) -> None:
        network, now = self.world.network, self.world.now
        if not self.connected:
            if not (source.running and network.both(self.name, source.name)) or self.receiver_errno:
                return
            if self._refused_by(source):
                self.receiver, self.receiver_errno = False, SOURCE_LACKS_IT
                self.changed()
                return
            self.connected, self.acking, self.heard_at = True, self.ack_on, now
            self.connected_to = source.boots
            self.changed()
            source.changed()
            # Where it starts reading tells the source what it has.
            self._acknowledge(source, self.everything)
        elif self.connected_to != source.boots and not source.zombie and network.both(self.name, source.name):
            self.disconnect()  # reset by a host that has no such process
            return
        elif (
            source.running
            and self.connected_to == source.boots
            and network.passes(source.name, self.name)
            and network.cut_for(self.name, source.name, now) <= DEAF_GRACE
        ):
            self.heard_at = now
            self.heartbeats += 1
        if now - self.heard_at > NET_TIMEOUT:
            self.disconnect()
            return
        if self.heard_at == now:
            self._fetch(source)

    def _refused_by(self, source: Server) -> bool:
        """Error 1236. MariaDB's source must know the last transaction we have; MySQL's knows its own numbers only."""
        transactions = self.world.transactions
        if self.mysql:
            own = transactions.gtids(self.everything & transactions.of_origin(source.index))
            return not transactions.gtids(source.logged).contains(own)
        have = self.logged
        return bool(have) and not source.logged & transactions.last_in_domain(have)

    def _fetch(self, source: Server) -> None:
        missing = source.logged & ~self.everything
        if not missing:
            return
        transactions = self.world.transactions
        if transactions.twins and self.mysql:
            missing &= ~transactions.twins_of(self.everything)
        luck = self.world.luck.random()
        if not self.quick and luck < 0.6:
            missing = 0 if luck < 0.3 else lowest(missing, 1)
        if not missing:
            return
        self.relay |= missing
        self.changed()
        if self.acking:
            self._acknowledge(source, missing)

    def _acknowledge(self, source: Server, bits: int) -> None:
        network = self.world.network
        if self.acking and network.passes(self.name, source.name):
            delay = network.delay(self.name, source.name)
            if delay:
                self.world.post(delay, self, source, bits)
            else:
                source.acks |= bits

    def _apply(self) -> None:
        luck = self.world.luck.random()
        if luck < (0.15 if self.quick else 0.6):
            return
        bits = self.relay if luck < 0.9 else lowest(self.relay, 1)
        transactions = self.world.transactions
        if not self.mysql:
            if transactions.number(bits & -bits) <= self.top:
                self.applier, self.applier_errno = False, OUT_OF_ORDER
                self.changed()
                return
            self.top = transactions.number(bits)
        elif own := bits & transactions.of_origin(self.index):
            self.top = max(self.top, transactions.number(own))  # a tail that was cut off here comes back from elsewhere
        self.relay &= ~bits
        self._commit(bits)

    def disconnect(self) -> None:
        if self.connected:
            self.connected = self.acking = False
            if self.source is not None:
                self.world.servers[self.source].changed()
            self.changed()

    # ---- replication threads -----------------------------------------------------------------------------------------

    def stop_receiver(self) -> None:
        self.disconnect()
        self.receiver, self.receiver_errno = False, 0
        self.changed()

    def start_receiver(self) -> None:
        self._purge_if_stopped()
        self.receiver, self.receiver_errno = True, 0
        self.changed()

    def start_applier(self) -> None:
        self._purge_if_stopped()
        self.applier, self.applier_errno = True, 0
        self.changed()

    def stop_applier(self) -> None:
        self.applier = False
        self.changed()

    def leave_source_role(self) -> None:
        """Semi-sync off: every commit that waits is answered OK, although no replica has it."""
        self.source_on = False
        if self.waiting:
            self._complete(self.waiting)

    def _purge_if_stopped(self) -> None:
        """MariaDB begins with empty relay logs when a thread starts while both are stopped."""
        if not self.mysql and not self.receiver and not self.applier:
            self.relay = 0

    def change_source(self, source: str | None) -> None:
        """CHANGE MASTER, or RESET SLAVE ALL: whatever was received and not applied is thrown away."""
        self.disconnect()
        self.source, self.relay, self.receiver, self.applier, self.heartbeats = source, 0, False, False, 0
        self.receiver_errno = self.applier_errno = 0
        self.changed()

    # ---- living and dying --------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """SIGKILL. Where the disk hangs, the process stays until it no longer does; it does nothing more."""
        if not self.alive:
            return
        self.zombie = self.hung
        self.alive = self.frozen = self.writable = self.opened_by_person = self.unsafe_by_person = self.locked = False
        self.offline = self.leased = False
        self.stuck.clear()
        self.inbox.clear()
        self.acks = 0
        self.boots += 1
        self.disconnect()
        self.changed()

    def start(self, *, keep: int | None, lose_relay: bool = False) -> None:
        """As its host does it: read-only and detached. `keep` is what it may keep of the commits that waited, None is all."""
        if self.alive or self.zombie:
            return
        waiting, self.waiting = self.waiting, 0
        self.executed |= waiting if keep is None else waiting & keep
        if lose_relay or not self.mysql:
            self.relay = 0
        self.alive = True
        self.writable = self.receiver = self.applier = self.source_on = False
        self.ack_on = self.world.lossless
        self.receiver_errno = self.heartbeats = 0
        self._read_data()

    def _read_data(self) -> None:
        transactions = self.world.transactions
        self.top = transactions.highest(self.executed, self.index if self.mysql else None)
        beats = self.executed & transactions.beat_bits
        self.pulse = transactions.beats[1 << (beats.bit_length() - 1)] if beats else None
        self.changed()

    def empty(self) -> None:
        """A rebuild has begun: its data is gone, and nobody may take it for what it was."""
        self.change_source(None)
        self.writable = self.source_on = False
        self.executed = self.waiting = 0
        self.boots += 1
        self.identity = replace(self.identity, cluster_id=None)
        self._read_data()

    def become_copy(self, bits: int) -> None:
        """A rebuild has ended: the data of another server, read-only and detached."""
        self.executed = bits
        self.boots += 1
        self.identity = replace(self.identity, cluster_id=CLUSTER)
        self.foreign_since = None
        self.ack_on = self.world.lossless
        self._read_data()

    def salvage(self, bits: int) -> None:
        """Apply what was found in the files of a dead primary."""
        self._commit(bits)
        if not self.mysql:
            self.top = max(self.top, self.world.transactions.highest(bits))

    def become_another(self) -> None:
        """Where it was, an empty server comes up that belongs to nobody: somebody made it anew."""
        self.kill()
        self.zombie = self.hung = False
        self.executed = self.waiting = self.relay = 0
        self.source = None
        self.identity = replace(self.identity, cluster_id=None)
        self.foreign_since = self.world.now
        self.start(keep=None)

    def thaw(self) -> None:
        self.frozen = False
        statements, self.inbox = self.inbox, []
        for what, source in statements:
            self.world.carry_out(self, what, source)

    def unhang(self) -> None:
        """Its disk works again: what hung goes on, or dies at last."""
        self.hung = self.zombie = self.locked = False
        stuck, self.stuck = self.stuck, []
        for row in stuck:
            self._log(row)


def identity(index: int, flavour: Flavour, cluster_id: str) -> Identity:
    mysql = flavour is Flavour.MYSQL
    return Identity(
        flavour=flavour,
        version=Version(9, 7, 4) if mysql else Version(10, 11, 19),
        server_id=index + 1,
        cluster_id=cluster_id,
        uuid=uuid_of(index) if mysql else None,
    )
