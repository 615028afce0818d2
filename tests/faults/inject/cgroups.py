"""Processes frozen, or given little of the CPU, by the kernel's control groups.

A process in the freezer of version 1 cannot be killed: the signal waits until it is thawed. Its sockets still accept connections.
Version 2 lets it die, so the freezer is always that of version 1; whoever uses only version 2 has it, and has not mounted it.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.faults.inject.undoing import undone_if_killed

_CPU, _UNIFIED = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
_PERIOD_US = 100_000
# The kernel does not take less.
_QUOTA_US_MIN = 1_000
_CHANGE_S_MAX = 10.0


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """No thread of `pid` runs until the block ends, and no signal ends it."""
    view = Path(tempfile.mkdtemp(prefix="freezer-"))
    group = view / _new_name()
    with undone_if_killed(_rescue(group, "echo THAWED > freezer.state"), ("umount", str(view)), ("rmdir", str(view))):
        subprocess.run(["mount", "-t", "cgroup", "-o", "freezer", "cgroup", str(view)], check=True)
        try:
            with _made(group):
                yield from _frozen(group, pid)
        finally:
            subprocess.run(["umount", str(view)], check=True)
            view.rmdir()


def _frozen(group: Path, pid: int) -> Iterator[None]:
    (group / "cgroup.procs").write_text(str(pid))
    (group / "freezer.state").write_text("FROZEN")
    try:
        _wait_for(group / "freezer.state", "FROZEN")
        yield
    finally:
        (group / "freezer.state").write_text("THAWED")
        _wait_for(group / "freezer.state", "THAWED")


@contextmanager
def throttled(pid: int, share: float) -> Iterator[None]:
    """All threads of `pid` together get `share` of one core (0.01 to 1) in each tenth of a second."""
    quota = max(_QUOTA_US_MIN, round(share * _PERIOD_US))
    first = (_CPU / "tasks").exists()
    if not first:
        (_UNIFIED / "cgroup.subtree_control").write_text("+cpu")
    group = (_CPU if first else _UNIFIED) / _new_name()
    with undone_if_killed(_rescue(group)), _made(group):
        if first:
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (group / "cpu.max").write_text(f"{quota} {_PERIOD_US}")
        (group / "cgroup.procs").write_text(str(pid))
        yield


def _new_name() -> str:
    return f"replclus-{os.getpid()}-{secrets.token_hex(4)}"


def _rescue(group: Path, undo: str = "true") -> tuple[str, ...]:
    """What becomes of a group when we are killed: `undo` in its directory, and its members go back to where everybody is."""
    back = "for pid in $(cat cgroup.procs); do echo $pid > ../cgroup.procs; done"
    return ("sh", "-c", f"cd {group} && {{ {undo}; {back}; cd /; rmdir {group}; }}")


@contextmanager
def _made(group: Path) -> Iterator[None]:
    group.mkdir()
    try:
        yield
    finally:
        _remove(group)


def _remove(group: Path) -> None:
    deadline = time.monotonic() + _CHANGE_S_MAX
    while group.exists():
        members = (group / "cgroup.procs").read_text().split()
        for pid in members:
            with suppress(ProcessLookupError):
                (group.parent / "cgroup.procs").write_text(pid)
        with suppress(OSError):
            group.rmdir()
        assert time.monotonic() < deadline, f"{group} cannot be removed: {members} are in it"
        time.sleep(0.01)


def _wait_for(path: Path, value: str) -> None:
    deadline = time.monotonic() + _CHANGE_S_MAX
    while path.read_text().strip() != value:
        assert time.monotonic() < deadline, f"{path} does not become {value}"
        time.sleep(0.005)
