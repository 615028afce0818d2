"""One driver per cluster on this host, by flock(2): the kernel gives the lock back when its owner dies, however it dies."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

from replclus.errors import Locked, StoreError
from replclus.store import files

_OWNER_BYTES_MAX = 1024
_ATTEMPTS_MAX = 10


class FileLock:
    """Holds `path` from construction to `release`. The file also tells who holds it; it is never removed."""

    def __init__(self, path: Path, who: str) -> None:
        self._path = path
        self._pid = os.getpid()
        self._descriptor: int | None = self._acquire(who)

    def held(self) -> bool:
        """False once released, in a forked child, and when the file was removed or replaced by another one."""
        if self._descriptor is None or os.getpid() != self._pid:
            return False
        return _is_at(self._path, self._descriptor)

    def release(self) -> None:
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            if os.getpid() == self._pid:
                os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    def _acquire(self, who: str) -> int:
        # Whoever removes the file between our open and our flock leaves us a lock that nobody else sees: then again.
        for _ in range(_ATTEMPTS_MAX):
            descriptor = self._open()
            try:
                if not files.try_flock(descriptor):
                    raise Locked(f"another {_owner(descriptor)} drives this cluster ({self._path}): stop it first")
                if _is_at(self._path, descriptor):
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, json.dumps({"pid": self._pid, "who": who}).encode(), 0)
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
        raise StoreError(f"{self._path} is removed again and again by another process: find out by which")

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            descriptor = os.open(self._path, flags, files.FILE_MODE)
        except OSError as error:
            raise StoreError(f"{self._path} cannot be opened: {error.strerror}") from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise StoreError(f"{self._path} is not a regular file: move it away")
        return descriptor


def _is_at(path: Path, descriptor: int) -> bool:
    """Is the open file still the one that `path` names?"""
    try:
        there = path.lstat()
    except OSError:
        return False
    return os.path.samestat(there, os.fstat(descriptor))


def _owner(descriptor: int) -> str:
    """`watchdog (pid 123)`, as far as the owner has written it down yet."""
    try:
        owner = json.loads(os.pread(descriptor, _OWNER_BYTES_MAX, 0))
        return f"{str(owner['who'])[:80]} (pid {int(owner['pid'])})"
    except (ValueError, KeyError, TypeError):
        return "process"
