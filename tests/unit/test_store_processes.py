"""Several real processes on one store, and processes that are killed in the middle of their work."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from replclus.errors import Locked, StoreError
from replclus.store import SqliteStore
from tests.unit.test_store import RECORD

ROOT = Path(__file__).parents[2]

# argv: state directory, number of swaps. Prints every version it won, one per line, as soon as it is promised.
SWAP = """
import sys
from dataclasses import replace
from pathlib import Path
from replclus.errors import Conflict
from replclus.events import Progress
from replclus.store import SqliteStore

store = SqliteStore(Path(sys.argv[1]))
won = 0
while won < int(sys.argv[2]):
    record = store.load()
    try:
        written = store.cas(record.version, replace(record, epoch=record.epoch + 1))
    except Conflict:
        continue
    print(written.version, flush=True)
    store.append((0.0, Progress(what=str(written.version))))
    won += 1
"""

HOLD = """
import sys, time
from pathlib import Path
from replclus.store import SqliteStore

with SqliteStore(Path(sys.argv[1])).lock(sys.argv[2]):
    print("held", flush=True)
    time.sleep(60)
"""


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def holder(state_dir: Path, who: str) -> subprocess.Popen[str]:
    process = python(HOLD, state_dir, who)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    path = tmp_path / "state"
    store = SqliteStore(path)
    store.create(RECORD)
    store.close()
    return path


def test_every_version_has_exactly_one_winner(state_dir: Path) -> None:
    processes = [python(SWAP, state_dir, 40) for _ in range(4)]
    won = [int(line) for process in processes for line in process.communicate(timeout=60)[0].split()]
    assert all(process.returncode == 0 for process in processes)
    assert sorted(won) == list(range(2, 162))
    record = SqliteStore(state_dir).load()
    assert record is not None and (record.version, record.epoch) == (161, 161)


def test_a_killed_process_takes_nothing_back_and_leaves_nothing_broken(state_dir: Path) -> None:
    """kill -9 in the middle of many swaps: what was promised is there, and at most one swap more."""
    chance = random.Random(20240607)  # noqa: S311
    for _ in range(12):
        process = python(SWAP, state_dir, 1_000_000)
        assert process.stdout is not None
        promised = [int(process.stdout.readline())]
        time.sleep(chance.uniform(0.0, 0.1))
        process.kill()
        promised += [int(line) for line in process.communicate()[0].split()]
        store = SqliteStore(state_dir)
        record = store.load()
        assert record is not None
        assert promised == list(range(promised[0], promised[-1] + 1))
        assert promised[-1] <= record.version <= promised[-1] + 1
        assert record.epoch == record.version  # both of one transaction, or none
        assert store.cas(record.version, replace(record, epoch=record.epoch + 1)).version == record.version + 1
        store.close()


def test_stores_that_are_born_at_once_are_one(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from replclus.errors import Conflict
from replclus.store import SqliteStore
from tests.unit.test_store import RECORD
sys.stdin.readline()
try:
    SqliteStore(Path(sys.argv[1])).create(RECORD)
    print("created")
except Conflict:
    print("conflict")
"""
    for attempt in range(3):
        processes = [python(code, tmp_path / f"state{attempt}") for _ in range(4)]
        answers = [process.communicate("go\n", timeout=60)[0].strip() for process in processes]
        assert sorted(answers) == ["conflict", "conflict", "conflict", "created"]


# ---- the lock --------------------------------------------------------------------------------------------------------


def test_there_is_one_driver_and_everybody_else_hears_who(state_dir: Path) -> None:
    store = SqliteStore(state_dir)
    process = holder(state_dir, "watchdog")
    with pytest.raises(Locked, match=rf"^another watchdog \(pid {process.pid}\) drives this cluster \(.*\): stop it first$"):
        store.lock("switchover")
    process.kill()
    process.wait()
    with store.lock("watchdog") as lock:
        assert lock.held()
        assert json.loads((state_dir / "watchdog.lock").read_text()) == {"pid": os.getpid(), "who": "watchdog"}
        with pytest.raises(Locked, match=f"pid {os.getpid()}"):
            SqliteStore(state_dir).lock("another")
        assert lock.held()
    assert not lock.held()
    lock.release()
    store.lock("again").release()


def test_a_stopped_process_still_holds_its_lock(state_dir: Path) -> None:
    process = holder(state_dir, "watchdog")
    process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(Locked):
            SqliteStore(state_dir).lock("x")
    finally:
        process.kill()
        process.wait()


def test_a_lock_whose_file_was_removed_or_replaced_is_lost(state_dir: Path) -> None:
    store = SqliteStore(state_dir)
    first = store.lock("first")
    (state_dir / "watchdog.lock").unlink()
    assert not first.held()
    second = store.lock("second")
    assert second.held()
    assert not first.held()
    first.release()
    assert second.held()


def test_a_forked_child_does_not_hold_its_parents_lock(state_dir: Path) -> None:
    lock = SqliteStore(state_dir).lock("parent")
    child = os.fork()
    if child == 0:
        held = lock.held()
        lock.release()
        os._exit(1 if held else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert lock.held()
    with pytest.raises(Locked, match=f"parent \\(pid {os.getpid()}\\)"):
        SqliteStore(state_dir).lock("other")


def test_a_lock_file_that_is_a_link_or_a_pipe_is_refused(state_dir: Path, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("precious")
    path = state_dir / "watchdog.lock"
    path.symlink_to(target)
    with pytest.raises(StoreError, match="cannot be opened"):
        SqliteStore(state_dir).lock("x")
    assert target.read_text() == "precious"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(StoreError, match="not a regular file"):
        SqliteStore(state_dir).lock("x")


def test_an_owner_that_has_not_signed_yet_is_still_an_owner(state_dir: Path) -> None:
    with SqliteStore(state_dir).lock("x"):
        (state_dir / "watchdog.lock").write_text("")
        with pytest.raises(Locked, match="another process drives this cluster"):
            SqliteStore(state_dir).lock("y")
