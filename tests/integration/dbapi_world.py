"""A cluster of each family and a way to connect to it as an application does, for the tests of `replclus.connect`."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
from pymysql.cursors import Cursor

import replclus
from replclus.dbapi import registry
from replclus.sandbox import Sandbox
from tests.clusters import Cluster, initialised

Connect = Callable[..., replclus.Connection]


@pytest.fixture(scope="module")
def cluster(module_sandbox: Sandbox) -> Iterator[Cluster]:
    """Initialised, with a table app.t (id, v); no watchdog."""
    made = initialised(module_sandbox)
    made.run("n1", "CREATE TABLE app.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(100))")
    yield made
    registry.shut_down()


@pytest.fixture
def connect(cluster: Cluster) -> Iterator[Connect]:
    """Connections as `app`, autocommit on; closed after the test."""
    opened: list[replclus.Connection] = []

    def make(**keywords: Any) -> replclus.Connection:
        opened.append(replclus.connect(**{**account(cluster), "autocommit": True, **keywords}))
        return opened[-1]

    yield make
    for connection in opened:
        if connection.open:
            connection.close()


def account(cluster: Cluster) -> dict[str, Any]:
    return {"cluster": str(cluster.sandbox.config), "user": "app", "password": "app", "database": "app"}


def scalar(connection: replclus.Connection, sql: str) -> Any:
    with connection.cursor(Cursor) as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def hold_back(cluster: Cluster, *names: str) -> None:
    """Stop applying there."""
    for name in names:
        cluster.run(name, "STOP SLAVE SQL_THREAD" if cluster.sandbox.flavour == "mariadb" else "STOP REPLICA SQL_THREAD")


def let_go(cluster: Cluster, *names: str) -> None:
    for name in names:
        cluster.run(name, "START SLAVE SQL_THREAD" if cluster.sandbox.flavour == "mariadb" else "START REPLICA SQL_THREAD")


@contextmanager
def deaf_after(link: Any, writes: int, *, wait_s: float = 0.0) -> Iterator[None]:
    """Let `writes` more packets out over the real socket, and cut the line `wait_s` after the last one."""
    left = count(writes, -1)
    send = link._write_bytes

    def write(data: bytes) -> None:
        send(data)
        if next(left) == 0:
            time.sleep(wait_s)
            link._sock.shutdown(socket.SHUT_RD)

    link._write_bytes = write
    yield
