"""Each injection bites on a real server of each family, and is gone afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pymysql
import pytest

from replclus.model.spec import Flavour
from tests.clusters import eventually
from tests.conftest import MakeSandbox, RunningServer, running
from tests.faults.inject import cgroups
from tests.faults.inject.clocks import Clock, make_clock
from tests.faults.inject.disks import Disk, data_disk
from tests.faults.inject.launching import equip
from tests.faults.inject.shim import Action, Call, Rule, Shim, compile_shim

pytestmark = [pytest.mark.netns, pytest.mark.slow]

TABLE = "CREATE TABLE test.t (id INT PRIMARY KEY AUTO_INCREMENT, what VARCHAR(4000))"
INSERT = "INSERT INTO test.t (what) VALUES ('x')"
# Long enough to tell a hang from a busy machine.
HANGS_S = 2.0


def restart(server: RunningServer) -> None:
    server.process.stop()
    start(server)


def start(server: RunningServer) -> None:
    server.process.start()
    server.run("SET GLOBAL read_only=0", "CREATE DATABASE IF NOT EXISTS test", "DROP TABLE IF EXISTS test.t", TABLE)


def pid(server: RunningServer) -> int:
    return int(server.process.pid_file.read_text())


def took(act: Callable[[], object]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


def insert(server: RunningServer) -> None:
    server.run(INSERT)


def writes(server: RunningServer) -> bool:
    try:
        insert(server)
    except pymysql.err.MySQLError:
        return False
    return True


class Waiting:
    """An INSERT in a thread of its own."""

    def __init__(self, server: RunningServer) -> None:
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._insert, args=(server,), daemon=True)
        self._thread.start()

    def _insert(self, server: RunningServer) -> None:
        try:
            insert(server)
        except pymysql.err.MySQLError as error:
            self.error = error

    def waits(self) -> bool:
        self._thread.join(HANGS_S)
        return self._thread.is_alive()

    def ends(self) -> bool:
        return not self._thread.is_alive()


# ---- the shim ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shim_library(tmp_path_factory: pytest.TempPathFactory) -> Shim:
    return compile_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def shimmed(fresh_server: RunningServer, shim_library: Shim) -> Iterator[tuple[RunningServer, Shim]]:
    equip(fresh_server.place.directory, [shim_library.equipment()])
    restart(fresh_server)
    yield fresh_server, shim_library
    shim_library.rest()


def test_delayed_fsync_is_felt_and_ends(shimmed: tuple[RunningServer, Shim]) -> None:
    server, shim = shimmed
    shim.obey(Rule(Call.SYNC, Action.DELAY, "binlog.0*", HANGS_S))
    assert took(lambda: insert(server)) >= HANGS_S
    eventually(lambda: took(lambda: server.run("SELECT 1")) < HANGS_S, "questions are answered at once")
    shim.rest()
    eventually(lambda: took(lambda: insert(server)) < HANGS_S, "a commit is quick again")


def test_hanging_fsync_holds_a_commit_until_it_is_released(shimmed: tuple[RunningServer, Shim]) -> None:
    server, shim = shimmed
    shim.obey(Rule(Call.SYNC, Action.HANG, "binlog.0*"))
    waiting = Waiting(server)
    assert waiting.waits()
    assert server.run("SELECT 1") == ((1,),)
    shim.rest()
    eventually(waiting.ends, "the commit goes on")
    assert waiting.error is None
    assert server.run("SELECT COUNT(*) FROM test.t") == ((1,),)


def test_hanging_server_can_be_killed(shimmed: tuple[RunningServer, Shim]) -> None:
    server, shim = shimmed
    shim.obey(Rule(Call.SYNC, Action.HANG, "binlog.0*"))
    assert Waiting(server).waits()
    assert server.process.kill().pid is not None


@pytest.mark.parametrize("action", [Action.EIO, Action.ENOSPC])
def test_failing_binlog_fsync_fails_the_commit(shimmed: tuple[RunningServer, Shim], action: Action) -> None:
    server, shim = shimmed
    shim.obey(Rule(Call.SYNC, action, "binlog.0*"))
    with pytest.raises(pymysql.err.MySQLError):
        insert(server)


def test_failing_write_fails_the_commit(shimmed: tuple[RunningServer, Shim]) -> None:
    server, shim = shimmed
    shim.obey(Rule(Call.WRITE, Action.EIO, "binlog.0*"))
    with pytest.raises(pymysql.err.MySQLError):
        insert(server)
    shim.rest()
    eventually(lambda: writes(server) or not server.process.is_running(), "it writes again, or has given up")


def test_other_files_are_left_alone(shimmed: tuple[RunningServer, Shim]) -> None:
    server, shim = shimmed
    shim.obey(Rule(Call.SYNC, Action.HANG, "relay-bin.0*"), Rule(Call.WRITE, Action.EIO, "nothing"))
    insert(server)


# ---- control groups ------------------------------------------------------------------------------------------------


def group_of(number: int, controller: str) -> str:
    """The control group of a process, by the kernel's own account."""
    for line in Path(f"/proc/{number}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path
    return ""


def test_frozen_server_accepts_and_cannot_be_killed(fresh_server: RunningServer) -> None:
    with cgroups.frozen(pid(fresh_server)):
        with pytest.raises(pymysql.err.OperationalError):
            fresh_server.connect(read_timeout=1)
        os.kill(pid(fresh_server), signal.SIGKILL)
        time.sleep(0.5)
        assert fresh_server.process.is_running()
    eventually(lambda: not fresh_server.process.is_running(), "the signal arrives")


def test_thawed_server_goes_on(fresh_server: RunningServer) -> None:
    before = group_of(pid(fresh_server), "freezer")
    with cgroups.frozen(pid(fresh_server)):
        assert group_of(pid(fresh_server), "freezer") != before
    assert group_of(pid(fresh_server), "freezer") == before
    assert fresh_server.run("SELECT 1") == ((1,),)


def test_throttled_server_gets_its_share_only(fresh_server: RunningServer) -> None:
    def used_s() -> float:
        fields = Path(f"/proc/{pid(fresh_server)}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    busy = "SELECT BENCHMARK(2000000000, MD5('x'))"
    with cgroups.throttled(pid(fresh_server), 0.1):
        before, began = used_s(), time.monotonic()
        with suppress(pymysql.err.OperationalError), fresh_server.connect(read_timeout=3) as link, link.cursor() as cursor:
            cursor.execute(busy)
        share = (used_s() - before) / (time.monotonic() - began)
        # An unthrottled one uses 0.9 and more; the kernel pays out in slices, so a busy machine gives more than was promised.
        assert share < 0.5
    assert "replclus" not in Path(f"/proc/{pid(fresh_server)}/cgroup").read_text()
    fresh_server.process.kill()


def test_control_group_of_a_killed_test_is_removed(tmp_path: Path) -> None:
    """A sleeping process is frozen by another Python, which is killed."""
    sleeper = subprocess.Popen(["sleep", "60"])
    code = (
        "import sys, time\nfrom tests.faults.inject import cgroups\n"
        f"with cgroups.frozen({sleeper.pid}):\n    print('frozen', flush=True)\n    time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "frozen\n"
    assert f"replclus-{child.pid}-" in group_of(sleeper.pid, "freezer")
    child.kill()
    child.wait()
    eventually(lambda: "replclus" not in group_of(sleeper.pid, "freezer"), "it is back where everybody is")
    sleeper.kill()
    assert sleeper.wait(timeout=10) == -signal.SIGKILL


# ---- disks ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def on_disk(make_sandbox: MakeSandbox, flavour: Flavour) -> Iterator[tuple[RunningServer, Disk]]:
    server = running(make_sandbox(flavour, replicas=0))
    with data_disk(server.place.directory) as disk:
        start(server)
        yield server, disk
    assert str(disk.mount) not in Path("/proc/mounts").read_text()
    assert not (server.place.directory / "disk.image").exists()


def test_frozen_disk_holds_commits_and_nothing_else(on_disk: tuple[RunningServer, Disk]) -> None:
    server, disk = on_disk
    disk.freeze()
    waiting = Waiting(server)
    assert waiting.waits()
    assert server.run("SELECT 1") == ((1,),)
    disk.thaw()
    eventually(waiting.ends, "the commit goes on")
    assert waiting.error is None


def test_server_on_a_frozen_disk_cannot_be_killed(on_disk: tuple[RunningServer, Disk]) -> None:
    server, disk = on_disk
    disk.freeze()
    assert Waiting(server).waits()
    os.kill(pid(server), signal.SIGKILL)
    time.sleep(0.5)
    assert Path(f"/proc/{pid(server)}").exists()
    disk.thaw()
    eventually(lambda: not server.process.is_running(), "the signal arrives")


def test_dead_disk_ends_the_server(on_disk: tuple[RunningServer, Disk]) -> None:
    server, disk = on_disk
    insert(server)
    disk.die()
    with pytest.raises(pymysql.err.MySQLError):
        insert(server)
    with pytest.raises(OSError, match="Input/output"):
        (disk.mount / "new").write_text("x")
    server.process.kill()
    assert not server.process.is_running(), "which is known although its files cannot be opened"
    disk.power_cycle()
    (disk.mount / "new").write_text("x")
    (disk.mount / "new").unlink()
    # As the replica that its option file makes of it, MariaDB would cut off what it may not have been the only one to have.
    alone = ("--init-rpl-role=MASTER",) if server.flavour is Flavour.MARIADB else ()
    server.process.start(options=alone)
    assert server.run("SELECT COUNT(*) FROM test.t") == ((1,),), "what was committed before, and nothing else"


def test_full_disk_takes_nothing_until_it_is_emptied(on_disk: tuple[RunningServer, Disk]) -> None:
    server, disk = on_disk
    disk.fill()
    assert disk.free_bytes() < 64 << 10
    with pytest.raises(OSError):
        (disk.mount / "new").write_bytes(b"x" * (1 << 20))
    disk.empty()
    assert disk.free_bytes() > 64 << 20
    (disk.mount / "new").unlink()
    # It may be waiting for a minute before it looks again, or have ended.
    server.process.kill()
    start(server)
    insert(server)


def test_disk_that_became_read_only_ends_writing(on_disk: tuple[RunningServer, Disk]) -> None:
    server, disk = on_disk
    disk.make_read_only()
    with pytest.raises(OSError, match="Read-only"):
        (disk.mount / "new").write_text("x")
    with pytest.raises(pymysql.err.MySQLError):
        insert(server)


# ---- clocks --------------------------------------------------------------------------------------------------------


@pytest.fixture
def timed(fresh_server: RunningServer, tmp_path: Path) -> tuple[RunningServer, Clock]:
    clock = make_clock(tmp_path)
    equip(fresh_server.place.directory, [clock.equipment()])
    restart(fresh_server)
    return fresh_server, clock


def offset_s(server: RunningServer) -> float:
    return float(server.run("SELECT UNIX_TIMESTAMP(SYSDATE(6))")[0][0]) - time.time()


@pytest.mark.parametrize("hours", [1, -1])
def test_clock_of_a_server_jumps_and_comes_back(timed: tuple[RunningServer, Clock], hours: int) -> None:
    server, clock = timed
    assert abs(offset_s(server)) < 60
    with clock.moved(hours * 3600):
        assert abs(offset_s(server) - hours * 3600) < 60
        assert took(lambda: server.run("SELECT SLEEP(0.2)")) < 10
        insert(server)
    assert abs(offset_s(server)) < 60


def test_strobing_clock_goes_right_afterwards(timed: tuple[RunningServer, Clock]) -> None:
    server, clock = timed
    with clock.strobing(30.0):
        eventually(lambda: offset_s(server) > 20, "it is ahead")
        eventually(lambda: offset_s(server) < -20, "it is behind")
    assert abs(offset_s(server)) < 10


def test_clock_of_a_python_process_moves_and_its_monotonic_one_does_not(tmp_path: Path) -> None:
    clock = make_clock(tmp_path)
    clock.move(3600)
    code = "import time; print(time.time(), time.monotonic())"
    said = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **clock.environment()}, capture_output=True, text=True, check=True
    )
    wall, monotonic = map(float, said.stdout.split())
    assert abs(wall - time.time() - 3600) < 60
    assert abs(monotonic - time.monotonic()) < 60


# ---- all at once ---------------------------------------------------------------------------------------------------


def test_server_with_a_shim_and_a_clock(timed: tuple[RunningServer, Clock], shim_library: Shim) -> None:
    server, clock = timed
    equip(server.place.directory, [shim_library.equipment()])
    restart(server)
    with clock.moved(3600):
        shim_library.obey(Rule(Call.SYNC, Action.DELAY, "binlog.0*", HANGS_S))
        assert took(lambda: insert(server)) >= HANGS_S
        shim_library.rest()
        assert abs(offset_s(server) - 3600) < 60
