"""Comparing a server with its donor at one position: one changed value anywhere is found, and nothing else is."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from replclus.dialect import Statement
from replclus.provision.verify import verify
from replclus.sandbox import Sandbox
from replclus.server import checksums
from replclus.server.checksums import Checksum
from replclus.server.line import Line
from tests.integration.seed_worlds import NODE, PRIMARY, SeedWorld, seed_world

CHANGES = {
    "text": ("UPDATE app.t SET v = CONCAT(v, ' ') WHERE id = 7", "t"),
    "decimal": ("UPDATE app.t SET d = d + 0.001 WHERE id = 7", "t"),
    "double": ("UPDATE app.t SET x = x + 1e-15 WHERE id = 7", "t"),
    "float": ("UPDATE app.t SET f = f + 1e-7 WHERE id = 7", "t"),
    "null": ("UPDATE app.t SET v = NULL WHERE id = 7", "t"),
    "json": ("UPDATE app.t SET j = '{\"a\": 8}' WHERE id = 7", "t"),
    "blob": ("UPDATE app.t SET b = x'00ff26' WHERE id = 7", "t"),
    "time": ("UPDATE app.t SET s = '2026-01-01 00:00:00.124' WHERE id = 7", "t"),
    "latin": ("UPDATE app.t SET z = _latin1 x'e8' WHERE id = 7", "t"),
    "bits": ("UPDATE app.t SET bits = b'100000000' WHERE id = 7", "t"),
    "enum": ("UPDATE app.t SET e = NULL WHERE id = 7", "t"),
    "geometry": ("UPDATE app.shapes SET g = POINT(7, 3)", "shapes"),
    "gone": ("DELETE FROM app.t WHERE id = 7", "t"),
    "swapped": ("UPDATE app.t SET v = (CASE id WHEN 7 THEN 'row 8 it''s' ELSE 'row 7 it''s' END) WHERE id IN (7, 8)", "t"),
    "empty": ("UPDATE app.keyless SET b = NULL WHERE a IS NULL", "keyless"),
    "twice": ("INSERT INTO app.keyless VALUES (1, 'twice'), (1, 'twice')", "keyless"),
    "moved": ("UPDATE app.keyless SET a = 11, b = 'wice' WHERE b = 'twice'", "keyless"),
}
DIFFERENCES = (
    "UPDATE app.t SET d = d + 0.001 WHERE id = 7",
    "CREATE TABLE app.ghost (i INT)",
    "ALTER TABLE app.keyless ADD COLUMN c INT",
)


@pytest.fixture(scope="module")
def world(module_sandbox: Sandbox) -> SeedWorld:
    return seed_world(lambda *_, **__: module_sandbox, module_sandbox.flavour)


def caught_up_and_detached(world: SeedWorld) -> None:
    world.follow()
    world.caught_up()
    world.detach()


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


def sums(line: Line) -> dict[str, Checksum]:
    found = checksums.tables(line)
    return {
        table: checksums.checksum(line, (schema, table), found[schema, table], 30.0) for schema, table in found if schema == "app"
    }


def line_to(world: SeedWorld, name: str) -> Line:
    admin = world.cluster.spec.admin
    assert admin is not None
    where = world.cluster.spec.node(name)
    return Line(where, admin, clock=time.monotonic, connect_timeout_s=5.0, timeout_s=30.0, audit=None)


def test_every_change_of_a_value_changes_the_checksum_of_its_table(world: SeedWorld) -> None:
    caught_up_and_detached(world)
    one, other = line_to(world, PRIMARY), line_to(world, NODE)
    with checksums.session(one, 60.0), checksums.session(other, 60.0):
        equal = sums(one)
        assert sums(other) == equal and set(equal) == {"t", "keyless", "shapes"}
        for change, (statement, table) in CHANGES.items():
            one.read(Statement("BEGIN"))
            one.read(Statement(statement))
            now = sums(one)
            assert [name for name in equal if now[name] != equal[name]] == [table], change
            one.read(Statement("ROLLBACK"))
        assert sums(one) == equal


def test_differences_are_found_and_named_and_gone_after_a_rebuild(world: SeedWorld) -> None:
    caught_up_and_detached(world)
    world.alone(NODE, "SET SESSION sql_log_bin = 0", *DIFFERENCES)
    verified = verify(world.case())
    assert verified.different == ("app.ghost", "app.keyless", "app.t"), verified
    rebuilt = world.bring_back(None)
    assert rebuilt.ok, rebuilt.why
    assert verify(world.case()).equal
