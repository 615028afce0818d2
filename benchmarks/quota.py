"""Holds server processes to a part of a CPU, with a control group each: version 1 or 2, whichever the machine has. Needs root."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
# Short, so that a server that has used its part up is soon let go on.
PERIOD_US = 20_000


def _is_v2() -> bool:
    return (ROOT / "cgroup.controllers").exists()


def _parent() -> Path:
    if not _is_v2():
        return ROOT / "cpu"
    with suppress(OSError):
        (ROOT / "cgroup.subtree_control").write_text("+cpu")
    return ROOT


def _limit(group: Path, part: float) -> None:
    quota = round(part * PERIOD_US)
    # The weights see to it that what else the machine does takes nothing away of it.
    if _is_v2():
        (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
        (group / "cpu.weight").write_text("10000")
    else:
        (group / "cpu.shares").write_text("262144")
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(quota))


@contextmanager
def held_to(part: float, pids: Iterable[int]) -> Iterator[None]:
    """Each process, all its threads together, gets `part` of one CPU. Afterwards they are free again, and the groups gone."""
    parent = _parent()
    groups: dict[Path, int] = {}
    try:
        for pid in pids:
            group = parent / f"replclus-{os.getpid()}-{pid}"
            try:
                group.mkdir()
                groups[group] = pid
                _limit(group, part)
                (group / "cgroup.procs").write_text(str(pid))
            except OSError as error:
                raise SystemExit(f"no CPU quota can be set here, which takes root and the cpu controller: {error}") from error
        yield
    finally:
        for group, pid in groups.items():
            with suppress(OSError):
                (parent / "cgroup.procs").write_text(str(pid))
            group.rmdir()
