"""Sandboxes as `init` meets them: described, emptied again, and looked at from outside."""

from __future__ import annotations

import contextlib
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pymysql

from replclus import config
from replclus.model.observation import Facts
from replclus.model.spec import Account, ClusterSpec, Flavour, NodeSpec
from replclus.provision.look import connect_with, side_by_side
from replclus.sandbox import Sandbox
from replclus.store import SqliteStore
from tests.conftest import RunningServer, running

OWN = ("replclus_repl", "replclus_watchdog", "app")


def spec_of(sandbox: Sandbox, *, size: int | None = None) -> ClusterSpec:
    """What the sandbox's own file says, or the first `size` servers of it."""
    spec = config.load(sandbox.config, environ={})
    return spec if size is None else replace(spec, nodes=spec.nodes[:size])


def store_of(spec: ClusterSpec) -> SqliteStore:
    return SqliteStore(spec.state_dir)


def servers(sandbox: Sandbox) -> list[RunningServer]:
    return [running(sandbox, name) for name in sandbox.names]


def facts(spec: ClusterSpec, node: NodeSpec, account: Account | None = None) -> Facts:
    """What the server says of itself, to the administrator or to `account`."""
    who = account or spec.admin
    assert who is not None
    server = connect_with(spec)(node, who)
    try:
        seen = server.observe()
    finally:
        server.close()
    assert seen.answered and seen.facts is not None, seen.error
    return seen.facts


def snapshot(sandbox: Sandbox) -> dict[str, object]:
    """Everything `init` could change on the servers, and in the directory."""
    seen: dict[str, object] = {"state": sorted(path.name for path in (sandbox.directory / "state").glob("*"))}
    for server in servers(sandbox):
        name = server.place.name
        seen[f"{name}.cnf"] = (server.place.directory / "my.cnf").read_text()
        if not server.process.is_running():
            continue
        seen[f"{name}.users"] = server.run("SELECT user, host FROM mysql.user ORDER BY 1, 2")
        seen[f"{name}.schemas"] = server.run("SHOW DATABASES")
        hidden = ("gtid_binlog_pos", "gtid_current_pos", "timestamp", "rand_seed1", "rand_seed2", "pseudo_thread_id")
        variables = server.run("SHOW GLOBAL VARIABLES")
        seen[f"{name}.variables"] = sorted(row for row in variables if row[0] not in hidden)
        seen[f"{name}.link"] = server.run("SHOW REPLICA STATUS")
    return seen


def snapshot_at_rest(sandbox: Sandbox) -> dict[str, object]:
    """A snapshot that holds still: what an earlier test wrote has reached every replica, at most 10 s later."""
    end = time.monotonic() + 10
    seen = snapshot(sandbox)
    while True:
        time.sleep(0.3)
        again = snapshot(sandbox)
        if again == seen:
            return seen
        assert time.monotonic() < end, "the servers do not come to rest"
        seen = again


def empty(sandbox: Sandbox, files: dict[str, str]) -> None:
    """Make the servers what they were before any `init`, with the option files `files`; and forget the record."""
    everyone = servers(sandbox)
    side_by_side(_stand_alone, everyone)
    side_by_side(_forget, everyone)
    for server in everyone:
        (server.place.directory / "my.cnf").write_text(files[server.place.name])
    shutil.rmtree(sandbox.directory / "state", ignore_errors=True)


def option_files(sandbox: Sandbox) -> dict[str, str]:
    return {place.name: (place.directory / "my.cnf").read_text() for place in sandbox.places}


def _stand_alone(server: RunningServer) -> None:
    """Replicates from nobody, and no commit waits for anybody."""
    for name, _ in server.run("SHOW GLOBAL VARIABLES LIKE 'rpl_semi_sync_%_enabled'"):
        server.run(f"SET GLOBAL {name} = 0")
    # Durability is for `init` to bring back; without it this goes faster.
    server.run("SET GLOBAL read_only = 0", "SET GLOBAL sync_binlog = 0", "SET GLOBAL innodb_flush_log_at_trx_commit = 0")
    server.run("STOP REPLICA", "RESET REPLICA ALL")


def _end_connections(server: RunningServer) -> None:
    """Whatever a killed `init` left: its statements, and the threads that feed replicas."""
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID()"
            " AND (user = 'root' OR command LIKE 'Binlog Dump%%') AND user NOT IN ('event_scheduler', 'system user')"
        )
        for (number,) in cursor.fetchall():
            with contextlib.suppress(pymysql.err.Error):
                cursor.execute("KILL CONNECTION %s", (number,))


def _forget(server: RunningServer) -> None:
    _end_connections(server)
    mysql = server.flavour is Flavour.MYSQL
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET sql_log_bin = 0")
        cursor.execute("SELECT user, host FROM mysql.user WHERE user IN %s", (OWN,))
        accounts = cursor.fetchall()
        if accounts:
            cursor.execute("DROP USER " + ", ".join(["%s@%s"] * len(accounts)), [part for pair in accounts for part in pair])
        for schema in ("replclus", "app"):
            cursor.execute(f"DROP DATABASE IF EXISTS {schema}")
        if mysql:
            cursor.execute("RESET PERSIST")
            cursor.execute("SELECT plugin_name FROM information_schema.plugins WHERE plugin_name LIKE 'rpl_semi_sync%'")
            for (plugin,) in cursor.fetchall():
                _uninstall(cursor, plugin)
            cursor.execute("RESET BINARY LOGS AND GTIDS")
        else:
            cursor.execute("RESET MASTER")
            cursor.execute("SET GLOBAL gtid_slave_pos = ''")


def _uninstall(cursor: pymysql.cursors.Cursor, plugin: str) -> None:
    """It is refused as long as a thread that served a replica has not ended."""
    for last in (*[False] * 50, True):
        try:
            cursor.execute(f"UNINSTALL PLUGIN {plugin}")
        except pymysql.err.Error:
            if last:
                raise
            time.sleep(0.05)
        else:
            return


def binary_logs(server: RunningServer) -> bytes:
    data: Path = server.place.directory / "data"
    return b"".join(path.read_bytes() for path in sorted(data.glob("binlog.0*")))
