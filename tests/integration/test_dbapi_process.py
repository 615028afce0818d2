"""What one connection of a process wrote, another one reads, though every replica is held back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clusters import Cluster
from tests.integration.dbapi_world import Connect, cluster, connect, hold_back, let_go, scalar

__all__ = ["cluster", "connect"]
COUNT = "SELECT COUNT(*) FROM app.t"


@pytest.fixture
def behind(cluster: Cluster) -> Iterator[None]:
    hold_back(cluster, "n2", "n3", "n4")
    yield
    let_go(cluster, "n2", "n3", "n4")


def test_a_new_connection_sees_what_the_process_wrote(connect: Connect, behind: None) -> None:
    writer = connect()
    before = scalar(writer, COUNT)
    writer.cursor().execute("INSERT INTO app.t (v) VALUES ('new')")
    writer.close()
    assert scalar(connect(), COUNT) == before + 1


def test_a_kept_connection_sees_it_after_catch_up(connect: Connect, behind: None) -> None:
    kept, writer = connect(), connect()
    before = scalar(kept, COUNT)
    for number in range(1, 4):
        writer.cursor().execute("INSERT INTO app.t (v) VALUES ('kept')")
        kept.catch_up()
        assert scalar(kept, COUNT) == before + number


def test_eventual_connections_do_not_wait(connect: Connect, behind: None) -> None:
    reader, writer = connect(consistency="eventual"), connect()
    before = scalar(reader, COUNT)
    writer.cursor().execute("INSERT INTO app.t (v) VALUES ('later')")
    reader.catch_up()
    assert scalar(reader, COUNT) == before
