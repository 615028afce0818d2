"""The few things a router says to a server about positions and roles, in the words of its family."""

from __future__ import annotations

from dataclasses import dataclass

from replclus.model.spec import Flavour

_PULSE = (
    ", p.beat, p.epoch, p.primary_node, p.routing_ttl_ms, p.topology"
    " FROM (SELECT 1) AS one LEFT JOIN replclus.pulse AS p ON p.id = 1"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """Statements of one family.

    `track` makes the server put the GTID of a commit, and what becomes of sql_mode, into its OK packet. `probe` returns
    read_only, what has been applied, and the pulse; `bare_probe` only the first two, for accounts that may not read the
    pulse. `position` covers all that a reader of this node can have seen. `wait` takes a position and seconds; its answer
    `waited` means that it was reached. `defaults` are the sql_mode and the isolation level that a session has.
    """

    flavour: Flavour
    track: str
    probe: str
    bare_probe: str
    position: str
    wait: str
    defaults: str
    waited: int = 0


MARIADB = Speech(
    flavour=Flavour.MARIADB,
    track="SET SESSION session_track_system_variables = 'last_gtid,sql_mode'",
    probe="SELECT @@global.read_only, @@global.gtid_slave_pos" + _PULSE,
    bare_probe="SELECT @@global.read_only, @@global.gtid_slave_pos",
    # What was written here and what was applied here; a primary that was a replica keeps both.
    position="SELECT CONCAT_WS(',', NULLIF(@@global.gtid_binlog_pos, ''), NULLIF(@@global.gtid_slave_pos, ''))",
    wait="SELECT MASTER_GTID_WAIT('{position}', {seconds:.3f})",
    # MariaDB 11.1 calls it transaction_isolation too, 10.6 does not.
    defaults="SELECT @@session.sql_mode, @@session.tx_isolation",
)

MYSQL = Speech(
    flavour=Flavour.MYSQL,
    track="SET SESSION session_track_gtids = OWN_GTID, session_track_system_variables = 'sql_mode'",
    probe="SELECT @@global.read_only, @@global.gtid_executed" + _PULSE,
    bare_probe="SELECT @@global.read_only, @@global.gtid_executed",
    position="SELECT @@global.gtid_executed",
    wait="SELECT WAIT_FOR_EXECUTED_GTID_SET('{position}', {seconds:.3f})",
    defaults="SELECT @@session.sql_mode, @@session.transaction_isolation",
)


def speech_of(server_version: str) -> Speech:
    """By the version text of the handshake, `5.5.5-10.11.19-MariaDB…` or `9.7.4`."""
    return MARIADB if "mariadb" in server_version.lower() else MYSQL
