"""One logical session: sends each statement where its verdict, the state of the session and the state of the cluster say."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from pymysql import err

from replclus.dbapi.backends import Backends
from replclus.dbapi.catalogue import heard, settled
from replclus.dbapi.errors import StatementRefused, TransactionLost
from replclus.dbapi.failures import READ_ONLY_SERVER, Fate, fate_of, sentence
from replclus.dbapi.hinted import warn_ignored
from replclus.dbapi.killing import end_connection, understood
from replclus.dbapi.link import Link, Setup
from replclus.dbapi.options import Options
from replclus.dbapi.outcome import Ledger
from replclus.dbapi.pool import Pool
from replclus.dbapi.primary import Primary, asks_insert_id
from replclus.dbapi.replica import Replica
from replclus.dbapi.route import Routed
from replclus.dbapi.wire import AUTOCOMMIT, IN_TRANSACTION, nothing_done
from replclus.model.spec import Flavour
from replclus.routing import NO_ANSWER, Classified, Destination, SessionState, StatementKind, Target, classifier, decide
from replclus.routing.router import Side

# Session statements are replayed on every new backend. Beyond this many the session stays on the primary instead.
REPLAYED_MAX = 64
# A read longer than this, in characters, is not sent before the answer to what comes first: neither side may fill its buffers.
ALONG_MAX = 16_384
_RETURNING = re.compile(r"\breturning\b", re.IGNORECASE)
_A_READ = Classified(Target.REPLICA, "a plain read", StatementKind.READ, is_select_like=True)
# Done on one side now and on the other before it is used.
_SHARED = frozenset({StatementKind.USE, StatementKind.SET_SESSION, StatementKind.SET_USER_VARIABLE, StatementKind.SET_AUTOCOMMIT})
# A replica would do these, and its locks mean nothing.
_NOT_ON_A_REPLICA = frozenset({StatementKind.LOCK, StatementKind.UNLOCK, StatementKind.LOCKING_READ})
_SHAPES = frozenset(
    {
        StatementKind.BEGIN,
        StatementKind.BEGIN_READ_ONLY,
        StatementKind.COMMIT,
        StatementKind.ROLLBACK,
        StatementKind.SAVEPOINT,
        StatementKind.SET_TRANSACTION,
    }
)


class Session:
    """Not thread-safe. Statements return the link that holds their result."""

    def __init__(self, options: Options, pool: Pool) -> None:
        self.options = options
        self.backends = Backends(options, pool)
        self.primary = Primary(self.backends, Ledger() if options.track_outcome else None)
        self.replica = Replica(self.backends)
        self.last: Link | None = None
        self._guest: Link | None = None
        self.routed: Routed | None = None
        # The next transaction was shaped (SET TRANSACTION): it is begun on the primary, which has heard it.
        self._shaped = False
        self._isolation: str | None = None
        self._replayed: dict[tuple[str, ...], str | bytes] = {}
        self.free = False
        # The connection changes it with the sql_mode.
        self.classify = classifier(Flavour.MARIADB)
        self._look_around()

    def state(self) -> SessionState:
        setup = self.backends.setup
        side: Side | None = "replica" if self.replica.in_transaction else None
        return SessionState(
            transaction_on="primary" if self.primary.transaction is not None else side,
            transaction_read_only=self.replica.read_only,
            autocommit=setup.autocommit is not False,
            split_transactions=self.options.split_transactions,
            pinned_to="primary" if self.primary.holds or self._shaped else None,
            consistency=self.options.consistency,
            isolation=self._isolation,
            schema=setup.database,
        )

    def _look_around(self) -> None:
        """`free`: every plain read goes to a replica, whatever else it is. Spares most statements the question."""
        self.free = decide(_A_READ, self.state()).role == "replica"

    # Every statement ------------------------------------------------------------------------------------------------

    def run(self, verdict: Classified, sql: str | bytes, unbuffered: bool = False) -> Link:
        if self.free and verdict.target is Target.REPLICA and verdict.hint is None:
            backends = self.backends
            link = backends.reader
            if link is None or not (
                link.server_status & IN_TRANSACTION
                or (backends.ready and backends.turns.left > 0 and backends.map is backends.watcher.map)
            ):
                link = backends.get_reader(along=verdict.is_select_like and not unbuffered and len(sql) < ALONG_MAX)
                if link is None and self.options.replica_required:
                    return self._read(verdict, verdict.reason, sql, unbuffered)
                if link is None:
                    return self._on_primary(verdict, sql, unbuffered, "no replica serves this read now")
            try:
                if not backends.wait:
                    link.query(sql, unbuffered)
                elif not backends.read_along(link, sql):
                    return self._read(verdict, verdict.reason, sql, unbuffered, patient=False)
            except err.Error as error:
                return self._read(verdict, verdict.reason, sql, unbuffered, (link, error))
            backends.turns.left -= 1
            backends.unplaced = self.last = link
            if link.server_status & IN_TRANSACTION:
                self.replica.shown = True
            self.routed = (link.node.name, link.side, verdict.reason)
            return link
        schema = self.backends.setup.database
        link = self._elsewhere(verdict, sql, unbuffered)
        if (verdict.pins or self.primary.holds) and link is not self._guest:
            self._keep_account(verdict, sql, link, schema)
        return link

    def _keep_account(self, verdict: Classified, sql: str | bytes, link: Link, schema: str | None) -> None:
        """Of what the session holds on its connection to the primary. A session that holds something is pinned to it."""
        rows = link._result.rows if link._result is not None else None
        answer = rows[0][0] if rows and len(rows) == len(rows[0]) == 1 else NO_ANSWER
        text = sql if isinstance(sql, str) else sql.decode(link.encoding, "replace")
        self.primary.holds.note(verdict, text, self.classify.mode, self.classify.flavour, answer, schema)
        self._look_around()

    def _elsewhere(self, verdict: Classified, sql: str | bytes, unbuffered: bool) -> Link:
        if verdict.hint is not None and verdict.hint.ignored is not None:
            warn_ignored(verdict.hint.ignored)
        if verdict.functions and self.free:
            verdict = settled(verdict, self.backends)
        if self.replica.read_only and (verdict.pins or verdict.kind in _NOT_ON_A_REPLICA or asks_insert_id(sql)):
            self._leave_replica(verdict)
        to = decide(verdict, self.state())
        if to.role == "refuse":
            raise StatementRefused(to.reason)
        if to.role == "node":
            return self.on_node(to, sql)
        if verdict.kind is StatementKind.KILL and (kill := understood(sql)) is not None:
            return end_connection(self, *kill)
        if verdict.kind in _SHARED and not verdict.pins:
            return self._on_session(verdict, sql)
        if verdict.kind in _SHAPES:
            return self._on_transaction(verdict, sql, unbuffered)
        if to.role == "last_used" and self.last is not None and self.last in self.backends.held():
            if verdict.pins and self.last is not self.backends.writer:
                node = self.last.node.name
                raise StatementRefused(
                    f"would leave variables on {node}, which ran the statement before; use SHOW WARNINGS instead"
                )
            return self._here(self.last, to.reason, sql, unbuffered)
        if to.role == "replica":
            return self._on_replica(verdict, to.reason, sql, unbuffered)
        return self._on_primary(verdict, sql, unbuffered, to.reason)

    def _on_replica(self, verdict: Classified, reason: str, sql: str | bytes, unbuffered: bool) -> Link:
        if self.replica.read_only and self.backends.reader is not None:
            # Whatever comes inside of a READ ONLY transaction is answered by the server that has it.
            try:
                return self._here(self.backends.reader, reason, sql, unbuffered)
            except err.OperationalError as error:
                if error.args[0] in READ_ONLY_SERVER:
                    raise err.OperationalError(1792, "Cannot execute statement in a READ ONLY transaction.") from error
                raise
        return self._read(verdict, reason, sql, unbuffered)

    def _read(
        self,
        verdict: Classified,
        reason: str,
        sql: str | bytes,
        unbuffered: bool,
        failed: tuple[Link, err.Error] | None = None,
        *,
        patient: bool = True,
    ) -> Link:
        link = self.replica.read(lambda link: link.query(sql, unbuffered), failed, patient=patient)
        if link is None:
            return self._on_primary(verdict, sql, unbuffered, "no replica can do this read now")
        return self._at(link, reason)

    def on_node(self, to: Destination, sql: str | bytes) -> Link:
        """What a hint sends to a named server goes there, over a connection for the occasion, and nowhere else."""
        backends = self.backends
        node = next((s.node for s in list(backends.watcher.states.values()) if s.node.name == to.node), None)
        if node is None:
            raise StatementRefused(f"the hint names {to.node}, which is not a node of this cluster")
        if self._guest is not None:
            self._guest.quit()
        self._guest = link = backends.pool.take(node, backends.setup, term=backends.watcher.map.term)
        link.query(sql)
        self.last, self.routed = None, (node.name, "node", to.reason)
        return link

    def _here(self, link: Link, reason: str, sql: str | bytes, unbuffered: bool) -> Link:
        """On this link or not at all."""
        link.dirty = True
        self.backends.complained = link
        link.query(sql, unbuffered)
        return self._at(link, reason)

    def failed(self, verdict: Classified) -> None:
        """A statement raised: what is asked about it goes to the server that refused it."""
        link, self.backends.complained = self.backends.complained, None
        if link is not None:
            self._at(link, verdict.reason)

    def _at(self, link: Link, reason: str) -> Link:
        self.last = link
        self.routed = (link.node.name, link.side, reason)
        return link

    def _on_primary(self, verdict: Classified, sql: str | bytes, unbuffered: bool, why: str | None = None) -> Link:
        primary = self.primary
        tracked = (
            primary.transaction is None
            and verdict.kind is StatementKind.WRITE
            and not verdict.pins
            # Its rows would have to be kept while COMMIT is sent.
            and not (unbuffered and _RETURNING.search(sql if isinstance(sql, str) else sql.decode("latin-1")))
        )

        def send(link: Link) -> None:
            if tracked and link.server_status & AUTOCOMMIT and primary.tracks(link):
                primary.send_tracked(link, sql)
                return
            link.query(sql, unbuffered)

        if primary.transaction is None:
            self.replica.end()
        try:
            link = primary.run(
                sql,
                send,
                repeatable=verdict.is_select_like,
                undoable=verdict.kind is StatementKind.WRITE,
                reads=verdict.is_select_like,
            )
        finally:
            self._look_around()
            heard(verdict, sql, self.backends.watcher)
        if primary.transaction is None:
            self._shaped = False
        self._look_around()
        return self._at(link, why or verdict.reason)

    # Transactions ---------------------------------------------------------------------------------------------------

    def _on_transaction(self, verdict: Classified, sql: str | bytes, unbuffered: bool) -> Link:
        primary = self.primary
        match verdict.kind:
            case StatementKind.BEGIN:
                return self._at(self.begin(sql), verdict.reason)
            case StatementKind.BEGIN_READ_ONLY:
                return self._begin_read_only(verdict, sql)
            case StatementKind.COMMIT:
                return self._at(self.commit(sql) or self._idle(sql), verdict.reason)
            case StatementKind.ROLLBACK:
                return self._at(self.rollback(sql) or self._idle(sql), verdict.reason)
            case StatementKind.SAVEPOINT if self.replica.read_only and self.backends.reader is not None:
                return self._here(self.backends.reader, verdict.reason, sql, unbuffered)
            case StatementKind.SAVEPOINT if primary.transaction is None and self.backends.setup.autocommit is False:
                # A savepoint and what follows it must be in one place, and that may turn out to be a write.
                self.begin("BEGIN")
            case StatementKind.SET_TRANSACTION:
                link = primary.do(lambda link: link.query(sql), repeatable=True)
                link.dirty = self._shaped = True
                self._look_around()
                return self._at(link, verdict.reason)
            case _:
                pass
        return self._on_primary(verdict, sql, unbuffered)

    def _idle(self, sql: str | bytes) -> Link:
        """COMMIT or ROLLBACK with nothing open on the primary: said where we are, or to nobody, for it changes nothing."""
        link = self.last if self.last in self.backends.held() else None
        if link is None or link.streaming:
            link = self.on_any(lambda link: link.query(sql))
        else:
            link._result = nothing_done()
        return link

    def begin(self, sql: str | bytes = "BEGIN") -> Link:
        self.replica.end()
        try:
            link = self.primary.begin(sql)
        finally:
            self._look_around()
        self.last = link
        return link

    def _begin_read_only(self, verdict: Classified, sql: str | bytes) -> Link:
        self.commit()
        link = self.replica.begin(sql) if self.free else None
        if link is None:
            return self._on_primary(verdict, sql, False, "no replica serves this transaction now")
        return self._at(link, verdict.reason)

    def _leave_replica(self, verdict: Classified) -> None:
        """What a READ ONLY transaction is asked for next must be on the primary. While it has shown nothing it can begin there.

        StatementRefused if it has: on another server it would go on with another snapshot.
        """
        if self.replica.shown:
            raise StatementRefused(
                f"{verdict.reason}, and this READ ONLY transaction has read from a replica: "
                "begin it with START TRANSACTION instead, or ask outside of it"
            )
        self.begin(self.replica.begun)

    def commit(self, sql: str | bytes = "COMMIT") -> Link | None:
        """End the transaction, wherever it is. None if nothing was open on the primary: then nothing can be lost."""
        self.replica.end()
        return self._end(lambda: self.primary.commit(sql))

    def rollback(self, sql: str | bytes = "ROLLBACK") -> Link | None:
        self.replica.end()
        return self._end(lambda: self.primary.rollback(sql))

    def _end(self, end: Callable[[], Link | None]) -> Link | None:
        self._shaped = False
        try:
            link = end()
        finally:
            self._look_around()
        if link is not None:
            self.last = link
        return link

    # Session state --------------------------------------------------------------------------------------------------

    def _on_session(self, verdict: Classified, sql: str | bytes) -> Link:
        """SET, USE: done where we are, and remembered for every backend that joins."""
        if len(self._replayed) >= REPLAYED_MAX:
            self.primary.holds.for_good(f"more than {REPLAYED_MAX} session statements")
            return self._on_primary(verdict, sql, False, self.primary.holds.why)
        link = self.on_any(lambda link: link.query(sql))
        setup = self.backends.setup
        if verdict.kind is StatementKind.USE and (link.schema or verdict.schema):
            setup = replace(setup, database=link.schema or verdict.schema)
        elif verdict.kind is StatementKind.SET_AUTOCOMMIT:
            setup = replace(setup, autocommit=bool(link.server_status & AUTOCOMMIT))
        else:
            # What is set again replaces what was set before, so that a loop that sets a variable does not grow the list.
            key = verdict.variables or (sql if isinstance(sql, str) else sql.decode("latin-1"),)
            self._replayed.pop(key, None)
            self._replayed[key] = sql
            setup = replace(setup, statements=tuple(self._replayed.values()))
            if "autocommit" in verdict.variables:
                setup = replace(setup, autocommit=bool(link.server_status & AUTOCOMMIT))
        if verdict.isolation is not None:
            self._isolation = verdict.isolation
        self.adopt(setup, link, lambda other: other.query(sql))
        return self._at(link, verdict.reason)

    def adopt(self, setup: Setup, link: Link, do: Callable[[Link], object]) -> None:
        """`link` has the session state `setup` by now; have it done on the other link too."""
        self.backends.adopt_setup(setup, link, do)
        writer = self.backends.writer
        if writer is not None:
            self.backends.note_write(writer)
            # SET autocommit=1 commits.
            if not writer.in_transaction:
                self.primary.transaction = None
        self._look_around()

    def on_any(self, send: Callable[[Link], object]) -> Link:
        """Do something that does not write, on the backend that is at hand: the transaction's, else the last, else any."""
        backends, primary = self.backends, self.primary
        link = self.last if self.last in backends.held() else backends.reader or backends.writer
        if primary.transaction is None and (link is None or not link.writes) and (link is not None or self.free):
            link = link or backends.get_reader()
            if link is not None:
                try:
                    send(link)
                except err.Error as error:
                    if fate_of(error, broken=link._sock is None) is Fate.ANSWERED:
                        backends.complained = link
                        raise
                    self.replica.forget(link, sentence(error))
                else:
                    self.last = link
                    return link
        # In a transaction it may commit (SET autocommit=1), so there it is not repeated.
        wrote = primary.transaction is not None and primary.transaction.wrote
        try:
            self.last = link = primary.do(send, repeatable=not wrote)
        finally:
            self._look_around()
        return link

    def begin_with(self, isolation: str) -> None:
        self._isolation = isolation
        self._look_around()

    def leave_parent(self) -> None:
        """After a fork: begin anew with the same settings. TransactionLost if a transaction was open: it is the parent's."""
        opened = self.primary.transaction is not None or bool(self.primary.holds)
        self.backends.discard()
        self.primary.lose()
        self.replica.shown = self.replica.read_only = False
        self.last = self._guest = None
        self._look_around()
        if opened:
            raise TransactionLost("the primary", "this process was forked off in the middle of it")
        self.backends.arrive()

    def close(self) -> None:
        """Give the links back; what was not committed is rolled back."""
        writer, ledger = self.backends.writer, self.primary.ledger
        farewell = ledger.farewell() if ledger is not None else None
        if farewell and writer is not None and not writer.in_transaction and not writer.is_stale():
            try:
                writer.queries("BEGIN", farewell, "COMMIT")
            except (err.Error, OSError):
                self.backends.drop_writer()
        if self._guest is not None:
            self._guest.quit()
        self.backends.release()
        self.last = self._guest = None
