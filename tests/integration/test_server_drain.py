"""What was received and acknowledged, but not applied, is never thrown away by anything we do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pymysql
import pytest

from replclus.dialect import Statement
from replclus.errors import ServerError
from replclus.model.gtid import empty_gtid_set
from replclus.model.spec import Flavour
from replclus.sandbox import create
from replclus.server.server import Server
from tests.integration.server_pair import LOSSLESS, REPLICATION, TIMINGS, Pair, caught_up, facts, pair, until

ROWS = 5


@pytest.fixture(scope="module")
def both(server_root: Path, flavour: Flavour) -> Iterator[Pair]:
    sandbox = create(server_root / f"drain-{flavour}", flavour=flavour, replicas=1)
    with pair(sandbox) as made:
        yield made
    sandbox.destroy()


@pytest.fixture
def replica(both: Pair) -> Iterator[Server]:
    server = both.server("n2", timeout_s=1.0)
    yield server
    server.follow(both.nodes["n1"], REPLICATION, TIMINGS, LOSSLESS)
    caught_up(both)
    server.close()


def word(both: Pair) -> str:
    return "SLAVE" if both.flavour is Flavour.MARIADB else "REPLICA"


def rows(both: Pair) -> int:
    return int(both.sql("n2", "SELECT COUNT(*) FROM app.t")[0][0])


@pytest.fixture
def unapplied(both: Pair, replica: Server) -> int:
    """The replica has received and acknowledged five rows, and its applier stands still. Returns how many rows it must have."""
    caught_up(both)
    both.sql("n2", f"STOP {word(both)} SQL_THREAD")
    expected = rows(both) + ROWS
    for number in range(expected, expected + ROWS):
        both.sql("n1", f"INSERT INTO app.t VALUES ({1000 + number}, '')")
    goal = facts(both.server("n1")).executed
    until(lambda: facts(replica).received.contains(goal))
    assert rows(both) == expected - ROWS
    return expected


@pytest.fixture
def source_is_gone(both: Pair) -> Iterator[None]:
    """The source lets nobody in, so nothing can be fetched a second time."""
    accounts = ", ".join(f"{REPLICATION.user}@'{host}'" for host in ("127.0.0.1", "localhost"))
    both.sql("n1", "SET sql_log_bin = 0", *(f"ALTER USER {account} ACCOUNT LOCK" for account in accounts.split(", ")))
    yield
    both.sql("n1", "SET sql_log_bin = 0", *(f"ALTER USER {account} ACCOUNT UNLOCK" for account in accounts.split(", ")))


def test_connecting_anew_keeps_what_was_received(both: Pair, unapplied: int, source_is_gone: None) -> None:
    replica = both.server("n2")
    replica.reconnect()
    link = replica.link()
    assert link is not None and link.channel.receiver.running and not link.channel.receiver.connected
    if both.flavour is Flavour.MYSQL:
        both.sql("n2", "START REPLICA SQL_THREAD")
    until(lambda: rows(both) == unapplied)
    replica.detach()
    replica.reconnect()
    link = replica.link()
    assert link is not None and not link.channel.receiver.running, "one that does not receive is left alone"


def test_a_standing_applier_is_started_before_the_receiver_stops(both: Pair, unapplied: int, source_is_gone: None) -> None:
    replica = both.server("n2")
    replica.stop_receiving()
    assert replica.wait_applied(5.0)
    assert rows(both) == unapplied


@pytest.mark.mariadb
def test_what_the_new_source_has_may_be_fetched_again(both: Pair, unapplied: int, replica: Server) -> None:
    both.sql("n2", f"STOP {word(both)}")
    replica.follow(both.nodes["n1"], REPLICATION, replace(TIMINGS, connect_retry_s=2), LOSSLESS, facts(replica).received)
    caught_up(both)
    assert rows(both) == unapplied


def test_forgetting_the_source_drains_first(both: Pair, unapplied: int, source_is_gone: None) -> None:
    both.server("n2").forget_source()
    assert rows(both) == unapplied


def test_detaching_loses_nothing(both: Pair, unapplied: int, source_is_gone: None) -> None:
    replica = both.server("n2")
    replica.detach()
    assert replica.wait_applied(5.0)
    assert rows(both) == unapplied


def test_a_new_source_waits_for_the_drain(both: Pair, unapplied: int, source_is_gone: None) -> None:
    elsewhere = both.nodes["n2"]
    both.server("n2").follow(elsewhere, REPLICATION, TIMINGS, LOSSLESS)
    assert rows(both) == unapplied


def test_a_blocked_applier_forbids_another_source(both: Pair, replica: Server, source_is_gone: None) -> None:
    caught_up(both)
    expected = rows(both) + 1
    blocker = pymysql.connect(unix_socket=str(both.sandbox.place("n2").socket), user="root", autocommit=True)
    with blocker.cursor() as cursor:
        # Locks every gap, so that nothing can be inserted; and is allowed on a read-only server.
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        cursor.execute("BEGIN")
        cursor.execute("SELECT * FROM app.t")
        both.sql("n1", f"INSERT INTO app.t VALUES ({2000 + expected}, '')")
        goal = facts(both.server("n1")).executed
        until(lambda: facts(replica).received.contains(goal))
        assert not replica.wait_applied(0.3)
        for verb in (replica.forget_source, lambda: replica.follow(both.nodes["n2"], REPLICATION, TIMINGS, LOSSLESS)):
            with pytest.raises(ServerError, match="not applied"):
                verb()
        channel = facts(replica).channel
        assert channel is not None and channel.source_port == both.nodes["n1"].port and channel.applier.running
        cursor.execute("COMMIT")
    blocker.close()
    assert replica.wait_applied(5.0) and rows(both) == expected


def test_a_broken_applier_is_reported_at_once(both: Pair, replica: Server) -> None:
    caught_up(both)
    admin = both.admin("n2")
    with admin.administration():
        admin.run(Statement("INSERT INTO app.t VALUES (-1, 'errant')"))
    both.sql("n1", "INSERT INTO app.t VALUES (-1, 'right')")
    until(lambda: (channel := facts(replica).channel) and channel.applier.errno)
    for attempt in (lambda: replica.wait_applied(30.0), replica.forget_source):
        with pytest.raises(ServerError) as caught:
            attempt()
        assert caught.value.errno == 1062
    with admin.administration():
        admin.run(Statement("DELETE FROM app.t WHERE id = -1"))
    admin.close()
    replica.follow(both.nodes["n1"], REPLICATION, TIMINGS, LOSSLESS)
    caught_up(both)


def test_both_stopped_by_somebody_else(both: Pair, unapplied: int, replica: Server) -> None:
    """MySQL goes on where it was; MariaDB would throw the rows away, so we do not start it only to drain it."""
    both.sql("n2", f"STOP {word(both)}")
    if both.flavour is Flavour.MYSQL:
        assert replica.wait_applied(5.0)
    else:
        with pytest.raises(ServerError, match="throw that away"):
            replica.wait_applied(5.0)
        with pytest.raises(ServerError, match="throw that away"):
            replica.forget_source()
        # What only it is known to have must not go.
        changed, lacking = replace(TIMINGS, connect_retry_s=2), empty_gtid_set(both.flavour)
        for covered in (None, lacking):
            with pytest.raises(ServerError, match="throw that away"):
                replica.follow(both.nodes["n1"], REPLICATION, changed, LOSSLESS, covered)
        # The same source still has them, so following it is harmless.
        replica.follow(both.nodes["n1"], REPLICATION, TIMINGS, LOSSLESS)
        caught_up(both)
    assert rows(both) == unapplied
