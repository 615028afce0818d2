"""Bad input to the sandbox: one sentence, exit code 2, and nothing touched. No server is started here."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from replclus.errors import ConfigError
from replclus.model.observation import Version
from replclus.model.spec import Flavour
from replclus.sandbox import REPLICAS_MAX, create, open_sandbox, ports
from replclus.sandbox.options import Place, option_file
from replclus.sandbox.template import cache_directory
from replclus.server.binaries import ServerBinary, find_server_binary


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def mariadbd(tmp_path: Path) -> Path:
    return program(tmp_path / "mariadbd", "mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64")


def program(path: Path, answer: str) -> Path:
    path.write_text(f"#!/bin/sh\necho '{answer}'\n")
    path.chmod(0o755)
    return path


def refused(why: str, directory: Path, **options: object) -> None:
    existed = directory.exists()
    with pytest.raises(ConfigError, match=why) as caught:
        create(directory, **{"flavour": Flavour.MARIADB, **options})  # type: ignore[arg-type]
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert directory.exists() == existed


def test_a_directory_that_holds_something(tmp_path: Path, mariadbd: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("chapter 1")
    refused("is not empty", full, server_binary=mariadbd)
    assert (full / "thesis.txt").read_text() == "chapter 1"
    refused("cannot be used as a directory", full / "thesis.txt", server_binary=mariadbd)


def test_a_directory_too_long_for_a_socket(tmp_path: Path) -> None:
    refused("bytes too long", tmp_path / ("d" * 100))


def test_a_directory_an_option_file_cannot_spell(tmp_path: Path) -> None:
    refused("choose another directory", tmp_path / 'a"b')
    refused("choose another directory", tmp_path / "a\nb")


@pytest.mark.parametrize("replicas", [-1, REPLICAS_MAX + 1])
def test_too_few_or_too_many_replicas(tmp_path: Path, replicas: int) -> None:
    refused(f"0 to {REPLICAS_MAX}", tmp_path / "s", replicas=replicas)


def test_a_program_that_is_no_server(tmp_path: Path, mariadbd: Path) -> None:
    refused("is not a program", tmp_path / "s", server_binary=tmp_path / "missing")
    refused("did not answer", tmp_path / "s", server_binary=Path("/bin/true"))
    refused("is MariaDB 10.11.19, and flavour mysql", tmp_path / "s", server_binary=mariadbd, flavour=Flavour.MYSQL)
    old = program(tmp_path / "old", "mariadbd  Ver 10.5.29-MariaDB for Linux")
    refused("needs MariaDB 10.6 or newer", tmp_path / "s", server_binary=old)


def test_no_server_program_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # MariaDB's own mysqld on the PATH does not count as MySQL, and a name from the environment is taken at its word.
    program(tmp_path / "mysqld", "mysqld  Ver 10.11.19-MariaDB for debian-linux-gnu")
    found = find_server_binary(Flavour.MARIADB, environ={"PATH": "", "REPLCLUS_MARIADBD": str(tmp_path / "mysqld")})
    assert (found.flavour, found.version) == (Flavour.MARIADB, Version(10, 11, 19))
    with pytest.raises(ConfigError, match=r"REPLCLUS_MYSQLD: .* is MariaDB"):
        find_server_binary(Flavour.MYSQL, environ={"PATH": "", "REPLCLUS_MYSQLD": str(tmp_path / "mysqld")})


def test_ports_in_use_or_out_of_range(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} on 127.0.0.1 is in use"):
            ports.reserve(tmp_path, 1, "127.0.0.1", port)
        with pytest.raises(ConfigError, match="out of range"):
            ports.reserve(tmp_path, 4, "127.0.0.1", 65533)
        with pytest.raises(ConfigError, match="out of range"):
            ports.reserve(tmp_path, 4, "127.0.0.1", 0)


def test_ports_belong_to_a_sandbox_until_it_is_gone(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    reserved = ports.reserve(first, 4, "127.0.0.1", None)
    assert reserved == tuple(range(reserved[0], reserved[0] + 4))
    with pytest.raises(ConfigError, match=f"port {reserved[2]} belongs to the sandbox in {first}"):
        ports.reserve(second, 2, "127.0.0.1", reserved[2])
    ports.release(first)
    assert ports.reserve(second, 2, "127.0.0.1", reserved[2]) == reserved[2:]
    second.rmdir()
    first_again = ports.reserve(first, 4, "127.0.0.1", reserved[0])
    assert first_again == reserved


def test_random_ports_never_meet(tmp_path: Path) -> None:
    given: set[int] = set()
    for number in range(40):
        directory = tmp_path / str(number)
        directory.mkdir()
        new = ports.reserve(directory, 16, "127.0.0.1", None)
        assert given.isdisjoint(new)
        given.update(new)


def test_a_directory_that_is_no_sandbox(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a sandbox"):
        open_sandbox(tmp_path)
    (tmp_path / ".replclus-sandbox").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        open_sandbox(tmp_path)


def test_a_cache_that_others_could_write_to(private_cache: Path) -> None:
    assert cache_directory().stat().st_mode & 0o777 == 0o700
    (private_cache / "replclus").chmod(0o777)
    with pytest.raises(ConfigError, match="only you can write to"):
        cache_directory()
    (private_cache / "replclus").rmdir()
    (private_cache / "replclus").symlink_to(private_cache)
    with pytest.raises(ConfigError, match="only you can write to"):
        cache_directory()


@pytest.mark.parametrize(
    ("flavour", "version", "skip"),
    [
        (Flavour.MARIADB, Version(10, 6, 0), "skip_slave_start = ON"),
        (Flavour.MYSQL, Version(8, 0, 25), "skip_slave_start = ON"),
        (Flavour.MYSQL, Version(8, 0, 26), "skip_replica_start = ON"),
        (Flavour.MYSQL, Version(9, 7, 4), "skip_replica_start = ON"),
    ],
)
def test_the_option_file_of_every_version(flavour: Flavour, version: Version, skip: str) -> None:
    place = Place("n2", Path("/srv/my cluster #1/n2"), "127.0.0.1", 20002, 2)
    text = option_file(place, ServerBinary(Path("/usr/sbin/mysqld"), flavour, version))
    lines = text.splitlines()
    assert {skip, "read_only = ON", "sync_binlog = 1", "server_id = 2", 'datadir = "/srv/my cluster #1/n2/data"'} <= set(lines)
    assert ("user = root" in lines) == (os.geteuid() == 0)
