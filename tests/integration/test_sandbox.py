"""Real servers in one directory: complete, empty, fast, apart from each other, and gone without a trace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pymysql
import pytest

from replclus import config
from replclus.errors import ConfigError, HostError
from replclus.model.spec import Flavour
from replclus.sandbox import Sandbox, create, open_sandbox
from replclus.sandbox.template import template
from replclus.server.binaries import find_server_binary
from tests.conftest import MakeSandbox, RunningServer, running

# What the issue promises for four servers, once the template exists; this machine may be busy with another test.
SECONDS_MAX = {Flavour.MARIADB: 6.0, Flavour.MYSQL: 15.0}
OWN = {Flavour.MARIADB: {"mariadb.sys"}, Flavour.MYSQL: {"mysql.infoschema", "mysql.session", "mysql.sys"}}


def test_four_empty_servers_quickly(make_sandbox: MakeSandbox, flavour: Flavour) -> None:
    template(find_server_binary(flavour))
    began = time.monotonic()
    sandbox = make_sandbox(flavour)
    seconds = time.monotonic() - began
    assert sandbox.names == ("n1", "n2", "n3", "n4")
    for name in sandbox.names:
        check_empty(running(sandbox, name))
    assert seconds <= SECONDS_MAX[flavour]


def check_empty(server: RunningServer) -> None:
    ((read_only, server_id, port, log_bin, format_),) = server.run(
        "SELECT @@read_only, @@server_id, @@port, @@log_bin, @@binlog_format"
    )
    place = server.place
    assert (read_only, server_id, port, log_bin, format_) == (0, place.server_id, place.port, 1, "ROW")
    accounts = set(server.run("SELECT user, host FROM mysql.user"))
    assert accounts == {("root", "localhost")} | {(user, "localhost") for user in OWN[server.flavour]}
    schemas = {name for (name,) in server.run("SHOW DATABASES")}
    assert schemas == {"information_schema", "mysql", "performance_schema", "sys"}
    position = {Flavour.MARIADB: "@@gtid_binlog_pos", Flavour.MYSQL: "@@gtid_executed"}[server.flavour]
    assert server.run(f"SELECT {position}") == (("",),)
    assert server.run("SHOW REPLICA STATUS") == ()
    for name in ("mysqld.pid", "mysqld.sock", "my.cnf", "error.log", "data"):
        assert (place.directory / name).exists()
    with pytest.raises(pymysql.err.OperationalError, match=r"Access denied|not allowed"):
        pymysql.connect(host="127.0.0.1", port=place.port, user="root", password="").close()


def test_no_server_shares_temporary_files(module_sandbox: Sandbox) -> None:
    """A MariaDB server that starts would remove those of the others."""
    for place in module_sandbox.places:
        ((directory,),) = running(module_sandbox, place.name).run("SELECT @@tmpdir")
        assert Path(directory) == place.directory / "tmp"


def test_every_server_is_somebody(module_sandbox: Sandbox, flavour: Flavour) -> None:
    identity = {Flavour.MARIADB: "@@server_uid", Flavour.MYSQL: "@@server_uuid"}[flavour]
    assert len({running(module_sandbox, name).run(f"SELECT {identity}") for name in module_sandbox.names}) == 4


def test_the_cluster_file(module_sandbox: Sandbox) -> None:
    spec = config.load(module_sandbox.config)
    assert [node.name for node in spec.nodes] == list(module_sandbox.names)
    first, place = spec.nodes[0], module_sandbox.place("n1")
    assert (first.host, first.port, first.socket, first.process_dir) == (
        "127.0.0.1",
        place.port,
        str(place.socket),
        place.directory,
    )
    assert spec.admin is not None
    assert (spec.admin.user, spec.admin.password.reveal()) == ("root", "")
    assert spec.app is not None
    assert (spec.app.account.user, spec.app.schema, spec.app.hosts) == ("app", "app", ("127.0.0.1", "localhost"))
    assert tomllib.loads(module_sandbox.config.read_text())["cluster"]["durability"] == "lossless"
    assert module_sandbox.config.stat().st_mode & 0o777 == 0o600


def test_a_sandbox_is_found_again(module_sandbox: Sandbox) -> None:
    assert open_sandbox(module_sandbox.directory) == module_sandbox
    with pytest.raises(ConfigError, match="has no server 'n9'"):
        module_sandbox.process("n9")


def test_stop_and_start(make_sandbox: MakeSandbox, flavour: Flavour) -> None:
    sandbox = make_sandbox(flavour, replicas=1)
    sandbox.stop()
    sandbox.stop()
    assert not any(sandbox.process(name).is_running() for name in sandbox.names)
    reports = sandbox.start()
    assert [report.already_running for report in reports.values()] == [False, False]
    for name in sandbox.names:
        assert running(sandbox, name).run("SELECT @@read_only") == ((1,),)
    assert sandbox.start("n1")["n1"].already_running
    sandbox.destroy("n2")
    assert not sandbox.place("n2").directory.exists()
    with pytest.raises(HostError, match=r"no my\.cnf"):
        sandbox.start("n2")


def test_two_at_once_in_one_place_and_in_two(server_root: Path, make_sandbox: MakeSandbox) -> None:
    """Same directory: one wins. Different directories: different ports."""
    with ThreadPoolExecutor() as pool:
        made = list(pool.map(lambda _: make_sandbox(Flavour.MARIADB, replicas=0), range(4)))
    assert len({sandbox.places[0].port for sandbox in made}) == 4
    with pytest.raises(ConfigError, match="is not empty: `replclus sandbox destroy"):
        create(made[0].directory, flavour=Flavour.MARIADB)
    with pytest.raises(ConfigError, match="belongs to the sandbox in"):
        create(server_root / "other", flavour=Flavour.MARIADB, base_port=made[1].places[0].port)
    assert not (server_root / "other").exists()


def test_a_create_that_fails_half_way_leaves_nothing(server_root: Path, tmp_path: Path) -> None:
    real = find_server_binary(Flavour.MARIADB).path
    broken = tmp_path / "mariadbd"
    # Everything works but the third server.
    broken.write_text(f'#!/bin/sh\ncase "$*" in */n3/*) echo "[ERROR] no more" ; exit 1 ;; esac\nexec {real} "$@"\n')
    broken.chmod(0o755)
    directory = server_root / "half"
    with pytest.raises(HostError, match=r"n3: the server ended while starting: \[ERROR\] no more"):
        create(directory, flavour=Flavour.MARIADB, server_binary=broken)
    assert not directory.exists()
    assert not servers_below(directory)

    directory.mkdir()
    with pytest.raises(HostError):
        create(directory, flavour=Flavour.MARIADB, server_binary=broken)
    assert list(directory.iterdir()) == []


def test_servers_outlive_the_command_and_its_terminal(server_root: Path) -> None:
    directory = server_root / "detached"
    script = "import sys, pathlib; from replclus.sandbox import create; from replclus.model.spec import Flavour; "
    script += "create(pathlib.Path(sys.argv[1]), flavour=Flavour.MARIADB, replicas=0)"
    # The output pipe ends only if no server has inherited it.
    subprocess.run(
        [sys.executable, "-c", script, str(directory)], check=True, capture_output=True, timeout=60, start_new_session=True
    )
    sandbox = open_sandbox(directory)
    pid = int(sandbox.process("n1").pid_file.read_text())
    assert os.getsid(pid) != os.getsid(0)
    links = {str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in (0, 1, 2)}
    assert links == {"/dev/null", str(directory / "n1" / "error.log")}
    sandbox.destroy()
    assert not directory.exists()


def test_nothing_is_left_of_an_interrupted_test_run(server_root: Path) -> None:
    """SIGKILL, which no fixture survives."""
    script = "import tests.conftest as c, time; g = c.server_root.__wrapped__(); root = next(g); print(root, flush=True); "
    script += "c.create(root / 's', flavour=c.Flavour.MARIADB, replicas=0); print('up', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as run:
        assert run.stdout is not None
        root = Path(run.stdout.readline().strip())
        assert run.stdout.readline() == "up\n"
        assert servers_below(root)
        run.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while root.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not root.exists()
    assert not servers_below(root)


def servers_below(directory: Path) -> list[int]:
    """Pids of all processes whose command line names the directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(f"={directory}/") in arguments:
            found.append(int(process.name))
    return found
