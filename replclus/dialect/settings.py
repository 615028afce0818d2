"""The global variables every member needs, per family: what `init` demands, sets, and explains."""

from __future__ import annotations

from dataclasses import replace

from replclus.dialect.base import Check, Setting
from replclus.model.spec import Durability, Timings


def _fixed(name: str, wanted: str, why: str, *, line: str | None = None, check: Check = Check.EQUAL) -> Setting:
    """Only an option file and a restart can change it."""
    return Setting(name=name, wanted=wanted, line=line or f"{name}={wanted}", dynamic=False, why=why, check=check)


def _dynamic(name: str, wanted: str | int, why: str) -> Setting:
    return Setting(name=name, wanted=str(wanted), line=f"{name}={wanted}", dynamic=True, why=why)


def _lease(timings: Timings) -> tuple[Setting, ...]:
    why = "the event that makes a primary without a pulse read-only is run by it"
    return (replace(_dynamic("event_scheduler", "ON", why), left_alone="DISABLED"),) if timings.lease_s else ()


_COMMON = (
    _fixed("log_bin", "ON", "a primary sends its binary log to the replicas", line="log_bin=binlog"),
    _fixed(
        "server_id",
        "any number from 1 that no other member has",
        "replicas recognise their own transactions by it",
        line="server_id=<a number from 1, different on every server>",
        check=Check.NONZERO,
    ),
    _dynamic("binlog_format", "ROW", "statements can give another result on another server, rows cannot"),
    _dynamic("binlog_row_image", "FULL", "extra transactions of a diverged server can only be exported from whole rows"),
    _dynamic("sync_binlog", 1, "a commit that was acknowledged must survive a crash of the machine"),
    _dynamic("innodb_flush_log_at_trx_commit", 1, "a commit that was acknowledged must survive a crash of the machine"),
)


def mariadb_settings(durability: Durability, timings: Timings, *, for_ever_ms: int) -> tuple[Setting, ...]:
    return (
        *_COMMON,
        _fixed("log_slave_updates", "ON", "a replica that becomes primary must have the whole history in its own binary log"),
        _fixed("slave_skip_errors", "OFF", "a replica that skips errors silently becomes different"),
        _dynamic("gtid_strict_mode", "ON", "positions can only be compared if sequence numbers never go back"),
        _dynamic("slave_net_timeout", timings.replica_net_timeout_s, "a replica must notice a silent primary in seconds"),
        *_lease(timings),
        *(_mariadb_lossless(for_ever_ms) if durability is Durability.LOSSLESS else ()),
    )


def _mariadb_lossless(for_ever_ms: int) -> tuple[Setting, ...]:
    return (
        _dynamic("rpl_semi_sync_master_wait_point", "AFTER_SYNC", "nobody may see a row that no replica has yet"),
        _dynamic("rpl_semi_sync_master_timeout", for_ever_ms, "after a timeout commits would be acknowledged by nobody"),
        _dynamic("rpl_semi_sync_master_wait_no_slave", "ON", "without replicas a commit must wait, not pass"),
    )


def mysql_settings(
    durability: Durability, timings: Timings, *, replica: str, semi_sync: tuple[str, str] | None, for_ever_ms: int
) -> tuple[Setting, ...]:
    """`replica` is the word of this version's variables: replica or slave."""
    lossless = durability is Durability.LOSSLESS
    return (
        *_COMMON,
        _fixed(
            f"log_{replica}_updates", "ON", "a replica that becomes primary must have the whole history in its own binary log"
        ),
        _fixed("gtid_mode", "ON", "replicas follow any source by GTID, without file names and offsets"),
        _fixed("enforce_gtid_consistency", "ON", "gtid_mode=ON needs it"),
        _fixed(f"{replica}_skip_errors", "OFF", "a replica that skips errors silently becomes different"),
        _fixed("relay_log_recovery", "OFF", "a restart would throw away what was received and acknowledged, but not applied"),
        _dynamic(f"{replica}_preserve_commit_order", "ON", "a replica that applies in parallel must have no holes"),
        _dynamic(f"{replica}_net_timeout", timings.replica_net_timeout_s, "a replica must notice a silent primary in seconds"),
        *_lease(timings),
        *(_mysql_lossless(*semi_sync, for_ever_ms) if lossless and semi_sync is not None else ()),
    )


def _mysql_lossless(source: str, replica: str, for_ever_ms: int) -> tuple[Setting, ...]:
    prefix = f"rpl_semi_sync_{source}"
    return (
        _dynamic(f"{prefix}_wait_point", "AFTER_SYNC", "nobody may see a row that no replica has yet"),
        _dynamic(f"{prefix}_timeout", for_ever_ms, "after a timeout commits would be acknowledged by nobody"),
        _dynamic(f"{prefix}_wait_for_{replica}_count", 1, "one replica must have a commit before it is acknowledged"),
        _dynamic(f"{prefix}_wait_no_{replica}", "ON", "without replicas a commit must wait, not pass"),
    )
