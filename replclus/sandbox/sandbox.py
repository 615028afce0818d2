"""Create, start, stop and destroy a sandbox."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from replclus.errors import ConfigError
from replclus.model.gtid import MysqlGtidSet
from replclus.model.spec import Flavour
from replclus.sandbox.options import Place, check_path, first_start, option_file
from replclus.sandbox.ports import release, reserve
from replclus.sandbox.template import copy_template, template
from replclus.server.binaries import ServerBinary, find_server_binary
from replclus.server.process import LocalProcess, StartReport

REPLICAS_MAX = 16
# Makes a directory a sandbox: nothing without it is ever removed.
_MARKER = ".replclus-sandbox"

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A directory with servers `n1`, `n2`, … in it. Knows where they are, not what they do: every call looks afresh."""

    directory: Path
    flavour: Flavour
    places: tuple[Place, ...]

    @property
    def config(self) -> Path:
        """The `replclus.toml` that describes these servers as a cluster."""
        return self.directory / "replclus.toml"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(place.name for place in self.places)

    def place(self, name: str) -> Place:
        """ConfigError if no server is called that."""
        for place in self.places:
            if place.name == name:
                return place
        raise ConfigError(f"{self.directory} has no server {name!r}: it has {', '.join(self.names)}")

    def process(self, name: str) -> LocalProcess:
        return LocalProcess(self.place(name).directory)

    def start(self, name: str | None = None, known: MysqlGtidSet | None = None) -> dict[str, StartReport]:
        """Bring one or all servers up read-only and not replicating. `known`: see `LocalProcess.start`."""
        return self._each(name, lambda place: LocalProcess(place.directory).start(known))

    def stop(self, name: str | None = None) -> None:
        """Stop one or all cleanly. Nothing happens to those that do not run."""
        self._each(name, lambda place: LocalProcess(place.directory).stop())

    def destroy(self, name: str | None = None) -> None:
        """Kill one server and remove its directory, or all of them and the whole sandbox.

        HostError, and nothing is removed, while a process survives.
        """
        self._each(name, _kill)
        if name is not None:
            shutil.rmtree(self.place(name).directory, ignore_errors=True)
            return
        release(self.directory)
        shutil.rmtree(self.directory)

    def _each(self, name: str | None, act: Callable[[Place], Result]) -> dict[str, Result]:
        places = self.places if name is None else (self.place(name),)
        return _in_parallel(places, act)


def open_sandbox(directory: Path) -> Sandbox:
    """The sandbox in `directory`. ConfigError if there is none."""
    directory = directory.absolute()
    try:
        marker = json.loads((directory / _MARKER).read_text())
        return Sandbox(
            directory,
            Flavour(marker["flavour"]),
            tuple(
                Place(server["name"], directory / server["name"], server["host"], server["port"], server["server_id"])
                for server in marker["servers"]
            ),
        )
    except FileNotFoundError as error:
        raise ConfigError(f"{directory} is not a sandbox: make one with `replclus sandbox create {directory}`") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{directory / _MARKER} cannot be read: {error}") from error


def create(
    directory: Path,
    *,
    flavour: Flavour,
    replicas: int = 3,
    base_port: int | None = None,
    server_binary: Path | None = None,
    host: str = "127.0.0.1",
) -> Sandbox:
    """`replicas` + 1 running, empty, writable servers that do not replicate, and the `replclus.toml` for them.

    ConfigError where the arguments are at fault, HostError where a server did not come up; either way nothing is left
    behind.
    """
    directory = directory.absolute()
    if not 0 <= replicas <= REPLICAS_MAX:
        raise ConfigError(f"{replicas} replicas: a sandbox has 0 to {REPLICAS_MAX}", where="--replicas")
    check_path(directory, f"n{replicas + 1}")
    binary = find_server_binary(flavour, server_binary)
    existed = _check_empty(directory)
    source = template(binary)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{directory} cannot be made: {error.strerror}") from error
    try:
        ports = reserve(directory, replicas + 1, host, base_port)
        names = (f"n{number}" for number in range(1, replicas + 2))
        places = tuple(
            Place(name, directory / name, host, port, number)
            for number, (name, port) in enumerate(zip(names, ports, strict=True), start=1)
        )
        sandbox = Sandbox(directory, flavour, places)
        _write_marker(sandbox)
        _in_parallel(places, lambda place: make_server(place, binary, source))
        sandbox.config.write_text(_cluster_file(sandbox))
        sandbox.config.chmod(0o600)
    except BaseException:
        _undo(directory, remove=not existed)
        raise
    return sandbox


def _check_empty(directory: Path) -> bool:
    """Whether `directory` exists already. ConfigError if it holds something, or is no directory."""
    try:
        holds = next(directory.iterdir(), None)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ConfigError(f"{directory} cannot be used as a directory: {error.strerror}") from error
    if holds is not None:
        remedy = f"`replclus sandbox destroy {directory}` first, or " if (directory / _MARKER).exists() else ""
        raise ConfigError(f"{directory} is not empty: {remedy}choose another directory")
    return True


def make_server(place: Place, binary: ServerBinary, source: Path) -> StartReport:
    """A new directory for `place`, with a copy of the template `source`, and a running, empty, writable server in it."""
    place.directory.mkdir(mode=0o700)
    place.temporary.mkdir(mode=0o700)
    copy_template(source, place.directory / "data")
    (place.directory / "my.cnf").write_text(option_file(place, binary))
    return LocalProcess(place.directory).start(options=first_start(binary.flavour))


def _kill(place: Place) -> None:
    if place.directory.is_dir():
        LocalProcess(place.directory).kill()


def _undo(directory: Path, *, remove: bool) -> None:
    """Leave the place as `create` found it."""
    for server in directory.glob("n*"):
        if server.is_dir():
            LocalProcess(server).kill()
    release(directory)
    if remove:
        shutil.rmtree(directory, ignore_errors=True)
        return
    for entry in directory.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def _in_parallel(places: Iterable[Place], act: Callable[[Place], Result]) -> dict[str, Result]:
    """Do it to all at once, wait for all, then raise the first failure, if any."""
    with ThreadPoolExecutor(max_workers=REPLICAS_MAX + 1) as pool:
        futures = {place.name: pool.submit(act, place) for place in places}
    return {name: future.result() for name, future in futures.items()}


def _write_marker(sandbox: Sandbox) -> None:
    servers = [
        {"name": place.name, "host": place.host, "port": place.port, "server_id": place.server_id} for place in sandbox.places
    ]
    (sandbox.directory / _MARKER).write_text(json.dumps({"flavour": sandbox.flavour, "servers": servers}, indent=1) + "\n")


def _cluster_file(sandbox: Sandbox) -> str:
    nodes = "".join(
        f"\n[[node]]\nname = {_text(place.name)}\nhost = {_text(place.host)}\nport = {place.port}\n"
        f"socket = {_text(str(place.socket))}\nprocess_dir = {_text(str(place.directory))}\n"
        for place in sandbox.places
    )
    return _CLUSTER_FILE.format(name=_text(sandbox.directory.name or "sandbox"), nodes=nodes)


def _text(value: str) -> str:
    """A TOML basic string. JSON's escapes are a subset of TOML's, as long as nothing but control characters is escaped."""
    return json.dumps(value, ensure_ascii=False)


_CLUSTER_FILE = """\
# A replclus sandbox: real servers in this directory, see `replclus sandbox --help`.

[cluster]
name = {name}
durability = "lossless"
state_dir = "state"

[accounts.admin]
# Over the sockets below only: root cannot log in over TCP.
user = "root"
password = ""

[accounts.app]
user = "app"
password = "app"
schema = "app"
hosts = ["127.0.0.1", "localhost"]
{nodes}"""
