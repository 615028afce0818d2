"""The connection that applications hold: PyMySQL's surface over a session that spans a cluster.

It is a `pymysql.connections.Connection`, so `isinstance` and inherited helpers (escaping, converters, cursors) work, but it
has no socket of its own: whatever talks to a server is delegated to a `Session`, and what PyMySQL keeps as attributes
about the last statement is copied from the link that ran it.
"""

from __future__ import annotations

import os
import ssl as tls
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar, overload

from pymysql import err
from pymysql.charset import charset_by_name
from pymysql.cursors import Cursor

from replclus.dbapi.counting import Statistics
from replclus.dbapi.cursors import cursor_class
from replclus.dbapi.errors import Unavailable
from replclus.dbapi.explaining import explain
from replclus.dbapi.facts import identity, learn_defaults
from replclus.dbapi.killing import end_connection
from replclus.dbapi.link import Link, preferred_tls
from replclus.dbapi.options import Options, read_options
from replclus.dbapi.outcome import Outcome
from replclus.dbapi.private import Base
from replclus.dbapi.registry import gather, pool_for
from replclus.dbapi.route import Route, Routed
from replclus.dbapi.session import Session
from replclus.dbapi.wire import AUTOCOMMIT
from replclus.model.spec import Flavour
from replclus.routing import Classifier, classifier

NO_BACKSLASH_ESCAPES = 0x200
AnyCursor = TypeVar("AnyCursor", bound=Cursor)


class Connection(Base):
    """See `replclus.connect`. Threads may share the module, not connections (PEP 249 threadsafety 1)."""

    _session: Session | None = None
    _template: str | bytes | bytearray | None = None
    _routed: Routed | None = None
    _classify: Classifier
    _no_backslashes = 0
    _sql_mode = ""

    def __init__(self, **keywords: Any) -> None:
        self._options: Options = read_options(keywords)
        setup = self._options.setup
        super().__init__(
            **self._options.links,
            database=setup.database,
            charset=setup.charset,
            collation=setup.collation,
            autocommit=setup.autocommit,
            cursorclass=cursor_class(self._options.cursorclass),
            defer_connect=True,
        )
        self.host, self.port = self._options.seeds[0].host, self._options.seeds[0].port
        self.unix_socket = self._options.seeds[0].socket
        self.server_status = 0 if setup.autocommit is False else AUTOCOMMIT
        if not self._options.defer_connect:
            self.connect()

    def _create_ssl_ctx(self, sslp: Any) -> tls.SSLContext:
        return super()._create_ssl_ctx(sslp) if sslp else preferred_tls(self)

    # Opening and closing --------------------------------------------------------------------------------------------

    def connect(self, sock: Any = None) -> None:
        """Learn the cluster's map. Links to servers are made when a statement needs them. Unavailable if nobody answers."""
        if sock is not None:
            raise err.NotSupportedError("a connection to a cluster cannot be made over a socket of yours")
        if self._session is not None:
            self._session.close()
        session = Session(self._options, pool_for(self._options))
        try:
            session.backends.arrive()
            self._sql_mode = learn_defaults(session)
        except BaseException:
            session.backends.discard()
            raise
        watcher = session.backends.watcher
        if watcher.flavour is None:
            raise Unavailable("no node has said what it is")
        session.backends.follow()
        self._process = os.getpid()
        self._closed = False
        self._flavour: Flavour = watcher.flavour
        self._no_backslashes = NO_BACKSLASH_ESCAPES if "NO_BACKSLASH_ESCAPES" in self._sql_mode else 0
        # By this flag PyMySQL escapes the arguments of the first statement.
        self.server_status |= self._no_backslashes
        self._read_mode(session)
        self.host_info = "cluster " + ",".join(node.name for node in self._options.seeds)
        self._session = session

    def close(self) -> None:
        """Roll back what is open and give the links back to the pool. err.Error if it was closed before."""
        if self._closed:
            raise err.Error("Already closed")
        self._closed = True
        session, self._session = self._session, None
        self._result = None
        if session is not None:
            if self._process == os.getpid():
                session.close()
            else:
                session.backends.discard()

    def _force_close(self) -> None:
        """Close without a word to any server."""
        session, self._session = self._session, None
        if session is not None:
            session.backends.discard()

    __del__ = _force_close

    @property
    def open(self) -> bool:
        return self._session is not None

    def _alive(self) -> Session:
        session = self._session
        if session is None:
            raise err.InterfaceError(0, "")
        self._check_process(session)
        return session

    # Statements -----------------------------------------------------------------------------------------------------

    def query(self, sql: Any, unbuffered: bool = False) -> int:
        session = self._session
        if session is None:
            raise err.InterfaceError(0, "")
        template = self._template
        if template is None:
            template = sql
        if not isinstance(template, str):
            template = bytes(template).decode(self.encoding, "replace")
        if session.backends.map is not session.backends.watcher.map:
            self._check_process(session)
        self._result = None
        verdict = self._classify(template)
        try:
            link = session.run(verdict, sql, unbuffered)
        except err.Error:
            session.failed(verdict)
            raise
        finally:
            self._routed = session.routed
        session.backends.statements[session.routed] += 1  # type: ignore[index]  # a statement that ran has a route
        self._result = link._result
        self._affected_rows = link._affected_rows
        status = self.server_status = link.server_status
        if status & NO_BACKSLASH_ESCAPES != self._no_backslashes or (verdict.variables and "sql_mode" in verdict.variables):
            self._mode_changed(link, status)
        return self._affected_rows

    def next_result(self, unbuffered: bool = False) -> int:
        link = self._last()
        link._affected_rows = link._read_query_result(unbuffered=unbuffered)
        self._result, self._affected_rows = link._result, link._affected_rows
        self.server_status = link.server_status
        return self._affected_rows

    def _last(self) -> Link:
        """The link that ran the last statement; one to the primary if there was none."""
        session = self._alive()
        return session.last if session.last is not None else session.on_any(lambda link: None)

    def _check_process(self, session: Session) -> None:
        """In a forked child, what the parent holds open must not be used. The map is a new one there: `query` notices by it."""
        if self._process != os.getpid():
            self._process = os.getpid()
            session.leave_parent()

    def _mode_changed(self, link: Link, status: int) -> None:
        if link.told_mode is not None:
            self._sql_mode, link.told_mode = link.told_mode, None
        self._no_backslashes = status & NO_BACKSLASH_ESCAPES
        self._read_mode(self._alive())

    def _read_mode(self, session: Session) -> None:
        self._classify = session.classify = classifier(self._flavour, self._sql_mode)

    @overload
    def cursor(self, cursor: None = None) -> Any: ...  # connect(cursorclass=…) decides
    @overload
    def cursor(self, cursor: type[AnyCursor]) -> AnyCursor: ...
    def cursor(self, cursor: Any = None) -> Any:
        if cursor is None:
            return self.cursorclass(self)
        return (cursor_class(cursor) if isinstance(cursor, type) and issubclass(cursor, Cursor) else cursor)(self)

    # Transactions ---------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        self._after(self._alive().begin())

    def commit(self) -> None:
        self._after(self._alive().commit())

    def rollback(self) -> None:
        self._after(self._alive().rollback())

    def autocommit(self, value: Any) -> None:
        session = self._alive()
        self.autocommit_mode = bool(value)
        if self.autocommit_mode == self.get_autocommit():
            return
        if self.autocommit_mode:
            # It would commit by itself, and could not tell us what became of it.
            session.commit()
        statement = f"SET AUTOCOMMIT = {int(self.autocommit_mode)}"
        self._change(lambda link: link.query(statement), autocommit=self.autocommit_mode)

    def get_autocommit(self) -> bool:
        return bool(self.server_status & AUTOCOMMIT)

    def _after(self, link: Link | None) -> None:
        """What PyMySQL leaves behind after a command that is not a query."""
        self._result = None
        if link is not None:
            self.server_status = link.server_status

    # Session state --------------------------------------------------------------------------------------------------

    def _change(self, do: Callable[[Link], object], **fields: Any) -> None:
        """Change the session's setup on a backend at hand, and remember it for the others."""
        session = self._alive()
        link = session.on_any(do)
        session.adopt(replace(session.backends.setup, **fields), link, do)
        self._after(link)

    def select_db(self, db: Any) -> None:
        name = db.decode(self.encoding) if isinstance(db, bytes) else db
        self._change(lambda link: link.select_db(db), database=name)
        self.db = db

    def set_character_set(self, charset: str, collation: str | None = None) -> None:
        encoding = charset_by_name(charset).encoding
        self._change(lambda link: link.set_character_set(charset, collation), charset=charset, collation=collation)
        self.charset, self.encoding, self.collation = charset, encoding, collation

    def show_warnings(self) -> Any:
        return self._last().show_warnings()

    def ping(self, reconnect: bool | None = False) -> None:
        """Check that a server answers. A link that broke is replaced, whatever `reconnect` says, which is about `close`."""
        if reconnect:
            warnings.warn(
                "The 'reconnect' argument is deprecated. Create a new connection if you want to reconnect.",
                DeprecationWarning,
                stacklevel=2,
            )
        if self._session is None:
            if not reconnect:
                raise err.Error("Already closed")
            self.connect()
        self._after(self._alive().on_any(lambda link: link.ping()))

    def kill(self, thread_id: Any) -> None:
        """Kill a connection of this process, wherever in the cluster it is; any other id is taken to be the primary's."""
        if not isinstance(thread_id, int):
            raise TypeError("thread_id must be an integer")
        self._after(end_connection(self._alive(), "KILL", thread_id))

    # What is known about the server ---------------------------------------------------------------------------------

    def thread_id(self) -> Any:
        """As `SELECT CONNECTION_ID()` answers: of the link to the primary, if there is a primary."""
        return identity(self._alive()).thread_id()

    def get_proto_info(self) -> Any:
        return self._last().protocol_version

    def get_server_info(self) -> Any:
        return self._last().server_version

    @property
    def _auth_plugin_name(self) -> str:
        return self._last()._auth_plugin_name

    @property
    def server_version(self) -> str:
        return self._last().server_version

    @property
    def server_capabilities(self) -> int:
        return int(self._last().server_capabilities)

    # What a cluster adds --------------------------------------------------------------------------------------------

    @property
    def route(self) -> Route | None:
        """Where the last statement went, and why. None before the first."""
        return None if self._routed is None else Route.of(self._routed)

    def explain(self, sql: str) -> Route:
        """Where `sql` would go now, and why. Nothing is sent. `node` is empty where a balancer would choose.

        `target` is as in `Route`, or `node` (a hint names it), `last_used`, `refuse`.
        """
        return Route(*explain(self._alive(), self._classify(sql)))

    @property
    def causality_token(self) -> str:
        """What this connection has seen and written, for `connect(causality_token=…)` elsewhere. Empty if nothing yet."""
        return self._alive().backends.token()

    def catch_up(self) -> None:
        """Let the reads to come see what this process has written by now, over any connection. Sends nothing by itself.

        A new connection begins so. For one that was kept, as pools of SQLAlchemy and Django keep them.
        """
        self._alive().backends.follow()

    def statistics(self) -> Statistics:
        """The statements of this connection, counted by node, target and reason; the rest counts for its whole cluster."""
        backends = self._alive().backends
        return gather(backends.watcher, backends.statements)

    def outcome(self) -> Outcome:
        """What became of the last write: `committed`, `not_committed`, or `unknown` if nobody can tell (yet).

        After OutcomeUnknown this asks the cluster again, for up to `failover_timeout`, if outcomes are tracked.
        """
        return self._alive().primary.outcome()


def connect(**keywords: Any) -> Connection:
    """Connect to a cluster. Takes every keyword of `pymysql.connect`, and:

    `cluster`: path of replclus.toml, or `mysql+replclus://user:password@h1,h2,h3/schema?option=value`. Without it, and with
    `host`, that one server is asked for the map; without both, the file is found as the command line finds it.
    `consistency`: "session" (default), "eventual", "strong", or "bounded" with `max_lag_ms`.
    `balance`: how reads are spread. `primary_reads`: "never" (default), "when_idle", "always": the primary takes reads too.
    `replica_required`: a read that no replica can serve raises NoReplica instead of going to the primary.
    `split_transactions`: with autocommit off, reads before the first write of a transaction go to a replica.
    `failover_timeout`: seconds a statement may be held while there is no primary, or no free connection to it.
    `track_outcome`: writes are tracked, so that it is known what became of one whose answer was lost; an autocommit
    write then takes two round trips. `causality_token`: read at least what another connection has seen.
    `max_connections`, `pool_size`, `max_lifetime`: physical connections per node, open at most, kept at rest at most, and the
    seconds after which one is replaced. docs/connect.md has the defaults, what is counted, and every refusal.

    TypeError for an unknown keyword, ValueError or ConfigError for a wrong value, pymysql.err.OperationalError if no node can
    be reached.
    """
    return Connection(**keywords)
