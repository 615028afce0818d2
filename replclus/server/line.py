"""The line to one server: connects when needed, knows the dialect, turns failures into errors that name the node."""

from __future__ import annotations

import contextlib
import math
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from replclus.dialect import IDENTIFY, Dialect, Link, Statement, detect, read_identity
from replclus.dialect.base import session_settings
from replclus.errors import AccessDenied, ServerError, ServerUnreachable, UnsupportedServer
from replclus.model.gtid import GtidSet
from replclus.model.observation import Identity, Reach
from replclus.model.spec import Account, NodeSpec
from replclus.server.session import Failure, Session, shut_down

Audit = Callable[[str, str], None]


@dataclass(slots=True)
class Open:
    """A connection, and what was learnt when it was made.

    `small_rows` and `topology` are the pulse's: whether this session already writes small row images, and the map in the
    pulse as it last wrote it.
    """

    session: Session
    dialect: Dialect
    identity: Identity
    small_rows: bool = False
    topology: str | None = None


class Line:
    """At most one connection to `node` at a time. Belongs to one thread; only `abort` may be called from others."""

    def __init__(
        self,
        node: NodeSpec,
        account: Account,
        *,
        clock: Callable[[], float],
        connect_timeout_s: float,
        timeout_s: float,
        audit: Audit | None,
    ) -> None:
        self.node = node
        self.account = account
        self.clock = clock
        self.timeout_s = timeout_s
        # While pinned, a lost connection is not replaced, because its successor would lack what the session was told.
        self.pinned = False
        self.current: Open | None = None
        self._connect_timeout_s = connect_timeout_s
        self._audit = audit
        self._handle: socket.socket | None = None

    def open(self) -> Open:
        """The connection, made if need be. Raises Failure, or UnsupportedServer."""
        if self.current is not None and not self.current.session.stale():
            return self.current
        if self.pinned:
            raise Failure(Reach.CLOSED, "the connection was lost, and with it the settings of this session")
        self.drop()
        session = Session.open(
            self.node,
            self.account,
            connect_timeout_s=self._connect_timeout_s,
            timeout_s=self.timeout_s,
            announce=self._announce,
        )
        try:
            rows = session.rows(IDENTIFY)
            dialect = detect(self.node.name, rows)
            session.rows(session_settings(math.ceil(self.timeout_s)))
        except (Failure, UnsupportedServer):
            session.close()
            raise
        self.current = Open(session, dialect, read_identity(self.node.name, rows))
        return self.current

    def detect_again(self) -> None:
        """The server has learnt something (plugins were loaded); the session keeps its settings."""
        with self.errors():
            current = self.open()
            current.dialect = detect(self.node.name, current.session.rows(IDENTIFY))

    def drop(self) -> None:
        current, self.current, self._handle = self.current, None, None
        if current is not None:
            current.session.close()

    def abort(self) -> None:
        """From any thread: a call that is blocked in another one fails at once."""
        handle = self._handle
        if handle is not None:
            shut_down(handle)

    def _announce(self, handle: socket.socket) -> None:
        self._handle = handle

    @property
    def dialect(self) -> Dialect:
        with self.errors():
            return self.open().dialect

    # ---- statements ------------------------------------------------------------------------------------------------
    def read(self, statement: Statement, timeout_s: float | None = None) -> list[dict[str, Any]]:
        with self.errors():
            return self.open().session.rows(statement, timeout_s)

    def do(self, *statements: Statement, timeout_s: float | None = None) -> None:
        """Carry out statements that change something, each within `timeout_s` (the line's own if None)."""
        for statement in statements:
            self.audit(statement)
            self.read(statement, timeout_s)

    def audit(self, statement: Statement) -> None:
        """The statement without its values: they may be passwords."""
        if self._audit is not None:
            self._audit(self.node.name, statement.sql)

    def link(self) -> Link | None:
        dialect = self.dialect
        return dialect.link(self.read(dialect.link_status()))

    def executed(self) -> GtidSet:
        dialect = self.dialect
        return dialect.executed(self.read(dialect.progress())[0])

    # ---- errors ----------------------------------------------------------------------------------------------------
    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Failures of the connection become errors with this node's name."""
        try:
            yield
        except Failure as failure:
            raise _kind(failure.reach)(self.node.name, failure.message, errno=failure.errno) from None

    def error(self, message: str, *, errno: int | None = None) -> ServerError:
        return ServerError(self.node.name, message, errno=errno)


def _kind(reach: Reach) -> type[ServerError]:
    match reach:
        case Reach.DENIED:
            return AccessDenied
        case Reach.FAILED | Reach.ANSWERED:
            return ServerError
        case Reach.REFUSED | Reach.CLOSED | Reach.TIMED_OUT | Reach.OVERLOADED:
            return ServerUnreachable
