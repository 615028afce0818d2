"""MySQL 8.0 to 9.x. https://dev.mysql.com/doc/refman/9.7/en/sql-replication-statements.html

The words changed on the way: SLAVE and MASTER became REPLICA and SOURCE in 8.0.23 (and vanished in 8.4), the semi-sync
plugins and variables were renamed in 8.0.26, RESET MASTER in 8.2.0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from replclus.dialect.accounts import MYSQL_GLOBAL, MYSQL_TABLES, AccountRole, grants
from replclus.dialect.base import Link, Row, Rows, Setting, from_pulse, read_pulse
from replclus.dialect.names import check_host, check_port, check_source_password, check_user, quote_identifier
from replclus.dialect.settings import mysql_settings
from replclus.dialect.statement import Statement
from replclus.model.gtid import GtidSet, MysqlGtidSet
from replclus.model.observation import Applier, Channel, Facts, Identity, Receiver, SemiSync, Version
from replclus.model.spec import Account, Durability, Flavour, NodeSpec, Timings

FOR_EVER_MS = 4294967295

NEW_STATEMENTS = Version(8, 0, 23)
NEW_VARIABLES = Version(8, 0, 26)
NEW_BINARY_LOG_STATEMENTS = Version(8, 2, 0)


@dataclass(frozen=True, slots=True)
class MysqlDialect:
    """Statements and readers for one MySQL version; see `base.Dialect`.

    `semi_sync` tells which semi-sync plugins this server has loaded: `("source", "replica")`, the old `("master",
    "slave")`, or None. Without them their variables do not even exist.
    """

    version: Version
    semi_sync: tuple[str, str] | None = None

    @property
    def flavour(self) -> Flavour:
        return Flavour.MYSQL

    @property
    def _source(self) -> str:
        return "SOURCE" if self.version >= NEW_STATEMENTS else "MASTER"

    @property
    def _replica(self) -> str:
        return "REPLICA" if self.version >= NEW_STATEMENTS else "SLAVE"

    # ---- seeing ----------------------------------------------------------------------------------------------------
    def light_probe(self, *, pulse: bool) -> Statement:
        return Statement(from_pulse("@@global.read_only AS read_only", pulse=pulse))

    def full_probe(self, *, pulse: bool) -> Statement:
        columns = "@@global.read_only AS read_only, @@global.server_id AS server_id, @@global.gtid_executed AS executed"
        if self.semi_sync is not None:
            source, replica = self.semi_sync
            columns += (
                f", @@global.rpl_semi_sync_{source}_enabled AS source_enabled"
                f", @@global.rpl_semi_sync_{replica}_enabled AS replica_enabled"
            )
        return Statement(from_pulse(columns, pulse=pulse, identity=True))

    def writable(self, row: Row) -> bool:
        # super_read_only implies read_only, so one of them tells.
        return str(row["read_only"]).upper() in {"0", "OFF"}

    def facts(self, identity: Identity, link: Rows, semi_sync: Rows, row: Row) -> Facts:
        found = self.link(link)
        executed = self.executed(row)
        active = {str(item["Variable_name"]).lower(): str(item["Value"]) for item in semi_sync}
        source = "source" if self.semi_sync is None else self.semi_sync[0]
        return Facts(
            identity=replace(identity, server_id=int(row["server_id"]), cluster_id=row.get("cluster_id")),
            writable=self.writable(row),
            executed=executed,
            received=executed if found is None else executed.union(_mine(found.received)),
            channel=None if found is None else found.channel,
            semi_sync=SemiSync(
                source_enabled=bool(row.get("source_enabled")),
                source_active=active.get(f"rpl_semi_sync_{source}_status") == "ON",
                replica_enabled=bool(row.get("replica_enabled")),
                waiting=self.waiting(semi_sync),
                clients=int(active.get(f"rpl_semi_sync_{source}_clients", 0)),
            ),
            pulse=read_pulse(row),
            syncs=int(active["innodb_data_fsyncs"]) if "innodb_data_fsyncs" in active else None,
        )

    def link_status(self) -> Statement:
        return Statement(f"SHOW {self._replica} STATUS")

    def link(self, rows: Rows) -> Link | None:
        row = next((row for row in rows if not row.get("Channel_Name")), None)
        if row is None:
            return None
        source, replica = self._source.capitalize(), self._replica.capitalize()
        state = str(row[f"{replica}_IO_Running"])
        receiver = Receiver(
            running=state != "No",
            connected=state == "Yes",
            errno=int(row["Last_IO_Errno"]),
            error=str(row["Last_IO_Error"]),
        )
        applier = Applier(
            running=row[f"{replica}_SQL_Running"] == "Yes",
            errno=int(row["Last_SQL_Errno"]),
            error=str(row["Last_SQL_Error"]),
        )
        return Link(
            channel=Channel(
                source_host=str(row[f"{source}_Host"]),
                source_port=int(row[f"{source}_Port"]),
                receiver=receiver,
                applier=applier,
            ),
            user=str(row[f"{source}_User"]),
            by_gtid=int(row["Auto_Position"]) == 1,
            received=MysqlGtidSet.parse(str(row["Retrieved_Gtid_Set"] or "")),
            connect_retry_s=int(row["Connect_Retry"]),
            retry_count=int(row[f"{source}_Retry_Count"]),
        )

    def heartbeats(self) -> Statement:
        """Filled also with performance_schema=OFF."""
        return Statement(
            "SELECT COALESCE(MAX(count_received_heartbeats), 0) AS heartbeats"
            " FROM performance_schema.replication_connection_status WHERE channel_name = ''"
        )

    def progress(self) -> Statement:
        return Statement("SELECT @@global.gtid_executed AS executed")

    def executed(self, row: Row) -> MysqlGtidSet:
        return MysqlGtidSet.parse(row["executed"] or "")

    def semi_sync_status(self) -> Statement:
        """And, which costs 0.2 ms more, how often InnoDB has seen an fsync end: a slow disk is told from a dead one by that."""
        return Statement("SHOW GLOBAL STATUS WHERE Variable_name LIKE 'Rpl_semi_sync_%' OR Variable_name = 'Innodb_data_fsyncs'")

    def waiting(self, rows: Rows) -> int:
        for row in rows:
            if str(row["Variable_name"]).lower().endswith("_wait_sessions"):
                return int(row["Value"])
        return 0

    # ---- replicating -----------------------------------------------------------------------------------------------
    @property
    def keeps_unapplied(self) -> bool:
        """With relay_log_recovery=OFF, which we demand."""
        return True

    def stop_receiving(self) -> Statement:
        return Statement(f"STOP {self._replica} IO_THREAD")

    def start_receiving(self) -> Statement:
        return Statement(f"START {self._replica} IO_THREAD")

    def start_applying(self) -> Statement:
        return Statement(f"START {self._replica} SQL_THREAD")

    def start_until(self, goal: GtidSet) -> Statement:
        return Statement(f"START {self._replica} UNTIL SQL_AFTER_GTIDS = %s", (str(_mine(goal)),))

    def stop_replicating(self) -> Statement:
        return Statement(f"STOP {self._replica}")

    def forget_source(self) -> tuple[Statement, ...]:
        return (self.stop_replicating(), Statement(f"RESET {self._replica} ALL"))

    def wait_applied(self, received: GtidSet, timeout_s: float) -> Statement:
        # The one place where a timeout of 0 means for ever.
        bounded = Decimal(f"{max(timeout_s, 0.001):.3f}")
        return Statement("SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, %s) AS waited", (str(_mine(received)), bounded))

    def same_source(self, link: Link, source: NodeSpec, account: Account, timings: Timings) -> bool:
        return (
            (link.channel.source_host, link.channel.source_port) == (source.host, source.port)
            and link.user == account.user
            and link.by_gtid
            and link.connect_retry_s == timings.connect_retry_s
            and link.retry_count == timings.connect_retry_count
        )

    def change_source(self, source: NodeSpec, account: Account, timings: Timings) -> Statement:
        """The public key is fetched from the source, because caching_sha2_password needs it where TLS is not used."""
        return self._change(source, account, timings, f", {self._source}_AUTO_POSITION = 1")

    def move_receiver(self, link: Link, source: NodeSpec, account: Account, timings: Timings) -> Statement | None:
        """The applier is in the way only where the kind of position changes. Starting one takes 20 ms, for its workers."""
        return self._change(source, account, timings, "") if link.by_gtid else None

    def _change(self, source: NodeSpec, account: Account, timings: Timings, position: str) -> Statement:
        word = self._source
        verb = "CHANGE REPLICATION SOURCE TO" if self.version >= NEW_STATEMENTS else "CHANGE MASTER TO"
        return Statement(
            f"{verb} {word}_HOST = %s, {word}_PORT = %s, {word}_USER = %s, {word}_PASSWORD = %s{position},"
            f" GET_{word}_PUBLIC_KEY = 1, {word}_CONNECT_RETRY = %s, {word}_RETRY_COUNT = %s, {word}_HEARTBEAT_PERIOD = %s",
            (
                check_host(source.host),
                check_port(source.port),
                check_user(account.user),
                check_source_password(account.password.reveal()),
                timings.connect_retry_s,
                timings.connect_retry_count,
                Decimal(f"{timings.heartbeat_period_s:.3f}"),
            ),
        )

    def adopt_position(self, row: Row) -> tuple[Statement, ...]:
        """Nothing: auto-position counts what the server wrote itself."""
        return ()

    # ---- roles -----------------------------------------------------------------------------------------------------
    @property
    def semi_sync_installed(self) -> bool:
        return self.semi_sync is not None

    def install_semi_sync(self) -> tuple[Statement, ...]:
        """Both sides at once: every node may become either. INSTALL PLUGIN is remembered over restarts, not replicated."""
        if self.semi_sync is not None:
            return ()
        words = ("source", "replica") if self.version >= NEW_VARIABLES else ("master", "slave")
        return tuple(Statement(f"INSTALL PLUGIN rpl_semi_sync_{word} SONAME 'semisync_{word}.so'") for word in words)

    def source_role(self, durability: Durability) -> tuple[Statement, ...]:
        common = "SET GLOBAL sync_binlog = 1, GLOBAL innodb_flush_log_at_trx_commit = 1"
        if self.semi_sync is None:
            return (Statement(common),)
        source, replica = self.semi_sync
        prefix = f"GLOBAL rpl_semi_sync_{source}"
        common += f", GLOBAL rpl_semi_sync_{replica}_enabled = 0"
        match durability:
            case Durability.LOSSLESS:
                return (
                    Statement(
                        f"{common}, {prefix}_wait_point = AFTER_SYNC, {prefix}_timeout = {FOR_EVER_MS},"
                        f" {prefix}_wait_for_{replica}_count = 1, {prefix}_wait_no_{replica} = 1, {prefix}_enabled = 1"
                    ),
                )
            case Durability.AVAILABLE:
                return (Statement(f"{common}, {prefix}_enabled = 0"),)

    def replica_role(self, durability: Durability, timings: Timings) -> tuple[Statement, ...]:
        net_timeout = "replica_net_timeout" if self.version >= NEW_VARIABLES else "slave_net_timeout"
        sql = f"SET GLOBAL sync_binlog = 1, GLOBAL innodb_flush_log_at_trx_commit = 1, GLOBAL {net_timeout} = %s"
        if self.semi_sync is not None:
            acknowledges = int(durability is Durability.LOSSLESS)
            sql += f", GLOBAL rpl_semi_sync_{self.semi_sync[1]}_enabled = {acknowledges}"
        return (Statement(sql, (timings.replica_net_timeout_s,)),)

    def leave_source_role(self) -> tuple[Statement, ...]:
        """Takes up to a second: the server waits for the thread that collects acknowledgements."""
        if self.semi_sync is None:
            return ()
        return (Statement(f"SET GLOBAL rpl_semi_sync_{self.semi_sync[0]}_enabled = 0"),)

    def open_for_writes(self) -> Statement:
        # Switches super_read_only off as well.
        return Statement("SET GLOBAL read_only = 0")

    def turn_clients_away(self) -> Statement | None:
        """https://dev.mysql.com/doc/refman/9.7/en/server-system-variables.html, offline_mode. A restart ends it as well."""
        return Statement("SET GLOBAL offline_mode = 1")

    def admit_clients(self) -> tuple[Statement, ...]:
        return (Statement("SET GLOBAL offline_mode = 0"),)

    def close_for_writes(self) -> Statement:
        return Statement("SET GLOBAL super_read_only = 1")

    def admit_administrators(self) -> tuple[Statement, ...]:
        return (Statement("SET GLOBAL read_only = 1"), Statement("SET GLOBAL super_read_only = 0"))

    def small_events(self) -> Statement:
        return Statement("SET SESSION binlog_row_image = MINIMAL")

    # ---- clients ---------------------------------------------------------------------------------------------------
    def kill(self, session_id: int) -> Statement:
        return Statement("KILL CONNECTION %s", (session_id,))

    # ---- bringing in -----------------------------------------------------------------------------------------------
    def required_settings(self, durability: Durability, timings: Timings) -> tuple[Setting, ...]:
        return mysql_settings(
            durability,
            timings,
            replica="replica" if self.version >= NEW_VARIABLES else "slave",
            semi_sync=self.semi_sync,
            for_ever_ms=FOR_EVER_MS,
        )

    def set_global(self, setting: Setting, value: str | int | float) -> Statement:
        """Survives a restart."""
        return Statement(f"SET PERSIST {quote_identifier(setting.name)} = %s", (value,))

    def account_statements(
        self, role: AccountRole, account: Account, host: str, *, schema: str | None = None
    ) -> tuple[Statement, ...]:
        """The server writes a hash in place of the password into its logs."""
        who = (check_user(account.user), check_host(host))
        secret = (*who, account.password.reveal())
        how = "IDENTIFIED WITH caching_sha2_password BY %s"
        return (
            Statement(f"CREATE USER IF NOT EXISTS %s@%s {how}", secret),
            Statement(f"ALTER USER %s@%s {how}", secret),
            *grants(role, MYSQL_GLOBAL, account, host, schema, MYSQL_TABLES),
        )

    def reset_history(self) -> tuple[Statement, ...]:
        new = self.version >= NEW_BINARY_LOG_STATEMENTS
        return (Statement("RESET BINARY LOGS AND GTIDS" if new else "RESET MASTER"),)

    def set_executed(self, gtids: GtidSet) -> tuple[Statement, ...]:
        return (Statement("SET GLOBAL gtid_purged = %s", (str(_mine(gtids)),)),)


def _mine(gtids: GtidSet) -> MysqlGtidSet:
    if not isinstance(gtids, MysqlGtidSet):
        raise TypeError(f"MySQL has no use for {type(gtids).__name__}")
    return gtids
