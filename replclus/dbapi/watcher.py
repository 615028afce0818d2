"""Watches one cluster for one process: a thread per node asks it, gently, who it thinks is primary.

Four times a second is enough in quiet times. When a connection meets an error that smells of failover it calls `alarm`,
and from then on every node is asked without pause, all at once, until a primary has answered that was asked later than
the alarm. Whoever needs the answer waits in `wait_until`.

Threads are daemons: they stop when the process ends, when nobody has used the cluster for a while, and after a fork they
are started again by the first statement.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pymysql import err

from replclus.dbapi.causality import Latest
from replclus.dbapi.link import Link, Setup
from replclus.dbapi.mapping import NEVER, Address, Answer, Chart, ClusterMap, Knowledge, Node, chart
from replclus.model.spec import Flavour
from replclus.model.topology import PulseRow, Topology
from replclus.routing.balance import ewma

INTERVAL_S = 0.25
ALARM_INTERVAL_S = 0.03
ALARM_S_MAX = 60.0
SILENT_INTERVAL_S = 1.0
PROBE_TIMEOUT_S = 1.0
# A node that has not answered for this long is not waited for by statements either.
SILENCE_S_MAX = 2.0
UNUSED_S_MAX = 30.0
BARE_FOR_S = 5.0
# The pulse cannot be read: access denied (1044, 1142, 1143), no such database or table (1049, 1146), no such column (1054).
_NO_PULSE = frozenset({1044, 1049, 1054, 1142, 1143, 1146})


class NodeState:
    """What is known of one node and changes too often for the map. Written by its own thread, read by all others."""

    __slots__ = ("answer", "applied", "as_of", "behind_until", "latency_ms", "node", "silent_since", "thread")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.answer: Answer | None = None
        # The position it has applied, in its own words; what was known at `as_of` was certainly all there (mapping.as_of).
        self.applied = ""
        self.as_of = NEVER
        self.silent_since: float | None = None
        # How long it takes to answer a question, on average.
        self.latency_ms = 0.0
        # It made a read wait in vain: until then, do not wait for it again.
        self.behind_until = NEVER
        self.thread: threading.Thread | None = None


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
        self._know_nothing()
        self._reset_threads()

    def _know_nothing(self) -> None:
        self.map = ClusterMap()
        self.fresh_until = NEVER
        self.why_no_primary = "no node has been asked yet"
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
                    state.thread = threading.Thread(
                        target=self._ask_for_ever, args=(state,), name=f"replclus-{state.node.name}", daemon=True
                    )
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
                self._used_at = time.monotonic()
        return True

    def all_asked(self) -> bool:
        return all(state.answer is not None for state in list(self.states.values()))

    def confirmed_since(self, moment: float) -> bool:
        """Has the present primary answered a question that was asked after `moment`, and may it be written to?"""
        primary = self.map.primary
        if primary is None:
            return False
        answer = self.states[primary.address].answer
        return answer is not None and answer.asked_at > moment and time.monotonic() < self.fresh_until

    def attend(self, link: Link) -> None:
        """Remember `link`, so that it can be broken off when its node is no longer what it was."""
        with self._changed:
            self._links.add(link)

    def in_use_as(self, thread_id: int) -> list[Link]:
        """The connections of this process that are in use and have this number. Servers count on their own."""
        with self._changed:
            links = [link for link in self._links if link._sock is not None and not link.idle]
        return [link for link in links if link.thread_id() == thread_id]

    def count(self, node: Node) -> int:
        """Open links of this process to `node`."""
        with self._changed:
            return sum(1 for link in self._links if link._sock is not None and link.node.address == node.address)

    def state_of(self, node: Node) -> NodeState:
        return self.states[node.address]

    def used(self) -> None:
        self._used_at = time.monotonic()

    def failures(self) -> list[str]:
        """One clause per node that does not answer: which, and why."""
        states = list(self.states.values())
        return [f"{s.node.name}: {s.answer.error}" for s in states if s.answer is not None and s.answer.error]

    def after_fork(self) -> None:
        """In the child: no thread has survived, and what is known may be as old as the parent. Start from nothing."""
        self._know_nothing()
        self._reset_threads()

    # The threads ----------------------------------------------------------------------------------------------------

    def _ask_for_ever(self, state: NodeState) -> None:
        prober = _Prober(state.node, self.options)
        try:
            while not self._stopping and self.states.get(state.node.address) is state:
                answer, applied = prober.ask()
                if prober.flavour is not None:
                    self.flavour = prober.flavour
                self._take(state, answer, applied)
                self._pause(state)
                if time.monotonic() - self._used_at > UNUSED_S_MAX and not self._in_use():
                    self._rest()
                    return
        finally:
            prober.close()

    def _pause(self, state: NodeState) -> None:
        now = time.monotonic()
        if self._wake.is_set():
            if now - self._alarm_at > ALARM_S_MAX or self.confirmed_since(self._alarm_at):
                self._wake.clear()
            else:
                time.sleep(ALARM_INTERVAL_S)
                return
        silent = state.silent_since is not None and now - state.silent_since > SILENCE_S_MAX
        self._wake.wait(SILENT_INTERVAL_S if silent else INTERVAL_S)

    def _rest(self) -> None:
        """Nobody has been here for a while. What is known now must not be believed later."""
        self._stopping = True
        self._wake.set()
        with self._changed:
            self._know_nothing()

    def _in_use(self) -> bool:
        with self._changed:
            return any(link._sock is not None for link in self._links)

    def _take(self, state: NodeState, answer: Answer, applied: str) -> None:
        """Put one answer on the chart and let everybody know."""
        with self._changed:
            state.answer = answer
            if answer.reached:
                state.applied, state.silent_since = applied, None
                state.latency_ms = ewma(state.latency_ms, (time.monotonic() - answer.asked_at) * 1000)
            elif state.silent_since is None:
                state.silent_since = answer.asked_at
            answers = {address: s.answer for address, s in self.states.items() if s.answer is not None}
            drawn = chart(self._known, self.map, self.seeds, answers)
            before, self.map = self.map, drawn.map
            self._known, self.fresh_until, self.why_no_primary = drawn.knowledge, drawn.fresh_until, drawn.why_no_primary
            state.as_of = drawn.knowledge.as_of(answer) if answer.reached else NEVER
            self._meet(drawn)
            self._break_off(before, drawn.map)
            self._changed.notify_all()

    def _meet(self, drawn: Chart) -> None:
        """Ask nodes that the map names and we did not know. Nodes it no longer names are let go, but for the seeds."""
        wanted = {node.address: node for node in (*self.seeds, *drawn.nodes)}
        for address in [address for address in self.states if address not in wanted]:
            del self.states[address]
        for address, node in wanted.items():
            if address not in self.states:
                self.states[address] = state = NodeState(node)
                state.thread = threading.Thread(
                    target=self._ask_for_ever, args=(state,), name=f"replclus-{node.name}", daemon=True
                )
                state.thread.start()
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


class _Prober:
    """Asks one node, over a connection of its own. Never raises for what a server does."""

    def __init__(self, node: Node, options: Mapping[str, Any]) -> None:
        self._node = node
        self._options = options
        self._link: Link | None = None
        self._bare_until = NEVER
        self._map_text = ""
        self._map: Topology | None = None
        self.flavour: Flavour | None = None

    def ask(self) -> tuple[Answer, str]:
        """The answer, and the position that the node has applied."""
        asked_at = time.monotonic()
        try:
            if self._link is None:
                self._link = Link.to(self._node, (0, 0), self._options, Setup(autocommit=True))
                self.flavour = self._link.speech.flavour
                asked_at = time.monotonic()
            return self._read(self._link, asked_at)
        except Exception as error:
            # Whatever is wrong with one node, even with what it says, must not end the watch over it.
            self.close()
            number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
            text = str(error.args[1]) if len(error.args) > 1 else str(error)
            return Answer(asked_at=asked_at, error=f"{text} ({number})", errno=number), ""

    def _read(self, link: Link, asked_at: float) -> tuple[Answer, str]:
        if asked_at >= self._bare_until:
            try:
                (result,) = link.queries(link.speech.probe)
                return self._understand(result.rows[0], asked_at)
            except err.Error as error:
                if not error.args or error.args[0] not in _NO_PULSE:
                    raise
                self._bare_until = asked_at + BARE_FOR_S
        (result,) = link.queries(link.speech.bare_probe)
        return self._understand((*result.rows[0], None, None, None, None, None), asked_at)

    def _understand(self, row: Sequence[Any], asked_at: float) -> tuple[Answer, str]:
        read_only, applied, beat, epoch, primary, ttl_ms, topology = row
        pulse = None
        if beat is not None:
            pulse = PulseRow(beat=beat, epoch=epoch, primary=primary, routing_ttl_ms=ttl_ms, topology=topology or "")
            if pulse.topology != self._map_text:
                # A map of a newer format is no map: the node it names primary is still believed.
                with contextlib.suppress(ValueError):
                    self._map = Topology.from_json(pulse.topology)
                self._map_text = pulse.topology
        # MariaDB 12 answers with words, of which only OFF means writable.
        writable = str(read_only).upper() in ("0", "OFF")
        answer = Answer(asked_at=asked_at, writable=writable, pulse=pulse, topology=self._map if pulse else None)
        return answer, applied.replace("\n", "")

    def close(self) -> None:
        if self._link is not None:
            self._link.quit()
            self._link = None
