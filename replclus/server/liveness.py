"""Which process is the server of a directory: found without trusting a number in a file, and signalled without a race.

A pid file may be stale, and its number taken over by a stranger; it may also be gone while the server runs on. So the
number is only a hint: the process must show by its command line or working directory that it serves this directory. The
second witness is the kernel: InnoDB holds a lock on `data/ibdata1` for as long as it lives, and the lock names its
holder. Linux only (/proc, pidfd).
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import struct
import time
from pathlib import Path

from replclus.errors import HostError

_PROGRAMS = frozenset({"mysqld", "mariadbd"})
# struct flock: type, whence, start, length, pid, and the padding the kernel expects.
_FLOCK = struct.Struct("@hhqqi4x")
# How long a process may show no command line before it counts as one without any.
_EXEC_S_MAX = 0.05


class _DiskFails(HostError):
    """The data cannot even be opened."""


class ServerProcess:
    """A running process, held by a descriptor, so that its number cannot change hands while we look at it."""

    def __init__(self, pid: int, handle: int) -> None:
        self.pid = pid
        self._handle = handle

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        os.close(self._handle)

    def signal(self, number: signal.Signals) -> None:
        """Send it; a process that is gone already is no error."""
        try:
            signal.pidfd_send_signal(self._handle, number)
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise HostError(f"process {self.pid} belongs to another user: run as that user or as root") from error

    def wait_gone(self, timeout_s: float) -> bool:
        """True once all its threads have ended: it holds no file, lock or connection any more. It may still be a zombie."""
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))


def find_process(data: Path, pid_file: Path, *, newborn: bool = False) -> ServerProcess | None:
    """The server process of a data directory, or None if there is none that has opened its data. Close it after use.

    `newborn`: also one that was spawned a moment ago by somebody who did not live to note its number. Every process of the
    machine is looked at for that, so it is for whoever is about to act, not for whoever looks ten times a second.
    HostError if that cannot be known: another program holds the data, or one that is out of our sight does.
    """
    noted = _pid_in(pid_file)
    if noted is not None and (found := _open(noted, data, pid_file)) is not None:
        return found
    try:
        holder = _lock_holder(data / "ibdata1")
    except _DiskFails:
        return _search(data, pid_file)
    if holder is None:
        return _search(data, pid_file) if newborn else None
    if (found := _open(holder, data, pid_file, dying=True)) is not None:
        return found
    if _lock_holder(data / "ibdata1") != holder:
        return None
    raise HostError(f"{data} is in use by process {holder}, which does not look like its server")


def _search(data: Path, pid_file: Path) -> ServerProcess | None:
    """As `find_process`, by looking at every process there is: for when no lock tells."""
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and _has_program(process) and (found := _open(int(process.name), data, pid_file)) is not None:
            return found
    return None


def _has_program(process: Path) -> bool:
    """The kernel's own threads, and zombies, have none; there are too many of them to wait for their command lines."""
    try:
        (process / "exe").readlink()
    except OSError:
        return False
    return True


def _open(pid: int, data: Path, pid_file: Path, *, dying: bool = False) -> ServerProcess | None:
    """The process, if it is the server. `dying`: also if it has lost its memory already, and with it its command line;
    for one that is known to hold the lock still."""
    try:
        found = ServerProcess(pid, os.pidfd_open(pid))
    except ProcessLookupError:
        return None
    # In this order: what is read in between belongs to the process the descriptor holds.
    if not found.wait_gone(0) and _serves(pid, data, pid_file, dying=dying) and not found.wait_gone(0):
        return found
    found.close()
    return None


def wait_unlocked(data: Path, timeout_s: float) -> bool:
    """Wait until nobody holds the lock on the data files."""
    deadline = time.monotonic() + timeout_s
    try:
        while _lock_holder(data / "ibdata1") is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
    except _DiskFails:
        # Whoever asks has seen the process end, and its locks ended with it.
        return True
    return True


def _pid_in(pid_file: Path) -> int | None:
    try:
        text = pid_file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() and int(text) > 0 else None


def _lock_holder(path: Path) -> int | None:
    """The pid that holds a POSIX lock on the file. HostError if somebody does whom we cannot see from here."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.EIO:
            raise _DiskFails(f"{path} cannot be opened: its disk fails") from error
        raise HostError(f"{path} cannot be opened ({error.strerror}): run as the user of the server or as root") from error
    try:
        answer = fcntl.fcntl(handle, fcntl.F_GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    finally:
        os.close(handle)
    kind, _, _, _, pid = _FLOCK.unpack(answer)
    if kind == fcntl.F_UNLCK:
        return None
    if pid <= 0:
        raise HostError(f"{path} is in use by a server that this process cannot see (another container?)")
    return int(pid)


def _serves(pid: int, data: Path, pid_file: Path, *, dying: bool) -> bool:
    """Whether the process is a database server that works in `data`, or is about to: it was started with our pid file."""
    process = Path("/proc") / str(pid)
    arguments = _command_line(process)
    if not any(arguments):
        return dying
    if f"--pid-file={pid_file}" in arguments or f"--datadir={data}" in arguments:
        return True
    if not any(Path(argument).name in _PROGRAMS for argument in arguments):
        return False
    try:
        return (process / "cwd").samefile(data)
    except OSError:
        return False


def _command_line(process: Path) -> list[str]:
    """Empty for zombies and the kernel's own threads; and for a moment in the middle of an exec, so look again."""
    deadline = time.monotonic() + _EXEC_S_MAX
    while True:
        try:
            line = (process / "cmdline").read_bytes()
        except OSError:
            return []
        if line or time.monotonic() > deadline:
            return os.fsdecode(line).split("\0")
        time.sleep(0.001)
