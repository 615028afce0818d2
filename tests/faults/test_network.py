"""The network of the lab does what its verbs say, and heals."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.clusters import eventually
from tests.faults.delay import Manner
from tests.faults.network import Network, needed

pytestmark = pytest.mark.netns

PORT = 4000
# Answers every connection at once, and ends with its standard input.
SERVER = f"""
import socket, sys, threading
listening = socket.create_server(("0.0.0.0", {PORT}))
def answer():
    while True:
        connection, _ = listening.accept()
        connection.sendall(b"x" * 1000)
        connection.close()
threading.Thread(target=answer, daemon=True).start()
sys.stdin.read()
"""
# Says how many seconds it took to be answered, or why it was not.
CLIENT = f"""
import socket, sys, time
began = time.monotonic()
try:
    with socket.create_connection((sys.argv[1], {PORT}), timeout=2.0) as connection:
        while connection.recv(4096):
            pass
    print(time.monotonic() - began)
except TimeoutError:
    print("silence")
except ConnectionRefusedError:
    print("refused")
"""


@pytest.fixture
def network() -> Iterator[Network]:
    needed()
    made = Network(("a", "b", "c"))
    made.build()
    servers = [
        subprocess.Popen([*made.inside(name), sys.executable, "-c", SERVER], stdin=subprocess.PIPE) for name in made.members
    ]
    try:
        eventually(lambda: _all_reachable(made), "everybody reaches everybody")
        yield made
    finally:
        for server in servers:
            server.communicate(timeout=20)
        made.destroy()


def ask(network: Network, one: str, other: str) -> str:
    command = [*network.inside(one), sys.executable, "-c", CLIENT, network.addresses[other]]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


def _all_reachable(network: Network) -> bool:
    pairs = [(one, other) for one in network.members for other in network.members if one != other]
    return all(ask(network, one, other).replace(".", "").isdecimal() for one, other in pairs)


def test_nothing_passes_between_the_sides_of_a_split(network: Network) -> None:
    network.split(["a"], ["b", "c"])
    assert ask(network, "a", "b") == "silence"
    assert ask(network, "c", "a") == "silence"
    assert ask(network, "b", "c") not in ("silence", "refused")
    network.mend("a", "b")
    assert ask(network, "a", "b") not in ("silence", "refused")
    assert ask(network, "a", "c") == "silence"
    network.mend_all()
    assert _all_reachable(network)


def test_a_host_refuses_some_and_answers_others(network: Network) -> None:
    network.refuse("a", "b")
    assert ask(network, "a", "b") == "refused"
    assert ask(network, "c", "b") not in ("silence", "refused")


def test_large_packets_are_swallowed_and_small_ones_arrive(network: Network) -> None:
    network.swallow_large("a", least=900)
    assert ask(network, "b", "a") == "silence", "connected, and the answer is too large"
    assert ask(network, "b", "c") not in ("silence", "refused")


def test_a_slow_line_is_slow_and_fast_again(network: Network) -> None:
    network.slow("a", Manner(delay_s=0.2))
    # The handshake, and the answer.
    assert float(ask(network, "b", "a")) >= 0.8
    network.mend_all()
    assert _all_reachable(network)
