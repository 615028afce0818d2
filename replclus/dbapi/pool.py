"""Physical connections, per node. One pool per process for each set of connection options.

A connection is handed out only in the term in which it was made: whoever was primary then may be anything now, and a
server that was demoted still answers reads from a past that nobody else shares.

Taking one that is at rest needs no lock: `deque.append` and `deque.pop` are atomic, and a connection is owned by whoever
popped it. How many are open is counted when one more is to be made, over those that exist; a connection that its owner
dropped without a word is therefore never counted for ever.
"""

from __future__ import annotations

import math
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
# A node that is about to become the primary has this long to let us in, and then to become it.
FORESEEN_CONNECT_S_MAX, FORESEEN_S_MAX = 0.5, 2.0
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
        # Made to a node that is about to become the primary; None while it is being made. At most one for each node.
        self._foreseen: dict[Address, Link | None] = {}

    def balancer(self, name: Balance) -> Balancer:
        """Shared by all connections, so that together they are even."""
        if name not in self._balancers:
            self._balancers[name] = balancer(name, random.random)
        return self._balancers[name]

    def take(self, node: Node, setup: Setup, *, term: tuple[int, int]) -> Link:
        """A connection to `node` in the state `setup`. Nothing was sent by the caller yet, whatever is raised.

        `pymysql.err.Error` if none can be made; NoConnectionLeft if too many are open, here or there.
        """
        link = self._reuse(node, setup, term) or self._take_foreseen(node, setup, term)
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

    def foresee(self, node: Node, setup: Setup) -> None:
        """Connect to a node that is open for writes and about to be named primary, so that its first writer need not wait for it.

        Nothing is sent but what prepares a session, and not even that where an `init_command` could write. Never raises for
        what a server does. Until the map names the node, nobody is given this connection.
        """
        address = node.address
        with self._room:
            if address in self._foreseen or self.options.get("init_command") is not None:
                return
            self._foreseen[address] = None
        link: Link | None = None
        try:
            link = self._make(node, setup, self.watcher.map.term, connect_s_max=FORESEEN_CONNECT_S_MAX)
            link.idle = True
        except (err.Error, OSError, NoConnectionLeft):
            # Whoever needs a connection there learns why there is none.
            pass
        finally:
            with self._room:
                self._foreseen.pop(address, None)
                if link is not None:
                    self._foreseen[address] = link

    def _take_foreseen(self, node: Node, setup: Setup, term: tuple[int, int]) -> Link | None:
        with self._room:
            link = self._foreseen.get(node.address)
            if link is None:
                return None
            del self._foreseen[node.address]
        if link.is_stale() or link.setup != setup:
            self._throw_away(link)
            return None
        # It was open for writes when this was made, and is named primary now.
        link.term, link.idle = term, False
        return link

    def _make(self, node: Node, setup: Setup, term: tuple[int, int], *, connect_s_max: float | None = None) -> Link:
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
            options = self.options if connect_s_max is None else {**self.options, "connect_timeout": connect_s_max}
            link = Link.to(node, term, options, setup, attend=self.watcher.attend)
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
        if self._foreseen:
            self._drop_foreseen(made_before=time.monotonic() - FORESEEN_S_MAX)
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
        self._drop_foreseen(made_before=math.inf)

    def _drop_foreseen(self, *, made_before: float) -> None:
        with self._room:
            links = {at: link for at, link in self._foreseen.items() if link is not None and link.connected_at < made_before}
            for address in links:
                del self._foreseen[address]
        for link in links.values():
            self._throw_away(link, politely=True)

    def after_fork(self) -> None:
        """In the child: the sockets still belong to the parent, so nothing may be said on them."""
        for idle in self._idle.values():
            for link in idle:
                link.discard()
        for foreseen in self._foreseen.values():
            if foreseen is not None:
                foreseen.discard()
        self._empty()
