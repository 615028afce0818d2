"""How a member must start, whoever starts it: read-only, replicating from nobody, until the watchdog has judged it."""

from __future__ import annotations

from typing import assert_never

from replclus.dialect import Dialect, Setting, Statement, quote_identifier
from replclus.model.observation import Version
from replclus.model.spec import Durability, Flavour

_REPLICA_NAMES = Version(8, 0, 26)


def startup_lines(dialect: Dialect, durability: Durability) -> tuple[str, ...]:
    """What belongs under `[mysqld]` of every member. No running server can be asked about all of it."""
    match dialect.flavour:
        case Flavour.MARIADB:
            # A crashed primary then cuts off the commits that nobody acknowledged, instead of bringing them back.
            # https://mariadb.com/kb/en/semisynchronous-replication/: both options are needed for that.
            recovery = ("init_rpl_role=SLAVE", "rpl_semi_sync_slave_enabled=ON") if durability is Durability.LOSSLESS else ()
            return ("read_only=ON", "skip_slave_start=ON", *recovery)
        case Flavour.MYSQL:
            return tuple(f"{name}=ON" for name in _mysql_switches(dialect))
        case never:
            assert_never(never)


def option_file_lines(dialect: Dialect, settings: tuple[Setting, ...], durability: Durability) -> tuple[str, ...]:
    """All that an option file must say for a member to come back as it was.

    Settings that only a file can change are not repeated: they hold, so they are written somewhere. Those of MySQL's
    plugins are `loose_`, because the server must also start without the plugins.
    """
    plugged = dialect.flavour is Flavour.MYSQL
    lines = (wish.line for wish in settings if wish.dynamic)
    loose = (f"loose_{line}" if plugged and line.startswith("rpl_semi_sync_") else line for line in lines)
    return (*loose, *startup_lines(dialect, durability))


def persist_startup(dialect: Dialect) -> tuple[Statement, ...]:
    """Without the option file: what makes the server itself remember how to start. Nothing where it cannot (MariaDB).

    https://dev.mysql.com/doc/refman/9.7/en/set-variable.html, PERSIST_ONLY: the running server stays as it is.
    """
    if dialect.flavour is Flavour.MARIADB:
        return ()
    return tuple(Statement(f"SET PERSIST_ONLY {quote_identifier(name)} = 1") for name in _mysql_switches(dialect))


def _mysql_switches(dialect: Dialect) -> tuple[str, ...]:
    skip = "skip_replica_start" if dialect.version >= _REPLICA_NAMES else "skip_slave_start"
    return "read_only", "super_read_only", skip
