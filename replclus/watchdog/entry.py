"""Knocks at a server's door now and then, apart from the probes, which it must not delay."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from replclus.model.spec import Account, NodeSpec, Timings
from replclus.server.entry import why_shut
from replclus.watchdog.board import Board

EVERY_S, AGAIN_S = 5.0, 1.0
"""A refusal is tried again sooner, and counts when it was met twice in a row."""


def knock(node: NodeSpec, account: Account, timings: Timings) -> str:
    """See `why_shut`."""
    return why_shut(node, account, connect_timeout_s=timings.connect_timeout_s, timeout_s=timings.probe_timeout_s)


class EntryProber(threading.Thread):
    """One for each node, because a server that hangs may let every one of them wait."""

    def __init__(
        self,
        node: NodeSpec,
        account: Account,
        timings: Timings,
        board: Board,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name=f"entry-{node.name}", daemon=True)
        self._node = node
        self._account = account
        self._timings = timings
        self._board = board
        self._clock = clock
        self._stop = threading.Event()
        self._before = ""

    def stop(self) -> None:
        self._stop.set()

    def run(self) -> None:
        while not self._stop.wait(AGAIN_S if self._before else EVERY_S):
            self.knock()

    def knock(self) -> None:
        began = self._clock()
        shut = knock(self._node, self._account, self._timings)
        before, self._before = self._before, shut
        self._board.note_entry(self._node.name, shut if before else "", began)
