"""What a watchdog sees: a prober per node with its own cadence, the board they pin their news to, and the pulse.

As `replclus.watchdog` has it (board, prober, pulse), with quanta of simulated time instead of threads.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from replclus.failover.view import NEVER, NodeHistory, PulseHealth
from replclus.model.observation import Facts, Observation, Reach
from replclus.watchdog.board import SLEPT_S
from tests.simulation.clock import BEAT_QUANTA, FULL_EVERY, PROBE_QUANTA, QUANTUM_S, SLOW_QUANTA
from tests.simulation.servers import Server

if TYPE_CHECKING:
    from tests.simulation.world import World


TOO_OLD = (Reach.TIMED_OUT, "no answer")
NOTHING_THERE = (Reach.REFUSED, "connection refused")


class Probe:
    """A question on its way. `answer` is what the server said; None while it says nothing."""

    __slots__ = ("answer", "asked_at", "due", "full", "had")

    def __init__(self, asked_at: int, due: int, full: bool, answer: Facts | None, had: int) -> None:
        self.asked_at, self.due, self.full, self.answer, self.had = asked_at, due, full, answer, had


class Sight:
    """`had` holds, beside the facts of every full probe, what the server really had at that moment."""

    def __init__(self, world: World, owner: str) -> None:
        self.world = world
        self.owner = owner
        self.observations: dict[str, Observation] = {}
        self.history: dict[str, NodeHistory] = {}
        self.had: dict[str, int] = {}
        self.alarm = False
        self._backoff: dict[str, int] = {}
        self._boots: dict[str, int] = {}
        self._probes: dict[str, Probe | None] = dict.fromkeys(world.servers)
        self._full_wanted = set(world.servers)

    # ---- probing -----------------------------------------------------------------------------------------------------

    def ask(self, name: str) -> None:
        """Probe completely, now."""
        self._full_wanted.add(name)

    def work(self) -> None:
        now = self.world.now
        for name, probe in self._probes.items():
            server = self.world.servers[name]
            if probe is None:
                probe = self._send(server, now)
            if probe.answer is None and not probe.due <= now:
                self._hear(probe, server)
            if probe.due <= now:
                self._probes[name] = None
                self._put(server, probe)
            else:
                self._probes[name] = probe

    def _send(self, server: Server, now: int) -> Probe:
        previous = self.observations.get(server.name)
        # A new connection begins with a full probe.
        full = server.name in self._full_wanted or previous is None or not previous.reach.alive
        full = full or self._boots.get(server.name) != server.boots
        full = full or now * QUANTUM_S - previous.full_at >= FULL_EVERY * QUANTUM_S  # type: ignore[union-attr]
        self._full_wanted.discard(server.name)
        probe = Probe(now, now + PROBE_QUANTA, full, None, 0)
        network = self.world.network
        if network.both(self.owner, server.name):
            if not server.alive and not server.zombie:
                probe.due = now
            else:
                self._hear(probe, server)
        return probe

    def _hear(self, probe: Probe, server: Server) -> None:
        """The server answers as soon as it can; the answer says how it was then, however late it arrives."""
        if not (server.running and self.world.network.both(self.owner, server.name)):
            return
        previous = self.observations.get(server.name)
        if probe.full or previous is None or previous.facts is None:
            probe.full, probe.answer, probe.had = True, server.look(), server.everything
            self._boots[server.name] = server.boots
        else:
            probe.answer = known = previous.facts
            if known.writable != server.writable or known.pulse is not server.pulse:
                probe.answer = replace(known, writable=server.writable, pulse=server.pulse)
        probe.due = min(probe.due, self.world.now + self.world.network.delay(server.name, self.owner))

    def _put(self, server: Server, probe: Probe) -> None:
        now_s, name = self.world.now * QUANTUM_S, server.name
        before = self.observations.get(name)
        process = self._word_of_host(server)
        if probe.answer is not None and self.world.network.passes(name, self.owner):
            full_at = now_s if probe.full or before is None else before.full_at
            if probe.full:
                self.had[name] = probe.had
            seen = Observation(
                node=name, at=now_s, reach=Reach.ANSWERED, facts=probe.answer, full_at=full_at, process_alive=process and True
            )
        else:
            dead = not server.alive and not server.zombie and self.world.network.both(self.owner, name)
            reach, error = NOTHING_THERE if dead else TOO_OLD
            seen = Observation(
                node=name,
                at=now_s,
                reach=reach,
                error=error,
                facts=None if before is None else before.facts,
                full_at=NEVER if before is None else before.full_at,
                process_alive=process,
            )
        self.observations[name] = seen
        self._remember(before, seen, probe)
        if before is None or before.reach is not seen.reach or before.process_alive is not seen.process_alive:
            self.alarm = True

    def _word_of_host(self, server: Server) -> bool | None:
        if not self.world.ours[server.name]:
            return None
        return server.alive or server.zombie

    def _remember(self, before: Observation | None, seen: Observation, probe: Probe) -> None:
        history = self.history.get(seen.node)
        if history is None:
            history = self.history[seen.node] = NodeHistory()
        asked_s = probe.asked_at * QUANTUM_S
        history = replace(history, asked_at=asked_s)
        if probe.full and seen.answered:
            history = replace(history, looked_at=asked_s)
        if seen.reach.alive:
            slept = before is None or asked_s - before.at > SLEPT_S
            if history.answering_since is None or slept:
                history = replace(history, silent_since=None, answering_since=asked_s)
            if probe.full and seen.facts is not None:
                received, highest = seen.facts.received, history.highest_received
                fed_at = seen.full_at if was_fed(before, seen) else history.fed_at
                if before is not None and before.facts is not None and before.facts.executed != seen.facts.executed:
                    history = replace(history, executed_at=seen.at)
                if highest is None or (highest is not received and received.contains(highest)):
                    history = replace(history, highest_received=received, fed_at=fed_at)
                elif fed_at != history.fed_at:
                    history = replace(history, fed_at=fed_at)
        elif history.silent_since is None:
            history = replace(history, silent_since=asked_s, answering_since=None)
        channel = seen.facts.channel if seen.answered and seen.facts is not None else None
        receives = channel is not None and channel.receiver.running
        if receives != (history.receiving_since != NEVER):
            history = replace(history, receiving_since=seen.at if receives else NEVER)
        self.history[seen.node] = history

    # ---- the board ---------------------------------------------------------------------------------------------------

    def newer(self, names: tuple[str, ...], since: int) -> bool:
        """Was each of `names` probed completely, or found silent, since then?"""
        since_s = since * QUANTUM_S
        for name in names:
            seen = self.observations.get(name)
            if seen is None or seen.at < since_s or (seen.answered and seen.full_at < since_s):
                return False
        return True

    def forget_positions(self, names: frozenset[str]) -> None:
        for name in names:
            self.history[name] = replace(self.history.get(name, NodeHistory()), highest_received=None)

    def note_failure(self, name: str) -> None:
        pause = min(10, 2 * self._backoff.get(name, 1))
        self._backoff[name] = pause
        self._note_end(name, not_before=(self.world.now + pause) * QUANTUM_S)

    def note_fenced(self, name: str, epoch: int) -> None:
        self.history[name] = replace(self.history.get(name, NodeHistory()), fenced_in=epoch)

    def note_success(self, name: str) -> None:
        self._backoff.pop(name, None)
        self._note_end(name, not_before=NEVER)

    def _note_end(self, name: str, *, not_before: float) -> None:
        """A watchdog looks before it acts: a question of the same quantum was sent before this."""
        remembered = self.history.get(name, NodeHistory())
        self.history[name] = replace(remembered, not_before=not_before, step_ended_at=(self.world.now + 0.5) * QUANTUM_S)

    def note_begun(self, name: str, quanta: int) -> None:
        """A step is under way there; the next plan must not wait for it."""
        until = (self.world.now + quanta) * QUANTUM_S
        self.history[name] = replace(self.history.get(name, NodeHistory()), not_before=until)


def was_fed(before: Observation | None, seen: Observation) -> bool:
    """Did its receiver get something since the full look before? The benefit of the doubt goes to the unseen."""
    if before is None or not before.answered or before.facts is None or seen.facts is None:
        return True
    one, other = before.facts.channel, seen.facts.channel
    if one is None or other is None or one.source_host != other.source_host:
        return True
    silent = not other.receiver.running or one.receiver.heartbeats == other.receiver.heartbeats
    quiet = silent and before.facts.received == seen.facts.received
    return not (quiet and one.receiver.running)


class Pulse:
    """Writes beats to wherever it is aimed; holds still while it is aimed at nothing."""

    def __init__(self, world: World, owner: str, sight: Sight) -> None:
        self.world, self.owner, self.sight = world, owner, sight
        self.health = PulseHealth()
        self._node: str | None = None
        self._epoch = 0
        self._beat: tuple[int, int] | None = None  # sent at, and the bit of its transaction (0: not in the log yet)
        self._slow: list[tuple[int, int]] = []

    def aim(self, node: str, epoch: int) -> None:
        if self._node != node:
            self.hold()
            self._node = node
            self._slow.clear()
        self._epoch = epoch

    def hold(self) -> None:
        """No more beats until it is aimed again; one in flight is broken off, on our side only."""
        if self._node is not None:
            self._node, self._beat, self.health = None, None, PulseHealth()

    def seen(self) -> PulseHealth:
        """Its health as a decision sees it."""
        if self._beat is None and not self._slow:
            return self.health
        since = self.world.now - SLOW_QUANTA
        self._slow = [(at, took) for at, took in self._slow if at >= since]
        slowest = max((took for _, took in self._slow), default=0)
        pending = None if self._beat is None else self._beat[0] * QUANTUM_S
        return replace(self.health, pending_since=pending, slowest_s=slowest * QUANTUM_S)

    def work(self) -> None:
        if self._node is None:
            return
        server, now = self.world.servers[self._node], self.world.now
        if self._beat is None:
            self._beat = (now, 0)
        if not self._beat[1]:
            self._send(server, now)
        if self._beat is None:
            return
        sent_at, bit = self._beat
        if bit and server.executed & bit and self.world.network.passes(server.name, self.owner) and server.running:
            self._beat = None
            if now != sent_at:
                self._slow.append((now, now - sent_at))
            self.health = PulseHealth(committed_at=now * QUANTUM_S, sent_at=sent_at * QUANTUM_S)
        elif now - sent_at >= BEAT_QUANTA:
            self._failed(sent_at, "no commit within the deadline")

    def _send(self, server: Server, now: int) -> None:
        """Until it is through: what a cut swallows is sent again, and an earlier pulse that waits locks the row."""
        assert self._beat is not None
        network, sent_at = self.world.network, self._beat[0]
        if not server.alive and not server.zombie and network.both(self.owner, server.name):
            self._failed(sent_at, "connection refused", sent=False)
            return
        if server.frozen or server.zombie or not network.both(self.owner, server.name):
            return
        row = self.world.beat_row(server.name, self._epoch)
        if not server.writable or (server.pulse is not None and server.pulse.epoch > row.epoch):
            self._failed(sent_at, "it is read-only, or of a later epoch")
        elif not self.world.beat_waits(server):
            self._beat = (sent_at, server.commit(row))

    def _failed(self, sent_at: int, why: str, *, sent: bool = True) -> None:
        first = self.health.failing_since is None
        since = sent_at * QUANTUM_S if first else self.health.failing_since
        hanging = sent_at * QUANTUM_S if sent and self.health.hanging_since is None else self.health.hanging_since
        self.health = replace(self.health, failing_since=since, hanging_since=hanging, error=why)
        self._beat = None
        self.sight.alarm = self.sight.alarm or first
