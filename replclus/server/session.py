"""One SQL connection on which nothing waits without a bound. The only module that knows the driver."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pymysql
from pymysql.connections import Connection
from pymysql.constants import CR, ER
from pymysql.cursors import DictCursor

from replclus.dialect import Statement
from replclus.model.observation import Reach
from replclus.model.spec import Account, NodeSpec

# Error numbers by what they say about the server, where the driver has no names for them.
_OVERLOADED = frozenset({ER.CON_COUNT_ERROR, ER.TOO_MANY_USER_CONNECTIONS})
_DENIED = frozenset(
    {
        ER.DBACCESS_DENIED_ERROR,
        ER.ACCESS_DENIED_ERROR,
        ER.HOST_IS_BLOCKED,
        ER.HOST_NOT_PRIVILEGED,
        ER.TABLEACCESS_DENIED_ERROR,
        ER.COLUMNACCESS_DENIED_ERROR,
        ER.SPECIFIC_ACCESS_DENIED_ERROR,
        ER.PROCACCESS_DENIED_ERROR,
        1698,  # ER_ACCESS_DENIED_NO_PASSWORD_ERROR
        1820,  # ER_MUST_CHANGE_PASSWORD
        1862,  # ER_MUST_CHANGE_PASSWORD_LOGIN
        3118,  # ER_ACCOUNT_HAS_BEEN_LOCKED
        3159,  # ER_SECURE_TRANSPORT_REQUIRED
        4151,  # MariaDB: the account is locked
    }
)
# The server says goodbye: shutdown, killed, idle for too long.
_CLOSED = frozenset({ER.SERVER_SHUTDOWN, 1927, 4031, CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST})


class Failure(Exception):
    """A statement or connection that failed. `errno` is the server's or the client's number, None below SQL."""

    def __init__(self, reach: Reach, message: str, errno: int | None = None) -> None:
        super().__init__(message)
        self.reach = reach
        self.message = message
        self.errno = errno


if TYPE_CHECKING:

    class _Connection(Connection[DictCursor]):
        def _create_ssl_ctx(self, sslp: Any) -> ssl.SSLContext: ...
else:
    _Connection = Connection


_tls: ssl.SSLContext | None = None


class _Wire(_Connection):
    """The driver's connection, with a bound that can be changed between statements."""

    _read_timeout: float | None
    _write_timeout: float | None
    _secure: bool
    _force_close: Callable[[], None]
    server_thread_id: tuple[int]

    def _create_ssl_ctx(self, sslp: Any) -> ssl.SSLContext:
        """Once for all connections, which want the same: reading the system's certificates takes 40 ms each time."""
        global _tls
        if _tls is None:
            _tls = super()._create_ssl_ctx(sslp)
        return _tls

    def bound(self, seconds: float) -> None:
        self._read_timeout = self._write_timeout = max(seconds, 0.001)

    def trust_local_socket(self) -> None:
        """A password may cross a unix socket as it is; the driver knows that only of sockets it opened itself."""
        self._secure = True


class Session:
    """An open connection. Every failure is a `Failure`, after which the connection is closed unless the server spoke."""

    def __init__(self, wire: _Wire, handle: socket.socket, timeout_s: float) -> None:
        self._wire = wire
        self._handle = handle
        self._timeout_s = timeout_s

    @classmethod
    def open(
        cls,
        node: NodeSpec,
        account: Account,
        *,
        connect_timeout_s: float,
        timeout_s: float,
        announce: Callable[[socket.socket], None] | None = None,
    ) -> Session:
        """Connect and log in. `announce` gets a handle of the socket, through which any thread can shut it down.

        Over TCP the driver encrypts where the server can; a unix socket needs none.
        """
        sock = _connect(node, connect_timeout_s)
        # A second descriptor: the first one changes hands when the driver starts to encrypt.
        handle = sock.dup()
        if announce is not None:
            announce(handle)
        wire = _Wire(
            user=account.user,
            # The driver would encode it as Latin-1.
            password=account.password.reveal().encode(),
            host=node.host,
            port=node.port,
            charset="utf8mb4",
            autocommit=None,
            cursorclass=DictCursor,
            defer_connect=True,
            local_infile=False,
            ssl_disabled=node.socket is not None,
            program_name="replclus",
        )
        wire.bound(timeout_s)
        if node.socket is not None:
            wire.trust_local_socket()
        try:
            wire.connect(sock)
        except (pymysql.err.Error, OSError, RuntimeError) as error:
            sock.close()
            handle.close()
            raise _failure(error) from None
        return cls(wire, handle, timeout_s)

    @property
    def server_thread(self) -> int:
        """The server's number for this connection, as KILL takes it."""
        return self._wire.server_thread_id[0]

    def rows(self, statement: Statement, timeout_s: float | None = None) -> list[dict[str, Any]]:
        """The result set, empty for statements without one."""
        return self._execute(statement, timeout_s)[0]

    def affected(self, statement: Statement, timeout_s: float | None = None) -> int:
        """How many rows the statement changed."""
        return self._execute(statement, timeout_s)[1]

    def stale(self) -> bool:
        """Has the server hung up (or spoken out of turn) while we were not talking? Costs no round trip."""
        if not self._wire.open:
            return True
        try:
            readable, _, _ = select.select([self._handle], [], [], 0)
        except (OSError, ValueError):
            return True
        return bool(readable)

    def close(self) -> None:
        """Hang up without a word: saying goodbye could block."""
        self._wire._force_close()
        self._handle.close()

    def leave(self) -> None:
        """Say goodbye, so that the server does not log a lost connection, and hang up."""
        with contextlib.suppress(pymysql.err.Error, OSError):
            self._wire.close()
        self.close()

    def _execute(self, statement: Statement, timeout_s: float | None) -> tuple[list[dict[str, Any]], int]:
        self._wire.bound(self._timeout_s if timeout_s is None else timeout_s)
        try:
            with self._wire.cursor() as cursor:
                affected = cursor.execute(statement.sql, statement.args or None)
                return list(cursor.fetchall()), affected
        except (pymysql.err.Error, OSError) as error:
            failure = _failure(error)
            if failure.reach in {Reach.CLOSED, Reach.TIMED_OUT}:
                self.close()
            raise failure from None


def shut_down(sock: socket.socket) -> None:
    """Make every call that is blocked on `sock`, in any thread, return at once."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _connect(node: NodeSpec, timeout_s: float) -> socket.socket:
    where = node.socket if node.socket is not None else node.address
    try:
        if node.socket is not None:
            return _dial(socket.AF_UNIX, node.socket, timeout_s)
        return _dial_any(node, timeout_s)
    except OSError as error:
        raise Failure(_reach_of(error), f"cannot connect to {where}: {_words(error)}") from None


def _dial_any(node: NodeSpec, timeout_s: float) -> socket.socket:
    """A name may have several addresses (`localhost` often has two); the first that accepts is taken."""
    addresses = socket.getaddrinfo(node.host, node.port, type=socket.SOCK_STREAM)
    for number, (family, _, _, _, address) in enumerate(addresses, start=1):
        try:
            sock = _dial(family, address, timeout_s / len(addresses))
        except OSError:
            if number == len(addresses):
                raise
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
    raise OSError(f"{node.host} has no address")


def _dial(family: int, address: Any, timeout_s: float) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def _failure(error: Exception) -> Failure:
    """The driver's exceptions in our words. Whether a lost connection timed out or was cut, only its cause can tell."""
    if isinstance(error, OSError):
        return Failure(_reach_of(error), _words(error))
    errno = error.args[0] if error.args and isinstance(error.args[0], int) else None
    message = str(error.args[1]) if len(error.args) > 1 else str(error)
    if errno in _CLOSED or isinstance(error, pymysql.err.InterfaceError):
        cause = error.__context__
        reach = _reach_of(cause) if isinstance(cause, OSError) else Reach.CLOSED
        return Failure(reach, "no answer within the deadline" if reach is Reach.TIMED_OUT else message, errno)
    if errno in _OVERLOADED:
        return Failure(Reach.OVERLOADED, message, errno)
    return Failure(Reach.DENIED if errno in _DENIED else Reach.FAILED, message, errno)


def _reach_of(error: OSError) -> Reach:
    """A path that does not lead anywhere says as little about the server as silence."""
    match error:
        case ConnectionRefusedError() | FileNotFoundError():
            return Reach.REFUSED
        case ConnectionError():
            return Reach.CLOSED
        case _:
            return Reach.TIMED_OUT


def _words(error: OSError) -> str:
    return "no answer within the deadline" if isinstance(error, TimeoutError) else error.strerror or str(error)
