"""The state directory and the files in it: private, never reached through a symbolic link, written whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from replclus.errors import ConfigError, StoreError

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600

_POLL_S = 0.01


def make_state_dir(path: Path) -> None:
    """Create the directory unless it is there. ConfigError if it cannot be one, or is not ours alone."""
    try:
        path.mkdir(mode=DIRECTORY_MODE)
    except FileExistsError:
        pass
    except FileNotFoundError as error:
        raise _wrong(path, f"cannot be created: create {path.parent} first, or choose another directory") from error
    except OSError as error:
        raise _wrong(path, f"cannot be created ({error.strerror}): choose a directory that can be written") from error
    check_state_dir(path)
    if not os.access(path, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise _wrong(path, "cannot be written: make it writable, or choose another directory")


def check_state_dir(path: Path) -> bool:
    """False if nothing is there. ConfigError if it is no directory, a symbolic link, or open to others."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _wrong(path, f"cannot be reached ({error.strerror}): choose another directory") from error
    if stat.S_ISLNK(status.st_mode):
        raise _wrong(path, "is a symbolic link: name the directory itself")
    if not stat.S_ISDIR(status.st_mode):
        raise _wrong(path, "is not a directory: move it away, or choose another name")
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        # Not corrected silently: the key may name a directory that others need, /tmp for example.
        raise _wrong(path, f"is open to others (mode {mode:04o}): run chmod 700 {path}, or choose a directory of its own")
    return True


def _wrong(path: Path, sentence: str) -> ConfigError:
    return ConfigError(sentence, where=f"state_dir {path}")


def identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of a regular file, or None if nothing is there.

    Does not open the file: closing any descriptor of a SQLite database drops the locks which this process holds on it.
    """
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"{path} cannot be reached: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise StoreError(f"{path} is not a regular file: move it away")
    return status.st_dev, status.st_ino


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """An empty private file to fill, which becomes `path`, whole and on disk, when the block ends well.

    FileExistsError if `path` exists by then: it is never replaced. The block must have synced what it wrote.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE))
    try:
        yield draft
        os.link(draft, path, follow_symlinks=False)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()
    sync_directory(path.parent)


def read_private(path: Path, bytes_max: int) -> bytes | None:
    """The content, or None if nothing is there. StoreError if others than its owner may open it, or it is a link."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise StoreError(f"{path} cannot be read: {reason}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise StoreError(f"{path} is not a regular file: move it away")
        if status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            raise StoreError(f"{path} has mode {mode:04o}, others may open it: run chmod 600 {path}")
        return os.read(descriptor, bytes_max)
    finally:
        os.close(descriptor)


@contextmanager
def alone_in(directory: Path, timeout_s: float) -> Iterator[None]:
    """Keep other processes out of the same block for the same directory. StoreError after `timeout_s`."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + timeout_s
        while not try_flock(descriptor):
            if time.monotonic() > deadline:
                raise StoreError(f"{directory} is being worked on by another process for more than {timeout_s:g} s")
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)


def try_flock(descriptor: int) -> bool:
    """Take an exclusive flock(2) without waiting."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` survive a power failure."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
