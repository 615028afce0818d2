"""Whoever drives a server may die between any two statements; asked again, the server ends where it should."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from replclus.model.spec import Flavour
from replclus.sandbox import create
from replclus.server.server import Server
from tests.integration.server_pair import LOSSLESS, REPLICATION, TIMINGS, WATCHDOG, Pair, caught_up, facts, pair, until

STATEMENTS_MAX = 20


class Cut(Exception):
    """We died here."""


@pytest.fixture(scope="module")
def both(server_root: Path, flavour: Flavour) -> Iterator[Pair]:
    sandbox = create(server_root / f"cut-{flavour}", flavour=flavour, replicas=1)
    with pair(sandbox) as made:
        yield made
    sandbox.destroy()


def cut_before(both: Pair, name: str, number: int, verb: Callable[[Server], None]) -> bool:
    """Run `verb` on a server of its own and die before its statement `number`. False if it has fewer."""
    left = [number]

    def audit(_: str, sql: str) -> None:
        if not left[0]:
            raise Cut(sql)
        left[0] -= 1

    server = Server(both.nodes[name], WATCHDOG, timeout_s=3.0, audit=audit)
    try:
        verb(server)
    except Cut:
        return True
    finally:
        server.close()
    return False


def test_a_change_of_the_primary_cut_anywhere(both: Pair) -> None:
    """Back and forth; every time both the promotion and the demotion die one statement later."""
    old, new = "n1", "n2"
    for number in range(STATEMENTS_MAX):
        both.sql(old, f"INSERT INTO app.t VALUES ({number}, 'x')")
        servers = {name: both.server(name, timeout_s=3.0) for name in both.nodes}
        assert servers[old].close_for_writes(2.0)
        goal = facts(servers[old]).executed
        until(lambda: facts(servers[new]).received.contains(goal))  # noqa: B023

        def promote(server: Server) -> None:
            server.stop_receiving()
            assert server.wait_applied(5.0)
            server.forget_source()
            server.become_source(LOSSLESS)
            server.open_for_writes()

        def demote(server: Server) -> None:
            server.follow(both.nodes[new], REPLICATION, TIMINGS, LOSSLESS)  # noqa: B023

        cut = [cut_before(both, new, number, promote), cut_before(both, old, number, demote)]
        promote(servers[new])
        demote(servers[old])
        assert facts(servers[new]).executed.contains(goal)
        servers[new].beat(both.pulse(number + 1), 5.0)
        caught_up(both, old, new)
        seen = facts(servers[old])
        assert seen.channel is not None and seen.channel.receiver.connected and seen.channel.applier.running
        assert not seen.writable and seen.semi_sync.replica_enabled and not seen.semi_sync.source_enabled
        assert seen.executed == facts(servers[new]).executed
        for server in servers.values():
            server.close()
        old, new = new, old
        if not any(cut):
            break
    else:
        pytest.fail(f"more than {STATEMENTS_MAX} statements")
    assert number > 5
    rows = both.sql("n1", "SELECT COUNT(*) FROM app.t")
    assert rows == both.sql("n2", "SELECT COUNT(*) FROM app.t") == ((number + 1,),)
