"""What several faults have in common: damage to files, orders that a person gives, tables to play with."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pymysql

from replclus.model.record import MemberState
from tests.clusters import REPOSITORY, eventually
from tests.faults.scene import PATIENCE_S, Scene

_COMMAND_S_MAX = 120.0
_ROWS_AT_ONCE = 100


def newest(scene: Scene, name: str, log: str) -> Path:
    """The binary log ("binlog") or relay log ("relay-bin") that a server writes to now."""
    return max((scene.server_directory(name) / "data").glob(f"{log}.[0-9]*"))


def damage(file: Path, offset: int, size: int = 400) -> None:
    """Turn every bit of a piece of the file around."""
    with file.open("r+b") as opened:
        opened.seek(offset)
        piece = opened.read(size)
        assert len(piece) == size, f"{file} has no {size} bytes at {offset}"
        opened.seek(offset)
        opened.write(bytes(byte ^ 0xFF for byte in piece))


def command(scene: Scene, *words: str) -> None:
    """`replclus …` by an administrator on this machine."""
    line = [sys.executable, "-m", "replclus.cli.main", *words, "-c", str(scene.lab.directory / "outside.toml")]
    done = subprocess.run(line, capture_output=True, text=True, cwd=REPOSITORY, check=False, timeout=_COMMAND_S_MAX)
    assert done.returncode == 0, f"replclus {' '.join(words)}: {done.stderr}"


@contextmanager
def blind(scene: Scene) -> Iterator[None]:
    """The watchdog does not look, and so repairs nothing, for a moment."""
    scene.watchdog.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        scene.watchdog.process.send_signal(signal.SIGCONT)


def make_table(scene: Scene, name: str, columns: str, *rows: str, options: str = "") -> None:
    """A table of the test's own, on every server, with these rows. The load does not know it."""
    scene.sql(scene.primary, f"DROP TABLE IF EXISTS app.{name}", f"CREATE TABLE app.{name} ({columns}) {options}")
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        scene.sql(scene.primary, f"INSERT INTO app.{name} VALUES {', '.join(rows[first : first + _ROWS_AT_ONCE])}")
    everywhere(scene, f"SELECT COUNT(*) FROM app.{name}", ((len(rows),),))


def everywhere(scene: Scene, sql: str, wanted: object, *, names: Sequence[str] | None = None) -> None:
    """Waits until every serving node, or each of `names`, answers so."""

    def all_do() -> bool:
        with suppress(pymysql.err.MySQLError):
            return all(scene.cluster.rows(name, sql) == wanted for name in names or scene.serving())
        return False

    eventually(all_do, f"{sql} gives {wanted}", within_s=PATIENCE_S)


def quarantined(scene: Scene, name: str) -> str:
    """Waits until the node is in quarantine. Returns the reason."""
    in_it = MemberState.QUARANTINED
    eventually(lambda: scene.cluster.record.member(name).state is in_it, f"{name} is in quarantine", within_s=PATIENCE_S)
    return scene.cluster.record.member(name).why
