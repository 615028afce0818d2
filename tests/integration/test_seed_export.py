"""What only a diverged server has is saved, readable and replayable, wherever its binary log is read from."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from replclus.errors import HostError
from replclus.model.spec import Flavour
from replclus.provision import export as exporting
from replclus.provision.export import Exported, export
from replclus.server.client_tools import Tool, find_tool
from tests.clusters import eventually
from tests.conftest import MakeSandbox
from tests.integration.seed_worlds import DIVERGE, NODE, PRIMARY, SeedWorld, not_ours, seed_world


def replay(world: SeedWorld, exported: Exported) -> None:
    """As README.txt says: on the primary, with the family's client."""
    client = find_tool(world.flavour, Tool.CLIENT)
    socket = world.cluster.sandbox.place(PRIMARY).socket
    with (exported.directory / "replay.sql").open("rb") as statements:
        subprocess.run([client, "--no-defaults", f"--socket={socket}", "--user=root"], stdin=statements, check=True, timeout=60)


def private(path: Path) -> bool:
    return stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


@pytest.mark.parametrize("where", ["in place", "by the protocol"])
def test_the_extra_transactions_are_saved_and_can_be_replayed(make_sandbox: MakeSandbox, flavour: Flavour, where: str) -> None:
    world = seed_world(make_sandbox, flavour)
    # The extra transactions are spread over two files, and another one lies before them.
    flush = "FLUSH BINARY LOGS"
    extra = world.diverge(flush, *DIVERGE[:1], flush, *DIVERGE[1:])
    case = world.case()
    if where == "by the protocol":
        case = world.case(spec=not_ours(case.spec), node=not_ours(case.spec).node(NODE))
    exported = export(case, extra)

    assert len(exported.transactions) == 3 and not exported.missing and extra.contains(exported.gtids)
    directory = exported.directory
    names = {"README.txt", "readable.sql", "replay.sql", "extra-1.binlog", "extra-2.binlog"}
    assert {path.name for path in directory.iterdir()} == names
    assert directory.parent == world.cluster.spec.state_dir / "diverged" and directory.name.startswith(f"{NODE}-2")
    assert private(directory) and all(private(path) for path in directory.iterdir())
    assert [path.name for path in directory.parent.iterdir()] == [directory.name], "nothing half-made is left"

    readme = (directory / "README.txt").read_text()
    assert f"epoch            {world.record.epoch}" in readme and f"primary then     {PRIMARY}" in readme
    assert str(exported.gtids).replace("\n", "") in readme and world.record.cluster_id in readme
    readable = (directory / "readable.sql").read_bytes().decode("utf-8", "replace")
    assert "### INSERT INTO `app`.`t`" in readable and "@1=1001" in readable and "'changed here'" in readable
    assert "### DELETE FROM `app`.`t`" in readable and "row 1 it" not in readable

    replay(world, exported)
    assert world.cluster.rows(PRIMARY, "SELECT v FROM app.t WHERE id IN (1001, 3) ORDER BY id DESC") == (
        ("only 'here'",),
        ("changed here",),
    )
    assert world.cluster.rows(PRIMARY, "SELECT COUNT(*) FROM app.t WHERE id = 5") == ((0,),)


def test_what_cannot_be_saved_in_full_is_not_overwritten(make_sandbox: MakeSandbox, flavour: Flavour) -> None:
    world = seed_world(make_sandbox, flavour, rows=3)
    extra = world.diverge("INSERT INTO app.t (id, v) VALUES (1001, 'lost')", "FLUSH BINARY LOGS")
    newest = world.cluster.rows(NODE, "SHOW BINARY LOGS")[-1][0]

    def purged() -> bool:
        # MariaDB keeps a file for as long as crash recovery could want it.
        world.cluster.run(NODE, f"PURGE BINARY LOGS TO '{newest}'")
        return bool(world.cluster.rows(NODE, "SHOW BINARY LOGS")[0][0] == newest)

    eventually(purged, "the older files are gone")
    world.alone(NODE, "INSERT INTO app.t (id, v) VALUES (1002, 'kept')")
    extra = world.extra()

    refused = world.bring_back(extra)
    assert not refused.ok and not refused.how and "could not all be saved" in refused.why and "RESET MASTER" in refused.why
    assert world.cluster.rows(NODE, "SELECT id FROM app.t WHERE id > 1000 ORDER BY id") == ((1001,), (1002,))
    assert refused.exported_to is not None and b"1002" in (refused.exported_to / "readable.sql").read_bytes()

    # As the sentence says.
    forget = (
        ("RESET SLAVE ALL", "RESET MASTER")
        if flavour is Flavour.MARIADB
        else ("RESET REPLICA ALL", "RESET BINARY LOGS AND GTIDS")
    )
    world.alone(NODE, *forget)
    done = world.bring_back(None)
    assert done.ok and done.how in {"clone", "mariadb-backup"}, done.why
    world.proven_equal()


def test_an_export_that_is_too_large_leaves_nothing_behind(
    make_sandbox: MakeSandbox, flavour: Flavour, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = seed_world(make_sandbox, flavour, rows=3)
    extra = world.diverge(f"INSERT INTO app.t (id, v) VALUES (1001, '{'x' * 5000}')")
    monkeypatch.setattr(exporting, "EXPORT_BYTES_MAX", 4000)
    with pytest.raises(HostError, match="more than the 4000 that are allowed"):
        export(world.case(), extra)
    assert list((world.cluster.spec.state_dir / "diverged").iterdir()) == []
    refused = world.bring_back(extra)
    assert not refused.ok and "cannot be saved" in refused.why and not refused.exported_to
    assert world.cluster.rows(NODE, "SELECT COUNT(*) FROM app.t WHERE id = 1001") == ((1,),)
