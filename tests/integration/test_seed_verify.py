"""Comparing a server with its donor at one position: one changed value anywhere is found, and nothing else is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from replclus.provision.verify import verify
from replclus.sandbox import Sandbox
from tests.integration.seed_worlds import NODE, PRIMARY, SeedWorld, seed_world

CHANGES = {
    "text": ("UPDATE app.t SET v = CONCAT(v, ' ') WHERE id = 7", "app.t"),
    "decimal": ("UPDATE app.t SET d = d + 0.001 WHERE id = 7", "app.t"),
    "double": ("UPDATE app.t SET x = x + 1e-15 WHERE id = 7", "app.t"),
    "null": ("UPDATE app.t SET v = NULL WHERE id = 7", "app.t"),
    "empty": ("UPDATE app.keyless SET b = NULL WHERE a IS NULL", "app.keyless"),
    "json": ("UPDATE app.t SET j = '{\"a\": 8}' WHERE id = 7", "app.t"),
    "blob": ("UPDATE app.t SET b = x'00ff26' WHERE id = 7", "app.t"),
    "time": ("UPDATE app.t SET s = '2026-01-01 00:00:00.124' WHERE id = 7", "app.t"),
    "bits": ("UPDATE app.t SET bits = b'100000000' WHERE id = 7", "app.t"),
    "geometry": ("UPDATE app.shapes SET g = POINT(7, 3)", "app.shapes"),
    "gone": ("DELETE FROM app.t WHERE id = 7", "app.t"),
    "swapped": ("UPDATE app.t SET v = (CASE id WHEN 7 THEN 'row 8 it''s' ELSE 'row 7 it''s' END) WHERE id IN (7, 8)", "app.t"),
    "twice": ("INSERT INTO app.keyless VALUES (1, 'twice'), (1, 'twice')", "app.keyless"),
    "table": ("CREATE TABLE app.ghost (i INT)", "app.ghost"),
    "column": ("ALTER TABLE app.keyless ADD COLUMN c INT", "app.keyless"),
}


@pytest.fixture(scope="module")
def world(module_sandbox: Sandbox) -> SeedWorld:
    return seed_world(lambda *_, **__: module_sandbox, module_sandbox.flavour)


@contextmanager
def written_to(world: SeedWorld) -> Iterator[None]:
    """Other rows are changed on the primary all the while."""
    over = threading.Event()

    def write() -> None:
        with world.cluster.connect(PRIMARY) as connection, connection.cursor() as cursor:
            for number in range(100_000):
                cursor.execute("UPDATE app.t SET v = %s WHERE id = 1", (f"busy {number}",))
                cursor.execute("UPDATE replclus.pulse SET beat = beat + 1")
                if over.wait(0.02):
                    return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        over.set()
        writer.join()


@pytest.mark.parametrize("donor", ["n2", "n1"], ids=["replica", "primary"])
def test_equal_servers_are_found_equal_while_the_cluster_is_written_to(world: SeedWorld, donor: str) -> None:
    with written_to(world):
        for _ in range(5):
            verified = verify(world.case(donor=world.cluster.spec.node(donor)))
            assert verified.equal and verified.tables == 6 and verified.rows >= 24, (verified, world.said)
    assert not world.cluster.writable(NODE)


@pytest.mark.parametrize("change", CHANGES)
def test_one_difference_is_found_and_named(world: SeedWorld, change: str) -> None:
    statement, table = CHANGES[change]
    world.alone(NODE, "SET SESSION sql_log_bin = 0", statement)
    try:
        verified = verify(world.case())
        assert verified.different == (table,), verified
    finally:
        rebuilt = world.bring_back(None)
        assert rebuilt.ok, rebuilt.why
