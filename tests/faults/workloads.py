"""What the clients do. Each workload leaves rows that show afterwards what became of every single operation.

insert    a row with an id of its own and the server that took it; the id is not a key, so that a repeat is a second row
append    an element at the end of one of a few shared lists, and reading a list
register  a number that a session alone writes, larger each time; it reads its own and other sessions'
bank      moving money between two accounts in a transaction; the sum, read in one statement, must not change
claim     both processes want the same key at the same moment; only one may get it
direct    as insert, past every router: one session for each server, which writes there whoever is primary
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

TABLES = (
    "CREATE TABLE app.entries (pk BIGINT AUTO_INCREMENT PRIMARY KEY, id VARCHAR(60) NOT NULL, origin INT NOT NULL, KEY id (id))",
    "CREATE TABLE app.lists (k INT PRIMARY KEY, elements MEDIUMTEXT NOT NULL)",
    "CREATE TABLE app.registers (name VARCHAR(60) PRIMARY KEY, v INT NOT NULL)",
    "CREATE TABLE app.bank (account INT PRIMARY KEY, balance INT NOT NULL)",
    "CREATE TABLE app.claims (k BIGINT PRIMARY KEY, who VARCHAR(60) NOT NULL, origin INT NOT NULL)",
)
NAMES = ("entries", "lists", "registers", "bank", "claims")
ACCOUNTS = 6
BALANCE = 100
TOTAL = ACCOUNTS * BALANCE
FILLING = "INSERT INTO app.bank (account, balance) VALUES " + ", ".join(f"({n}, {BALANCE})" for n in range(ACCOUNTS))
LISTS = 4
CLAIMS_PER_S = 5

READS = frozenset({"list", "own", "other", "sum"})
"""Operations that change nothing."""
INSERTS = frozenset({"insert", "direct"})
"""Operations that leave a row in `entries`, whose id is their value."""


@dataclass(frozen=True, slots=True)
class Request:
    """One operation: what it is called, its value, and how it is done. What `run` returns is its result."""

    what: str
    value: Any
    run: Callable[[Any], Any]


Workload = Callable[[str, random.Random], Iterator[Request]]


def _execute(sql: str, *values: Any) -> Callable[[Any], Any]:
    def run(connection: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            rows = cursor.fetchall()
            connection.lab_route = getattr(cursor, "route", None)
            return rows[0][0] if rows else None

    return run


def inserts(session: str, chance: random.Random) -> Iterator[Request]:
    n = 0
    while True:
        n += 1
        yield Request("insert", f"{session} {n}", _execute(_INSERT, f"{session} {n}"))


_INSERT = "INSERT INTO entries (id, origin) VALUES (%s, @@server_id)"


def directs(session: str, chance: random.Random) -> Iterator[Request]:
    n = 0
    while True:
        n += 1
        yield Request("direct", f"{session} {n}", _execute(_INSERT, f"{session} {n}"))


def appends(session: str, chance: random.Random) -> Iterator[Request]:
    n = 0
    while True:
        n += 1
        key, element = chance.randrange(LISTS), f"{session.replace('/', '-')}-{n}"
        yield Request("append", [key, element], _execute(_APPEND, key, element, element))
        key = chance.randrange(LISTS)
        yield Request("list", key, _execute("SELECT elements FROM lists WHERE k = %s", key))


_APPEND = "INSERT INTO lists (k, elements) VALUES (%s, %s) ON DUPLICATE KEY UPDATE elements = CONCAT(elements, ' ', %s)"


def registers(session: str, chance: random.Random) -> Iterator[Request]:
    n = 0
    others = [f"c{process}/register-{number}" for process in (1, 2) for number in range(SESSIONS["register"])]
    while True:
        n += 1
        yield Request("set", [session, n], _execute(_SET, session, n, n))
        yield Request("own", session, _execute("SELECT v FROM registers WHERE name = %s", session))
        other = chance.choice(others)
        yield Request("other", other, _execute("SELECT v FROM registers WHERE name = %s", other))


# What is executed late, after its session has given it up and gone on, changes nothing any more.
_SET = "INSERT INTO registers (name, v) VALUES (%s, %s) ON DUPLICATE KEY UPDATE v = GREATEST(v, %s)"


def bank(session: str, chance: random.Random) -> Iterator[Request]:
    while True:
        one, other = sorted(chance.sample(range(ACCOUNTS), 2))
        yield Request("transfer", [one, other], _transfer(one, other, chance.choice((-1, 1))))
        # A conversion, because a sum is a decimal number, which JSON has not.
        yield Request("sum", None, _execute("SELECT CAST(SUM(balance) AS SIGNED) FROM bank"))


def _transfer(one: int, other: int, amount: int) -> Callable[[Any], Any]:
    def run(connection: Any) -> None:
        connection.begin()
        with connection.cursor() as cursor:
            # In the order of the keys, so that two transfers never wait for each other.
            cursor.execute("UPDATE bank SET balance = balance - %s WHERE account = %s", (amount, one))
            cursor.execute("UPDATE bank SET balance = balance + %s WHERE account = %s", (amount, other))
            connection.lab_route = cursor.route
        connection.commit()

    return run


def claims(session: str, chance: random.Random) -> Iterator[Request]:
    n = 0
    while True:
        n += 1
        # The same for both processes, and far from the numbers of earlier seconds.
        key, who = int(time.monotonic() * CLAIMS_PER_S), f"{session} {n}"
        yield Request("claim", [key, who], _execute(_CLAIM, key, who))


_CLAIM = "INSERT INTO claims (k, who, origin) VALUES (%s, %s, @@server_id)"

WORKLOADS: dict[str, Workload] = {
    "insert": inserts,
    "append": appends,
    "register": registers,
    "bank": bank,
    "claim": claims,
    "direct": directs,
}
SESSIONS = {"insert": 2, "append": 1, "register": 1, "bank": 1, "claim": 1}
"""Of each kind in each process."""
PER_S = {"insert": 25.0, "append": 8.0, "register": 12.0, "bank": 6.0, "claim": CLAIMS_PER_S, "direct": 5.0}
"""How often a session does something, unless it has to wait."""
