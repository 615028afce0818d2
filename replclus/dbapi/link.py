"""A physical connection: one PyMySQL connection to one node, which knows where it leads and what has been set on it."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakMethod

from pymysql import err
from pymysql.charset import charset_by_name
from pymysql.constants import COMMAND

from replclus.dbapi.mapping import Node
from replclus.dbapi.private import Base, Result
from replclus.dbapi.speech import Speech, speech_of
from replclus.dbapi.tracking import CLIENT_SESSION_TRACK
from replclus.dbapi.wire import IN_TRANSACTION, Wire

_COM_RESET_CONNECTION = 0x1F


@dataclass(frozen=True, slots=True)
class Setup:
    """The session state that both backends of a logical connection share. `statements` are replayed in their order."""

    database: str | None = None
    charset: str = "utf8mb4"
    collation: str | None = None
    autocommit: bool | None = False
    statements: tuple[str | bytes, ...] = ()


class Link(Wire):
    """See the module. Made by `Link.to`, which also connects; `pymysql.err.Error` if that fails.

    `owner` tells the links of the logical connection that holds this one. `killed`: somebody in this process has ended
    what was under way here, which therefore must not be done elsewhere.
    """

    node: Node
    term: tuple[int, int]
    speech: Speech
    setup: Setup
    dirty: bool
    broken_off: str
    killed: bool
    owner: WeakMethod[Callable[[], tuple[Link, ...]]] | None
    writes: bool
    side: str
    idle: bool
    connected_at: float
    idle_since: float
    _poll: select.poll

    @classmethod
    def to(
        cls,
        node: Node,
        term: tuple[int, int],
        options: Mapping[str, Any],
        setup: Setup,
        *,
        attend: Callable[[Link], object] | None = None,
    ) -> Link:
        """Connect to `node`. `options` are pymysql.connect's, without the address and without what `setup` holds.

        `attend` is told of the link before it connects, so that a server that hangs in the middle of it can be given up.
        """
        link = cls(
            **options,
            host=node.host,
            port=node.port,
            unix_socket=node.socket,
            database=setup.database,
            charset=setup.charset,
            collation=setup.collation,
            autocommit=None,
            defer_connect=True,
        )
        link.client_flag |= CLIENT_SESSION_TRACK
        link.node, link.term, link.setup = node, term, setup
        link.broken_off = ""
        link.dirty = link.writes = link.killed = False
        # Nobody's yet, like one at rest.
        link.idle, link.owner, link.side = True, None, "replica"
        if attend is not None:
            attend(link)
        with link.patience(link.connect_timeout):
            link.connect()
        link.idle = False
        link.connected_at = link.idle_since = time.monotonic()
        link.speech = speech_of(link.server_version)
        link._poll = select.poll()
        assert link._sock is not None
        link._poll.register(link._sock, select.POLLIN | select.POLLHUP | select.POLLERR)
        try:
            link.pipeline(link._settings(setup))
        except BaseException:
            link.discard()
            raise
        return link

    def _create_ssl_ctx(self, sslp: Any) -> ssl.SSLContext:
        return super()._create_ssl_ctx(sslp) if sslp else preferred_tls(self)

    # Pipelining -----------------------------------------------------------------------------------------------------

    def exchange(self, commands: Sequence[tuple[int, str | bytes]]) -> list[Result | err.MySQLError]:
        """Send all commands at once, then read all answers, in order: one round trip. The last result stays current.

        Only for commands that answer with OK or rows, each below 16 MB. Raises only when the connection breaks.
        """
        self.finish()
        packets = []
        for command, text in commands:
            payload = text.encode(self.encoding) if isinstance(text, str) else bytes(text)
            packets.append(struct.pack("<iB", len(payload) + 1, command) + payload)
        self._write_bytes(b"".join(packets))
        answers: list[Result | err.MySQLError] = []
        for _ in packets:
            self._next_seq_id = 1
            try:
                self._read_query_result()
                while self._result is not None and self._result.has_next:
                    self._read_query_result()
            except err.MySQLError as error:
                if self._sock is None:
                    raise
                answers.append(error)
            else:
                assert self._result is not None
                answers.append(self._result)
        return answers

    def pipeline(self, commands: Sequence[tuple[int, str | bytes]]) -> list[Result]:
        """Like `exchange`, for commands of ours: the first error is raised, after the last answer."""
        answers = self.exchange(commands)
        for answer in answers:
            if isinstance(answer, err.MySQLError):
                raise answer
        return [answer for answer in answers if isinstance(answer, Result)]

    def queries(self, *statements: str | bytes) -> list[Result]:
        """Run statements of ours in one round trip. See `exchange`."""
        return self.pipeline([(COMMAND.COM_QUERY, statement) for statement in statements])

    def query_after(self, wait: str, waited: int, sql: str | bytes) -> bool:
        """Run a read behind a question of ours, in one round trip. False, with no result, unless the answer was `waited`."""
        first, answer = self.exchange([(COMMAND.COM_QUERY, wait), (COMMAND.COM_QUERY, sql)])
        if isinstance(first, err.MySQLError) or first.rows[0][0] != waited:
            self._result = None
            return False
        if isinstance(answer, err.MySQLError):
            raise answer
        self._affected_rows = answer.affected_rows or 0
        return True

    def scalar(self, statement: str) -> Any:
        """The first column of the only row of a question of ours; the application's result stays the current one."""
        current = None if self.streaming else self._result
        (result,) = self.queries(statement)
        self._result = current
        return result.rows[0][0]

    def finish(self) -> None:
        """Read what is left of an unbuffered or multiple result, so that the next error can only be about the next command."""
        result = self._result
        if result is None:
            return
        if result.unbuffered_active:
            result._finish_unbuffered_query()
        while self._result is not None and self._result.has_next:
            self._read_query_result()
        self._result = None

    # Session state --------------------------------------------------------------------------------------------------

    def prepare(self, setup: Setup) -> None:
        """Bring the session into the state `setup`, from whatever it was left in."""
        if not self.dirty and (setup is self.setup or setup == self.setup):
            return
        self.charset, self.collation = setup.charset, setup.collation
        self.encoding = charset_by_name(setup.charset).encoding
        collate = f" COLLATE {setup.collation}" if setup.collation else ""
        commands: list[tuple[int, str | bytes]] = [(_COM_RESET_CONNECTION, b"")]
        if setup.database is not None:
            commands.append((COMMAND.COM_INIT_DB, setup.database))
        commands.append((COMMAND.COM_QUERY, f"SET NAMES {setup.charset}{collate}"))
        # It is in between from here on: if this fails half way, it must not be taken for either state.
        self.dirty = True
        self.pipeline([*commands, *self._settings(setup)])
        self.setup, self.dirty = setup, False
        self.schema = None

    def can_become(self, setup: Setup) -> bool:
        """A chosen schema cannot be unchosen, not even by a reset."""
        return setup.database is not None or (self.setup.database is None and self.schema is None)

    def _settings(self, setup: Setup) -> list[tuple[int, str | bytes]]:
        statements: list[str | bytes] = [self.speech.track]
        if self.sql_mode is not None:
            statements.append(f"SET sql_mode = {self.escape(self.sql_mode)}")
        if self.init_command is not None:
            statements.append(self.init_command)
        if setup.autocommit is not None:
            statements.append(f"SET autocommit = {int(setup.autocommit)}")
        return [(COMMAND.COM_QUERY, statement) for statement in (*statements, *setup.statements)]

    # Health ---------------------------------------------------------------------------------------------------------

    @property
    def streaming(self) -> bool:
        """Rows of an unbuffered result, or further results, are still to be read."""
        result = self._result
        return result is not None and bool(result.unbuffered_active or result.has_next)

    @contextlib.contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Wait for answers only this long, where PyMySQL would wait for ever."""
        before = self._read_timeout
        self._read_timeout = min(before or seconds, seconds)
        try:
            yield
        finally:
            self._read_timeout = before

    def check(self, seconds: float) -> None:
        """err.Error, with the link closed, if it does not answer within `seconds`."""
        with self.patience(seconds):
            self.ping(reconnect=False)

    def is_stale(self) -> bool:
        """True if the server has hung up, or said something that nobody asked for, which it does only to say good-bye.

        Costs a system call. A statement that is sent after this answered False may still be lost on the way.
        """
        return self._sock is None or bool(self._poll.poll(0))

    @property
    def in_transaction(self) -> bool:
        return self._sock is not None and bool(self.server_status & IN_TRANSACTION)

    def break_off(self, why: str) -> None:
        """From another thread: whatever waits for this node's answer gets 2013 at once."""
        self.broken_off = why
        sock = self._sock
        if sock is not None:
            # Not SSLSocket.shutdown, which pulls the TLS state away under the thread that is reading.
            with contextlib.suppress(OSError, ValueError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def discard(self) -> None:
        """Close without a word: for a connection that is broken, or belongs to another process."""
        self._force_close()

    def quit(self) -> None:
        """Close politely; never raises."""
        if self._sock is not None:
            with contextlib.suppress(err.Error, OSError):
                self.close()


_preferred: ssl.SSLContext | None = None


def preferred_tls(connection: Base) -> ssl.SSLContext:
    """PyMySQL's context for connections that take TLS where it is offered, made once.

    PyMySQL makes one per connection, and reading the system's certificates takes 30 ms each time.
    """
    global _preferred
    if _preferred is None:
        _preferred = Base._create_ssl_ctx(connection, {})
    return _preferred
