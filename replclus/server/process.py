"""Host access to a server that runs as a local process in a directory of its own: kill, start, stop, freeze.

The directory holds `mysqld.pid`, `mysqld.sock`, `my.cnf`, `data/` and `error.log`. What kind of server it is, and which
program runs it, stands in `my.cnf` under `[replclus]`, a group that the servers themselves skip:

    [replclus]
    flavour = mysql
    server_binary = /usr/sbin/mysqld
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from replclus.errors import HostError
from replclus.model.gtid import MysqlGtidSet
from replclus.model.spec import Flavour
from replclus.server.binlog_trim import CannotCut, Cut, NothingToCut, trim
from replclus.server.liveness import ServerProcess, find_process, wait_unlocked
from replclus.server.process_options import ProcessOptions, read_options

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
KILL_TIMEOUT_S = 10.0
# How long one of us may hold a directory while it decides and spawns; waiting for the server is outside.
_LOCK_TIMEOUT_S = 10.0
_POLL_S = 0.02
GONE_LOOKS = 3

_MARIADB_CUT = re.compile(r"truncated binlog file.*transactions starting from GTID ([\d-]+)")
_MARIADB_CANNOT_CUT = "Cannot truncate the binary log"
_MARIADB_KEPT = "DDL or a table without transactions is in it, which MariaDB cannot roll back, so all of it was committed"
# The shell ends at once and leaves the server to init: no zombie of ours, no tie to our terminal, and a pid at once.
_SPAWN = 'cd "$1" && shift && { "$@" >>error.log 2>&1 </dev/null & echo $!; }'


@dataclass(frozen=True, slots=True)
class StartReport:
    """How a start went. `cut` names the transactions that were cut off before the server came up, "" if none were;
    `cut_refused` says why unknown transactions had to be left in (they are committed now: a matter for the judge)."""

    pid: int
    seconds: float
    already_running: bool = False
    cut: str = ""
    cut_refused: str = ""


@dataclass(frozen=True, slots=True)
class Death:
    """Proof that no server process of this directory is alive. `pid` is the one that was killed, None if none ran."""

    pid: int | None
    seconds: float


class LocalProcess:
    """The server process of one directory. Cheap to make; every call looks at the system afresh. Thread-safe."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.data = self.directory / "data"
        self.pid_file = self.directory / "mysqld.pid"
        self.socket = self.directory / "mysqld.sock"
        self.error_log = self.directory / "error.log"

    def is_running(self) -> bool:
        """Whether the server process exists, frozen or not, answering or not. HostError if that cannot be known."""
        return self._running_pid() is not None

    def kill(self, timeout_s: float = KILL_TIMEOUT_S) -> Death:
        """SIGKILL, and wait until it is gone: the fence. Nothing to kill is success as well. HostError if it outlives it.

        Never a clean stop: that would commit what nobody has acknowledged.
        """
        began = time.monotonic()
        with self._locked():
            killed = None
            # Again until there is none: a shell that has just spawned the server looks like it.
            while (found := self._find(newborn=True)) is not None:
                with found:
                    killed = found.pid
                    found.signal(signal.SIGKILL)
                    if not found.wait_gone(timeout_s) or not wait_unlocked(self.data, timeout_s):
                        raise HostError(f"{self.directory}: process {found.pid} is still there {timeout_s:g} s after SIGKILL")
            if killed is not None:
                self.pid_file.unlink(missing_ok=True)
            return Death(killed, time.monotonic() - began)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """A clean stop (SIGTERM). On a primary with waiting commits it commits them: fence with `kill` instead."""
        found = self._find()
        if found is None:
            return
        with found:
            found.signal(signal.SIGTERM)
            # A frozen process would never see it.
            found.signal(signal.SIGCONT)
            if not found.wait_gone(timeout_s):
                raise HostError(f"{self.directory}: process {found.pid} did not stop within {timeout_s:g} s of SIGTERM")

    def freeze(self) -> None:
        """SIGSTOP: it keeps its connections and answers nobody."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def start(
        self, known: MysqlGtidSet | None = None, *, options: Sequence[str] = (), timeout_s: float = START_TIMEOUT_S
    ) -> StartReport:
        """Bring the server up as its option file says, and wait until it greets on its socket.

        `known` is what the present primary has received: on MySQL, transactions beyond it are cut off the binary log
        first. None leaves a MySQL tail alone. MariaDB cuts by itself, asked by its option file (`init_rpl_role=SLAVE`);
        where it cannot, and refuses to start, the tail is committed and `cut_refused` says so.
        `options` go last on the command line, for this start only.
        """
        began = time.monotonic()
        deadline = began + timeout_s
        settings = read_options(self.directory)
        cut = refused = ""
        with self._locked():
            pid = self._running_pid(newborn=True)
            if pid is not None:
                return StartReport(pid, 0.0, already_running=True)
            cut, refused = self._trim(settings, known)
            log_start = self._log_size()
            pid = self._spawn(settings, options)
        try:
            self._wait_ready(log_start, deadline)
        except HostError:
            if settings.flavour is not Flavour.MARIADB or _MARIADB_CANNOT_CUT not in self._log_since(log_start):
                raise
            pid, refused = self._spawn_with_tail(settings, options, deadline), _MARIADB_KEPT
        if settings.flavour is Flavour.MARIADB:
            truncated = _MARIADB_CUT.search(self._log_since(log_start))
            cut = f"{truncated[1]} and later" if truncated else ""
        return StartReport(pid, time.monotonic() - began, cut=cut, cut_refused=refused)

    def _spawn_with_tail(self, settings: ProcessOptions, options: Sequence[str], deadline: float) -> int:
        """Start a MariaDB server that cannot cut its tail off, and would rather not start at all, with the tail committed."""
        with self._locked():
            pid = self._running_pid(newborn=True)
            log_start = self._log_size()
            if pid is None:
                pid = self._spawn(settings, (*options, "--init-rpl-role=MASTER"))
        self._wait_ready(log_start, deadline)
        return pid

    def _trim(self, settings: ProcessOptions, known: MysqlGtidSet | None) -> tuple[str, str]:
        if known is None or settings.flavour is not Flavour.MYSQL:
            return "", ""
        try:
            outcome = trim(settings.binlog_index, known)
        except OSError as error:
            raise HostError(f"{self.directory}: the unacknowledged tail could not be cut off: {error}") from error
        match outcome:
            case Cut(gtids=gtids):
                return str(gtids).replace("\n", ""), ""
            case NothingToCut():
                return "", ""
            case CannotCut(reason):
                return "", reason

    def _clear_socket(self) -> None:
        """MySQL refuses to start over the socket lock of a killed server whose pid is not free yet. Nobody runs here."""
        for left_over in (self.socket, self.directory / f"{self.socket.name}.lock"):
            left_over.unlink(missing_ok=True)

    def _spawn(self, settings: ProcessOptions, options: Sequence[str]) -> int:
        """Start the server detached from us, and note its pid before it does so itself, which takes it a while."""
        self._clear_socket()
        command = [
            str(settings.server_binary),
            f"--defaults-file={self.directory / 'my.cnf'}",
            f"--pid-file={self.pid_file}",
            *options,
        ]
        try:
            shell = subprocess.run(  # noqa: S603 - fixed script, the rest are arguments
                ["/bin/sh", "-c", _SPAWN, "sh", str(self.directory), *command],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                start_new_session=True,
                check=True,
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise HostError(f"{self.directory}: the server could not be started: {error}") from error
        pid = int(shell.stdout)
        self.pid_file.write_text(f"{pid}\n")
        return pid

    def _wait_ready(self, log_start: int, deadline: float) -> None:
        gone = 0
        while not self._greets(max(_POLL_S, deadline - time.monotonic())):
            # While the server writes its pid file anew, and does not hold its data yet, it cannot be found for a moment.
            gone = 0 if self.is_running() else gone + 1
            if gone >= GONE_LOOKS:
                raise HostError(f"{self.directory}: the server ended while starting: {self._last_error(log_start)}")
            if time.monotonic() > deadline:
                raise HostError(f"{self.directory}: the server is not ready in time: {self._last_error(log_start)}")
            time.sleep(_POLL_S)

    def _greets(self, timeout_s: float) -> bool:
        """Whether the server sends the first packet of the protocol to whoever connects."""
        with socket.socket(socket.AF_UNIX) as client:
            # Short, so that a server that dies with our connection in its queue is noticed soon.
            client.settimeout(min(timeout_s, 1.0))
            try:
                client.connect(str(self.socket))
                return len(client.recv(5)) > 0
            except OSError:
                return False

    def _find(self, *, newborn: bool = False) -> ServerProcess | None:
        return find_process(self.data, self.pid_file, newborn=newborn)

    def _running_pid(self, *, newborn: bool = False) -> int | None:
        found = self._find(newborn=newborn)
        if found is None:
            return None
        with found:
            return found.pid

    def _signal(self, number: signal.Signals) -> None:
        found = self._find()
        if found is None:
            raise HostError(f"{self.directory}: no server is running here")
        with found:
            found.signal(number)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One decision at a time per directory, across processes; the kernel drops the lock if we die."""
        try:
            handle = os.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise HostError(f"{self.directory}: {error.strerror}") from error
        try:
            deadline = time.monotonic() + _LOCK_TIMEOUT_S
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise HostError(f"{self.directory}: another process keeps starting or killing this server") from None
                    time.sleep(_POLL_S)
            yield
        finally:
            os.close(handle)

    def _log_size(self) -> int:
        return self.error_log.stat().st_size if self.error_log.exists() else 0

    def _log_since(self, offset: int) -> str:
        try:
            with self.error_log.open("rb") as log:
                log.seek(offset)
                return log.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def _last_error(self, log_start: int) -> str:
        """The most telling line of the error log since `log_start`: the first error, else the last line."""
        lines = self._log_since(log_start).splitlines()
        errors = [line for line in lines if "[ERROR]" in line]
        return (errors or lines[-1:] or ["its error log is empty"])[0].strip()
