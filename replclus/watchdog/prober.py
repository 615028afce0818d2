"""One thread a node, so that a server that hangs delays nobody else's news."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from replclus.errors import HostError, ServerError
from replclus.model.observation import Observation
from replclus.model.spec import Account, Durability, NodeSpec, Timings
from replclus.server.process import LocalProcess
from replclus.server.server import Server
from replclus.watchdog.board import Board


def with_word_of_host(seen: Observation, node: NodeSpec) -> Observation:
    """`seen`, with what the node's host says about the server process where the host is ours."""
    if node.process_dir is None:
        return seen
    if seen.reach.alive:
        return replace(seen, process_alive=True)
    try:
        return replace(seen, process_alive=LocalProcess(node.process_dir).is_running())
    except HostError:
        return seen


SETTINGS_EVERY_S = 2.0
"""How often the settings are compared with what they must be."""


class Prober(threading.Thread):
    """Asks one server how it is: a small question every tick, the whole story now and then, or when `ask` is called."""

    def __init__(
        self,
        node: NodeSpec,
        account: Account,
        timings: Timings,
        durability: Durability,
        board: Board,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name=f"prober-{node.name}", daemon=True)
        self._node = node
        self._timings = timings
        self._board = board
        self._clock = clock
        self._server = Server(
            node,
            account,
            clock=clock,
            connect_timeout_s=timings.connect_timeout_s,
            timeout_s=timings.probe_timeout_s,
        )
        self._durability = durability
        self._checked_at = float("-inf")
        self._drift: tuple[str, ...] = ()
        self._wake = threading.Event()
        self._full_wanted = True
        self._stopping = False

    def ask(self) -> None:
        """Probe completely, now."""
        self._full_wanted = True
        self._wake.set()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()
        self._server.abort()

    def run(self) -> None:
        previous: Observation | None = None
        while not self._stopping:
            previous = self.probe(previous)
            self._wake.wait(self._timings.tick_s)
            self._wake.clear()
        self._server.close()

    def probe(self, previous: Observation | None) -> Observation:
        asked_at = self._clock()
        overdue = previous is None or asked_at - previous.full_at >= self._timings.full_probe_every_s
        full, self._full_wanted = self._full_wanted or overdue, False
        seen = self._server.observe(previous, full=full)
        seen = with_word_of_host(self._with_drift(seen), self._node)
        self._board.put(seen, asked_at=asked_at)
        return seen

    def _with_drift(self, seen: Observation) -> Observation:
        """The settings are looked at less often: nothing depends on them at once."""
        if not seen.answered or seen.facts is None:
            return seen
        if seen.at - self._checked_at >= SETTINGS_EVERY_S:
            self._checked_at = seen.at
            try:
                self._drift = self._server.drift(self._durability, self._timings)
            except ServerError:
                # The next look says what is wrong with the server.
                self._drift = ()
        return replace(seen, facts=replace(seen.facts, drift=self._drift))
