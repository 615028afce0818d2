"""MariaDB 10.6 to 11.x. https://mariadb.com/kb/en/replication-statements/"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from replclus.dialect.accounts import MARIADB_GLOBAL, AccountRole, grants, native_password_hash
from replclus.dialect.base import Link, Row, Rows, Setting, from_pulse, read_pulse
from replclus.dialect.names import check_host, check_port, check_user, quote_identifier
from replclus.dialect.settings import mariadb_settings
from replclus.dialect.statement import Statement
from replclus.model.gtid import GtidSet, MariadbGtidSet
from replclus.model.observation import Applier, Channel, Facts, Identity, Receiver, SemiSync, Version
from replclus.model.spec import Account, Durability, Flavour, NodeSpec, Timings

# Milliseconds; the largest the server takes is 2^64-1, this is 49 days and the same as on MySQL.
FOR_EVER_MS = 4294967295

_POSITION = "@@global.gtid_binlog_state AS binlog_state, @@global.gtid_slave_pos AS slave_pos"
_STATE = (
    f"@@global.read_only AS read_only, @@global.server_id AS server_id, {_POSITION},"
    " @@global.rpl_semi_sync_master_enabled AS source_enabled, @@global.rpl_semi_sync_slave_enabled AS replica_enabled"
)


@dataclass(frozen=True, slots=True)
class MariadbDialect:
    """Statements and readers for one MariaDB version; see `base.Dialect`."""

    version: Version

    @property
    def flavour(self) -> Flavour:
        return Flavour.MARIADB

    # ---- seeing ----------------------------------------------------------------------------------------------------
    def light_probe(self, *, pulse: bool) -> Statement:
        return Statement(from_pulse("@@global.read_only AS read_only", pulse=pulse))

    def full_probe(self, *, pulse: bool) -> Statement:
        return Statement(from_pulse(_STATE, pulse=pulse, identity=True))

    def writable(self, row: Row) -> bool:
        return str(row["read_only"]).upper() in {"0", "OFF"}

    def facts(self, identity: Identity, link: Rows, semi_sync: Rows, row: Row) -> Facts:
        found = self.link(link)
        executed = self.executed(row)
        status = {str(item["Variable_name"]).lower(): str(item["Value"]) for item in semi_sync}
        return Facts(
            identity=replace(identity, server_id=int(row["server_id"]), cluster_id=row.get("cluster_id")),
            writable=self.writable(row),
            executed=executed,
            received=executed if found is None else executed.union(_mine(found.received)),
            channel=None if found is None else found.channel,
            semi_sync=SemiSync(
                source_enabled=bool(row["source_enabled"]),
                source_active=status.get("rpl_semi_sync_master_status") == "ON",
                replica_enabled=bool(row["replica_enabled"]),
                waiting=self.waiting(semi_sync),
                clients=int(status.get("rpl_semi_sync_master_clients", 0)),
            ),
            pulse=read_pulse(row),
        )

    def link_status(self) -> Statement:
        # SHOW SLAVE STATUS lacks the heartbeat period.
        return Statement("SHOW ALL SLAVES STATUS")

    def link(self, rows: Rows) -> Link | None:
        row = next((row for row in rows if not row.get("Connection_name")), None)
        if row is None:
            return None
        state = str(row["Slave_IO_Running"])
        receiver = Receiver(
            running=state != "No",
            connected=state == "Yes",
            errno=int(row["Last_IO_Errno"]),
            error=str(row["Last_IO_Error"]),
            heartbeats=int(row["Slave_received_heartbeats"]),
        )
        applier = Applier(
            running=row["Slave_SQL_Running"] == "Yes",
            errno=int(row["Last_SQL_Errno"]),
            error=str(row["Last_SQL_Error"]),
        )
        return Link(
            channel=Channel(
                source_host=str(row["Master_Host"]),
                source_port=int(row["Master_Port"]),
                receiver=receiver,
                applier=applier,
            ),
            user=str(row["Master_User"]),
            by_gtid=row["Using_Gtid"] == "Slave_Pos",
            received=MariadbGtidSet.parse(str(row["Gtid_IO_Pos"] or "")),
            connect_retry_s=int(row["Connect_Retry"]),
            heartbeat_period_s=float(row["Slave_heartbeat_period"]),
        )

    def heartbeats(self) -> None:
        return None

    def progress(self) -> Statement:
        return Statement(f"SELECT {_POSITION}")

    def executed(self, row: Row) -> MariadbGtidSet:
        return MariadbGtidSet.parse(row["binlog_state"] or "").union(MariadbGtidSet.parse(row["slave_pos"] or ""))

    def semi_sync_status(self) -> Statement:
        return Statement("SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_master_%'")

    def waiting(self, rows: Rows) -> int:
        status = {str(row["Variable_name"]).lower(): str(row["Value"]) for row in rows}
        return int(status.get("rpl_semi_sync_master_wait_sessions", 0))

    # ---- replicating -----------------------------------------------------------------------------------------------
    @property
    def keeps_unapplied(self) -> bool:
        """Starting either thread while both are stopped begins with empty relay logs, at `gtid_slave_pos`."""
        return False

    def stop_receiving(self) -> Statement:
        return Statement("STOP SLAVE IO_THREAD")

    def start_receiving(self) -> Statement:
        return Statement("START SLAVE IO_THREAD")

    def start_applying(self) -> Statement:
        return Statement("START SLAVE SQL_THREAD")

    def start_until(self, goal: GtidSet) -> Statement:
        return Statement("START SLAVE UNTIL master_gtid_pos = %s", (_mine(goal).position(),))

    def stop_replicating(self) -> Statement:
        return Statement("STOP SLAVE")

    def forget_source(self) -> tuple[Statement, ...]:
        return (self.stop_replicating(), Statement("RESET SLAVE ALL"))

    def wait_applied(self, received: GtidSet, timeout_s: float) -> Statement:
        return Statement("SELECT MASTER_GTID_WAIT(%s, %s) AS waited", (_mine(received).position(), Decimal(f"{timeout_s:.3f}")))

    def same_source(self, link: Link, source: NodeSpec, account: Account, timings: Timings) -> bool:
        return (
            (link.channel.source_host, link.channel.source_port) == (source.host, source.port)
            and link.user == account.user
            and link.by_gtid
            and link.connect_retry_s == timings.connect_retry_s
            and link.heartbeat_period_s == round(timings.heartbeat_period_s, 3)
        )

    def change_source(self, source: NodeSpec, account: Account, timings: Timings) -> Statement:
        # MASTER_RETRY_COUNT is not an option here; the server's default, 100000, outlives any outage.
        return Statement(
            "CHANGE MASTER TO MASTER_HOST = %s, MASTER_PORT = %s, MASTER_USER = %s, MASTER_PASSWORD = %s,"
            " MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = %s, MASTER_HEARTBEAT_PERIOD = %s",
            (
                check_host(source.host),
                check_port(source.port),
                check_user(account.user),
                account.password.reveal(),
                timings.connect_retry_s,
                Decimal(f"{timings.heartbeat_period_s:.3f}"),
            ),
        )

    def move_receiver(self, link: Link, source: NodeSpec, account: Account, timings: Timings) -> Statement | None:
        return None

    def adopt_position(self, row: Row) -> tuple[Statement, ...]:
        """`gtid_slave_pos` knows only what came by replication; what a former primary wrote itself is in its binlog.

        Whatever is in the binlog was committed here, so per domain the newer of the two is where to go on. That is
        right for an empty replica (both empty), for another's replica (both equal) and for a former primary, and asking
        again changes nothing. MASTER_DEMOTE_TO_SLAVE would do it too, from 10.10 only.
        """
        wanted = self.executed(row).position()
        if wanted == MariadbGtidSet.parse(row["slave_pos"] or "").position():
            return ()
        return (Statement("SET GLOBAL gtid_slave_pos = %s", (wanted,)),)

    # ---- roles -----------------------------------------------------------------------------------------------------
    @property
    def semi_sync_installed(self) -> bool:
        return True

    def install_semi_sync(self) -> tuple[Statement, ...]:
        return ()

    def source_role(self, durability: Durability) -> tuple[Statement, ...]:
        common = "SET GLOBAL sync_binlog = 1, GLOBAL gtid_strict_mode = 1, GLOBAL rpl_semi_sync_slave_enabled = 0"
        match durability:
            case Durability.LOSSLESS:
                return (
                    Statement(
                        f"{common}, GLOBAL rpl_semi_sync_master_wait_point = AFTER_SYNC,"
                        f" GLOBAL rpl_semi_sync_master_timeout = {FOR_EVER_MS},"
                        " GLOBAL rpl_semi_sync_master_wait_no_slave = 1, GLOBAL rpl_semi_sync_master_enabled = 1"
                    ),
                )
            case Durability.AVAILABLE:
                return (Statement(f"{common}, GLOBAL rpl_semi_sync_master_enabled = 0"),)

    def replica_role(self, durability: Durability, timings: Timings) -> tuple[Statement, ...]:
        acknowledges = int(durability is Durability.LOSSLESS)
        return (
            Statement(
                "SET GLOBAL sync_binlog = 1, GLOBAL gtid_strict_mode = 1, GLOBAL slave_net_timeout = %s,"
                # A receiver that is stopped connects to its source to say so, however silent that is; for 5 s by default.
                " GLOBAL rpl_semi_sync_slave_kill_conn_timeout = 1,"
                f" GLOBAL rpl_semi_sync_slave_enabled = {acknowledges}",
                (timings.replica_net_timeout_s,),
            ),
        )

    def leave_source_role(self) -> tuple[Statement, ...]:
        return (Statement("SET GLOBAL rpl_semi_sync_master_enabled = 0"),)

    def open_for_writes(self) -> Statement:
        return Statement("SET GLOBAL read_only = 0")

    def turn_clients_away(self) -> Statement | None:
        return None

    def admit_clients(self) -> tuple[Statement, ...]:
        return ()

    def close_for_writes(self) -> Statement:
        return Statement("SET GLOBAL read_only = 1")

    def admit_administrators(self) -> tuple[Statement, ...]:
        """Nothing: READ_ONLY ADMIN passes anyway."""
        return ()

    def small_events(self) -> Statement:
        """The text of the statement would be most of what is written, so it is left out as well."""
        return Statement("SET SESSION binlog_row_image = MINIMAL, binlog_annotate_row_events = 0")

    # ---- clients ---------------------------------------------------------------------------------------------------
    def kill(self, session_id: int) -> Statement:
        return Statement("KILL CONNECTION %s", (session_id,))

    # ---- bringing in -----------------------------------------------------------------------------------------------
    def required_settings(self, durability: Durability, timings: Timings) -> tuple[Setting, ...]:
        return mariadb_settings(durability, timings, for_ever_ms=FOR_EVER_MS)

    def set_global(self, setting: Setting, value: str | int | float) -> Statement:
        return Statement(f"SET GLOBAL {quote_identifier(setting.name)} = %s", (value,))

    def account_statements(
        self, role: AccountRole, account: Account, host: str, *, schema: str | None = None
    ) -> tuple[Statement, ...]:
        """The hash is made here, so that the password itself reaches no log of the server."""
        who = (check_user(account.user), check_host(host))
        secret = (*who, native_password_hash(account.password.reveal()))
        how = "IDENTIFIED VIA mysql_native_password USING %s"
        return (
            Statement(f"CREATE USER IF NOT EXISTS %s@%s {how}", secret),
            Statement(f"ALTER USER %s@%s {how}", secret),
            *grants(role, MARIADB_GLOBAL, account, host, schema),
        )

    def reset_history(self) -> tuple[Statement, ...]:
        return (Statement("RESET MASTER"), Statement("SET GLOBAL gtid_slave_pos = ''"))

    def set_executed(self, gtids: GtidSet) -> tuple[Statement, ...]:
        """Both the history, so that this server can be compared with its donor, and the position to go on from."""
        history = _mine(gtids)
        return (
            Statement("SET GLOBAL gtid_binlog_state = %s", (str(history),)),
            Statement("SET GLOBAL gtid_slave_pos = %s", (history.position(),)),
        )


def _mine(gtids: GtidSet) -> MariadbGtidSet:
    if not isinstance(gtids, MariadbGtidSet):
        raise TypeError(f"MariaDB has no use for {type(gtids).__name__}")
    return gtids
