"""Fixtures for real servers. A missing server program is an error that says how to get it, never a skipped test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import hypothesis
import pymysql
import pytest

from replclus.model.spec import Flavour
from replclus.sandbox import Sandbox, create, throw_away
from replclus.sandbox.options import Place
from replclus.server.process import LocalProcess

MakeSandbox = Callable[..., Sandbox]

# A busy machine is not a failing property.
hypothesis.settings.register_profile("replclus", deadline=None)
hypothesis.settings.load_profile("replclus")


@dataclass(frozen=True, slots=True)
class RunningServer:
    """One real server: where it is, the process that runs it, and root's way in."""

    flavour: Flavour
    place: Place
    process: LocalProcess

    def connect(self, **options: Any) -> pymysql.Connection[Any]:
        """A connection as root, autocommit on; close it or use it in a `with`."""
        settings: dict[str, Any] = {"unix_socket": str(self.place.socket), "user": "root", "password": "", "autocommit": True}
        return pymysql.connect(**settings | options)

    def run(self, *statements: str) -> tuple[tuple[Any, ...], ...]:
        """The rows of the last statement."""
        with self.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return tuple(cursor.fetchall())


def running(sandbox: Sandbox, name: str = "n1") -> RunningServer:
    """One server of a sandbox, with a way in."""
    return RunningServer(sandbox.flavour, sandbox.place(name), sandbox.process(name))


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(Flavour.MARIADB, marks=pytest.mark.mariadb, id="mariadb"),
        pytest.param(Flavour.MYSQL, marks=pytest.mark.mysql, id="mysql"),
    ],
)
def flavour(request: pytest.FixtureRequest) -> Flavour:
    """Each family in turn."""
    found: Flavour = request.param
    return found


@pytest.fixture(scope="session")
def server_root() -> Iterator[Path]:
    """Where this run's servers live: a short path, because unix sockets have short names. Emptied whatever happens."""
    with throw_away("rct-") as root:
        yield root


_numbers = count(1)


@contextmanager
def _sandboxes(root: Path) -> Iterator[MakeSandbox]:
    made: list[Sandbox] = []

    def make(flavour: Flavour, *, replicas: int = 3, **options: Any) -> Sandbox:
        sandbox = create(root / f"s{next(_numbers)}", flavour=flavour, replicas=replicas, **options)
        made.append(sandbox)
        return sandbox

    try:
        yield make
    finally:
        for sandbox in made:
            if sandbox.directory.exists():
                sandbox.destroy()


@pytest.fixture
def make_sandbox(server_root: Path) -> Iterator[MakeSandbox]:
    """`make_sandbox(flavour, replicas=3)`: running, empty servers; destroyed after the test."""
    with _sandboxes(server_root) as make:
        yield make


@pytest.fixture
def sandbox(make_sandbox: MakeSandbox, flavour: Flavour) -> Sandbox:
    """Four empty servers of each family, new for every test."""
    return make_sandbox(flavour)


@pytest.fixture(scope="module")
def module_sandbox(server_root: Path, flavour: Flavour) -> Iterator[Sandbox]:
    """Four servers of each family, shared by the tests of one module."""
    with _sandboxes(server_root) as make:
        yield make(flavour)


@pytest.fixture
def fresh_server(make_sandbox: MakeSandbox, flavour: Flavour) -> RunningServer:
    """One empty, writable server of each family, new for every test."""
    return running(make_sandbox(flavour, replicas=0))


@pytest.fixture(scope="module")
def module_server(server_root: Path, flavour: Flavour) -> Iterator[RunningServer]:
    """One server of each family, shared by the tests of one module."""
    with _sandboxes(server_root) as make:
        yield running(make(flavour, replicas=0))
