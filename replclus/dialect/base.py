"""The vocabulary every dialect shares: settings, what a probe reads, and the protocol itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from replclus.dialect.accounts import AccountRole
from replclus.dialect.names import quote_identifier
from replclus.dialect.statement import Statement
from replclus.model.gtid import GtidSet
from replclus.model.observation import Channel, Facts, Identity, Version
from replclus.model.spec import Account, Durability, Flavour, NodeSpec, Timings
from replclus.model.topology import PulseRow

Row = Mapping[str, Any]
Rows = list[dict[str, Any]]

# information_schema is the same everywhere; the rest are the servers' own, and ours.
OWN_SCHEMAS = ("mysql", "sys", "performance_schema", "information_schema", "replclus")


class Check(StrEnum):
    """How a setting is judged: equal to what is wanted, or any number but 0."""

    EQUAL = "equal"
    NONZERO = "nonzero"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One global variable that a member needs. `line` belongs under `[mysqld]`; `dynamic` ones can be set while running.

    A server with the value `left_alone` was told so on purpose, and the cluster works without: the setting is not for it.
    """

    name: str
    wanted: str
    line: str
    dynamic: bool
    why: str
    check: Check = Check.EQUAL
    left_alone: str | None = None

    def satisfied_by(self, value: str) -> bool:
        """Is `value`, as SHOW GLOBAL VARIABLES prints it, what we need?"""
        match self.check:
            case Check.EQUAL:
                return _plain(value) == _plain(self.wanted)
            case Check.NONZERO:
                return value.isdigit() and int(value) > 0

    @property
    def value(self) -> str | int:
        """`wanted` in the type that SET GLOBAL takes."""
        return int(self.wanted) if self.wanted.isdigit() else self.wanted


def _plain(value: str) -> str:
    """One spelling for the servers' many: ON, 1, TRUE and YES are the same."""
    word = value.strip().upper()
    return {"ON": "1", "TRUE": "1", "YES": "1", "OFF": "0", "FALSE": "0", "NO": "0"}.get(word, word)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A replica's link in full: what a probe shows (`channel`) and what decides whether it must be configured anew.

    `received` is what the receiver fetched since it was configured, not what was executed before.
    """

    channel: Channel
    user: str
    by_gtid: bool
    received: GtidSet
    connect_retry_s: int
    retry_count: int | None = None  # MariaDB does not tell, nor let it be set
    heartbeat_period_s: float | None = None  # MySQL tells it elsewhere; it is set together with the count


class Dialect(Protocol):
    """Statements for one family and version, and readers for their rows. Instances are values: no connection, no state."""

    @property
    def flavour(self) -> Flavour: ...
    @property
    def version(self) -> Version: ...

    # ---- seeing ----------------------------------------------------------------------------------------------------
    def light_probe(self, *, pulse: bool) -> Statement:
        """One row: is it writable, and (with `pulse`) the pulse without its topology. Without, no table is touched."""
        ...

    def full_probe(self, *, pulse: bool) -> Statement:
        """One row of all that `link_status` and `semi_sync_status` do not tell. It comes after them: so `received` cannot outrun
        `executed`, and a commit that has ended meanwhile is not missing from both."""
        ...

    def writable(self, row: Row) -> bool:
        """From a row of either probe. Read-only for everybody but administrators counts as not writable."""
        ...

    def facts(self, identity: Identity, link: Rows, semi_sync: Rows, row: Row) -> Facts:
        """From the rows of `link_status`, of `semi_sync_status` (none of a mere replica) and of `full_probe`. `identity` gives
        what does not change while a connection lasts."""
        ...

    def link_status(self) -> Statement: ...
    def link(self, rows: Rows) -> Link | None:
        """The default channel, or None where no source is configured."""
        ...

    def heartbeats(self) -> Statement | None:
        """One row, one column `heartbeats`: how many the receiver got. None where `link_status` tells it."""
        ...

    def progress(self) -> Statement: ...
    def executed(self, row: Row) -> GtidSet:
        """From the row of `progress` or of `full_probe`."""
        ...

    def semi_sync_status(self) -> Statement: ...
    def waiting(self, rows: Rows) -> int:
        """How many sessions wait for an acknowledgement."""
        ...

    # ---- replicating -----------------------------------------------------------------------------------------------
    @property
    def keeps_unapplied(self) -> bool:
        """Does what was received survive a start of replication from a full stop?"""
        ...

    def stop_receiving(self) -> Statement: ...
    def start_receiving(self) -> Statement: ...
    def start_applying(self) -> Statement: ...
    def start_until(self, goal: GtidSet) -> Statement:
        """Receive and apply up to `goal`, and not one transaction more."""
        ...

    def stop_replicating(self) -> Statement: ...
    def forget_source(self) -> tuple[Statement, ...]: ...
    def wait_applied(self, received: GtidSet, timeout_s: float) -> Statement:
        """One row, one column: 0 when everything in `received` is applied, anything else after `timeout_s`."""
        ...

    def same_source(self, link: Link, source: NodeSpec, account: Account, timings: Timings) -> bool:
        """Does `link` already say what `change_source` would?"""
        ...

    def change_source(self, source: NodeSpec, account: Account, timings: Timings) -> Statement: ...
    def move_receiver(self, link: Link, source: NodeSpec, account: Account, timings: Timings) -> Statement | None:
        """What `change_source` does, for a stopped receiver whose applier goes on running; None if both must be stopped."""
        ...

    def adopt_position(self, row: Row) -> tuple[Statement, ...]:
        """Given the row of `progress` of a stopped server: what makes it resume after its own newest transaction, too."""
        ...

    # ---- roles -----------------------------------------------------------------------------------------------------
    @property
    def semi_sync_installed(self) -> bool: ...
    def install_semi_sync(self) -> tuple[Statement, ...]:
        """Needs an administrator and a server that is not super-read-only."""
        ...

    def source_role(self, durability: Durability) -> tuple[Statement, ...]: ...
    def replica_role(self, durability: Durability, timings: Timings) -> tuple[Statement, ...]: ...
    def leave_source_role(self) -> tuple[Statement, ...]:
        """The source side of semi-sync off. Never while a commit waits: it would be answered OK."""
        ...

    def open_for_writes(self) -> Statement: ...
    def turn_clients_away(self) -> Statement | None:
        """Ends every connection but administrators', replicas' included, and lets nobody in: nothing is acknowledged after it.
        Does not wait for anything. None where the family cannot."""
        ...

    def admit_clients(self) -> tuple[Statement, ...]:
        """The end of `turn_clients_away`."""
        ...

    def close_for_writes(self) -> Statement: ...
    def admit_administrators(self) -> tuple[Statement, ...]:
        """Let administrators write to a server that stays read-only for everybody else."""
        ...

    def small_events(self) -> Statement:
        """For the session of the pulse: only what changed goes into the binary log."""
        ...

    # ---- clients ---------------------------------------------------------------------------------------------------
    def kill(self, session_id: int) -> Statement:
        """Ends a connection. Never its statement alone: a commit that waits for its acknowledgement would answer OK."""
        ...

    # ---- bringing in -----------------------------------------------------------------------------------------------
    def required_settings(self, durability: Durability, timings: Timings) -> tuple[Setting, ...]: ...
    def set_global(self, setting: Setting, value: str | int | float) -> Statement: ...
    def account_statements(
        self, role: AccountRole, account: Account, host: str, *, schema: str | None = None
    ) -> tuple[Statement, ...]: ...
    def reset_history(self) -> tuple[Statement, ...]: ...
    def set_executed(self, gtids: GtidSet) -> tuple[Statement, ...]: ...


# ---- what is the same in both families -----------------------------------------------------------------------------

PULSE_COLUMNS = "p.beat, p.epoch, p.primary_node, p.routing_ttl_ms, p.lease_ms"
READ_PULSE = Statement("SELECT beat, epoch, primary_node, routing_ttl_ms, lease_ms, topology FROM replclus.pulse WHERE id = 1")
LEASE_VERSION = "replclus lease 1"
"""The comment of the event in `sql/<flavour>/lease.sql`; `init` replaces an event with another one."""

READ_LEASE = Statement(
    "SELECT status AS status, event_comment AS comment, @@global.event_scheduler AS scheduler,"
    " TIMESTAMPDIFF(SECOND, last_executed, NOW()) AS idle_s"
    " FROM information_schema.events WHERE event_schema = 'replclus' AND event_name = 'lease'"
)
READ_CLUSTER_ID = Statement("SELECT cluster_id FROM replclus.identity WHERE id = 1")
VARIABLES = Statement("SHOW GLOBAL VARIABLES")
USER_SCHEMAS = Statement(
    "SELECT schema_name AS name FROM information_schema.schemata WHERE schema_name NOT IN %s ORDER BY schema_name",
    (OWN_SCHEMAS,),
)
SENDING = Statement(
    "SELECT id FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%' AND state LIKE 'Sending binlog event%'"
)
"""Threads that are in the middle of sending to a replica. For longer than a moment they are only if nobody takes it."""

BEATS_UNDERWAY = Statement(
    "SELECT COUNT(*) AS beats, COALESCE(SUM(state IN"
    " ('Waiting for backup lock', 'Waiting for global read lock', 'Waiting for commit lock')), 0) AS locked"
    " FROM information_schema.processlist WHERE user = SUBSTRING_INDEX(CURRENT_USER(), '@', 1)"
    " AND info LIKE 'UPDATE replclus.pulse%'"
)
"""Pulses that are not committed yet, and how many of them wait for a lock on the whole server (FLUSH TABLES WITH READ LOCK)."""


def read_settings(names: tuple[str, ...]) -> Statement:
    """One row with the global values of these variables, under their own names."""
    return Statement("SELECT " + ", ".join(f"@@global.{quote_identifier(name)} AS {quote_identifier(name)}" for name in names))


SESSIONS = Statement("SELECT id, user, command FROM information_schema.processlist WHERE id <> CONNECTION_ID()")


def from_pulse(columns: str, *, pulse: bool, identity: bool = False) -> str:
    """SELECT `columns` and, if the tables are there, the pulse and the cluster's id; always exactly one row."""
    if not pulse:
        return f"SELECT {columns}"
    also, join = ("", "") if not identity else (", i.cluster_id", " LEFT JOIN replclus.identity AS i ON i.id = 1")
    return (
        f"SELECT {columns}, {PULSE_COLUMNS}{also}"  # noqa: S608
        f" FROM (SELECT 1) AS here LEFT JOIN replclus.pulse AS p ON p.id = 1{join}"
    )


def read_pulse(row: Row) -> PulseRow | None:
    """The pulse in a row of any statement here; None where there is none. `topology` is `""` if it was not asked for."""
    if row.get("beat") is None:
        return None
    return PulseRow(
        beat=int(row["beat"]),
        epoch=int(row["epoch"]),
        primary=str(row["primary_node"]),
        routing_ttl_ms=int(row["routing_ttl_ms"]),
        topology=str(row.get("topology") or ""),
        lease_ms=int(row.get("lease_ms") or 0),
    )


LEASE_IDLE_S_MAX = 5
"""The event runs every second; a scheduler that has not run it for this long (or, by a clock that was set back, never since)
cannot be counted on."""


def lease_runs(rows: Rows) -> bool:
    """From the rows of `READ_LEASE`: is the event there, enabled, and run by the scheduler?"""
    return any(
        row["status"] == "ENABLED"
        and row["scheduler"] == "ON"
        and row["idle_s"] is not None
        and abs(int(row["idle_s"])) <= LEASE_IDLE_S_MAX
        for row in rows
    )


def clients(rows: Rows, keep: frozenset[str]) -> tuple[int, ...]:
    """Ids of the connections in `SESSIONS` that belong to clients: no replication threads, no dumps, nobody in `keep`."""
    own = {"Binlog Dump", "Binlog Dump GTID", "Daemon", "Slave_IO", "Slave_SQL", "Slave_worker"}
    system = {"system user", "event_scheduler", "unauthenticated user"}
    return tuple(
        int(row["id"]) for row in rows if row["command"] not in own and row["user"] not in system and row["user"] not in keep
    )


def beat_update(pulse: PulseRow, *, topology: bool) -> Statement:
    """Refresh the row of an epoch not above ours. Without `topology` that column stays out of the binary log.

    Never on a read-only server: our account may write there, and what it wrote would be an errant transaction.
    """
    extra = ", topology = %s" if topology else ""
    values: tuple[Any, ...] = (pulse.beat, pulse.epoch, pulse.primary, pulse.routing_ttl_ms, pulse.lease_ms)
    return Statement(
        "UPDATE replclus.pulse SET beat = %s, epoch = %s, primary_node = %s, routing_ttl_ms = %s, lease_ms = %s,"  # noqa: S608
        f" sent_at = UTC_TIMESTAMP(6){extra} WHERE id = 1 AND epoch <= %s AND @@global.read_only = 0",
        (*values, *((pulse.topology,) if topology else ()), pulse.epoch),
    )


def purge_outcomes(age_s: int, rows_max: int) -> Statement:
    """Drop tokens that nobody will ask for any more: a connection removes its own when it is closed, one that crashed cannot."""
    return Statement(
        "DELETE FROM replclus.outcome WHERE written_at < CURRENT_TIMESTAMP(6) - INTERVAL %s SECOND AND @@global.read_only = 0"
        " ORDER BY written_at LIMIT %s",
        (age_s, rows_max),
    )


def beat_insert(pulse: PulseRow) -> Statement:
    """The first pulse; nothing where there is one already, or on a read-only server."""
    return Statement(
        "INSERT IGNORE INTO replclus.pulse (id, beat, epoch, primary_node, routing_ttl_ms, lease_ms, sent_at, topology)"
        " SELECT 1, %s, %s, %s, %s, %s, UTC_TIMESTAMP(6), %s FROM (SELECT 1) AS here WHERE @@global.read_only = 0",
        (pulse.beat, pulse.epoch, pulse.primary, pulse.routing_ttl_ms, pulse.lease_ms, pulse.topology),
    )


NEW_BINARY_LOG = Statement("FLUSH LOCAL BINARY LOGS")
UNLOGGED = Statement("SET SESSION sql_log_bin = 0")
LOGGED = Statement("SET SESSION sql_log_bin = 1")


def session_settings(lock_wait_s: int) -> Statement:
    """What every connection sets first: a known sql_mode (quoting depends on it), autocommit, and short waits for locks."""
    return Statement(
        "SET SESSION autocommit = 1, sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION',"
        " innodb_lock_wait_timeout = 1, lock_wait_timeout = %s",
        (max(1, lock_wait_s),),
    )
