"""Watches one cluster for one process: a thread per node asks it, gently, who it thinks is primary.

Four times a second is enough in quiet times. When a connection meets an error that smells of failover it calls `alarm`,
and from then on every node is asked without pause, all at once, until a primary has answered that was asked later than
the alarm. Whoever needs the answer waits in `wait_until`.

Threads are daemons: they stop when the process ends, when nobody has used the cluster for a while, and after a fork they
are started again by the first statement.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from replclus.dbapi.causality import Latest
from replclus.dbapi.counting import Tally
from replclus.dbapi.link import Link
from replclus.dbapi.mapping import NEVER, Address, Answer, Chart, ClusterMap, Knowledge, Node, chart
from replclus.dbapi.prober import Prober
from replclus.model.spec import Flavour
from replclus.routing import Fitness, ewma

INTERVAL_S = 0.25
ALARM_INTERVAL_S = 0.02
# A node that accepts writes, and is not known as the primary yet, is about to say that it is one: it is asked more often, for
# a moment.
OPENING_INTERVAL_S, OPENING_S_MAX = 0.005, 0.5
ALARM_S_MAX = 60.0
SILENT_INTERVAL_S = 1.0
PROBE_TIMEOUT_S = 1.0
# A node that has not answered for this long is not waited for by statements either.
SILENCE_S_MAX = 2.0
UNUSED_S_MAX = 30.0

# Of these reasons to be outside somebody should hear, because they do not pass by themselves.
TO_BE_REPAIRED = ("refuses this account", "belongs to another cluster")

log = logging.getLogger("replclus")


class NodeState:
    """What is known of one node and changes too often for the map. Written by its own thread, read by all others."""

    __slots__ = (
        "answer",
        "applied",
        "as_of",
        "behind_until",
        "fitness",
        "flavour",
        "latency_ms",
        "node",
        "opened_at",
        "served",
        "silent_since",
        "thread",
    )

    def __init__(self, node: Node) -> None:
        self.node = node
        self.answer: Answer | None = None
        # The position it has applied, in its own words; what was known at `as_of` was certainly all there (mapping.as_of).
        self.applied = ""
        self.as_of = NEVER
        self.silent_since: float | None = None
        # When it was first seen to accept writes, of the answers that say so without a break.
        self.opened_at = NEVER
        # How long it takes to answer a question, on average.
        self.latency_ms = 0.0
        # It made a read wait in vain: until then, do not wait for it again.
        self.behind_until = NEVER
        self.flavour: Flavour | None = None
        self.fitness = Fitness()
        # It has been among the replicas of a map.
        self.served = False
        self.thread: threading.Thread | None = None


def _opening(state: NodeState, now: float) -> bool:
    return state.answer is not None and state.answer.writable and now - state.opened_at < OPENING_S_MAX


class Watcher:
    """`map` and `fresh_until` are replaced, never changed: readers take them without a lock."""

    def __init__(self, seeds: Sequence[Node], options: Mapping[str, Any]) -> None:
        self.seeds = tuple(seeds)
        self.options = {
            **options,
            "connect_timeout": PROBE_TIMEOUT_S,
            "read_timeout": PROBE_TIMEOUT_S,
            "write_timeout": PROBE_TIMEOUT_S,
            "init_command": None,
            "sql_mode": None,
            "local_infile": False,
        }
        self.flavour: Flavour | None = None
        self.tally = Tally()
        # Called now and then for each node, by its thread: pools let go of what has been at rest for too long.
        self.tidy: list[Callable[[Address], None]] = []
        self._know_nothing()
        self._reset_threads()

    def _know_nothing(self) -> None:
        self.map = ClusterMap()
        self.fresh_until = NEVER
        self.why_no_primary = "no node has been asked yet"
        self.barred = 0
        self.outside: Mapping[Address, str] = {}
        self.states: dict[Address, NodeState] = {seed.address: NodeState(seed) for seed in self.seeds}
        self._known = Knowledge()

    def _reset_threads(self) -> None:
        self._changed = threading.Condition()
        # A forked child has written nothing yet.
        self.latest = Latest()
        self._wake = threading.Event()
        self._alarm_at = NEVER
        self._used_at = time.monotonic()
        self._stopping = False
        self._links: weakref.WeakSet[Link] = weakref.WeakSet()
        self.process = os.getpid()

    # For connections ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """See to it that every node is being asked. Cheap when it already is."""
        self._used_at = time.monotonic()
        with self._changed:
            if self._stopping:
                self._stopping = False
                self._wake.clear()
            for state in self.states.values():
                if state.thread is None or not state.thread.is_alive():
                    self._set_to_work(state)

    def _set_to_work(self, state: NodeState) -> None:
        state.thread = threading.Thread(target=self._ask_for_ever, args=(state,), name=f"replclus-{state.node.name}", daemon=True)
        state.thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    def alarm(self) -> None:
        """Something smells of failover: ask all nodes now, and go on until a primary answers."""
        self._alarm_at = time.monotonic()
        self.start()
        self._wake.set()

    def alarmed(self) -> bool:
        return self._wake.is_set()

    def wait_until(self, met: Callable[[], bool], deadline: float) -> bool:
        """Wait until `met`, which is asked again whenever an answer has arrived. False if the deadline came first."""
        self.start()
        with self._changed:
            while not met():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, 0.5))
                # Also a thread that was just about to end when we began must not be waited for.
                self.start()
        return True

    def all_asked(self) -> bool:
        return all(state.answer is not None for state in list(self.states.values()))

    def confirmed_since(self, moment: float) -> bool:
        """Has the present primary answered a question that was asked after `moment`, and may it be written to?"""
        primary = self.map.primary
        if primary is None:
            return False
        state = self.states.get(primary.address)
        answer = state.answer if state is not None else None
        return answer is not None and answer.asked_at > moment and time.monotonic() < self.fresh_until

    def opening(self) -> Node | None:
        """A node that has begun to accept writes a moment ago, and is not known as the primary: it is about to be named that."""
        now, primary = time.monotonic(), self.map.primary
        for state in list(self.states.values()):
            if _opening(state, now) and state.node != primary:
                return state.node
        return None

    def attend(self, link: Link) -> None:
        """Remember `link`, so that it can be broken off when its node is no longer what it was."""
        with self._changed:
            self._links.add(link)

    def in_use_as(self, thread_id: int) -> list[Link]:
        """The connections of this process that are in use and have this number. Servers count on their own."""
        with self._changed:
            links = [link for link in self._links if link._sock is not None and not link.idle]
        return [link for link in links if link.thread_id() == thread_id]

    def links(self) -> list[Link]:
        """The open links of this process, at rest or in use."""
        with self._changed:
            return [link for link in self._links if link._sock is not None]

    def state_of(self, node: Node) -> NodeState | None:
        """None for a node that has just been taken out of the map."""
        return self.states.get(node.address)

    def failed(self, state: NodeState) -> None:
        """A connection to this node could not be had, or broke: no reads go there for a while."""
        with self._changed:
            before, state.fitness = state.fitness, state.fitness.failed(time.monotonic())
        if state.fitness is not before:
            self.tally.add("ejected", state.node.name)

    @property
    def cluster_id(self) -> str:
        return self._known.cluster_id

    @property
    def newest_beat_at(self) -> float:
        """When the newest beat was seen; NEVER if a watchdog was never seen at work."""
        return self._known.newest_at if self._known.advancing else NEVER

    def used(self) -> None:
        self._used_at = time.monotonic()

    def failures(self) -> list[str]:
        """One clause per node that does not answer: which, and why."""
        states = list(self.states.values())
        return [f"{s.node.name}: {s.answer.error}" for s in states if s.answer is not None and s.answer.error]

    def after_fork(self) -> None:
        """In the child: no thread has survived, and what is known may be as old as the parent. Start from nothing."""
        self.tally.after_fork()
        self._know_nothing()
        self._reset_threads()

    # The threads ----------------------------------------------------------------------------------------------------

    def _ask_for_ever(self, state: NodeState) -> None:
        prober = Prober(state.node, self.options)
        try:
            while not self._stopping and self.states.get(state.node.address) is state:
                answer, applied = prober.ask()
                self._take(state, answer, applied, prober.flavour)
                for tidy in self.tidy:
                    tidy(state.node.address)
                self._pause(state)
                if time.monotonic() - self._used_at > UNUSED_S_MAX and self._rest():
                    return
        finally:
            prober.close()

    def _pause(self, state: NodeState) -> None:
        now = time.monotonic()
        if self._wake.is_set():
            if now - self._alarm_at > ALARM_S_MAX or self.confirmed_since(self._alarm_at):
                self._wake.clear()
            else:
                time.sleep(OPENING_INTERVAL_S if _opening(state, now) else ALARM_INTERVAL_S)
                return
        silent = state.silent_since is not None and now - state.silent_since > SILENCE_S_MAX
        self._wake.wait(SILENT_INTERVAL_S if silent else INTERVAL_S)

    def _rest(self) -> bool:
        """Nobody has been here for a while: what is known now must not be believed later. False if somebody just came."""
        with self._changed:
            if time.monotonic() - self._used_at <= UNUSED_S_MAX or any(link._sock is not None for link in self._links):
                return False
            self._stopping = True
            self._wake.set()
            self._know_nothing()
        return True

    def _take(self, state: NodeState, answer: Answer, applied: str, flavour: Flavour | None) -> None:
        """Put one answer on the chart and let everybody know."""
        now = time.monotonic()
        with self._changed:
            if self.states.get(state.node.address) is not state:
                return
            if answer.writable and not (state.answer is not None and state.answer.writable):
                state.opened_at = now
            state.answer, state.flavour = answer, flavour or state.flavour
            if answer.reached:
                state.applied, state.silent_since = applied, None
                state.latency_ms = ewma(state.latency_ms, (now - answer.asked_at) * 1000)
            elif state.silent_since is None:
                self.failed(state)
                if state.node == self.map.primary:
                    # A statement may wait for its answer and will not raise the alarm.
                    self._alarm_at = now
                    self._wake.set()
                # Not longer ago than we can have waited: this process may itself have been stopped meanwhile.
                state.silent_since = max(answer.asked_at, now - PROBE_TIMEOUT_S)
            answers = {address: s.answer for address, s in self.states.items() if s.answer is not None}
            drawn = chart(self._known, self.map, self.seeds, answers)
            before, self.map = self.map, drawn.map
            if drawn.map.primary is not None and self._known.last_primary not in (None, drawn.map.primary.address):
                self.tally.add("failover", drawn.map.primary.name)
            self._known, self.fresh_until, self.why_no_primary = drawn.knowledge, drawn.fresh_until, drawn.why_no_primary
            self.barred = drawn.barred
            self.flavour = self._flavour_of(drawn.map) or self.flavour
            state.as_of = drawn.knowledge.as_of(answer) if answer.reached else NEVER
            self._warn(drawn.outside)
            self._meet(drawn)
            self._compare(before, drawn.map, now)
            self._break_off(before, drawn.map)
            self._changed.notify_all()

    def _flavour_of(self, now: ClusterMap) -> Flavour | None:
        """Of the nodes that serve. A stranger among our addresses may be of the other family."""
        serving = (self.states.get(node.address) for node in (now.primary, *now.replicas) if node is not None)
        return next((state.flavour for state in serving if state is not None and state.flavour is not None), None)

    def _warn(self, outside: Mapping[Address, str]) -> None:
        """Of what somebody has to repair, once each time that it begins."""
        before, self.outside = self.outside, outside
        for address, why in outside.items():
            if any(words in why and words not in before.get(address, "") for words in TO_BE_REPAIRED):
                log.warning("%s: left out of rotation", why)

    def _compare(self, before: ClusterMap, now: ClusterMap, moment: float) -> None:
        """Those who come back to the replicas begin gently; those who are seen for the first time are as good as any."""
        known = {node.address for node in before.replicas}
        for node in now.replicas:
            state = self.states.get(node.address)
            if state is None or node.address in known:
                continue
            if state.served or state.fitness.strikes:
                state.fitness = state.fitness.returned(moment)
            state.served = True

    def _meet(self, drawn: Chart) -> None:
        """Ask nodes that the map names and we did not know. Nodes it no longer names are let go, but for the seeds."""
        wanted = {node.address: node for node in (*self.seeds, *drawn.nodes)}
        for address in [address for address in self.states if address not in wanted]:
            del self.states[address]
        for address, node in wanted.items():
            if address not in self.states:
                self.states[address] = state = NodeState(node)
                self._set_to_work(state)
            elif self.states[address].node != node:
                self.states[address].node = node

    def _break_off(self, before: ClusterMap, now: ClusterMap) -> None:
        """Free the threads that wait for a primary that is none any more, or for a node that has gone silent."""
        moment = time.monotonic()
        deposed = now.term != before.term and now.primary is not None
        for link in list(self._links):
            if link._sock is None:
                continue
            state = self.states.get(link.node.address)
            since = state.silent_since if state is not None else None
            if deposed and link.term < now.term and link.writes and link.node != now.primary:
                link.break_off(f"{now.primary.name if now.primary else 'another node'} has become the primary")
            elif since is not None and moment - since > SILENCE_S_MAX and not link.writes:
                link.break_off(f"{link.node.name} has stopped answering")
