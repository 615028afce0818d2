"""The option file of one sandbox server: durable, GTID and row based, read-only at every start, and small."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from replclus.errors import ConfigError
from replclus.model.observation import Version
from replclus.model.spec import Flavour, Timings
from replclus.server.binaries import ServerBinary

# A redo log this small keeps copies of the template cheap; the template is made with the same size, so that no server
# has to make a new one at its first start.
REDO_LOG = "32M"
# From here on MySQL's options say replica where they said slave.
_MYSQL_RENAMED = Version(8, 0, 26)
# The longest path a unix socket can be bound to, without the closing NUL.
_SOCKET_PATH_BYTES_MAX = 107

_COMMON = {
    "skip_name_resolve": "ON",
    "character_set_server": "utf8mb4",
    "log_bin": "binlog",
    "relay_log": "relay-bin",
    "binlog_format": "ROW",
    "sync_binlog": "1",
    "innodb_flush_log_at_trx_commit": "1",
    "max_connections": "400",
    "table_open_cache": "400",
    "table_definition_cache": "400",
    "innodb_buffer_pool_size": "64M",
    "innodb_buffer_pool_dump_at_shutdown": "OFF",
    "innodb_buffer_pool_load_at_startup": "OFF",
    "innodb_read_io_threads": "2",
    "innodb_write_io_threads": "2",
}


@dataclass(frozen=True, slots=True)
class Place:
    """One server's place in the sandbox. `directory` is absolute and is its `process_dir`."""

    name: str
    directory: Path
    host: str
    port: int
    server_id: int

    @property
    def socket(self) -> Path:
        return self.directory / "mysqld.sock"

    @property
    def temporary(self) -> Path:
        """Its own, because a MariaDB server that starts removes the temporary tables of others from a shared one."""
        return self.directory / "tmp"


def check_path(directory: Path, longest_name: str) -> None:
    """ConfigError for a directory that a server could not work in, or that an option file cannot spell."""
    if any(character in str(directory) for character in "\"'\\") or not str(directory).isprintable():
        raise ConfigError(f"{str(directory)!r} has a quote, a backslash or a control character in it: choose another directory")
    socket = directory / longest_name / "mysqld.sock"
    excess = len(os.fsencode(socket)) - _SOCKET_PATH_BYTES_MAX
    if excess > 0:
        raise ConfigError(
            f"{directory} is {excess} bytes too long: a unix socket's path can have {_SOCKET_PATH_BYTES_MAX} bytes, "
            f"and {socket} has more"
        )


def option_file(place: Place, binary: ServerBinary) -> str:
    """The text of `my.cnf`. Servers started with it are read-only and replicate nothing until they are told to."""
    match binary.flavour:
        case Flavour.MARIADB:
            own = _mariadb()
        case Flavour.MYSQL:
            own = _mysql(binary.version)
    options = {
        "datadir": _quoted(place.directory / "data"),
        "tmpdir": _quoted(place.temporary),
        "socket": _quoted(place.socket),
        "pid_file": _quoted(place.directory / "mysqld.pid"),
        "log_error": _quoted(place.directory / "error.log"),
        "bind_address": place.host,
        "port": str(place.port),
        "server_id": str(place.server_id),
        "report_host": place.host,
        "report_port": str(place.port),
        **_COMMON,
        **own,
    }
    if os.geteuid() == 0:
        # Both families refuse to run as root unless they are told to.
        options["user"] = "root"
    lines = "\n".join(f"{name} = {value}" for name, value in options.items())
    return (
        f"# {place.name} of a replclus sandbox.\n\n[mysqld]\n{lines}\n\n"
        f"# How to run this server; the server itself does not read it.\n"
        f"[replclus]\nflavour = {binary.flavour}\nserver_binary = {binary.path}\n"
    )


def first_start(flavour: Flavour) -> tuple[str, ...]:
    """Options for the very first start only: an ordinary empty server, which takes writes."""
    match flavour:
        case Flavour.MARIADB:
            return ("--read-only=OFF",)
        case Flavour.MYSQL:
            return ("--super-read-only=OFF", "--read-only=OFF")


def _mariadb() -> dict[str, str]:
    return {
        "log_slave_updates": "ON",
        "gtid_strict_mode": "ON",
        "slave_net_timeout": str(Timings().replica_net_timeout_s),
        "skip_slave_start": "ON",
        "read_only": "ON",
        # Together these make crash recovery cut off what no replica acknowledged, instead of committing it (MDEV-33465).
        "init_rpl_role": "SLAVE",
        "rpl_semi_sync_slave_enabled": "ON",
        "innodb_log_file_size": REDO_LOG,
        "key_buffer_size": "1M",
        "aria_pagecache_buffer_size": "8M",
    }


def _mysql(version: Version) -> dict[str, str]:
    replica = "replica" if version >= _MYSQL_RENAMED else "slave"
    return {
        f"log_{replica}_updates": "ON",
        "gtid_mode": "ON",
        "enforce_gtid_consistency": "ON",
        f"{replica}_net_timeout": str(Timings().replica_net_timeout_s),
        f"skip_{replica}_start": "ON",
        # With recovery on, a restart throws away what was received and acknowledged but not yet applied.
        "relay_log_recovery": "OFF",
        "read_only": "ON",
        "super_read_only": "ON",
        "mysqlx": "OFF",
        "secure_file_priv": "NULL",
        # Saves 140 MB per server; the replication tables in it work without.
        "performance_schema": "OFF",
        "loose_innodb_redo_log_capacity": REDO_LOG,
    }


def _quoted(path: Path) -> str:
    return f'"{path}"'
