"""Physical connections, per node. One pool per process for each set of connection options.

A connection is handed out only in the term in which it was made: whoever was primary then may be anything now, and a
server that was demoted still answers reads from a past that nobody else shares.

Taking one that is at rest needs no lock: `deque.append` and `deque.pop` are atomic, and a connection is owned by whoever
popped it. How many are open is counted when one more is to be made, over those that exist; a connection that its owner
dropped without a word is therefore never counted for ever.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any
from weakref import WeakSet

from pymysql import err

from replclus.dbapi.errors import NoConnectionLeft
from replclus.dbapi.failures import NO_ROOM, sentence
from replclus.dbapi.link import Link, Setup
from replclus.dbapi.mapping import Address, Node
from replclus.dbapi.mode import Balance
from replclus.dbapi.options import Bounds
from replclus.dbapi.watcher import Watcher
from replclus.routing import Balancer, balancer

# A connection at rest is closed after this long.
IDLE_S_MAX = 300.0
# One that was at rest for longer than this is asked whether it still works, and has this long to answer.
TRUSTED_S_MAX, CHECK_S_MAX = 10.0, 1.0
# Who waits for a free connection looks again this often, because one that is dropped without a word wakes nobody.
LOOK_AGAIN_S = 0.05


class Pool:
    """`options` are pymysql.connect's keywords for every link; see `Link.to`."""

    def __init__(self, watcher: Watcher, options: Mapping[str, Any], bounds: Bounds) -> None:
        self.watcher = watcher
        self.options = options
        self.bounds = bounds
        # Reads given out in turns, see turns.Turns. Threads may lose a few; it only paces them.
        self.reads = 0
        self._balancers: dict[Balance, Balancer] = {}
        # What a new session has: sql_mode and isolation level, after `init_command` and all. Asked once, by the first one.
        self.defaults: tuple[str, str] | None = None
        self._empty()
        watcher.tidy.append(self.tidy)

    def _empty(self) -> None:
        self.process = os.getpid()
        self._idle: dict[Address, deque[Link]] = {}
        self._room = threading.Condition()
        self._open: dict[Address, WeakSet[Link]] = {}
        # Connections that are being made, which take their place already.
        self._coming: dict[Address, int] = {}

    def balancer(self, name: Balance) -> Balancer:
        """Shared by all connections, so that together they are even."""
        if name not in self._balancers:
            self._balancers[name] = balancer(name, random.random)
        return self._balancers[name]

    def take(self, node: Node, setup: Setup, *, term: tuple[int, int]) -> Link:
        """A connection to `node` in the state `setup`. Nothing was sent by the caller yet, whatever is raised.

        `pymysql.err.Error` if none can be made; NoConnectionLeft if too many are open, here or there.
        """
        link = self._reuse(node, setup, term)
        if link is not None:
            self.watcher.tally.add("reused", node.name)
            return link
        try:
            return self._make(node, setup, term)
        except NoConnectionLeft:
            self.watcher.tally.add("no_room", node.name)
            raise

    def await_room(self) -> None:
        """Wait for a moment, or until a connection is given back."""
        with self._room:
            self._room.wait(LOOK_AGAIN_S)

    def _reuse(self, node: Node, setup: Setup, term: tuple[int, int]) -> Link | None:
        """The connection that was given back last, if it is still good and can be brought into the state `setup`."""
        idle = self._idle.get(node.address)
        while idle:
            try:
                link = idle.pop()
            except IndexError:
                break
            if link.term != term or link.is_stale():
                self._throw_away(link)
                continue
            if not link.can_become(setup) or self._too_old(link):
                self._throw_away(link, politely=True)
                continue
            try:
                if time.monotonic() - link.idle_since > TRUSTED_S_MAX:
                    link.check(CHECK_S_MAX)
                link.prepare(setup)
            except err.Error:
                if link._sock is None:
                    self.watcher.tally.add("discarded", node.name)
                    continue
                self._throw_away(link, politely=True)
                raise
            except BaseException:
                # Somebody interrupts us, in whatever state the connection is.
                self._throw_away(link)
                raise
            link.idle, link.killed, link.gtid = False, False, None
            return link
        return None

    def _make(self, node: Node, setup: Setup, term: tuple[int, int]) -> Link:
        """One more connection, if there is room for it."""
        address = node.address
        with self._room:
            links = self._open.setdefault(address, WeakSet())
            count = sum(1 for link in links if link._sock is not None) + self._coming.get(address, 0)
            if count >= self.bounds.open_max:
                why = f"all {count} that max_connections={self.bounds.open_max} allows are in use"
                raise NoConnectionLeft(node.name, why, here=True)
            self._coming[address] = self._coming.get(address, 0) + 1
        try:
            link = Link.to(node, term, self.options, setup, attend=self.watcher.attend)
            with self._room:
                links.add(link)
        except err.Error as error:
            if error.args and error.args[0] in NO_ROOM:
                raise NoConnectionLeft(node.name, f"the server refuses more: {sentence(error)}", here=False) from error
            raise
        finally:
            with self._room:
                self._coming[address] -= 1
        self.watcher.tally.add("made", node.name)
        return link

    def give_back(self, link: Link) -> None:
        """Keep `link` for later, or close it: whatever state it is in."""
        if link.streaming or link._result is None:
            # Reading a large result to its end only to save a connection is the wrong way round. And where no answer is, one
            # may still come: somebody may have closed what another thread is waiting on.
            link.discard()
        if link._sock is None or link.broken_off or link.term != self.watcher.map.term or self._too_old(link):
            self._throw_away(link, politely=True)
            return
        if link.in_transaction:
            # Its locks and its snapshot must not outlive its owner.
            try:
                link.queries("ROLLBACK")
            except err.Error:
                self._throw_away(link)
                return
        link._result, link.owner, link.writes, link.idle = None, None, False, True
        idle = self._idle.setdefault(link.node.address, deque())
        link.idle_since = time.monotonic()
        idle.append(link)
        self._cut(idle, self.bounds.idle_max)
        with self._room:
            self._room.notify()

    def tidy(self, address: Address) -> None:
        """Close what has been at rest for too long. Called by the watcher's threads."""
        idle = self._idle.get(address)
        if idle:
            oldest_s = time.monotonic() - IDLE_S_MAX
            keep = sum(1 for link in list(idle) if link.idle_since > oldest_s)
            self._cut(idle, keep)

    def _cut(self, idle: deque[Link], keep: int) -> None:
        """Close those that have been at rest for the longest."""
        while len(idle) > keep:
            try:
                self._throw_away(idle.popleft(), politely=True)
            except IndexError:
                return

    def _too_old(self, link: Link) -> bool:
        return time.monotonic() - link.connected_at > self.bounds.lifetime_s_max

    def _throw_away(self, link: Link, *, politely: bool = False) -> None:
        if politely:
            link.quit()
        else:
            link.discard()
        self.watcher.tally.add("discarded", link.node.name)
        with self._room:
            self._room.notify()

    def counts(self) -> dict[str, tuple[int, int]]:
        """By node: connections at rest, and in use."""
        with self._room:
            links = [link for known in self._open.values() for link in known if link._sock is not None]
        found: dict[str, tuple[int, int]] = {}
        for link in links:
            idle, in_use = found.get(link.node.name, (0, 0))
            found[link.node.name] = (idle + link.idle, in_use + (not link.idle))
        return found

    def forget(self) -> None:
        """Close every connection at rest."""
        for idle in list(self._idle.values()):
            self._cut(idle, 0)

    def after_fork(self) -> None:
        """In the child: the sockets still belong to the parent, so nothing may be said on them."""
        for idle in self._idle.values():
            for link in idle:
                link.discard()
        self._empty()
