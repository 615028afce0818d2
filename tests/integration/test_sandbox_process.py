"""Host access to one server process: proof of death, no stranger killed, the unacknowledged tail cut off."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql
import pytest

from replclus.errors import HostError
from replclus.model.gtid import MysqlGtidSet
from replclus.model.observation import Version
from replclus.model.spec import Flavour
from replclus.server.binaries import find_server_binary
from replclus.server.process import LocalProcess
from tests.conftest import MakeSandbox, RunningServer, running


def test_kill_is_proof_and_can_be_repeated(fresh_server: RunningServer) -> None:
    process = fresh_server.process
    pid = int(process.pid_file.read_text())
    assert process.is_running()
    death = process.kill()
    assert death.pid == pid
    assert death.seconds < 5
    assert not process.is_running()
    assert process.kill().pid is None
    with pytest.raises(pymysql.err.OperationalError):
        fresh_server.connect()
    report = process.start()
    assert report.pid == int(process.pid_file.read_text()) != pid
    assert fresh_server.run("SELECT @@read_only") == ((1,),)


def test_a_frozen_server_is_running_and_can_be_killed(fresh_server: RunningServer) -> None:
    process = fresh_server.process
    process.freeze()
    with pytest.raises(pymysql.err.OperationalError):
        fresh_server.connect(read_timeout=1).close()
    assert process.is_running()
    process.thaw()
    assert fresh_server.run("SELECT 1") == ((1,),)
    process.freeze()
    assert process.kill().pid is not None
    assert not process.is_running()
    with pytest.raises(HostError, match="no server is running here"):
        process.thaw()


def test_a_frozen_server_can_be_stopped(fresh_server: RunningServer) -> None:
    fresh_server.process.freeze()
    fresh_server.process.stop()
    assert not fresh_server.process.is_running()


def test_the_number_of_a_dead_server_may_be_a_stranger_now(fresh_server: RunningServer) -> None:
    process = fresh_server.process
    process.kill()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        process.pid_file.write_text(f"{stranger.pid}\n")
        assert not process.is_running()
        assert process.kill().pid is None
        process.stop()
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize("content", [None, "", "0", "-1", "x", "99999999"])
def test_a_server_without_its_pid_file_is_found_by_its_lock(fresh_server: RunningServer, content: str | None) -> None:
    process = fresh_server.process
    pid = int(process.pid_file.read_text())
    process.pid_file.unlink()
    if content is not None:
        process.pid_file.write_text(content)
    assert process.is_running()
    assert process.start().already_running
    assert process.kill().pid == pid
    assert not process.is_running()


def test_a_server_that_nobody_noted_yet_is_found_before_it_opens_its_data(fresh_server: RunningServer) -> None:
    """Whoever spawned it was killed before it could write down the number."""
    process = fresh_server.process
    for starts in (False, True):
        process.kill()
        newborn = subprocess.Popen(
            [find_server_binary(fresh_server.flavour).path, f"--defaults-file={process.directory / 'my.cnf'}",
             f"--pid-file={process.pid_file}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        if starts:
            assert process.start().already_running
        assert process.kill().pid is not None
        newborn.wait(20)
        assert process.kill().pid is None


def test_a_server_that_cannot_start_says_why(fresh_server: RunningServer) -> None:
    process = fresh_server.process
    process.kill()
    options = process.directory / "my.cnf"
    options.write_text(options.read_text().replace("[replclus]", "[mysqld]\nno_such_option = 1\n[replclus]"))
    with pytest.raises(HostError, match=r"the server ended while starting: .*no_such_option"):
        process.start()
    assert not process.is_running()


def test_a_directory_that_is_not_ours_to_start(tmp_path: Path) -> None:
    process = LocalProcess(tmp_path)
    assert not process.is_running()
    with pytest.raises(HostError, match=r"no my\.cnf"):
        process.start()
    (tmp_path / "my.cnf").write_text("[mysqld]\nport = 3306\n")
    with pytest.raises(HostError, match=r"add \[replclus\]"):
        process.start()


def test_a_zombie_counts_as_dead(fresh_server: RunningServer) -> None:
    """A parent that does not collect its child must not keep us from calling the server dead."""
    process = fresh_server.process
    process.stop()
    settings = process.directory / "my.cnf"
    binary = next(line.split(" = ")[1] for line in settings.read_text().splitlines() if line.startswith("server_binary"))
    with subprocess.Popen([binary, f"--defaults-file={settings}"], stderr=subprocess.DEVNULL) as child:
        wait_until_answering(fresh_server)
        os.kill(child.pid, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while process.is_running() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert Path(f"/proc/{child.pid}/stat").read_text().split(") ")[1][0] == "Z"
        assert process.kill().pid is None
        assert process.start().pid != child.pid


def wait_until_answering(server: RunningServer) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            server.connect().close()
            return
        except pymysql.err.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


SEMI_SYNC = {
    Flavour.MARIADB: (
        "SET GLOBAL rpl_semi_sync_master_wait_point = 'AFTER_SYNC'",
        "SET GLOBAL rpl_semi_sync_master_timeout = 3600000",
        "SET GLOBAL rpl_semi_sync_master_enabled = ON",
    ),
    Flavour.MYSQL: (
        "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'",
        "SET GLOBAL rpl_semi_sync_source_timeout = 3600000",
        "SET GLOBAL rpl_semi_sync_source_enabled = ON",
    ),
}
POSITION = {Flavour.MARIADB: "SELECT @@gtid_binlog_pos", Flavour.MYSQL: "SELECT @@gtid_executed"}


@contextmanager
def waiting(server: RunningServer, *statements: str) -> Iterator[None]:
    """Each statement on its own connection, all waiting for an acknowledgement that nobody gives."""

    def commit(connection: pymysql.Connection[Any], statement: str) -> None:
        with pytest.raises(pymysql.err.OperationalError):
            connection.cursor().execute(statement)

    # Connections first: behind a waiting CREATE USER nobody can log in.
    threads = [threading.Thread(target=commit, args=(server.connect(), statement)) for statement in statements]
    for thread in threads:
        thread.start()
        time.sleep(0.4)
    yield
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def prepare(server: RunningServer, *, semi_sync: bool = True) -> str:
    """A table with row 0; from then on nothing is acknowledged. Returns the position."""
    server.run("CREATE DATABASE d", "CREATE TABLE d.t (i INT PRIMARY KEY)", "INSERT INTO d.t VALUES (0)")
    if semi_sync:
        server.run(*SEMI_SYNC[server.flavour])
    return str(server.run(POSITION[server.flavour])[0][0])


def known(server: RunningServer, position: str) -> MysqlGtidSet | None:
    return MysqlGtidSet.parse(position) if server.flavour is Flavour.MYSQL else None


def test_what_nobody_acknowledged_is_gone_after_the_start(fresh_server: RunningServer) -> None:
    position = prepare(fresh_server)
    with waiting(fresh_server, "INSERT INTO d.t VALUES (1)", "INSERT INTO d.t VALUES (2)", "INSERT INTO d.t VALUES (3)"):
        fresh_server.process.kill()
    report = fresh_server.process.start(known(fresh_server, position))
    assert report.cut
    assert report.cut_refused == ""
    assert fresh_server.run("SELECT i FROM d.t") == ((0,),)
    assert fresh_server.run(POSITION[fresh_server.flavour]) == ((position,),)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE d.u (i INT)",
        "DROP TABLE d.t",
        "ALTER TABLE d.t ADD COLUMN j INT",
        "TRUNCATE d.t",
        "CREATE USER u",
        "DROP DATABASE d",
    ],
)
@pytest.mark.mysql
def test_mysql_ddl_is_rolled_back_too(mysql: RunningServer, statement: str) -> None:
    position = prepare(mysql)
    before = mysql.run("SHOW CREATE TABLE d.t")
    with waiting(mysql, statement):
        mysql.process.kill()
    report = mysql.process.start(MysqlGtidSet.parse(position))
    assert (bool(report.cut), report.cut_refused) == (True, "")
    assert mysql.run(POSITION[Flavour.MYSQL]) == ((position,),)
    assert mysql.run("SHOW CREATE TABLE d.t") == before
    assert mysql.run("SELECT i FROM d.t") == ((0,),)
    assert mysql.run("SHOW TABLES FROM d") == (("t",),)
    assert mysql.run("SELECT COUNT(*) FROM mysql.user WHERE user = 'u'") == ((0,),)


@pytest.mark.mariadb
def test_mariadb_comes_up_even_if_it_cannot_cut(make_sandbox: MakeSandbox) -> None:
    """It would not start at all as its option file asks. A server that is up can be judged."""
    mariadb = running(make_sandbox(Flavour.MARIADB, replicas=0))
    position = prepare(mariadb)
    with waiting(mariadb, "INSERT INTO d.t VALUES (1)", "CREATE TABLE d.u (i INT)"):
        mariadb.process.kill()
    report = mariadb.process.start()
    assert (report.cut, "DDL" in report.cut_refused) == ("", True)
    assert mariadb.run("SELECT i FROM d.t") == ((0,), (1,))
    assert mariadb.run(POSITION[Flavour.MARIADB]) != ((position,),)
    assert mariadb.run("SELECT @@read_only") == ((1,),)


@pytest.fixture
def mysql(make_sandbox: MakeSandbox) -> RunningServer:
    return running(make_sandbox(Flavour.MYSQL, replicas=0))


@pytest.mark.mysql
def test_mysql_keeps_its_tail_where_nobody_says_what_is_known(mysql: RunningServer) -> None:
    position = prepare(mysql)
    with waiting(mysql, "INSERT INTO d.t VALUES (1)"):
        mysql.process.kill()
    assert mysql.process.start().cut == ""
    assert mysql.run("SELECT COUNT(*) FROM d.t") == ((2,),)
    # Now it is committed: too late to cut.
    mysql.process.kill()
    report = mysql.process.start(MysqlGtidSet.parse(position))
    assert (report.cut, "older file" in report.cut_refused) == ("", True)
    assert mysql.run("SELECT COUNT(*) FROM d.t") == ((2,),)


@pytest.mark.mysql
def test_mysql_tail_of_a_clean_stop_is_committed(mysql: RunningServer) -> None:
    position = prepare(mysql, semi_sync=False)
    mysql.run("INSERT INTO d.t VALUES (1)")
    mysql.process.stop()
    report = mysql.process.start(MysqlGtidSet.parse(position))
    assert (report.cut, "a clean stop" in report.cut_refused) == ("", True)
    assert mysql.run("SELECT COUNT(*) FROM d.t") == ((2,),)


@pytest.mark.mysql
def test_mysql_transactions_that_were_committed_show_up_again_after_a_cut(mysql: RunningServer) -> None:
    """An asynchronous primary's tail is committed, but for its very end, whose commit InnoDB had not written yet.

    Each transaction is either there with its GTID, for the judge of old primaries to see, or gone with it.
    """
    position = prepare(mysql, semi_sync=False)
    mysql.run(*(f"INSERT INTO d.t VALUES ({number})" for number in range(1, 101)))
    uuid, _, last = position.rpartition(":1-")
    mysql.process.kill()
    assert mysql.process.start(MysqlGtidSet.parse(position)).cut
    kept = [number for (number,) in mysql.run("SELECT i FROM d.t WHERE i > 0 ORDER BY i")]
    executed = MysqlGtidSet.of({(uuid, ""): [(1, int(last)), *((int(last) + number,) * 2 for number in kept)]})
    assert mysql.run(POSITION[Flavour.MYSQL])[0][0] == str(executed)


@pytest.mark.mysql
def test_mysql_tagged_transactions_are_cut_too(mysql: RunningServer) -> None:
    if find_server_binary(Flavour.MYSQL).version < Version(8, 3, 0):
        pytest.skip("tags came with MySQL 8.3")
    position = prepare(mysql)
    tagged = mysql.connect()
    tagged.cursor().execute("SET gtid_next = 'AUTOMATIC:blue'")

    def commit() -> None:
        with pytest.raises(pymysql.err.OperationalError):
            tagged.cursor().execute("INSERT INTO d.t VALUES (1)")

    thread = threading.Thread(target=commit)
    thread.start()
    time.sleep(0.5)
    mysql.process.kill()
    thread.join(30)
    assert mysql.process.start(MysqlGtidSet.parse(position)).cut.endswith(":blue:1")
    assert mysql.run(POSITION[Flavour.MYSQL]) == ((position,),)
    assert mysql.run("SELECT i FROM d.t") == ((0,),)
