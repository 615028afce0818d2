"""One logical session: sends each statement where its verdict, the state of the session and the state of the cluster say.

What may be sent twice: whatever provably did not run (failures.Fate), and pure reads of which the application has seen no
row. A write that was sent and not answered never is, unless `track_outcome` found out that it was not committed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from pymysql import err
from pymysql.connections import MySQLResult
from pymysql.constants import COMMAND

from replclus.dbapi.backends import Backends
from replclus.dbapi.errors import OutcomeUnknown, StatementRefused, TransactionLost
from replclus.dbapi.failures import REFUSED, Fate, fate_of, sentence
from replclus.dbapi.link import AUTOCOMMIT, IN_TRANSACTION, Link
from replclus.dbapi.options import Options
from replclus.dbapi.outcome import Ledger, Outcome
from replclus.dbapi.pool import Pool
from replclus.dbapi.route import Routed
from replclus.routing import Classified, StatementKind, Target

# Session statements are replayed on every new backend. Beyond this many the session stays on the primary instead.
REPLAYED_MAX = 64
# Statements that can be run again as long as nothing after them was: they change nothing but the session.
_REPEATABLE = frozenset(
    {
        StatementKind.BEGIN,
        StatementKind.BEGIN_READ_ONLY,
        StatementKind.SET_TRANSACTION,
        StatementKind.SET_AUTOCOMMIT,
        StatementKind.SET_SESSION,
        StatementKind.SET_USER_VARIABLE,
        StatementKind.USE,
    }
)


@dataclass(slots=True)
class Transaction:
    """An open transaction on the primary. `begin` is the statement that opened it, None where autocommit is off."""

    begin: str | bytes | None = None
    statements: int = 0
    wrote: bool = False


class Session:
    """Not thread-safe. `run` returns the link that holds the result."""

    def __init__(self, options: Options, pool: Pool) -> None:
        self.options = options
        self.backends = Backends(options, pool)
        self.transaction: Transaction | None = None
        self.last: Link | None = None
        self.routed: Routed | None = None
        self._pinned = ""
        self._next_on_primary = False
        self._reads_in_transaction = 0
        self._ledger = Ledger() if options.track_outcome else None
        self._outcome: Outcome = "not_committed"
        self._lost: Link | None = None
        self.free = False
        self.look_around()

    def look_around(self) -> None:
        """`free`: a read may go to a replica as far as this session is concerned."""
        setup = self.backends.setup
        self.free = (
            self.transaction is None
            and not self._pinned
            and not self._next_on_primary
            and self.options.consistency != "strong"
            and (setup.autocommit is not False or self.options.split_transactions)
        )

    # Every statement -----------------------------------------------------------------------------------------------------

    def run(self, verdict: Classified, sql: str | bytes, unbuffered: bool = False) -> Link:
        if verdict.target is Target.REPLICA and self.free:
            backends = self.backends
            link, state = backends.reader, backends.reader_state
            if (
                link is None
                or state is None
                or not (
                    link.server_status & IN_TRANSACTION
                    or (backends.ready and backends.map is backends.watcher.map and state.reads < state.turn_ends)
                )
            ):
                link = backends.get_reader()
                if link is None:
                    return self._on_primary(verdict, sql, unbuffered, "no replica serves this read now")
                state = backends.reader_state
            try:
                link.query(sql, unbuffered)
            except err.Error as error:
                return self._read_again(error, link, verdict, sql, unbuffered)
            state.reads += 1  # type: ignore[union-attr]  # there is one whenever there is a reader
            return self._has_read(link, verdict)
        return self._elsewhere(verdict, sql, unbuffered)

    def _has_read(self, link: Link, verdict: Classified) -> Link:
        self.backends.unplaced = self.last = link
        if link.server_status & IN_TRANSACTION:
            self._reads_in_transaction += 1
        self.routed = (link.node.name, "replica", verdict.reason)
        return link

    def _elsewhere(self, verdict: Classified, sql: str | bytes, unbuffered: bool) -> Link:
        match verdict.target:
            case Target.REFUSE:
                raise StatementRefused(verdict.reason)
            case Target.SESSION:
                return self._on_session(verdict, sql)
            case Target.TRANSACTION:
                return self._on_transaction(verdict, sql, unbuffered)
            case Target.LAST_USED if self.last is not None and self.last in self.backends.held():
                return self._on_last(self.last, verdict, sql, unbuffered)
            case _:
                return self._on_primary(verdict, sql, unbuffered)

    # Reads ---------------------------------------------------------------------------------------------------------------

    def _read_again(
        self, error: err.Error, link: Link, verdict: Classified, sql: str | bytes, unbuffered: bool
    ) -> Link:
        """A read on a replica failed. Elsewhere, if it was the replica that failed and not the statement."""
        backends = self.backends
        deadline = backends.deadline()
        while True:
            broken = link._sock is None
            fate = fate_of(error, broken=broken)
            if fate is Fate.REFUSED:
                return self._on_primary(verdict, sql, unbuffered, "the replica refused it as a write")
            if fate is Fate.ANSWERED or fate is Fate.TIMED_OUT:
                raise error
            self._forget_reader(link, sentence(error))
            if time.monotonic() >= deadline:
                raise error
            again = backends.get_reader()
            if again is None:
                return self._on_primary(verdict, sql, unbuffered, "no replica serves this read now")
            link = again
            try:
                link.query(sql, unbuffered)
            except err.Error as another:
                error = another
                continue
            return self._has_read(link, verdict)

    def _forget_reader(self, link: Link, why: str) -> None:
        """The reader broke. Its transaction, if it had shown rows of a snapshot, cannot go on elsewhere."""
        node, reads = link.node.name, self._reads_in_transaction
        link.discard()
        self.backends.drop_reader()
        self.backends.watcher.alarm()
        self._reads_in_transaction = 0
        if reads:
            raise TransactionLost(node, link.broken_off or why)

    def end_reads(self) -> None:
        """End the transaction on the replica, in which nothing can have been written."""
        reader = self.backends.reader
        self._reads_in_transaction = 0
        if reader is None or reader.streaming or not reader.in_transaction:
            return
        try:
            reader.queries("ROLLBACK")
        except (err.Error, OSError):
            self.backends.drop_reader()

    def _on_last(self, link: Link, verdict: Classified, sql: str | bytes, unbuffered: bool) -> Link:
        link.query(sql, unbuffered)
        link.dirty = True
        self.routed = (link.node.name, "primary" if link.writes else "replica", verdict.reason)
        return link

    # The primary ---------------------------------------------------------------------------------------------------------

    def _on_primary(self, verdict: Classified, sql: str | bytes, unbuffered: bool, why: str | None = None) -> Link:
        tracked = self._ledger is not None and self._can_track(verdict, unbuffered)

        def send(link: Link) -> None:
            if tracked and link.server_status & AUTOCOMMIT:
                self._send_tracked(link, sql)
            else:
                link.query(sql, unbuffered)
                if unbuffered and link.streaming and not link.server_status & AUTOCOMMIT:
                    # The status comes only after the last row, but the transaction has begun.
                    link.server_status |= IN_TRANSACTION

        repeatable = verdict.is_select_like or verdict.kind in _REPEATABLE
        link = self.on_writer(send, repeatable=repeatable, undoable=verdict.kind is StatementKind.WRITE)
        self._was_written(link, verdict)
        self.routed = (link.node.name, "primary", why or verdict.reason)
        return link

    def _was_written(self, link: Link, verdict: Classified) -> None:
        backends = self.backends
        link.dirty = True
        if backends.session and link.gtid is None:
            backends.unplaced = link
        backends.note_write(link)
        if not verdict.is_select_like:
            self._outcome = "committed"
        if link.server_status & IN_TRANSACTION:
            current = self.transaction = self.transaction or Transaction()
            current.statements += 1
            current.wrote = current.wrote or not verdict.is_select_like
        else:
            self.transaction = None
            self._next_on_primary = False
        if verdict.pins:
            self._pinned = verdict.reason
        self.last = link
        self.look_around()

    def on_writer(self, send: Callable[[Link], object], *, repeatable: bool = False, undoable: bool = False) -> Link:
        """Have `send` done on the primary, waiting for one and trying again where that is safe.

        `repeatable`: it may be done twice. `undoable`: in a transaction it is undone when the connection breaks.
        """
        backends = self.backends
        deadline: float | None = None
        refused_in: tuple[int, int] | None = None
        while True:
            link = self._writer(deadline)
            try:
                if link.streaming:
                    link.finish()
                send(link)
            except err.Error as error:
                fate = fate_of(error, broken=link._sock is None)
                if fate is Fate.ANSWERED or (fate is Fate.REFUSED and refused_in == link.term):
                    self._was_refused(link)
                    raise
                if fate is Fate.REFUSED:
                    refused_in = link.term
                self._judge(error, fate, link, repeatable=repeatable, undoable=undoable)
                deadline = deadline or backends.deadline()
                backends.watcher.alarm()
                if fate is Fate.REFUSED:
                    self._wait_confirmed(deadline)
            else:
                return link

    def _wait_confirmed(self, deadline: float) -> None:
        watcher, now = self.backends.watcher, time.monotonic()
        watcher.wait_until(lambda: watcher.confirmed_since(now), deadline)

    def _was_refused(self, link: Link) -> None:
        """The server answered with an error. It may have undone the transaction, which an error packet does not tell."""
        link.dirty = True
        self.backends.note_write(link)
        self.last = link

    def _judge(self, error: err.Error, fate: Fate, link: Link, *, repeatable: bool, undoable: bool) -> None:
        """Return if the statement may be sent again; raise what the application must know otherwise."""
        why = link.broken_off or sentence(error)
        current, node = self.transaction, link.node.name
        implicit = not link.server_status & AUTOCOMMIT
        self.backends.drop_writer()
        if current is not None and current.statements and (undoable or repeatable or fate is not Fate.UNKNOWN):
            self._transaction_lost()
            raise TransactionLost(node, why) from error
        if fate in (Fate.NOT_RUN, Fate.REFUSED):
            return
        if fate is Fate.TIMED_OUT and repeatable:
            raise error
        if repeatable or (undoable and (implicit or current is not None)):
            return
        self._transaction_lost()
        self._outcome, self._lost = "unknown", link
        raise OutcomeUnknown(node, why) from error

    def _transaction_lost(self) -> None:
        self.transaction = None
        self._outcome = "not_committed"
        self._reads_in_transaction = 0
        self.look_around()

    def _writer(self, deadline: float | None) -> Link:
        """A link to the primary, with the transaction that was opened and not yet used on it."""
        backends, current = self.backends, self.transaction
        held = backends.writer
        try:
            link = backends.get_writer(deadline)
        except TransactionLost:
            if current is None or current.statements:
                self._transaction_lost()
                raise
            link = backends.get_writer(deadline)
        except err.Error:
            self._transaction_lost()
            raise
        if link is not held:
            if self._pinned and held is not None:
                pinned, self._pinned = self._pinned, ""
                self._transaction_lost()
                raise TransactionLost(held.node.name, f"what this session kept there is gone: {pinned}")
            if current is not None and current.begin is not None:
                link.queries(current.begin)
        if backends.reader is not None and (self._reads_in_transaction or backends.reader.in_transaction):
            self.end_reads()
        return link

    # Transactions ----------------------------------------------------------------------------------------------------------

    def _on_transaction(self, verdict: Classified, sql: str | bytes, unbuffered: bool) -> Link:
        match verdict.kind:
            case StatementKind.BEGIN:
                self.end_reads()
                return self.begin(sql, verdict.reason)
            case StatementKind.BEGIN_READ_ONLY if self.free:
                self.end_reads()
                return self._begin_read_only(verdict, sql, unbuffered)
            case StatementKind.COMMIT | StatementKind.ROLLBACK | StatementKind.SAVEPOINT:
                return self._shape(verdict, sql, unbuffered)
            case StatementKind.SET_TRANSACTION:
                self._next_on_primary = True
                link = self.on_writer(lambda link: link.query(sql), repeatable=True)
                link.dirty = True
                self.last, self.routed = link, (link.node.name, "primary", verdict.reason)
                self.look_around()
                return link
            case _:
                return self._on_primary(verdict, sql, unbuffered)

    def begin(self, sql: str | bytes, reason: str) -> Link:
        link = self.on_writer(lambda link: link.query(sql), repeatable=True)
        self.backends.note_write(link)
        link.dirty = True
        self.transaction = Transaction(begin=sql)
        self.last, self.routed = link, (link.node.name, "primary", reason)
        self.look_around()
        return link

    def _begin_read_only(self, verdict: Classified, sql: str | bytes, unbuffered: bool) -> Link:
        link = self.backends.get_reader()
        if link is None:
            return self._on_primary(verdict, sql, unbuffered, "no replica serves this transaction now")
        try:
            link.query(sql, unbuffered)
        except err.Error as error:
            if fate_of(error, broken=link._sock is None) is Fate.ANSWERED:
                raise
            self._forget_reader(link, sentence(error))
            return self._begin_read_only(verdict, sql, unbuffered)
        self.last, self.routed = link, (link.node.name, "replica", verdict.reason)
        return link

    def _shape(self, verdict: Classified, sql: str | bytes, unbuffered: bool) -> Link:
        """COMMIT, ROLLBACK, SAVEPOINT: on the node that has the transaction."""
        reader = self.backends.reader
        if self.transaction is not None:
            if verdict.kind is StatementKind.SAVEPOINT:
                return self._on_primary(verdict, sql, unbuffered)
            link = self.commit(sql) if verdict.kind is StatementKind.COMMIT else self.rollback(sql)
            if link is None:
                link = self._writer(None)
                link._result = nothing_done()
            self.routed = (link.node.name, "primary", verdict.reason)
            return link
        if reader is not None and not reader.streaming:
            try:
                reader.query(sql, unbuffered)
            except err.Error as error:
                if fate_of(error, broken=reader._sock is None) is Fate.ANSWERED:
                    raise
                self._forget_reader(reader, sentence(error))
            else:
                self._reads_in_transaction = 0
                self.last, self.routed = reader, (reader.node.name, "replica", verdict.reason)
                return reader
        return self._on_primary(verdict, sql, unbuffered)

    def commit(self, sql: str | bytes = "COMMIT") -> Link | None:
        """End the transaction, wherever it is. None if there was none on the primary: then nothing can be lost."""
        self.end_reads()
        current = self.transaction
        if current is None:
            return None
        try:
            link = self._writer(None)
        except TransactionLost:
            self._transaction_lost()
            raise
        if not current.statements:
            link.query(sql)
            return self._ended(link, "not_committed")
        ledger = self._ledger if current.wrote else None
        try:
            if ledger is not None:
                self._answers(link, ledger)
            else:
                link.query(sql)
        except err.Error as error:
            fate = fate_of(error, broken=link._sock is None)
            if fate is Fate.ANSWERED:
                self._was_refused(link)
                raise
            return self._commit_cut(error, fate, link, current)
        return self._ended(link, "committed")

    def _ended(self, link: Link, outcome: Outcome) -> Link:
        backends = self.backends
        link.dirty = True
        if backends.session and link.gtid is None and self.transaction is not None and self.transaction.statements:
            backends.unplaced = link
        backends.note_write(link)
        # COMMIT AND CHAIN opens the next one at once.
        self.transaction = Transaction(begin="BEGIN") if link.in_transaction else None
        self._next_on_primary = False
        self._outcome = outcome
        self.last = link
        self.look_around()
        return link

    def _commit_cut(self, error: err.Error, fate: Fate, link: Link, current: Transaction) -> Link | None:
        """The connection broke around a COMMIT."""
        backends, why = self.backends, link.broken_off or sentence(error)
        backends.drop_writer()
        backends.watcher.alarm()
        self._transaction_lost()
        if fate in (Fate.NOT_RUN, Fate.REFUSED):
            raise TransactionLost(link.node.name, why) from error
        if not current.wrote:
            return None
        self._outcome, self._lost = "unknown", link
        match self.outcome():
            case "committed":
                return None
            case "not_committed":
                raise TransactionLost(link.node.name, why) from error
            case _:
                raise OutcomeUnknown(link.node.name, why, what="COMMIT") from error

    def rollback(self, sql: str | bytes = "ROLLBACK") -> Link | None:
        """Undo the transaction, wherever it is. A connection that breaks now has rolled it back as well: None."""
        self.end_reads()
        link, current = self.backends.writer, self.transaction
        if current is None or link is None:
            self.transaction = None
            self.look_around()
            return None
        try:
            link.query(sql)
        except err.Error as error:
            if fate_of(error, broken=link._sock is None) is Fate.ANSWERED:
                raise
            self.backends.drop_writer()
            self._transaction_lost()
            return None
        current.statements = 0
        return self._ended(link, "not_committed")

    # Session state ------------------------------------------------------------------------------------------------------------

    def _on_session(self, verdict: Classified, sql: str | bytes) -> Link:
        """SET, USE: done where we are, and remembered for every backend that joins."""
        setup = self.backends.setup
        if len(setup.statements) >= REPLAYED_MAX:
            self._pinned = f"more than {REPLAYED_MAX} session statements"
            self.look_around()
            return self._on_primary(verdict, sql, False, self._pinned)
        link = self.on_any(lambda link: link.query(sql))
        if verdict.kind is StatementKind.USE and (link.schema or verdict.schema):
            setup = replace(setup, database=link.schema or verdict.schema)
        elif verdict.kind is StatementKind.SET_AUTOCOMMIT:
            setup = replace(setup, autocommit=bool(link.server_status & AUTOCOMMIT))
        else:
            setup = replace(setup, statements=(*(s for s in setup.statements if s != sql), sql))
        self.backends.adopt_setup(setup, link, lambda other: other.query(sql))
        self._settle(link)
        self.routed = (link.node.name, "primary" if link.writes else "replica", verdict.reason)
        return link

    def _settle(self, link: Link) -> None:
        """After a change of session state: SET autocommit=1 may have committed."""
        if link.writes:
            self.backends.note_write(link)
            if not link.in_transaction:
                self.transaction = None
        self.last = link
        self.look_around()

    def on_any(self, send: Callable[[Link], object]) -> Link:
        """Do something harmless on the backend that is at hand: in a transaction its own, else the last, else any."""
        backends = self.backends
        link = self.last if self.last in backends.held() else backends.reader or backends.writer
        if self.transaction is None and (link is None or not link.writes) and self.free:
            link = link or backends.get_reader()
            if link is not None:
                try:
                    send(link)
                except err.Error as error:
                    if fate_of(error, broken=link._sock is None) is Fate.ANSWERED:
                        raise
                    self._forget_reader(link, sentence(error))
                else:
                    return link
        return self.on_writer(send, repeatable=True)

    # Outcome --------------------------------------------------------------------------------------------------------------------

    def _can_track(self, verdict: Classified, unbuffered: bool) -> bool:
        return self.transaction is None and verdict.kind is StatementKind.WRITE and not verdict.pins and not unbuffered

    def _send_tracked(self, link: Link, sql: str | bytes) -> None:
        """An autocommit write as a transaction with a token. The link's result is the statement's own."""
        ledger = self._ledger
        assert ledger is not None
        try:
            begun, answer = link.exchange([(COMMAND.COM_QUERY, "BEGIN"), (COMMAND.COM_QUERY, sql)])
        except err.Error as error:
            if fate_of(error, broken=link._sock is None) is Fate.UNKNOWN:
                # Without a COMMIT nothing stays.
                raise err.OperationalError(2006, f"the connection broke before COMMIT was sent: {sentence(error)}") from error
            raise
        for part in (begun, answer):
            if isinstance(part, err.MySQLError):
                link.queries("ROLLBACK")
                raise part
        assert isinstance(answer, MySQLResult)
        try:
            self._answers(link, ledger)
        except err.Error as error:
            if fate_of(error, broken=link._sock is None) not in (Fate.UNKNOWN, Fate.TIMED_OUT):
                raise
            self._settle_lost(error, link, ledger, answer)
            return
        answer.server_status = link.server_status
        link._result = answer

    def _settle_lost(self, error: err.Error, link: Link, ledger: Ledger, answer: MySQLResult) -> None:
        """COMMIT was sent and not answered: find out. Raises 2006 if it did not happen, so that the caller sends it again."""
        self.backends.drop_writer()
        self.backends.watcher.alarm()
        outcome = ledger.resolve(self.backends, link, self.backends.deadline())
        if outcome == "unknown":
            self._outcome, self._lost = "unknown", link
            raise OutcomeUnknown(link.node.name, link.broken_off or sentence(error)) from error
        if outcome == "not_committed":
            raise err.OperationalError(2006, f"rolled back: {sentence(error)}") from error
        link._result = answer

    def _answers(self, link: Link, ledger: Ledger) -> None:
        """Token and COMMIT, sent together. What COMMIT says counts."""
        answers = link.exchange([(COMMAND.COM_QUERY, statement) for statement in ledger.commit()])
        if isinstance(answers[-1], err.MySQLError):
            raise answers[-1]
        ledger.done()

    def outcome(self) -> Outcome:
        """What became of the last write, by the best evidence there is."""
        if self._outcome == "unknown" and self._lost is not None and self._ledger is not None and self._ledger.pending:
            self._outcome = self._ledger.resolve(self.backends, self._lost, self.backends.deadline())
        return self._outcome

    def close(self) -> None:
        """Give the links back; what was not committed is rolled back."""
        farewell = self._ledger.farewell() if self._ledger is not None else None
        writer = self.backends.writer
        if farewell and writer is not None and not writer.in_transaction and not writer.is_stale():
            try:
                writer.queries("BEGIN", farewell, "COMMIT")
            except (err.Error, OSError):
                self.backends.drop_writer()
        self.backends.release()
        self.last = None


def nothing_done() -> MySQLResult:
    """The result of a statement that had nothing left to do."""
    result = MySQLResult(None)  # type: ignore[arg-type]
    result.affected_rows = result.insert_id = 0
    return result


__all__ = ["REFUSED", "Session", "Transaction", "nothing_done"]
