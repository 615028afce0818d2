"""MariaDB: rows that only one server changed are changed back, and whether that was enough is measured, not believed."""

from __future__ import annotations

import pytest

from replclus.model.spec import Flavour
from tests.conftest import MakeSandbox
from tests.integration.seed_worlds import DIVERGE, NODE, SeedWorld, seed_world

pytestmark = pytest.mark.mariadb

PULSE = (
    "SET SESSION binlog_row_image = MINIMAL",
    "UPDATE replclus.pulse SET beat = beat + 7",
    "SET SESSION binlog_row_image = FULL",
)


@pytest.fixture
def world(make_sandbox: MakeSandbox) -> SeedWorld:
    return seed_world(make_sandbox, Flavour.MARIADB)


def test_changed_rows_are_undone_without_replacing_the_data(world: SeedWorld) -> None:
    several = ("BEGIN", *DIVERGE, "INSERT INTO app.keyless VALUES (9, 'x')", "COMMIT")
    extra = world.diverge(*PULSE, *several, "FLUSH BINARY LOGS", "UPDATE app.t SET v = 'again' WHERE id IN (1001, 3)", *PULSE)
    world.cluster.run("n1", *PULSE)
    world.go_on()
    inode = (world.cluster.process(NODE).data / "ibdata1").stat().st_ino
    done = world.bring_back(extra)
    assert done.ok and done.how == "flashback", (done.why, world.said)
    assert (world.cluster.process(NODE).data / "ibdata1").stat().st_ino == inode
    assert done.exported_to is not None and b"again" in (done.exported_to / "readable.sql").read_bytes()
    world.proven_equal()


@pytest.mark.parametrize(
    ("also", "why"),
    [
        (("CREATE TABLE app.ghost (i INT)",), "is more than changed rows"),
        (("SET SESSION binlog_row_image = MINIMAL", "UPDATE app.t SET v = 'x' WHERE id = 9"), "does not have whole rows"),
        (("SET SESSION binlog_format = STATEMENT", "UPDATE app.t SET v = 'x' WHERE id = 9"), "is more than changed rows"),
        # Nothing in the binary log tells of this one, only the checksums do.
        (("SET SESSION sql_log_bin = 0", "UPDATE app.t SET v = 'x' WHERE id = 9"), "flashback did not bring it back"),
    ],
    ids=["ddl", "minimal", "statement", "unlogged"],
)
def test_where_it_cannot_be_right_all_data_is_replaced(world: SeedWorld, also: tuple[str, ...], why: str) -> None:
    extra = world.diverge(*DIVERGE, *also)
    world.go_on()
    done = world.bring_back(extra)
    assert done.ok and done.how == "mariadb-backup", done.why
    assert any(why in sentence for sentence in world.said), world.said
    world.proven_equal()
