"""A primary whose commits nobody acknowledges: nothing hangs beyond its bound, nothing is acknowledged by accident."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pymysql
import pytest

from replclus.dialect import Statement
from replclus.errors import ServerError, ServerUnreachable
from replclus.model.spec import Durability, Flavour
from replclus.sandbox import create
from replclus.server.server import Server
from tests.integration.server_pair import APP, LOSSLESS, REPLICATION, TIMINGS, Pair, caught_up, facts, pair, until


@pytest.fixture(scope="module")
def both(server_root: Path, flavour: Flavour) -> Iterator[Pair]:
    sandbox = create(server_root / f"waiting-{flavour}", flavour=flavour, replicas=1)
    with pair(sandbox) as made:
        yield made
    sandbox.destroy()


@pytest.fixture
def primary(both: Pair) -> Iterator[Server]:
    server = both.server("n1")
    yield server
    server.close()


@contextmanager
def nobody_acknowledges(both: Pair) -> Iterator[None]:
    """The only replica is detached; afterwards it follows again and everything that waited is through."""
    replica, primary = both.server("n2"), both.server("n1")
    replica.stop_receiving()
    try:
        yield
    finally:
        replica.follow(both.nodes["n1"], REPLICATION, TIMINGS, LOSSLESS)
        until(lambda: facts(primary).semi_sync.waiting == 0)
        primary.open_for_writes()
        caught_up(both)
        replica.close()
        primary.close()


@contextmanager
def waiting_insert(both: Pair, number: int) -> Iterator[Future[object]]:
    """An application's INSERT that waits for its acknowledgement; the future gets its outcome."""
    primary = both.server("n1")
    with ThreadPoolExecutor(1) as pool:
        outcome: Future[object] = pool.submit(both.sql, "n1", f"INSERT INTO app.t VALUES ({number}, 'w')", account=APP)
        until(lambda: facts(primary).semi_sync.waiting > 0)
        yield outcome
    primary.close()


def test_a_beat_that_nobody_acknowledges_fails_in_time(both: Pair, primary: Server) -> None:
    primary.beat(both.pulse(), 2.0)
    with nobody_acknowledges(both):
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(ServerUnreachable):
                primary.beat(both.pulse(), 0.7)
            assert time.monotonic() - began < 1.5
        assert facts(primary).semi_sync.waiting == 1, "the later ones must not pile up behind the first"
        assert facts(primary).writable
    primary.beat(both.pulse(), 2.0)


def test_closing_behind_a_waiting_commit_gives_up(both: Pair, primary: Server) -> None:
    with nobody_acknowledges(both), waiting_insert(both, 1) as outcome:
        for _ in range(2):
            began = time.monotonic()
            assert not primary.close_for_writes(0.5)
            assert time.monotonic() - began < 1.5
        assert facts(primary).writable and not outcome.done()
        until(lambda: not any("read_only" in str(row["info"]) for row in statements_of_others(primary)))
        both.server("n2").follow(both.nodes["n1"], REPLICATION, TIMINGS, LOSSLESS)
        outcome.result(10.0)
    assert both.sql("n2", "SELECT id FROM app.t WHERE id = 1") == ((1,),)


def statements_of_others(server: Server) -> list[dict[str, object]]:
    sql = "SELECT id, user, info FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND info IS NOT NULL"
    return server.run(Statement(sql))


def test_a_former_primary_with_waiting_commits_is_not_turned(both: Pair, primary: Server) -> None:
    """Switching semi-sync off would answer OK to the client."""
    with nobody_acknowledges(both), waiting_insert(both, 2) as outcome:
        with pytest.raises(ServerError):
            primary.follow(both.nodes["n2"], REPLICATION, TIMINGS, LOSSLESS)
        with pytest.raises(ServerError, match="wait for an acknowledgement"):
            primary.become_source(Durability.AVAILABLE)
        assert not outcome.done() and facts(primary).semi_sync.source_enabled and facts(primary).channel is None
        both.server("n2").follow(both.nodes["n1"], REPLICATION, TIMINGS, LOSSLESS)
        outcome.result(10.0)


def test_kicking_ends_clients_without_an_answer(both: Pair, primary: Server) -> None:
    idle = pymysql.connect(unix_socket=str(both.sandbox.place("n1").socket), user="app", password=APP.password.reveal())
    beaten = both.server("n1")
    beaten.beat(both.pulse(), 2.0)
    primary.kick_clients()
    with pytest.raises(pymysql.err.Error), idle.cursor() as cursor:
        cursor.execute("SELECT 1")
    channel = facts(both.server("n2")).channel
    assert channel is not None and channel.receiver.connected, "replication is left alone"
    before = beaten.run(Statement("SELECT CONNECTION_ID() AS id"))
    primary.kick_clients()
    assert beaten.run(Statement("SELECT CONNECTION_ID() AS id")) == before, "and so are we"
    with nobody_acknowledges(both), waiting_insert(both, 3) as outcome:
        primary.kick_clients()
        error = outcome.exception(10.0)
        assert isinstance(error, pymysql.err.OperationalError) and error.args[0] == 2013, "outcome unknown, never OK"


def test_abort_from_another_thread(both: Pair) -> None:
    server = both.server("n1", timeout_s=30.0)
    facts(server)
    threading.Timer(0.3, server.abort).start()
    began = time.monotonic()
    with pytest.raises(ServerUnreachable):
        server.run(Statement("SELECT SLEEP(20)"))
    assert time.monotonic() - began < 2.0
    assert server.observe().answered, "and the next verb connects anew"
    server.close()
    server.abort()
