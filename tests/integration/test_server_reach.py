"""How far a probe comes when a server is killed, frozen, full, or not one of ours."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pymysql
import pytest

from replclus.model.observation import Reach
from replclus.model.spec import Account, Flavour, NodeSpec, Secret, Timings
from replclus.server.entry import why_shut
from replclus.server.server import Server
from replclus.watchdog.board import Board
from replclus.watchdog.entry import EntryProber
from tests.conftest import MakeSandbox, RunningServer, running

PROBE = Account("probe", Secret("p"))


@pytest.fixture
def alone(make_sandbox: MakeSandbox, flavour: Flavour) -> RunningServer:
    return running(make_sandbox(flavour, replicas=0))


@pytest.fixture(params=["socket", "tcp"])
def server(alone: RunningServer, request: pytest.FixtureRequest) -> Iterator[Server]:
    place = alone.place
    alone.run("CREATE USER probe@'127.0.0.1' IDENTIFIED BY 'p'", "CREATE USER probe@localhost IDENTIFIED BY 'p'")
    rights = "SLAVE MONITOR, BINLOG MONITOR, SELECT" if alone.flavour is Flavour.MARIADB else "REPLICATION CLIENT, SELECT"
    for host in ("127.0.0.1", "localhost"):
        alone.run(f"GRANT {rights} ON *.* TO probe@'{host}'")
    path = str(place.socket) if request.param == "socket" else None
    node = NodeSpec(name="n1", host=place.host, port=place.port, socket=path)
    made = Server(node, PROBE, connect_timeout_s=0.5, timeout_s=0.5)
    yield made
    made.close()


def test_killed_frozen_and_back(alone: RunningServer, server: Server) -> None:
    seen = server.observe()
    assert seen.answered

    alone.process.freeze()
    began = time.monotonic()
    frozen = server.observe(seen, full=False)
    assert frozen.reach is Reach.TIMED_OUT and frozen.facts == seen.facts and not frozen.reach.alive
    again = server.observe(frozen)
    assert again.reach is Reach.TIMED_OUT and time.monotonic() - began < 2.5
    alone.process.thaw()
    assert server.observe(again).answered

    alone.process.kill()
    dead = server.observe(server.observe(seen), full=False)
    assert dead.reach is Reach.REFUSED and dead.facts == seen.facts

    alone.process.start()
    back = server.observe(dead, full=False)
    assert back.answered and back.full_at > seen.full_at, "a server that was away is read completely"
    assert back.facts is not None and not back.facts.writable


def test_who_knocks_learns_why_nobody_gets_in_and_leaves_politely(alone: RunningServer, server: Server) -> None:
    def knock(account: Account = PROBE) -> str:
        return why_shut(server.node, account, connect_timeout_s=0.5, timeout_s=0.5)

    aborted = "SHOW GLOBAL STATUS LIKE 'Aborted_clients'"
    before = alone.run(aborted)
    assert [knock() for _ in range(5)] == [""] * 5
    assert alone.run(aborted) == before, "it does not read like a lost connection in the server's log"
    assert knock(Account("probe", Secret("wrong"))) == "", "it was let in as far as the guard"
    alone.process.freeze()
    assert "no answer within the deadline" in knock()
    alone.process.kill()
    assert "cannot connect" in knock()
    board = Board()
    prober = EntryProber(server.node, PROBE, Timings(), board)
    for wanted in ("", "cannot connect"):
        prober.knock()
        assert wanted in board.snapshot()[1]["n1"].shut_out
        assert bool(wanted) == bool(board.snapshot()[1]["n1"].shut_out), "it counts when it was met twice"


def test_killed_in_the_middle_of_a_probe_is_refused_at_once(alone: RunningServer, server: Server) -> None:
    seen = server.observe()
    alone.process.freeze()
    # Killing a frozen process cuts the connection while the probe waits on it.
    threading.Timer(0.2, alone.process.kill).start()
    died = server.observe(seen)
    assert died.reach is Reach.REFUSED


def test_too_many_connections(alone: RunningServer, server: Server) -> None:
    alone.run("SET GLOBAL max_connections = 10")
    held = []
    try:
        with pytest.raises(pymysql.err.OperationalError):
            for _ in range(20):
                held.append(pymysql.connect(unix_socket=str(alone.place.socket), user="probe", password=PROBE.password.reveal()))
        seen = server.observe()
        assert seen.reach is Reach.OVERLOADED and seen.reach.alive
    finally:
        for connection in held:
            connection.close()


class Impostor:
    """Accepts one connection after another and does to each what it is told to."""

    def __init__(self, greeting: bytes | None) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.greeting = greeting
        self.accepted: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            if self.greeting is None:
                self.accepted.append(connection)  # and say nothing
            else:
                connection.sendall(self.greeting)
                connection.close()

    def close(self) -> None:
        self.listener.close()
        for connection in self.accepted:
            connection.close()


@pytest.mark.parametrize(
    ("greeting", "reach"),
    [
        (None, Reach.TIMED_OUT),
        (b"", Reach.CLOSED),
        (b"\x15\x00\x00\x00\xff\x10\x04Too many connections"[:25], Reach.OVERLOADED),
    ],
)
def test_what_is_not_a_server(greeting: bytes | None, reach: Reach) -> None:
    impostor = Impostor(greeting)
    try:
        node = NodeSpec(name="n1", host="127.0.0.1", port=impostor.port)
        server = Server(node, Account("a", Secret("b")), connect_timeout_s=0.3, timeout_s=0.3)
        began = time.monotonic()
        assert server.observe().reach is reach
        assert time.monotonic() - began < 1.5
    finally:
        impostor.close()
