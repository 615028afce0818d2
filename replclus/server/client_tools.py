"""The families' own client programs: found, told how to log in, and run within bounds.

Bytes between two programs pass through us. So they are counted, and if we are killed both ends notice: nothing goes on
loading a server behind the back of the run that begins anew.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO

from replclus.errors import HostError
from replclus.model.spec import Account, Flavour, NodeSpec


class Tool(StrEnum):
    BINLOG = "binlog"
    DUMP = "dump"
    CLIENT = "client"
    BACKUP = "backup"
    STREAM = "stream"


_NAMES = {
    Flavour.MARIADB: {
        Tool.BINLOG: "mariadb-binlog",
        Tool.DUMP: "mariadb-dump",
        Tool.CLIENT: "mariadb",
        Tool.BACKUP: "mariadb-backup",
        Tool.STREAM: "mbstream",
    },
    Flavour.MYSQL: {Tool.BINLOG: "mysqlbinlog", Tool.DUMP: "mysqldump", Tool.CLIENT: "mysql"},
}
_REMEDIES = {
    Flavour.MARIADB: "`apt-get install mariadb-client mariadb-backup`",
    Flavour.MYSQL: "`make mysql`, or install the MySQL client package",
}
_CHUNK_BYTES = 1 << 20
_POLL_S = 0.05
_GONE_S = 10.0
_WORDS_BYTES_MAX = 4096


class Stopped(Exception):
    """Somebody told us to stop."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Until when (by `time.monotonic`), and whether still wanted at all."""

    deadline: float
    stop: threading.Event

    @staticmethod
    def within(seconds: float, stop: threading.Event | None = None) -> Bounds:
        return Bounds(time.monotonic() + seconds, stop or threading.Event())

    def at_most(self, seconds: float) -> Bounds:
        """The same, but no longer than this from now."""
        return Bounds(min(self.deadline, time.monotonic() + seconds), self.stop)

    @property
    def left_s(self) -> float:
        return max(0.0, self.deadline - time.monotonic())

    def check(self, what: str) -> None:
        """Stopped, or HostError if the time is over."""
        if self.stop.is_set():
            raise Stopped(what)
        if not self.left_s:
            raise HostError(f"{what} did not end in time")


def find_tool(flavour: Flavour, tool: Tool, server_binary: Path | None = None) -> Path:
    """The program: beside `server_binary` if that is given, else on PATH, else where `make mysql` puts it.

    HostError with the remedy if there is none. On many machines `mysqlbinlog` is another name of MariaDB's.
    """
    name = _NAMES[flavour][tool]
    places = [server_binary.parent] if server_binary is not None else []
    places += [Path(place) for place in os.environ.get("PATH", os.defpath).split(os.pathsep) if place]
    if flavour is Flavour.MYSQL:
        places += [root / ".servers" / "mysql" / "bin" for root in (Path.cwd(), Path(__file__).resolve().parents[2])]
    for place in places:
        found = shutil.which(name, path=str(place))
        if found is not None and (flavour is Flavour.MARIADB or not Path(found).resolve().name.startswith("mariadb")):
            return Path(found).absolute()
    raise HostError(f"{name} is not on this machine: {_REMEDIES[flavour]}")


@contextmanager
def login(node: NodeSpec, account: Account) -> Iterator[str]:
    """The option that must come first on a client's command line. The password is in a private file, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="replclus-") as directory:
        path = Path(directory) / "login.cnf"
        where = {"socket": node.socket} if node.socket else {"host": node.host, "port": str(node.port), "protocol": "tcp"}
        settings = {"user": account.user, "password": account.password.reveal(), **where}
        lines = [f'{name}="{_escaped(value)}"' for name, value in settings.items()]
        path.touch(mode=0o600)
        path.write_text("\n".join(["[client]", *lines, ""]), encoding="utf-8")
        yield f"--defaults-file={path}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _unheard(_: bytes) -> None:
    """Nobody wants to see it."""


def run(
    commands: Sequence[Sequence[str | Path]],
    what: str,
    bounds: Bounds,
    *,
    source: IO[bytes] | None = None,
    sink: IO[bytes] | None = None,
    tap: Callable[[bytes], None] = _unheard,
    bytes_max: int | None = None,
    cwd: Path | None = None,
) -> None:
    """Run programs, each fed with what the one before it says, the first from `source`; the last one's words go to `sink`.

    `tap` sees every piece that enters the last program, or leaves the only one. HostError when one of them fails (the end
    of what it said on stderr is in the message), when more than `bytes_max` bytes pass, or at the deadline; Stopped when
    `bounds` says so. None of them is left running.
    """
    with ExitStack() as held:
        words = [held.enter_context(tempfile.TemporaryFile()) for _ in commands]
        running: list[subprocess.Popen[bytes]] = []
        held.callback(_end_all, running)
        for command, said in zip(commands, words, strict=True):
            feeds = bool(running) or source is not None
            running.append(_spawn(command, said, feeds, cwd))
        pumps = _pumps(running, source, sink, tap, bytes_max)
        _wait(running, pumps, what, bounds)
        failed = [nth for nth, program in enumerate(running) if program.returncode != 0]
        for pump in pumps:
            if pump.exceeded:
                raise HostError(f"{what}: {pump.trouble}")
        # A reader that fails breaks the pipe of its writer, so the last one that failed is the reason.
        if failed:
            raise HostError(f"{what}: {_said(commands[failed[-1]], running[failed[-1]].returncode, words[failed[-1]])}")
        for pump in pumps:
            if pump.trouble:
                raise HostError(f"{what}: {pump.trouble}")


def _spawn(command: Sequence[str | Path], said: IO[bytes], feeds: bool, cwd: Path | None) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - programs found by us, without a shell
            [str(part) for part in command],
            stdin=subprocess.PIPE if feeds else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            cwd=cwd,
        )
    except OSError as error:
        raise HostError(f"{command[0]}: {error.strerror}") from error


class _Pump(threading.Thread):
    """Moves bytes from one end to the other, and closes the far end if that is a program."""

    def __init__(
        self, take: IO[bytes], give: IO[bytes] | None, close: bool, tap: Callable[[bytes], None], bytes_max: int | None
    ) -> None:
        super().__init__(daemon=True)
        self._take, self._give, self._close = take, give, close
        self._tap, self._bytes_max = tap, bytes_max
        self.trouble = ""
        self.exceeded = False

    def run(self) -> None:
        count = 0
        try:
            # `read1`, because what has arrived should go on at once.
            while chunk := getattr(self._take, "read1", self._take.read)(_CHUNK_BYTES):
                count += len(chunk)
                if self._bytes_max is not None and count > self._bytes_max:
                    self.exceeded = True
                    raise ValueError(f"more than the {self._bytes_max} bytes that are allowed")
                if self._give is not None:
                    self._give.write(chunk)
                self._tap(chunk)
        except (OSError, ValueError) as error:
            self.trouble = str(error)
            # Whoever writes must learn that nobody reads any more.
            self._take.close()
        finally:
            if self._close and self._give is not None:
                try:
                    self._give.close()
                except OSError as error:
                    self.trouble = self.trouble or str(error)


def _pumps(
    running: list[subprocess.Popen[bytes]],
    source: IO[bytes] | None,
    sink: IO[bytes] | None,
    tap: Callable[[bytes], None],
    bytes_max: int | None,
) -> list[_Pump]:
    takes = [source, *(program.stdout for program in running)]
    gives = [*(program.stdin for program in running), sink]
    heard = len(running) - 1 if len(running) > 1 or source is not None else 1
    pumps = [
        _Pump(take, give, give is not sink, tap if nth == heard else _unheard, bytes_max)
        for nth, (take, give) in enumerate(zip(takes, gives, strict=True))
        if take is not None
    ]
    for pump in pumps:
        pump.start()
    return pumps


def _wait(running: list[subprocess.Popen[bytes]], pumps: list[_Pump], what: str, bounds: Bounds) -> None:
    while any(program.poll() is None for program in running) or any(pump.is_alive() for pump in pumps):
        bounds.check(what)
        time.sleep(_POLL_S)


def _end_all(running: list[subprocess.Popen[bytes]]) -> None:
    for program in running:
        if program.poll() is None:
            program.kill()
    for program in running:
        program.wait(_GONE_S)
        for pipe in (program.stdin, program.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue


def _said(command: Sequence[str | Path], code: int, words: IO[bytes]) -> str:
    words.seek(0, os.SEEK_END)
    words.seek(max(0, words.tell() - _WORDS_BYTES_MAX))
    lines = [line for line in words.read().decode("utf-8", "replace").splitlines() if line.strip()]
    telling = [line for line in lines if "rror" in line] or lines[-1:] or ["it said nothing"]
    return f"{Path(command[0]).name} ended with code {code}: {telling[-1].strip()}"
