"""One application process of the demo: a shop that takes orders. It knows `replclus.connect` and SQL, nothing more.

    python -m replclus.cli.demo.application --config replclus.toml --number 1 --history app1.jsonl

Runs until SIGTERM, or until the process that started it is gone.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import pymysql

import replclus
from replclus.cli.demo.data import CUSTOMERS, FIRST_PLACED_ID, LINES_MAX, LINES_MIN, PRODUCTS
from replclus.cli.demo.history import Kind, Recorder, Write

PAUSE_S = 0.02
"""Between two customers: a shop with traffic, not a load test, on a machine that runs all servers at once."""
ERROR_PAUSE_S = 0.05
FAILOVER_TIMEOUT_S = 15

_ORDER = "INSERT INTO orders (id, customer_id, placed_at, status) VALUES (%s, %s, %s, 'placed')"
_LINE = "INSERT INTO order_lines (order_id, line_no, product_id, quantity, price) VALUES "
_PAID = "UPDATE orders SET status = 'paid' WHERE id = %s"
_OWN = (
    "SELECT o.id, COUNT(l.line_no) AS lines_seen FROM orders AS o LEFT JOIN order_lines AS l ON l.order_id = o.id "
    "WHERE o.id = %s GROUP BY o.id"
)
_CUSTOMER = "SELECT name, city, country FROM customers WHERE id = %s"
_PRODUCTS = "SELECT id, name, price FROM products WHERE id IN (%s, %s, %s)"


class Shop:
    """Places orders, one after the other, and writes down what was acknowledged."""

    def __init__(self, connection: Any, number: int, recorder: Recorder) -> None:
        self._connection = connection
        self._recorder = recorder
        self._ids = count(number * FIRST_PLACED_ID)
        self._dice = random.Random(number)  # noqa: S311 - which customer buys what
        self.reads: Counter[str] = Counter()
        self.stale_reads = 0

    def serve_one(self) -> None:
        """A customer looks around, orders, looks at the order and pays."""
        order_id, customer = next(self._ids), self._dice.randint(1, CUSTOMERS)
        wanted = self._dice.sample(range(1, PRODUCTS + 1), LINES_MAX)[: self._dice.randint(LINES_MIN, LINES_MAX)]
        self._read(_CUSTOMER, (customer,))
        self._read(_PRODUCTS, (wanted[0], wanted[1], wanted[-1]))
        placed_at = datetime.now()  # noqa: DTZ005 - a column without a time zone
        self._write(Kind.ORDER, order_id, _ORDER, (order_id, customer, placed_at))
        lines = tuple(self._lines(order_id, wanted))
        values = tuple(value for line in lines for value in line)
        statement = _LINE + ", ".join(["(%s, %s, %s, %s, %s)"] * len(lines))
        self._write(Kind.LINES, order_id, statement, values, lines=len(lines))
        seen = self._read(_OWN, (order_id,))
        if not seen or int(seen[0][1]) != len(lines):
            self.stale_reads += 1
        self._write(Kind.PAID, order_id, _PAID, (order_id,))

    def _lines(self, order_id: int, products: list[int]) -> Iterator[tuple[Any, ...]]:
        for line_no, product in enumerate(products, start=1):
            yield order_id, line_no, product, self._dice.randint(1, 4), self._dice.randint(490, 24_900) / 100

    def _write(self, kind: Kind, order_id: int, sql: str, values: tuple[Any, ...], *, lines: int = 0) -> None:
        began = time.monotonic()
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values)
            node = cursor.route.node
        now = time.monotonic()
        took_ms = (now - began) * 1000
        self._recorder.write(Write(at=now, took_ms=took_ms, node=node, kind=kind, order_id=order_id, lines=lines))

    def _read(self, sql: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values)
            self.reads[cursor.route.node] += 1
            return tuple(cursor.fetchall())


def work(config: Path, number: int, recorder: Recorder, stop: list[int]) -> None:
    """Serve customers until `stop` is not empty. Every exception is evidence, and the next customer is served."""
    parent = os.getppid()
    connection = replclus.connect(
        cluster=str(config),
        user="app",
        password="app",  # noqa: S106 - the sandbox's published account
        database="app",
        autocommit=True,
        track_outcome=True,
        failover_timeout=FAILOVER_TIMEOUT_S,
    )
    shop = Shop(connection, number, recorder)
    while not stop and os.getppid() == parent:
        try:
            shop.serve_one()
            time.sleep(PAUSE_S)
        except pymysql.MySQLError as error:
            recorder.error(time.monotonic(), f"{type(error).__name__}: {error}")
            time.sleep(ERROR_PAUSE_S)
    connection.close()
    recorder.end(shop.reads, shop.stale_reads)


def main() -> None:
    parser = argparse.ArgumentParser(description="One application process of the demo.")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--number", type=int, required=True, help="from 1; no two processes share one")
    parser.add_argument("--history", type=Path, required=True)
    given = parser.parse_args()
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stop.append(number))
    with given.history.open("w") as file:
        work(given.config, given.number, Recorder(file), stop)


if __name__ == "__main__":
    main()
