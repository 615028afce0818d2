"""Processes frozen, or given little of the CPU, by the kernel's control groups (version 1).

A process that is frozen this way cannot be killed: the signal waits until it is thawed. Its sockets still accept connections.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.inject.undoing import undone_if_killed

_ROOT = Path("/sys/fs/cgroup")
_PERIOD_US = 100_000
# The kernel does not take less.
_QUOTA_US_MIN = 1_000
_CHANGE_S_MAX = 10.0


def _wait_for(path: Path, value: str) -> None:
    deadline = time.monotonic() + _CHANGE_S_MAX
    while path.read_text().strip() != value:
        assert time.monotonic() < deadline, f"{path} does not become {value}"
        time.sleep(0.005)


@contextmanager
def _group(controller: str, *, undo: str = "") -> Iterator[Path]:
    """A new control group of its own name; what is left in it at the end goes back to where everybody is.

    `undo` is a shell command for the case that we are killed, run in the group's directory.
    """
    parent = _ROOT / controller
    assert (parent / "tasks").exists(), f"{parent} is no control group of version 1: mount one (mount -t cgroup -o {controller})"
    group = parent / f"replclus-{os.getpid()}-{secrets.token_hex(4)}"
    rescue = (
        f"cd {group} && {{ {undo or 'true'}; for pid in $(cat tasks); do echo $pid > ../tasks; done; cd ..; rmdir {group}; }}"
    )
    with undone_if_killed(("sh", "-c", rescue)):
        group.mkdir()
        try:
            yield group
        finally:
            _empty(group)


def _empty(group: Path) -> None:
    deadline = time.monotonic() + _CHANGE_S_MAX
    while True:
        for pid in (group / "tasks").read_text().split():
            try:
                (group.parent / "tasks").write_text(pid)
            except ProcessLookupError:
                continue
        try:
            group.rmdir()
        except OSError:
            assert time.monotonic() < deadline, f"{group} cannot be removed: {(group / 'tasks').read_text().split()} are in it"
            time.sleep(0.01)
        else:
            return


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """No thread of `pid` runs until the block ends, and no signal ends it."""
    with _group("freezer", undo="echo THAWED > freezer.state") as group:
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
    with _group("cpu") as group:
        (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(max(_QUOTA_US_MIN, round(share * _PERIOD_US))))
        (group / "cgroup.procs").write_text(str(pid))
        yield
