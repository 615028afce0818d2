"""Two real servers that `Server` and the dialects are tried on: n1 primary, n2 following it, all by replclus's own verbs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pymysql

from replclus.dialect import AccountRole
from replclus.model.observation import Facts
from replclus.model.spec import Account, Durability, Flavour, NodeSpec, Secret, Timings
from replclus.model.topology import PulseRow
from replclus.sandbox import Sandbox
from replclus.server.server import Server

ROOT = Account("root", Secret(""))
REPLICATION = Account("replclus_repl", Secret("r'e\\p%l"))
WATCHDOG = Account("replclus_watchdog", Secret('w"%d\\'))
APP = Account("app", Secret("app"))
TIMINGS = Timings()
LOSSLESS = Durability.LOSSLESS


@dataclass
class Pair:
    """`primary` and `replica` are the watchdog's way in over TCP, `admin` is root's over the sockets."""

    sandbox: Sandbox
    nodes: dict[str, NodeSpec]
    beats: int = 0
    said: list[str] = field(default_factory=list)

    @property
    def flavour(self) -> Flavour:
        return self.sandbox.flavour

    def server(self, name: str, account: Account = WATCHDOG, *, socket: bool = False, timeout_s: float = 2.0) -> Server:
        node = self.nodes[name]
        if not socket:
            node = NodeSpec(name=name, host=node.host, port=node.port)
        return Server(node, account, timeout_s=timeout_s, audit=lambda _, sql: self.said.append(sql))

    def admin(self, name: str) -> Server:
        return self.server(name, ROOT, socket=True, timeout_s=10.0)

    def sql(self, name: str, *statements: str, account: Account = ROOT, **options: Any) -> tuple[tuple[Any, ...], ...]:
        """The rows of the last statement."""
        place = self.sandbox.place(name)
        settings: dict[str, Any] = {"user": account.user, "password": account.password.reveal(), "autocommit": True}
        with pymysql.connect(unix_socket=str(place.socket), **settings | options) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            return tuple(cursor.fetchall())

    def pulse(self, epoch: int = 1, topology: str = "{}") -> PulseRow:
        self.beats += 1
        return PulseRow(beat=self.beats, epoch=epoch, primary="n1", routing_ttl_ms=5000, topology=topology)


@contextmanager
def pair(sandbox: Sandbox) -> Iterator[Pair]:
    """The sandbox's n1 and n2 as a primary and its replica, with accounts and the pulse table."""
    nodes = {
        place.name: NodeSpec(name=place.name, host=place.host, port=place.port, socket=str(place.socket))
        for place in sandbox.places[:2]
    }
    made = Pair(sandbox, nodes)
    for name in nodes:
        prepare(made, name)
    primary, replica = made.server("n1"), made.server("n2")
    try:
        primary.become_source(LOSSLESS)
        replica.follow(nodes["n1"], REPLICATION, TIMINGS, LOSSLESS)
        primary.open_for_writes()
        admin = made.admin("n1")
        admin.run_script("pulse")
        admin.run_script("identity", {"cluster_id": "it's 100%"})
        admin.run_script("identity", {"cluster_id": "another"})
        made.sql("n1", "CREATE DATABASE app", "CREATE TABLE app.t (id INT PRIMARY KEY, v TEXT)")
        admin.close()
        primary.beat(made.pulse(), 2.0)
        caught_up(made)
        for name in nodes:
            admin = made.admin(name)
            with admin.administration():
                create_account(admin, AccountRole.APPLICATION, APP, schema="app")
            admin.close()
        yield made
    finally:
        primary.close()
        replica.close()


def prepare(made: Pair, name: str) -> None:
    """What `init` does to every server, as root: closed for writes, accounts, plugins, settings."""
    admin = made.admin(name)
    assert admin.close_for_writes(5.0)
    with admin.administration():
        admin.install_semi_sync()
        create_account(admin, AccountRole.REPLICATION, REPLICATION)
        create_account(admin, AccountRole.WATCHDOG, WATCHDOG)
    variables = admin.variables()
    for setting in admin.dialect.required_settings(LOSSLESS, TIMINGS):
        if not setting.satisfied_by(variables[setting.name]):
            assert setting.dynamic, f"the sandbox should start with {setting.line}, not {variables[setting.name]}"
            admin.set_global(setting, setting.value)
    admin.close()


def create_account(admin: Server, role: AccountRole, account: Account, schema: str | None = None) -> None:
    for host in ("localhost", "127.0.0.1"):
        for statement in admin.dialect.account_statements(role, account, host, schema=schema):
            admin.run(statement)


def facts(server: Server) -> Facts:
    """A full probe that must succeed."""
    seen = server.observe()
    assert seen.facts is not None and seen.answered, seen.error
    return seen.facts


def until(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Wait until `condition()` is true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.02)


def caught_up(made: Pair, behind: str = "n2", ahead: str = "n1") -> None:
    """Wait until one server has executed what the other has."""
    one, other = made.server(behind), made.server(ahead)
    goal = facts(other).executed
    until(lambda: facts(one).executed.contains(goal))
    one.close()
    other.close()
