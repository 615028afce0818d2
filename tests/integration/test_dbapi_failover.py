"""A failover as an application sees it: the primary is killed under load, a real watchdog promotes another one.

A ledger with unique ids is the witness: nothing that was acknowledged is missing, nothing was executed twice (that would be a
duplicate key), and whoever was told "unknown" was told the truth.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

import replclus
from replclus.dbapi import registry
from replclus.sandbox import Sandbox
from tests.clusters import Cluster, eventually, initialised
from tests.integration.dbapi_world import account, deaf_after, scalar


@pytest.fixture
def cluster(sandbox: Sandbox) -> Iterator[Cluster]:
    made = initialised(sandbox)
    made.run("n1", "CREATE TABLE app.ledger (id VARCHAR(40) PRIMARY KEY)")
    with made.watchdog():
        made.until_healthy("the cluster is healthy")
        yield made
    registry.shut_down()


@dataclass
class Books:
    """What the applications were told."""

    acknowledged: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    rolled_back: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    reads: int = 0


class Load:
    """Application threads: each writes unique ids, and reads back what it wrote."""

    def __init__(self, cluster: Cluster, **keywords: Any) -> None:
        self.books = Books()
        self._keywords = {**account(cluster), **keywords}
        self._stop = threading.Event()

    @contextmanager
    def running(self, *, autocommit: int, transactions: int) -> Iterator[Books]:
        workers = [*[self._autocommit] * autocommit, *[self._transactions] * transactions]
        threads = [threading.Thread(target=worker, args=(number,)) for number, worker in enumerate(workers)]
        for thread in threads:
            thread.start()
        try:
            yield self.books
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(timeout=60)
        assert not any(thread.is_alive() for thread in threads), "a thread is stuck"

    def _autocommit(self, number: int) -> None:
        with replclus.connect(**{**self._keywords, "autocommit": True}) as connection:
            cursor = connection.cursor()
            for turn in count():
                if self._stop.wait(0.005):
                    return
                name = f"{number}.{turn}"
                with self._told(name):
                    cursor.execute("INSERT INTO ledger VALUES (%s)", (name,))
                    self.books.acknowledged.append(name)
                    cursor.execute("SELECT COUNT(*) FROM ledger WHERE id = %s", (name,))
                    self.books.reads += 1
                    if cursor.fetchone() != (1,):
                        self.books.wrong.append(f"{name} not read back on {cursor.route}")

    def _transactions(self, number: int) -> None:
        with replclus.connect(**{**self._keywords, "autocommit": False}) as connection:
            cursor = connection.cursor()
            for turn in count():
                if self._stop.wait(0.005):
                    return
                name = f"{number}.{turn}"
                with self._told(f"{name}.b"):
                    cursor.execute("SELECT COUNT(*) FROM ledger")
                    for half in "ab":
                        cursor.execute("INSERT INTO ledger VALUES (%s)", (f"{name}.{half}",))
                    connection.commit()
                    self.books.acknowledged += [f"{name}.a", f"{name}.b"]

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        try:
            yield
        except replclus.OutcomeUnknown:
            self.books.unknown.append(name)
        except replclus.TransactionLost:
            self.books.rolled_back.append(name)
        except Exception as error:  # anything else is the finding
            self.books.wrong.append(f"{name}: {error!r}")


def audit(cluster: Cluster, books: Books) -> None:
    primary = cluster.record.primary
    there = {row[0] for row in cluster.rows(primary, "SELECT id FROM app.ledger")}
    assert books.wrong == []
    assert [name for name in books.acknowledged if name not in there] == [], "acknowledged and lost"
    assert [name for name in books.rolled_back if name in there] == [], "rolled back, it was said"
    assert len(books.acknowledged) > 100
    assert books.reads > 50


def fail_over(cluster: Cluster) -> str:
    """Kill the primary, wait for another one, and bring the old one back."""
    old = cluster.record.primary
    cluster.kill(old)
    eventually(lambda: cluster.record.primary != old and cluster.record.operation is None, "a replica takes over")
    return old


def test_autocommit_and_transactions(cluster: Cluster) -> None:
    """Only what was on its way when the primary died may be told "unknown", and only cut transactions are lost."""
    with Load(cluster).running(autocommit=3, transactions=2) as books:
        time.sleep(1)
        old = fail_over(cluster)
        time.sleep(0.5)
        cluster.start(old)
        time.sleep(1)
    audit(cluster, books)
    assert len(books.unknown) <= 5
    assert len(books.rolled_back) <= 2


def test_tracked_outcomes_leave_nothing_unknown(cluster: Cluster) -> None:
    with Load(cluster, track_outcome=True).running(autocommit=3, transactions=2) as books:
        for _ in range(2):
            time.sleep(1)
            cluster.start(fail_over(cluster))
            cluster.until_healthy("the cluster is healthy again")
    audit(cluster, books)
    assert books.unknown == []
    assert len(books.rolled_back) <= 4
    primary = cluster.record.primary
    assert cluster.rows(primary, "SELECT COUNT(*) FROM replclus.outcome") == ((0,),), "tokens go with their connections"


def test_an_idle_connection_notices_nothing(cluster: Cluster) -> None:
    """What it sends next was never sent before: it is held until there is a primary, and then executed once."""
    with replclus.connect(**account(cluster), autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("INSERT INTO ledger VALUES ('before')")
        cluster.kill(cluster.record.primary)
        cursor.execute("INSERT INTO ledger VALUES ('held')")
        assert connection.outcome() == "committed"
        assert scalar(connection, "SELECT COUNT(*) FROM ledger") == 2
        assert connection.route is not None


def test_a_transaction_that_has_done_nothing_is_begun_again(cluster: Cluster) -> None:
    with replclus.connect(**account(cluster), autocommit=True) as connection:
        connection.begin()
        cluster.kill(cluster.record.primary)
        connection.cursor().execute("INSERT INTO ledger VALUES ('begun again')")
        connection.rollback()
        assert scalar(connection, "SELECT COUNT(*) FROM ledger") == 0, "it was a transaction"


def test_a_transaction_cut_in_the_middle_says_so(cluster: Cluster) -> None:
    with replclus.connect(**account(cluster)) as connection:
        cursor = connection.cursor()
        cursor.execute("INSERT INTO ledger VALUES ('half')")
        cluster.kill(cluster.record.primary)
        with pytest.raises(replclus.TransactionLost, match="rolled back, run it again") as lost:
            cursor.execute("INSERT INTO ledger VALUES ('other half')")
        assert lost.value.args[0] == 1213
        assert connection.outcome() == "not_committed"
        connection.rollback()
        for name in ("half", "other half"):
            cursor.execute("INSERT INTO ledger VALUES (%s)", (name,))
        connection.commit()
        assert connection.outcome() == "committed"


@pytest.fixture
def unwatched(sandbox: Sandbox) -> Iterator[Cluster]:
    made = initialised(sandbox)
    made.run("n1", "CREATE TABLE app.ledger (id VARCHAR(40) PRIMARY KEY)")
    yield made
    registry.shut_down()


def promote_by_hand(cluster: Cluster, name: str) -> None:
    """What a watchdog's last steps come to: writable, and the next epoch in the pulse."""
    open_by_hand(cluster, name)
    name_by_hand(cluster, name)


def open_by_hand(cluster: Cluster, name: str) -> None:
    mariadb = cluster.sandbox.flavour == "mariadb"
    cluster.run(
        name,
        "STOP SLAVE" if mariadb else "STOP REPLICA",
        "SET GLOBAL read_only = OFF" if mariadb else "SET GLOBAL super_read_only = OFF",
        "SET GLOBAL read_only = OFF",
        "SET GLOBAL rpl_semi_sync_master_enabled = OFF" if mariadb else "SET GLOBAL rpl_semi_sync_source_enabled = OFF",
    )


def name_by_hand(cluster: Cluster, name: str) -> None:
    cluster.run(
        name,
        f"UPDATE replclus.pulse SET epoch = epoch + 1, beat = beat + 1, primary_node = '{name}'",
    )


def test_calls_on_a_frozen_primary_are_broken_off(unwatched: Cluster) -> None:
    """Its sockets stay open and silent for ever. The watcher cuts them as soon as there is another primary."""
    with replclus.connect(**account(unwatched), autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("INSERT INTO ledger VALUES ('before')")
        eventually(lambda: unwatched.rows("n2", "SELECT COUNT(*) FROM app.ledger") == ((1,),), "n2 has it")
        frozen = unwatched.process("n1")
        frozen.freeze()
        try:
            promotion = threading.Timer(1.0, promote_by_hand, (unwatched, "n2"))
            promotion.start()
            began = time.monotonic()
            with pytest.raises(replclus.OutcomeUnknown, match="n2 has become the primary"):
                cursor.execute("INSERT INTO ledger VALUES ('into the ice')")
            assert 0.9 < time.monotonic() - began < 4
            assert connection.outcome() == "unknown"
            cursor.execute("INSERT INTO ledger VALUES ('after')")
            assert cursor.route.node == "n2"
            promotion.join()
        finally:
            frozen.thaw()


def test_a_demoted_primary_is_left_at_once(unwatched: Cluster) -> None:
    """It refuses with 1290, so the statement is known not to have run: it is held, and goes to the new primary."""
    with replclus.connect(**account(unwatched), autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("INSERT INTO ledger VALUES ('before')")
        eventually(lambda: unwatched.rows("n2", "SELECT COUNT(*) FROM app.ledger") == ((1,),), "n2 has it")
        unwatched.run("n1", "SET GLOBAL read_only = ON")
        promotion = threading.Timer(0.7, promote_by_hand, (unwatched, "n2"))
        promotion.start()
        cursor.execute("INSERT INTO ledger VALUES ('held')")
        promotion.join()
        assert cursor.route.node == "n2"
        assert unwatched.rows("n2", "SELECT id FROM app.ledger ORDER BY id") == (("before",), ("held",))


@contextmanager
def held_write(cluster: Cluster, connection: replclus.Connection) -> Iterator[Callable[[], int]]:
    """A write that finds no primary; it must have succeeded in the end. Yields what tells how many connections to n2 were made
    since it began."""
    connection.cursor().execute("INSERT INTO ledger VALUES ('before')")
    eventually(lambda: cluster.rows("n2", "SELECT COUNT(*) FROM app.ledger") == ((1,),), "n2 has it")
    cluster.run("n1", "SET GLOBAL read_only = ON")
    before = connection.statistics().count("made", "n2").times
    writing = threading.Thread(target=connection.cursor().execute, args=("INSERT INTO ledger VALUES ('held')",))
    writing.start()
    yield lambda: connection.statistics().count("made", "n2").times - before
    writing.join(timeout=20)
    assert connection.outcome() == "committed"


def test_a_connection_to_the_next_primary_is_made_ahead(unwatched: Cluster) -> None:
    with replclus.connect(**account(unwatched), autocommit=True) as connection:
        with held_write(unwatched, connection) as made:
            open_by_hand(unwatched, "n2")
            eventually(lambda: made() == 1, "n2 is open, and connected to")
            assert unwatched.rows("n2", "SELECT id FROM app.ledger") == (("before",),)
            name_by_hand(unwatched, "n2")
        assert made() == 1, "the write needed no other one"
        assert unwatched.rows("n2", "SELECT id FROM app.ledger ORDER BY id") == (("before",), ("held",))


def test_who_opens_and_is_never_named_primary_is_let_go(unwatched: Cluster) -> None:
    with replclus.connect(**account(unwatched), autocommit=True) as connection:
        with held_write(unwatched, connection) as made:
            discarded = connection.statistics().count("discarded", "n2").times
            open_by_hand(unwatched, "n2")
            eventually(lambda: made() == 1, "n2 is open, and connected to")
            unwatched.run("n1", "SET GLOBAL read_only = OFF")
        assert unwatched.rows("n2", "SELECT id FROM app.ledger") == (("before",),), "it was never written to"
        eventually(lambda: connection.statistics().count("discarded", "n2").times > discarded, "nobody needs it")


def test_an_init_command_may_write_so_it_is_not_sent_ahead(unwatched: Cluster) -> None:
    keywords = {**account(unwatched), "autocommit": True, "init_command": "SET @hello = 1"}
    with replclus.connect(**keywords) as connection, held_write(unwatched, connection) as made:
        open_by_hand(unwatched, "n2")
        time.sleep(0.5)
        assert made() == 0
        name_by_hand(unwatched, "n2")


def test_a_primary_that_hesitates_is_asked_again(unwatched: Cluster) -> None:
    """It is read-only for moments, in between which it says that it is not: nothing was executed, and in the end it is."""
    ended = threading.Event()

    def hesitate() -> None:
        for _ in range(20):
            unwatched.run("n1", "SET GLOBAL read_only = ON", "DO SLEEP(0.01)", "SET GLOBAL read_only = OFF")
        ended.set()

    with replclus.connect(**account(unwatched), autocommit=True) as connection:
        cursor = connection.cursor()
        hesitating = threading.Thread(target=hesitate)
        hesitating.start()
        written = 0
        while not ended.is_set():
            cursor.execute("INSERT INTO ledger VALUES (%s)", (f"{written}",))
            written += 1
        hesitating.join()
        assert scalar(connection, "SELECT COUNT(*) FROM ledger") == written


def test_no_primary_in_time(cluster: Cluster) -> None:
    """Everybody but one replica is dead: reads go on, a write waits as long as it was told to, and says so."""
    keywords = {**account(cluster), "autocommit": True, "failover_timeout": 1.5, "consistency": "eventual"}
    with replclus.connect(**keywords) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT COUNT(*) FROM ledger")
        for name in ("n1", "n2", "n3"):
            cluster.kill(name)
        cursor.execute("SELECT COUNT(*) FROM ledger")
        assert cursor.route.node == "n4"
        began = time.monotonic()
        with pytest.raises(replclus.Unavailable, match=r"no primary after 1\.\d s: .*n1"):
            cursor.execute("INSERT INTO ledger VALUES ('nowhere')")
        assert 1.4 <= time.monotonic() - began < 4
        assert connection.outcome() == "not_committed"


def test_a_connection_cut_in_the_network(cluster: Cluster) -> None:
    """The server lives, only the line is cut, at the worst moment: after COMMIT was sent. Tracked, the answer is found."""
    with replclus.connect(**account(cluster), autocommit=True, track_outcome=True) as connection:
        cursor = connection.cursor()
        cursor.execute("INSERT INTO ledger VALUES ('first')")
        for turn in range(10):
            writer = connection._session.backends.writer  # type: ignore[union-attr]
            assert writer is not None
            with deaf_after(writer, turn % 4):
                cursor.execute("INSERT INTO ledger VALUES (%s)", (f"cut {turn}",))
                assert cursor.rowcount == 1
        assert scalar(connection, "SELECT COUNT(*) FROM ledger") == 11
