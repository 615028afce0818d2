"""Where servers go that nobody will miss: into memory, where there is room for them and TMPDIR does not say otherwise.

What a demo or a test shows is replclus. On a small or shared machine the disk may hold up an fsync for seconds, and every
commit with it; that would be shown instead. SIGKILL does not lose what a file system in memory holds, nor what a disk's
page cache does, so nothing is made easier than it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from replclus.sandbox.reaper import reap

MEMORY = Path("/dev/shm")  # noqa: S108  a file system, not a file name that could be guessed
ROOM_BYTES = 3 * 1024**3


@contextmanager
def throw_away(prefix: str) -> Iterator[Path]:
    """A new, empty directory with a short path. Afterwards it is gone, with every server below it, even if we are killed."""
    anywhere = "TMPDIR" not in os.environ
    directory = Path(tempfile.mkdtemp(prefix=prefix, dir=MEMORY if anywhere and _has_room(MEMORY) else None))
    command = [sys.executable, "-c", "from replclus.sandbox.reaper import main; main()", str(directory)]
    reaper = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603  no word of it is a user's
    try:
        yield directory
    finally:
        reap(directory)
        reaper.communicate(timeout=60)


def in_memory(directory: Path) -> bool:
    return directory.is_relative_to(MEMORY)


def _has_room(place: Path) -> bool:
    try:
        return os.access(place, os.W_OK | os.X_OK) and shutil.disk_usage(place).free >= ROOM_BYTES
    except OSError:
        return False
