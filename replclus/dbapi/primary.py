"""What a session does on the primary: statements, transactions, and what becomes of them when the connection breaks.

What may be sent twice: whatever provably did not run (failures.Fate), what changes nothing, and what was undone because the
transaction it belonged to was not committed. A write that was sent and not answered never is, unless its token
(outcome.Ledger) proves that it was not committed.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from pymysql import err
from pymysql.constants import COMMAND, ER

from replclus.dbapi.backends import Backends
from replclus.dbapi.errors import OutcomeUnknown, SessionLost, TransactionLost
from replclus.dbapi.failures import Fate, fate_of, sentence
from replclus.dbapi.link import Link
from replclus.dbapi.outcome import Ledger, Outcome
from replclus.dbapi.private import Result
from replclus.dbapi.wire import AUTOCOMMIT, IN_READ_ONLY, IN_TRANSACTION
from replclus.routing import Holds

DEADLOCKS_MAX = 5
# A server that becomes read-only refuses a little earlier than it says so. For longer than this it is no such moment.
REFUSED_S_MAX = 2.0
_INSERT_ID = re.compile(
    r"\blast_insert_id\s*\(\s*\)|@@(?:(?:session|local)\s*\.\s*)?`?(?:identity|last_insert_id)\b", re.IGNORECASE
)

Send = Callable[[Link], object]


def asks_insert_id(sql: str | bytes) -> bool:
    """Whether `sql` may ask for what the connection that inserted last knows."""
    return _INSERT_ID.search(sql if isinstance(sql, str) else sql.decode("latin-1")) is not None


@dataclass(slots=True)
class Transaction:
    """An open transaction on the primary. `begin` is the statement that opened it, None where autocommit is off."""

    begin: str | bytes | None = None
    statements: int = 0
    wrote: bool = False


class Primary:
    """One per session. `ledger` is there when outcomes are tracked."""

    def __init__(self, backends: Backends, ledger: Ledger | None) -> None:
        self.backends = backends
        self.ledger = ledger
        self.transaction: Transaction | None = None
        # Why the session depends on this very connection, if it does.
        self.holds = Holds()
        # The connection that knows what LAST_INSERT_ID() is, as far as the session has made it anything.
        self._inserted_on: Link | None = None
        self._outcome: Outcome = "not_committed"
        self._lost: Link | None = None

    # One statement --------------------------------------------------------------------------------------------------

    def run(self, sql: str | bytes, send: Send, *, repeatable: bool = False, undoable: bool = False, reads: bool = False) -> Link:
        """Run a statement that may write, and take note of what it did. See `do`; `reads`: it is a read all the same."""
        link = self.do(send, sql, repeatable=repeatable, undoable=undoable)
        if link._result is not None and link._result.insert_id:
            self._inserted_on = link
        backends = self.backends
        link.dirty = True
        backends.note_write(link, shows=True)
        if not reads:
            self._outcome = "committed"
        if link.server_status & IN_TRANSACTION:
            current = self.transaction = self.transaction or Transaction()
            current.statements += 1
            current.wrote = current.wrote or not reads
        else:
            self.transaction = None
        return link

    def do(self, send: Send, sql: str | bytes = b"", *, repeatable: bool = False, undoable: bool = False) -> Link:
        """Have `send` done on the primary: waits for one, and tries again where that is safe.

        `sql` is what the application wants sent. `repeatable`: it may be done twice. `undoable`: it is undone with the
        transaction in which the connection breaks.
        """
        backends = self.backends
        deadline: float | None = None
        refused_in: tuple[int, int] | None = None
        refused_at = 0.0
        while True:
            link = self.link(deadline)
            if self._inserted_on is not None and link is not self._inserted_on:
                self._without_insert_id(sql)
            try:
                if link.streaming:
                    link.finish()
                send(link)
            except err.Error as error:
                fate = fate_of(error, broken=link._sock is None)
                # In a transaction that was begun READ ONLY the refusal is meant for the application.
                again = refused_in == link.term and time.monotonic() - refused_at > REFUSED_S_MAX
                if fate is Fate.ANSWERED or (fate is Fate.REFUSED and (again or link.server_status & IN_READ_ONLY)):
                    self._answered(link)
                    raise
                asked_at = time.monotonic()
                deadline = deadline or backends.deadline()
                self._judge(error, fate, link, repeatable=repeatable, undoable=undoable)
                backends.watcher.tally.add("retried", link.node.name)
                backends.watcher.alarm()
                if fate is Fate.REFUSED:
                    # Again, but only after the node that calls itself primary has said so later than this refusal.
                    if refused_in != link.term:
                        refused_in, refused_at = link.term, asked_at
                    backends.await_confirmation(asked_at, deadline)
            else:
                return link

    def _answered(self, link: Link) -> None:
        """With an error. With autocommit off that may have opened a transaction, of which only the server can tell."""
        link.dirty = True
        self.backends.note_write(link)
        self.backends.complained = link
        if link.in_transaction and self.transaction is None:
            # If it breaks here, the transaction that there may be is gone too.
            with contextlib.suppress(err.Error):
                link.ping(reconnect=False)
            if link.in_transaction:
                # What failed may have been a procedure, half done.
                self.transaction = Transaction(statements=1, wrote=True)

    def _without_insert_id(self, sql: str | bytes) -> None:
        """SessionLost if the statement asks for the id of an insert that was made on a connection that is gone: it would be
        told 0, and put that where the id belongs.
        """
        assert self._inserted_on is not None
        if asks_insert_id(sql):
            node = self._inserted_on.node.name
            raise SessionLost(
                node, "the connection was replaced", "LAST_INSERT_ID(), for which cursor.lastrowid is a safe substitute"
            )

    def _judge(self, error: err.Error, fate: Fate, link: Link, *, repeatable: bool, undoable: bool) -> None:
        """Return if the statement may be sent again; raise what the application must know otherwise."""
        why = link.broken_off or sentence(error)
        current, node = self.transaction, link.node.name
        implicit = not link.server_status & AUTOCOMMIT
        self.backends.drop_writer()
        certain = fate is Fate.NOT_RUN or fate is Fate.REFUSED
        if current is not None and current.statements and (certain or undoable or repeatable):
            self.lose()
            raise TransactionLost(node, why) from error
        if not certain and not repeatable and not (undoable and (implicit or current is not None)):
            self.lose()
            self._outcome, self._lost = "unknown", link
            raise OutcomeUnknown(node, why) from error
        if self.holds:
            pinned = self.holds.why
            self.lose()
            raise SessionLost(node, why, pinned) from error
        if fate is Fate.TIMED_OUT or (link.killed and not certain):
            raise error

    def link(self, deadline: float | None = None) -> Link:
        """A link to the primary; the transaction that is open goes on there, or is begun there if it has not done anything."""
        backends, current, held = self.backends, self.transaction, self.backends.writer
        lost = held is None or held._sock is None
        try:
            if current is not None and current.statements and lost:
                raise TransactionLost(held.node.name if held else "the primary", "the connection is closed")
            link = backends.get_writer(deadline)
        except TransactionLost:
            started = current is not None and current.statements > 0
            if started or self.holds:
                self.lose()
                raise
            link = backends.get_writer(deadline)
        if link is not held:
            if self.holds and held is not None:
                pinned = self.holds.why
                self.lose()
                raise SessionLost(held.node.name, "the connection is closed", pinned)
            if current is not None and current.begin is not None:
                link.queries(current.begin)
        return link

    def lose(self) -> None:
        """The transaction, and what else the connection held, is gone; nothing of it was committed."""
        self.transaction = None
        self.holds.clear()
        self._outcome = "not_committed"

    # Transactions ---------------------------------------------------------------------------------------------------

    def begin(self, sql: str | bytes) -> Link:
        """A BEGIN commits what is open, so that is done first, where its failure is understood."""
        self.commit()
        link = self.do(lambda link: link.query(sql), repeatable=True)
        link.dirty = True
        self.backends.note_write(link)
        self.transaction = Transaction(begin=sql)
        return link

    def commit(self, sql: str | bytes = "COMMIT") -> Link | None:
        """End the open transaction. None if there was none, or if it had only read and the connection broke."""
        current = self.transaction
        if current is None:
            return None
        link = self.link()
        if not current.statements:
            link.query(sql)
            return self._ended(link, "not_committed")
        try:
            if self.tracks(link) and current.wrote:
                assert self.ledger is not None
                self.ledger.commit(link)
            else:
                link.query(sql)
        except err.Error as error:
            fate = fate_of(error, broken=link._sock is None)
            if fate is Fate.ANSWERED:
                if not link.in_transaction:
                    self.lose()
                raise
            return self._cut(error, fate, link, current)
        return self._ended(link, "committed" if current.wrote else "not_committed")

    def _ended(self, link: Link, outcome: Outcome) -> Link:
        backends = self.backends
        link.dirty = True
        backends.note_write(link, shows=True)
        # COMMIT AND CHAIN opens the next one at once.
        self.transaction = Transaction(begin="BEGIN") if link.in_transaction else None
        self._outcome = outcome
        return link

    def _cut(self, error: err.Error, fate: Fate, link: Link, current: Transaction) -> Link | None:
        """The connection broke around a COMMIT."""
        why = link.broken_off or sentence(error)
        self.backends.drop_writer()
        self.backends.watcher.alarm()
        self.lose()
        if fate is Fate.NOT_RUN or fate is Fate.REFUSED:
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
        """Undo the open transaction. None if there was none, or if it was undone by the connection's end."""
        link, current = self.backends.writer, self.transaction
        if current is None or link is None or link._sock is None:
            self.transaction = None
            return None
        try:
            link.query(sql)
        except err.Error as error:
            if fate_of(error, broken=link._sock is None) is Fate.ANSWERED:
                raise
            self.backends.drop_writer()
            self.lose()
            return None
        return self._ended(link, "not_committed")

    # Tracked writes -------------------------------------------------------------------------------------------------

    def tracks(self, link: Link) -> bool:
        """Whether a token can be written in the transaction that is open on `link`, or that would be begun there."""
        return self.ledger is not None and not self.holds.forbids_transactions and not link.server_status & IN_READ_ONLY

    def send_tracked(self, link: Link, sql: str | bytes) -> None:
        """An autocommit write as a transaction with a token. The link's result is the statement's own.

        Raises 2006, on a closed link, where the statement provably left nothing behind.
        """
        answer = self._begun(link, sql)
        for turn in range(1, DEADLOCKS_MAX + 1):
            try:
                assert self.ledger is not None
                self.ledger.commit(link)
            except err.Error as error:
                fate = fate_of(error, broken=link._sock is None)
                if fate is Fate.UNKNOWN or fate is Fate.TIMED_OUT:
                    self._find_out(error, link)
                    link.server_status &= ~IN_TRANSACTION
                    break
                if fate is not Fate.ANSWERED or error.args[0] != ER.LOCK_DEADLOCK or turn == DEADLOCKS_MAX:
                    raise
                # It was our token that met a deadlock, not the application's statement: nothing happened, once more.
                answer = self._begun(link, sql)
            else:
                break
        answer.server_status = link.server_status
        link._result = answer

    def _begun(self, link: Link, sql: str | bytes) -> Result:
        """BEGIN and the statement, in one round trip; the statement's result."""
        try:
            begun, answer = link.exchange([(COMMAND.COM_QUERY, "BEGIN"), (COMMAND.COM_QUERY, sql)])
        except err.Error as error:
            if link._sock is None and fate_of(error, broken=True) is Fate.UNKNOWN:
                # Without a COMMIT nothing stays.
                raise err.OperationalError(2006, f"the connection broke before COMMIT: {sentence(error)}") from error
            raise
        for part in (begun, answer):
            if isinstance(part, err.MySQLError):
                link.queries("ROLLBACK")
                raise part
        assert isinstance(answer, Result)
        return answer

    def _find_out(self, error: err.Error, link: Link) -> None:
        """COMMIT was sent and not answered. Returns if it was executed."""
        why = link.broken_off or sentence(error)
        self.backends.drop_writer()
        self.backends.watcher.alarm()
        self._outcome, self._lost = "unknown", link
        match self.outcome():
            case "committed":
                return
            case "not_committed":
                link.discard()
                raise err.OperationalError(2006, f"rolled back: {why}") from error
            case _:
                raise OutcomeUnknown(link.node.name, why) from error

    def outcome(self) -> Outcome:
        """What became of the last write, by the best evidence there is."""
        if self._outcome == "unknown" and self._lost is not None and self.ledger is not None and self.ledger.pending:
            self._outcome = self.ledger.resolve(self.backends, self._lost, self.backends.deadline())
            if self._outcome == "committed":
                # It is our own write, and its GTID was in the answer that did not come.
                self.backends.lose_place()
        return self._outcome
