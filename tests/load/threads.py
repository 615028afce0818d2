"""Application threads that write unique ids and read back what they wrote."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pymysql

import replclus
from tests.clusters import Cluster
from tests.integration.dbapi_world import account
from tests.load.books import Books

JOIN_S = 60.0
PAUSE_S = 0.005


class Load:
    """`running` starts the threads and joins them; what they were told is in `books`."""

    def __init__(self, cluster: Cluster, *, prefix: str = "", pause_s: float = PAUSE_S, **keywords: Any) -> None:
        self.books = Books()
        self._keywords = {**account(cluster), **keywords}
        self.prefix = prefix
        self._pause_s = pause_s
        self._stop = threading.Event()

    @contextmanager
    def running(self, *, autocommit: int, transactions: int) -> Iterator[Books]:
        workers = [*[Autocommit] * autocommit, *[Transactions] * transactions]
        threads = [threading.Thread(target=self._work, args=(worker, number)) for number, worker in enumerate(workers)]
        for thread in threads:
            thread.start()
        try:
            yield self.books
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(timeout=JOIN_S)
            if any(thread.is_alive() for thread in threads):
                self.books.wrong.append("a thread is stuck")

    def _work(self, worker: type[Worker], number: int) -> None:
        name = f"{self.prefix}{number}"
        try:
            with replclus.connect(**{**self._keywords, "autocommit": worker is Autocommit}) as connection:
                application = worker(connection, name, self.books)
                for turn in count():
                    if self._stop.wait(self._pause_s):
                        return
                    application.turn(f"{name}.{turn}")
        except Exception as error:  # whatever comes here was not promised
            self.books.wrong.append(f"{name}: {error!r}")


class Worker(ABC):
    """One thread's connection. After each turn the books say what it may believe."""

    def __init__(self, connection: replclus.Connection, name: str, books: Books) -> None:
        self.connection, self.name, self.books = connection, name, books
        self.cursor: Any = connection.cursor()
        self._sum = -1
        self._make_counter()

    def _make_counter(self) -> None:
        self.cursor.execute("INSERT INTO counters (id) VALUES (%s)", (self.name,))
        self.connection.commit()

    @abstractmethod
    def turn(self, write: str) -> None:
        """Do something with the write of this name, and check what comes of it."""

    def call(self, sql: str, *arguments: object) -> None:
        began = time.monotonic()
        try:
            self.cursor.execute(sql, arguments)
        finally:
            self.books.note_call(began, sql.partition(" ")[0])

    def scalar(self, sql: str, *arguments: object) -> Any:
        self.call(sql, *arguments)
        self.books.reads[self.cursor.route.node] += 1
        return self.cursor.fetchone()[0]

    def unknown(self, write: str) -> None:
        self.books.unknown.append(write)
        self.books.resolved[write] = self.connection.outcome()

    def lost(self, write: str, error: pymysql.err.OperationalError) -> None:
        """It must be an error that applications retry, and the connection must know what became of it."""
        self.books.rolled_back.append(write)
        if error.args[0] != 1213:
            self.books.wrong.append(f"{write}: {error!r} is not one that is retried")
        if self.connection.outcome() != "not_committed":
            self.books.wrong.append(f"{write}: lost, and outcome() says {self.connection.outcome()}")

    def check_monotonic(self) -> None:
        """Counters only grow, so their sum never falls for one reader."""
        found = int(self.scalar("SELECT SUM(n) FROM counters"))
        if found < self._sum:
            self.books.wrong.append(f"{self.name} saw {self._sum} and later {found}, on {self.cursor.route}")
        self._sum = max(self._sum, found)


class Autocommit(Worker):
    """Every statement on its own: two writes, each read back."""

    def turn(self, write: str) -> None:
        self._insert(write)
        self._count()
        self.check_monotonic()

    def _insert(self, write: str) -> None:
        try:
            self.call("INSERT INTO ledger VALUES (%s)", write)
        except replclus.OutcomeUnknown:
            self.unknown(write)
            return
        self.books.acknowledged.append(write)
        if self.connection.outcome() != "committed":
            self.books.wrong.append(f"{write}: acknowledged, and outcome() says {self.connection.outcome()}")
        if self.scalar("SELECT COUNT(*) FROM ledger WHERE id = %s", write) != 1:
            self.books.wrong.append(f"{write} not read back on {self.cursor.route}")

    def _count(self) -> None:
        books = self.books
        try:
            self.call("UPDATE counters SET n = n + 1 WHERE id = %s", self.name)
        except replclus.OutcomeUnknown:
            said = self.connection.outcome()
            books.unknown.append(f"{self.name} + 1")
            books.added[self.name] += said == "committed"
            books.perhaps_added[self.name] += said == "unknown"
            return
        books.added[self.name] += 1
        found = self.scalar("SELECT n FROM counters WHERE id = %s", self.name)
        least = books.added[self.name]
        if not least <= found <= least + books.perhaps_added[self.name]:
            books.wrong.append(f"counter {self.name} is read as {found} after {least} additions, on {self.cursor.route}")


class Transactions(Worker):
    """A read, two ids and a counter, and COMMIT: all of it or nothing."""

    def turn(self, write: str) -> None:
        books, halves = self.books, (f"{write}.a", f"{write}.b")
        try:
            self.check_monotonic()
            for half in halves:
                self.call("INSERT INTO ledger VALUES (%s)", half)
            self.call("UPDATE counters SET n = n + 1 WHERE id = %s", self.name)
            if self.scalar("SELECT COUNT(*) FROM ledger WHERE id IN %s", halves) != 2:
                books.wrong.append(f"{write}: a transaction does not see what it did")
            began = time.monotonic()
            try:
                self.connection.commit()
            finally:
                books.note_call(began, "COMMIT")
        except replclus.OutcomeUnknown:
            said = self.connection.outcome()
            for half in halves:
                self.unknown(half)
            books.added[self.name] += said == "committed"
            books.perhaps_added[self.name] += said == "unknown"
        except replclus.TransactionLost as error:
            for half in halves:
                self.lost(half, error)
            self.connection.rollback()
        else:
            books.acknowledged += halves
            books.added[self.name] += 1
            if self.connection.outcome() != "committed":
                books.wrong.append(f"{write}: committed, and outcome() says {self.connection.outcome()}")
            if self.scalar("SELECT COUNT(*) FROM ledger WHERE id IN %s", halves) != 2:
                books.wrong.append(f"{write} not read back on {self.cursor.route}")
            self.connection.commit()
