"""The accounts replclus creates, and exactly what each may do. Nobody gets SUPER, ALL on *.*, or a host of `%`.

Creating is idempotent and also sets the password anew. Callers run these with `sql_log_bin=0` on every server, so that
neither passwords nor hashes travel through the binary log.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from hashlib import sha1

from replclus.dialect.names import check_host, check_user, quote_schema
from replclus.dialect.statement import Statement
from replclus.model.spec import Account


class AccountRole(StrEnum):
    """REPLICATION fetches binary logs; WATCHDOG sees, switches and beats; APPLICATION owns one schema."""

    REPLICATION = "replication"
    WATCHDOG = "watchdog"
    APPLICATION = "application"


MARIADB_GLOBAL = {
    AccountRole.REPLICATION: ("REPLICATION SLAVE",),
    AccountRole.WATCHDOG: (
        "BINLOG ADMIN",  # sync_binlog; the small row image of the pulse
        "BINLOG MONITOR",  # gtid_binlog_state
        "CONNECTION ADMIN",  # enters although max_connections is reached; ends clients' connections
        "PROCESS",  # sees them
        "READ_ONLY ADMIN",  # read_only
        "RELOAD",  # RESET SLAVE ALL; a new binary log
        "REPLICATION MASTER ADMIN",  # source side of semi-sync
        "REPLICATION SLAVE ADMIN",  # CHANGE MASTER, START, STOP, gtid_slave_pos
        "SLAVE MONITOR",  # SHOW SLAVE STATUS
    ),
    AccountRole.APPLICATION: (),
}

MYSQL_GLOBAL = {
    AccountRole.REPLICATION: (
        "BACKUP_ADMIN",  # lets another node clone this one
        "REPLICATION SLAVE",
    ),
    AccountRole.WATCHDOG: (
        "CONNECTION_ADMIN",  # enters although max_connections is reached; super_read_only; ends clients' connections
        "PROCESS",  # sees them
        "RELOAD",  # RESET REPLICA ALL; a new binary log
        "REPLICATION CLIENT",  # SHOW REPLICA STATUS
        "REPLICATION_SLAVE_ADMIN",  # CHANGE REPLICATION SOURCE, START, STOP
        "SYSTEM_VARIABLES_ADMIN",  # super_read_only, semi-sync, timings; the small row image of the pulse
    ),
    AccountRole.APPLICATION: (),
}

MYSQL_TABLES = {
    AccountRole.REPLICATION: (),
    AccountRole.WATCHDOG: (("SELECT", "`performance_schema`.`replication_connection_status`"),),  # heartbeats
    AccountRole.APPLICATION: (),
}

PULSE_TABLES = {
    AccountRole.REPLICATION: (),
    AccountRole.WATCHDOG: (("SELECT, INSERT, UPDATE, DELETE, EVENT", "`replclus`.*"),),
    AccountRole.APPLICATION: (
        ("SELECT", "`replclus`.`pulse`"),
        ("SELECT, INSERT, UPDATE, DELETE", "`replclus`.`outcome`"),
    ),
}


def native_password_hash(password: str) -> str:
    """What `mysql_native_password` stores: `*` and the hexadecimal SHA-1 of the SHA-1. Empty for an empty password."""
    if not password:
        return ""
    once = sha1(password.encode(), usedforsecurity=False).digest()
    return "*" + sha1(once, usedforsecurity=False).hexdigest().upper()


def grants(
    role: AccountRole,
    global_grants: Mapping[AccountRole, tuple[str, ...]],
    account: Account,
    host: str,
    schema: str | None,
    tables: Mapping[AccountRole, tuple[tuple[str, str], ...]] | None = None,
) -> tuple[Statement, ...]:
    """The GRANT statements of one role for `user`@`host`; `tables` are the family's own beyond ours.

    `schema` is what an application owns. ValueError on a bad name.
    """
    who = (check_user(account.user), check_host(host))
    wanted = [(", ".join(global_grants[role]), "*.*")] if global_grants[role] else []
    wanted += PULSE_TABLES[role]
    wanted += tables[role] if tables is not None else ()
    if schema is not None:
        wanted.append(("ALL", f"{quote_schema(schema)}.*"))
    return tuple(Statement(f"GRANT {rights} ON {where.replace('%', '%%')} TO %s@%s", who) for rights, where in wanted)
