"""Where servers go that nobody will miss: into memory, where there is room for them.

What a demo or a test shows is replclus. On a small or shared machine the disk may hold up an fsync for seconds, and every
commit with it; that would be shown instead. SIGKILL does not lose what a file system in memory holds, nor what a disk's
page cache does, so nothing is made easier than it is.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108  a file system, not a file name that could be guessed
ROOM_BYTES = 3 * 1024**3


def throw_away_directory(prefix: str) -> Path:
    """A new, empty directory of our own with a short path. The caller removes it."""
    return Path(tempfile.mkdtemp(prefix=prefix, dir=MEMORY if _has_room(MEMORY) else None))


def in_memory(directory: Path) -> bool:
    return directory.is_relative_to(MEMORY)


def _has_room(place: Path) -> bool:
    try:
        return os.access(place, os.W_OK | os.X_OK) and shutil.disk_usage(place).free >= ROOM_BYTES
    except OSError:
        return False
