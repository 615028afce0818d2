"""Physical connections at rest, per node. One pool per process for each set of connection options.

A connection is handed out only in the term in which it was made: whoever was primary then may be anything now, and a
server that was demoted still answers reads from a past that nobody else shares. Without locks: `deque.append` and
`deque.pop` are atomic, and a connection is owned by whoever popped it.
"""

from __future__ import annotations

import os
import random
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from pymysql import err

from replclus.dbapi.link import Link, Setup
from replclus.dbapi.mapping import Address, Node
from replclus.dbapi.mode import Balance
from replclus.dbapi.watcher import Watcher
from replclus.routing import Balancer, balancer

IDLE_MAX = 32
IDLE_S_MAX = 300.0


class Pool:
    """`options` are pymysql.connect's keywords for every link; see `Link.to`."""

    def __init__(self, watcher: Watcher, options: Mapping[str, Any]) -> None:
        self.watcher = watcher
        self.options = options
        self.process = os.getpid()
        self._idle: dict[Address, deque[Link]] = {}
        # Reads given out in turns, see turns.Turns. Threads may lose a few; it only paces them.
        self.reads = 0
        self._balancers: dict[Balance, Balancer] = {}
        # What a new session has: sql_mode and isolation level, after `init_command` and all. Asked once, by the first one.
        self.defaults: tuple[str, str] | None = None

    def balancer(self, name: Balance) -> Balancer:
        """Shared by all connections, so that together they are even."""
        if name not in self._balancers:
            self._balancers[name] = balancer(name, random.random)
        return self._balancers[name]

    def in_use(self, node: Node) -> int:
        """Connections of this process to `node` that somebody holds."""
        return max(0, self.watcher.count(node) - len(self._idle.get(node.address, ())))

    def take(self, node: Node, setup: Setup, *, term: tuple[int, int]) -> Link:
        """A connection to `node` in the state `setup`. `pymysql.err.Error` if none can be made. Nothing was sent then."""
        idle = self._idle.get(node.address)
        while idle:
            try:
                link = idle.pop()
            except IndexError:
                break
            if link.term != term or link.is_stale():
                link.discard()
                continue
            if not link.can_become(setup):
                link.quit()
                continue
            try:
                link.prepare(setup)
            except err.Error:
                if link._sock is None:
                    continue
                link.quit()
                raise
            link.idle, link.killed, link.gtid = False, False, None
            return link
        link = Link.to(node, term, self.options, setup)
        self.watcher.attend(link)
        return link

    def give_back(self, link: Link) -> None:
        """Keep `link` for later, or close it: whatever state it is in."""
        if link.streaming:
            # Reading a large result to its end only to save a connection is the wrong way round.
            link.discard()
        if link._sock is None or link.broken_off or link.term != self.watcher.map.term:
            link.quit()
            return
        if link.in_transaction:
            # Its locks and its snapshot must not outlive its owner.
            try:
                link.queries("ROLLBACK")
            except err.Error:
                link.discard()
                return
        link._result, link.owner, link.writes, link.idle = None, None, False, True
        idle = self._idle.setdefault(link.node.address, deque())
        link.idle_since = now = time.monotonic()
        idle.append(link)
        while len(idle) > IDLE_MAX or (idle and now - idle[0].idle_since > IDLE_S_MAX):
            try:
                idle.popleft().quit()
            except IndexError:
                break

    def forget(self) -> None:
        """Close every connection at rest."""
        for idle in list(self._idle.values()):
            while idle:
                idle.pop().quit()

    def after_fork(self) -> None:
        """In the child: the sockets still belong to the parent, so nothing may be said on them."""
        for idle in self._idle.values():
            for link in idle:
                link.discard()
        self._idle = {}
        self.process = os.getpid()
