"""The at most two physical connections of one logical connection: one to the primary, one to a replica.

Here a statement waits: for a primary, for a fresh map, for a replica to catch up. Every wait ends at a deadline.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from weakref import WeakMethod

from pymysql import err

from replclus.dbapi.causality import Seen, check_token
from replclus.dbapi.errors import NoConnectionLeft, TransactionLost, Unavailable
from replclus.dbapi.failures import is_sickness
from replclus.dbapi.link import Link, Setup
from replclus.dbapi.mapping import ClusterMap, Node
from replclus.dbapi.options import Options
from replclus.dbapi.pool import Pool
from replclus.dbapi.route import Routed
from replclus.dbapi.turns import Turns
from replclus.dbapi.waiting import ForWriter, for_cluster
from replclus.dbapi.watcher import NodeState

# How long a read waits for a replica to apply what its session has seen, before it goes to the primary.
CATCH_UP_S_MAX = 0.3
# A replica that kept a read waiting in vain is not waited for again for this long.
BEHIND_FOR_S = 1.0


class Backends:
    """Not thread-safe, like the connection that owns it. `setup` is the session state that both links must have."""

    def __init__(self, options: Options, pool: Pool) -> None:
        self.options = options
        self.pool = pool
        self.watcher = pool.watcher
        self.setup: Setup = options.setup
        self.writer: Link | None = None
        self.reader: Link | None = None
        self.map: ClusterMap = ClusterMap()
        # True while the reader needs no look: same map, nothing written since, and it has caught up.
        self.ready = False
        self.reader_state: NodeState | None = None
        self.turns = Turns(options, pool)
        self.seen: Seen | None = None
        self._for_writer = ForWriter(pool, options)
        # How many statements were answered, by route. Only this connection's thread writes to it.
        self.statements: dict[Routed, int] = defaultdict(int)
        self.watcher.tally.follow(self)
        self._token = options.causality_token
        self._followed = ""
        # The link on which this session has last read, while the position it saw there is not yet in `seen`.
        self.unplaced: Link | None = None
        # That link broke before it could be asked.
        self._lost_place = False
        self.session = options.consistency == "session"
        # The server that answered the last statement with an error, of which it can be asked more.
        self.complained: Link | None = None
        # What the reader must be asked before the next read, in the same breath; empty if nothing.
        self.wait = ""
        self._held = WeakMethod(self.held)

    # Beginning and end ----------------------------------------------------------------------------------------------

    def deadline(self) -> float:
        return time.monotonic() + self.options.failover_timeout_s

    def arrive(self) -> None:
        """Wait until the cluster is known well enough to send a statement. Unavailable, or the refusal of our account."""
        watcher = self.watcher
        if watcher.map.primary is not None or watcher.map.replicas:
            watcher.used()
            return
        for_cluster(watcher, self.deadline())

    def release(self) -> None:
        """Give both links back."""
        for link in (self.reader, self.writer):
            if link is not None:
                self.pool.give_back(link)
        self.forget()
        self.watcher.tally.settle(self)

    def forget(self) -> None:
        self.reader = self.writer = self.unplaced = None
        self.ready = False

    def discard(self) -> None:
        """Close both without a word: another process owns them, or the connection was thrown away unclosed."""
        for link in (self.reader, self.writer):
            if link is not None:
                link.discard()
        self.forget()
        self.watcher.tally.settle(self)

    # The primary ----------------------------------------------------------------------------------------------------

    def drop_writer(self) -> None:
        if self.writer is not None:
            if self.unplaced is self.writer:
                self.lose_place()
            self.writer.discard()
            self.writer = None

    def get_writer(self, deadline: float | None = None) -> Link:
        """A link to the present primary, which may be written to now. Waits up to `deadline`, then Unavailable.

        A link in a transaction is never changed for another: if its primary is none any more, TransactionLost.
        """
        watcher, link = self.watcher, self.writer
        if link is not None:
            fresh = link.term == watcher.map.term and time.monotonic() < watcher.fresh_until
            if link.in_transaction:
                return link if fresh and not link.broken_off else self._keep(link)
            if fresh and not link.broken_off and not link.is_stale():
                return link
            self.drop_writer()
        self.writer = self._for_writer.get(self.setup, deadline or self.deadline(), self._make_room)
        self.writer.owner = self._held
        return self.writer

    def await_confirmation(self, since: float, deadline: float) -> None:
        """Wait until a primary has answered a question that was asked after `since`."""
        self._for_writer.confirmed(self.setup, since, deadline)

    def _keep(self, link: Link) -> Link:
        """The link of a transaction, once the map is fresh again and still names its node."""
        watcher = self.watcher

        def decided() -> bool:
            return bool(link.broken_off) or link.term != watcher.map.term or time.monotonic() < watcher.fresh_until

        began = time.monotonic()
        watcher.alarm()
        decided_in_time = watcher.wait_until(decided, self.deadline())
        watcher.tally.add("held", link.node.name, time.monotonic() - began)
        if decided_in_time and not link.broken_off and link.term == watcher.map.term:
            return link
        why = link.broken_off or ("another node is the primary" if decided_in_time else "no fresh map")
        self.drop_writer()
        raise TransactionLost(link.node.name, why)

    def _make_room(self, node: Node) -> None:
        """Give up the reader, if it leads to `node`: whoever waits for a connection there must not hold another one."""
        reader = self.reader
        if reader is not None and reader.node == node and not reader.streaming and not reader.in_transaction:
            self.leave_reader()

    # The replicas ---------------------------------------------------------------------------------------------------

    def drop_reader(self, *, sick: bool = True) -> None:
        """It broke, which speaks against its node if that is `sick`."""
        if self.reader is not None:
            if sick and self.reader_state is not None and not self.reader.broken_off and not self.reader.killed:
                self.watcher.failed(self.reader_state)
            if self.unplaced is self.reader and self.reader._sock is None:
                self.unplaced = None
                self._lost_place = True
            self.reader.discard()
            self.reader = None
        self.ready = False

    def leave_reader(self, *, for_primary: bool = False) -> None:
        """Put the reader back into the pool, its position noted; the primary has whatever was seen, so it is not asked then."""
        if self.reader is not None:
            if for_primary and self.unplaced is self.reader:
                self.unplaced, self._lost_place = None, True
            if self.unplaced is self.reader:
                self.place()
            self.pool.give_back(self.reader)
            self.reader = None
        self.ready = False

    def abandon_reader(self) -> None:
        """Leave the reader to the cursor that still fetches from it: it cannot be asked for its position now."""
        if self.unplaced is self.reader:
            self.unplaced, self._lost_place = None, True
        self.reader, self.ready = None, False

    def _replace_reader(self, link: Link) -> None:
        """By another link to the same server, which can only have moved on: what was seen there holds for it."""
        if self.reader is not None:
            if self.unplaced is self.reader:
                self.unplaced = link
            self.reader.discard()
        self.reader = link

    def get_reader(self, *, along: bool = False, patient: bool = True) -> Link | None:
        """A link to a replica that satisfies the connection's consistency. None: there is none now, use the primary.

        A replica that is not known to have caught up with the session is waited for, once, if `patient`. With `along` that is
        left to the caller: `wait` is set, and the read must be sent with `read_along`.
        """
        watcher = self.watcher
        if watcher.map.primary is None and not watcher.map.replicas:
            self.arrive()
        current, link = watcher.map, self.reader
        self.wait = ""
        if link is not None and (link.streaming or link.in_transaction) and link._sock is not None and not link.broken_off:
            self.map = current
            return link
        same = link is not None and current is self.map and self.turns.left > 0 and not self.turns.bounded
        self.map = current
        if same and self.reader_state is not None and self.reader_state.silent_since is None:
            # Its turn is not over, so there is nothing to choose; only whether it has caught up, which may be known.
            if self._known_caught_up(link, self.reader_state):
                self.ready = True
                return link
            found = self._reach(self.reader_state, current, along=along, patient=patient)
            if found is not None:
                return found
            patient = patient and self.reader is None
        candidates = self.turns.candidates(current)
        tried: set[str] = set()
        while True:
            state = self.turns.choose(candidates, tried, self.reader_state if self.reader is not None else None)
            if state is None:
                return None
            found = self._reach(state, current, along=along, patient=patient)
            if found is not None:
                return found
            # A link that could not be had was no wait.
            patient = patient and self.reader is None
            tried.add(state.node.name)

    def read_along(self, link: Link, sql: str | bytes) -> bool:
        """Send `wait` and a read in one round trip. False if the position was not reached in time: then nothing was read."""
        wait, self.wait, began = self.wait, "", time.monotonic()
        if link.query_after(wait, link.speech.waited, sql):
            self.ready = True
            self.watcher.tally.add("waited", link.node.name, time.monotonic() - began)
            return True
        if link.in_transaction:
            # Without autocommit the read has opened one, over a snapshot that is too old, and nothing of it was shown.
            link.queries("ROLLBACK")
        if self.reader_state is not None:
            self._behind(self.reader_state, began)
        return False

    def _reach(self, state: NodeState, current: ClusterMap, *, along: bool, patient: bool) -> Link | None:
        """A link to this replica, caught up with the session; None if it cannot be had."""
        link, primary = self.reader, current.primary == state.node
        try:
            if link is None or link.node.address != state.node.address:
                self.leave_reader(for_primary=primary)
                link = self.pool.take(state.node, self.setup, term=current.term)
                if primary and self.session and not self._still_primary(link):
                    return None
            elif link.term != current.term or link.is_stale():
                link = self.pool.take(state.node, self.setup, term=current.term)
                self._replace_reader(link)
            self.reader, self.reader_state, link.owner = link, state, self._held
            link.side = "primary" if primary else "replica"
            if self.session and not primary and not self._caught_up(link, state, along=along, patient=patient):
                return None
        except Unavailable:
            raise
        except (err.Error, OSError) as error:
            self.drop_reader(sick=False)
            if is_sickness(error) and not (isinstance(error, NoConnectionLeft) and error.here):
                self.watcher.failed(state)
                self.watcher.alarm()
            return None
        self.ready = not self.turns.bounded and not self.wait
        return link

    def _still_primary(self, link: Link) -> bool:
        """Before a session reads on the primary what it has not read elsewhere: is it one? Our map may be a moment too old."""
        if str(link.scalar("SELECT @@global.read_only")).upper() in ("0", "OFF"):
            return True
        self.pool.give_back(link)
        self.watcher.alarm()
        return False

    # Causality ------------------------------------------------------------------------------------------------------

    def _caught_up(self, link: Link, state: NodeState, *, along: bool, patient: bool) -> bool:
        """Has this replica all that the session has seen? Waits for it, within bounds, or says by `wait` that one must."""
        seen = self._seen()
        if self.unplaced is not None and self.unplaced is not link:
            self.place()
        elif self._lost_place:
            self._place_by_primary()
        if seen.within(state.applied):
            return True
        if not patient or time.monotonic() < state.behind_until:
            return False
        wait = link.speech.wait.format(position=seen.position, seconds=CATCH_UP_S_MAX)
        if along:
            self.wait = wait
            return True
        began = time.monotonic()
        if link.scalar(wait) == link.speech.waited:
            self.watcher.tally.add("waited", state.node.name, time.monotonic() - began)
            return True
        self._behind(state, began)
        return False

    def _known_caught_up(self, link: Link | None, state: NodeState) -> bool:
        """Whether a session's reader has all it has seen, as far as is known already."""
        if link is None or link._sock is None or link.broken_off or link.side != "replica" or link.term != self.map.term:
            return False
        if not self.session or self._lost_place:
            return False
        return self.unplaced in (None, link) and self.seen is not None and self.seen.within(state.applied)

    def _behind(self, state: NodeState, began: float) -> None:
        now = time.monotonic()
        state.behind_until = now + BEHIND_FOR_S
        self.watcher.tally.add("behind", state.node.name, now - began)

    def _seen(self) -> Seen:
        if self.seen is None:
            flavour = self.watcher.flavour
            assert flavour is not None, "a connection is not open before some node has said what it is"
            self.seen = Seen(flavour)
            if self._token:
                self.seen.text = check_token(flavour, self._token)
        return self.seen

    def follow(self) -> None:
        """What this process has written by now, over any connection, is seen by the reads to come."""
        latest = self.watcher.latest.text
        if self.session and latest != self._followed:
            self._followed = latest
            self._seen().follow(latest)
            self.ready = False

    def place(self) -> None:
        """Ask the link on which we last read how far it was, so that another server can be asked to be as far."""
        link = self.unplaced
        if link is None or not self.session:
            return
        self.unplaced = None
        try:
            state = self.watcher.states.get(link.node.address)
            if link._sock is None or state is None or state.silent_since is not None:
                raise err.OperationalError(2013, "nothing can be asked there now")
            position = link.scalar(link.speech.position)
            self._seen().reached(position)
            # Newer than what the watcher has heard: if nobody else has got so far, this one still may be read.
            state.applied = position
        except (err.Error, OSError):
            self._lost_place = True
            self._place_by_primary()

    def lose_place(self) -> None:
        """What we have seen last, or written, was on a link that can tell us no position any more."""
        self.unplaced, self._lost_place, self.ready = None, True, False

    def _place_by_primary(self) -> None:
        """The link on which we last read is gone; whatever it had shown, the primary has it too."""
        link = self.get_writer()
        self._seen().reached(link.scalar(link.speech.position))
        self._lost_place = False

    def note_write(self, link: Link, *, shows: bool = False) -> None:
        """A statement on the primary was answered: take the GTID if it came with one. Else, if the answer `shows` what is there,
        that may be more than any replica has: the reader must be looked at again.
        """
        if shows and link.gtid is None and self.session:
            self.unplaced, self.ready = link, False
        if link.gtid is not None:
            self._seen().wrote(link.gtid)
            self.watcher.latest.wrote(link.gtid)
            link.gtid = None
            self.unplaced = None
            self._lost_place = False
            self.ready = False

    def token(self) -> str:
        """What this session has seen, as text for another one. Empty if it has seen nothing."""
        self.place()
        if self._lost_place:
            self._place_by_primary()
        if self.seen is not None:
            return self.seen.position
        return self._token or ""

    # Session state --------------------------------------------------------------------------------------------------

    def held(self) -> tuple[Link, ...]:
        return tuple(link for link in (self.writer, self.reader) if link is not None)

    def adopt_setup(self, setup: Setup, done_on: Link, do: Callable[[Link], object]) -> None:
        """`setup` is the session's state from now on, and `done_on` has it. The other link gets it now, or is given up."""
        self.setup = setup
        done_on.setup = setup
        if self.writer is not None and self.writer is not done_on:
            try:
                do(self.writer)
            except err.Error:
                if self.writer._sock is not None:
                    raise
                # It is broken, which whoever needs it will notice; the state is kept for the one that takes its place.
            self.writer.setup = setup
        if self.reader is not None and self.reader is not done_on:
            if self.reader.in_transaction or self.reader.streaming:
                do(self.reader)
                self.reader.setup = setup
            else:
                self.leave_reader()

    def is_primary(self, node: Node) -> bool:
        return self.watcher.map.primary == node
