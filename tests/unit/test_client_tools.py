"""Programs run one into the other: what passes, what goes wrong, and that nothing of them is left."""

from __future__ import annotations

import io
import os
import threading
import time
from pathlib import Path

import pytest

from replclus.errors import HostError
from replclus.model.spec import Account, Flavour, NodeSpec, Secret
from replclus.server.client_tools import Bounds, Stopped, Tool, find_tool, login, run

SH = "/bin/sh"


def sh(script: str) -> list[str | Path]:
    return [SH, "-c", script]


def test_bytes_pass_through_every_program_and_are_seen_before_the_last() -> None:
    seen: list[bytes] = []
    sink = io.BytesIO()
    commands = [sh("cat; echo two"), sh("tr a-z A-Z")]
    run(commands, "passing", Bounds.within(30), source=io.BytesIO(b"one\n"), sink=sink, tap=seen.append)
    assert sink.getvalue() == b"ONE\nTWO\n" and b"".join(seen) == b"one\ntwo\n"
    alone: list[bytes] = []
    run([sh("echo lonely")], "passing", Bounds.within(30), tap=alone.append)
    assert b"".join(alone) == b"lonely\n"


def test_a_great_many_bytes_pass() -> None:
    count = 0

    def tap(chunk: bytes) -> None:
        nonlocal count
        count += len(chunk)

    run([sh("head -c 30000000 /dev/zero"), sh("cat"), sh("wc -c >&2")], "passing", Bounds.within(60), tap=tap)
    assert count == 30_000_000


def test_the_program_that_failed_is_named_with_what_it_said() -> None:
    with pytest.raises(HostError, match="loading: sh ended with code 3: ERROR 1064 at line 7"):
        run([sh("yes"), sh("echo 'ERROR 1064 at line 7' >&2; exit 3")], "loading", Bounds.within(30))
    with pytest.raises(HostError, match="it said nothing"):
        run([sh("exit 1")], "loading", Bounds.within(30))
    with pytest.raises(HostError, match="No such file"):
        run([["/nowhere/program"]], "loading", Bounds.within(30))


def test_bounds_end_everything(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    endless = [sh(f"echo $$ >>{pids}; exec sleep 600"), sh(f"echo $$ >>{pids}; exec cat")]
    began = time.monotonic()
    with pytest.raises(HostError, match="sleeping did not end in time"):
        run(endless, "sleeping", Bounds.within(0.5))
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(Stopped):
        run(endless, "sleeping", Bounds.within(60, stop))
    assert time.monotonic() - began < 30
    for pid in pids.read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
    with pytest.raises(HostError, match="more than the 1000 bytes that are allowed"):
        run([sh("exec yes")], "taking", Bounds.within(30), sink=io.BytesIO(), bytes_max=1000)


@pytest.mark.parametrize("password", ["plain", "a\"b\\c'd#e f", "ü=;[x]", "", " spaces "])
def test_a_login_is_private_and_says_what_it_should(password: str) -> None:
    node = NodeSpec(name="n1", host="10.0.0.1", port=3307)
    with login(node, Account("root", Secret(password))) as option:
        path = Path(option.removeprefix("--defaults-file="))
        assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
        said = io.BytesIO()
        run([["my_print_defaults", option, "client"]], "reading", Bounds.within(30), sink=said)
        assert f"--password={password}\n".encode() in said.getvalue() and b"--port=3307\n" in said.getvalue()
    assert not path.exists()
    with login(NodeSpec(name="n1", host="x", socket="/run/s"), Account("root", Secret(""))) as option:
        assert 'socket="/run/s"' in Path(option.removeprefix("--defaults-file=")).read_text()


def test_a_program_that_is_missing_comes_with_its_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="mariadb-backup is not on this machine: `apt-get install"):
        find_tool(Flavour.MARIADB, Tool.BACKUP)
    imitation = tmp_path / "mariadb-dump"
    imitation.write_text("#!/bin/sh\n")
    imitation.chmod(0o755)
    (tmp_path / "mysqldump").symlink_to(imitation)
    assert find_tool(Flavour.MARIADB, Tool.DUMP) == imitation
    # On many machines mysqldump is another name of MariaDB's.
    monkeypatch.chdir(tmp_path)
    assert find_tool(Flavour.MYSQL, Tool.DUMP) != tmp_path / "mysqldump"
    own = tmp_path / "server" / "bin"
    own.mkdir(parents=True)
    (own / "mysqldump").write_text("#!/bin/sh\n")
    (own / "mysqldump").chmod(0o755)
    assert find_tool(Flavour.MYSQL, Tool.DUMP, own / "mysqld") == own / "mysqldump"
