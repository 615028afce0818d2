"""SQLAlchemy 2: `create_engine("mysql+replclus://user:password@h1,h2,h3/schema?consistency=session")`.

The dialects are SQLAlchemy's own for PyMySQL, with connections to a cluster in them. `mariadb+replclus` is what
`mariadb+pymysql` is: the same, for programs that insist on MariaDB. docs/applications.md has the shapes of the URL.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pymysql.constants import CLIENT
from sqlalchemy import util
from sqlalchemy.dialects.mysql.mariadb import MariaDBDialect
from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql

from replclus.dbapi import OutcomeUnknown, SessionLost, Unavailable, connect

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import ConnectArgsType
    from sqlalchemy.engine.url import URL

# The text of a URL, and what `connect` wants instead. SQLAlchemy turns PyMySQL's own options.
_TYPES: dict[str, type[bool] | type[float] | type[int]] = {
    "split_transactions": bool,
    "track_outcome": bool,
    "replica_required": bool,
    "failover_timeout": float,
    "max_lag_ms": float,
    "max_lifetime": float,
    "max_connections": int,
    "pool_size": int,
}


class MySQLDialect_replclus(MySQLDialect_pymysql):  # noqa: N801  # SQLAlchemy's way to name dialects
    """The driver stays PyMySQL, whose exceptions are raised; only where connections come from is ours."""

    driver = "replclus"
    supports_statement_cache = True

    @classmethod
    def load_provisioning(cls) -> None:
        """SQLAlchemy looks for its test helpers beside the dialect; they are MySQL's."""
        MySQLDialect_pymysql.load_provisioning()  # type: ignore[no-untyped-call]

    def connect(self, *cargs: Any, **cparams: Any) -> Any:
        return connect(*cargs, **cparams)

    def create_connect_args(self, url: URL, _translate_args: dict[str, Any] | None = None) -> ConnectArgsType:
        """`h1,h2:3307` in the URL means what it means to `connect(cluster=…)`; so does each `host=` behind its `?`."""
        positional, given = super().create_connect_args(url, _translate_args)
        options = dict(given)
        for name, kind in _TYPES.items():
            util.coerce_kw_type(options, name, kind)
        options["client_flag"] = options.get("client_flag", 0) | CLIENT.FOUND_ROWS
        hosts, port = options.pop("host", None), options.pop("port", None)
        if hosts and "cluster" not in options and "unix_socket" not in options:
            options["cluster"] = _cluster(hosts, port)
        return positional, options

    def do_begin(self, dbapi_connection: Any) -> None:
        """SQLAlchemy hands out any connection of its pool: what the last one wrote must be seen on this one."""
        dbapi_connection.catch_up()

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:
        """Only what the session kept on a server can be lost for good. After anything else the connection goes on."""
        if isinstance(e, SessionLost):
            return True
        if isinstance(e, (OutcomeUnknown, Unavailable)):
            return False
        return super().is_disconnect(e, connection, cursor)


class MariaDBDialect_replclus(MariaDBDialect, MySQLDialect_replclus):  # noqa: N801
    supports_statement_cache = True


def _cluster(hosts: str | Sequence[str], port: int | None) -> str:
    """The URL that `connect(cluster=…)` takes. A port of the URL is its last host's."""
    listed = [hosts] if isinstance(hosts, str) else list(hosts)
    last = f":{port}" if port is not None else ""
    return "mysql+replclus://" + ",".join(_bracketed(host) for host in listed) + last


def _bracketed(host: str) -> str:
    """SQLAlchemy takes the brackets off an IPv6 address."""
    return f"[{host}]" if host.count(":") > 1 and "," not in host and "[" not in host else host
