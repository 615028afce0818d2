"""`replclus rebuild NODE`, with a watchdog and without one, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from replclus.model.record import MemberState
from replclus.model.spec import Flavour
from replclus.sandbox import Sandbox
from tests.clusters import REPOSITORY, eventually
from tests.conftest import MakeSandbox
from tests.integration.seed_worlds import DIVERGE, NODE, PRIMARY, SeedWorld, seed_world

REBUILD_S_MAX = 180.0


def replclus(world: SeedWorld, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "replclus.cli.main", *arguments, "-c", str(world.cluster.sandbox.config)]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=REBUILD_S_MAX)


def back(world: SeedWorld) -> bool:
    return world.cluster.record.member(NODE).state is MemberState.ACTIVE and world.cluster.healthy()


def test_without_a_watchdog_it_is_done_at_once(make_sandbox: MakeSandbox, flavour: Flavour) -> None:
    world = seed_world(make_sandbox, flavour)
    world.diverge(*DIVERGE, "CREATE TABLE app.ghost (i INT)")
    done = replclus(world, "rebuild", NODE, "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["done"] and facts["answer"] == f"{NODE} is rebuilt and follows {PRIMARY}", facts
    assert back(world) and world.cluster.record.member(NODE).uuid == _uuid(world)
    world.caught_up()
    assert world.cluster.equal("app.t")
    (saved,) = (world.cluster.spec.state_dir / "diverged").iterdir()
    assert b"@1=1001" in (saved / "readable.sql").read_bytes()
    assert "saved in" in done.stderr and "equal to" in done.stderr
    audit = replclus(world, "audit", "--json")
    assert audit.returncode == 0 and "START" in audit.stdout and NODE in audit.stdout, audit


def test_a_watchdog_does_it_while_it_watches(make_sandbox: MakeSandbox, flavour: Flavour) -> None:
    world = seed_world(make_sandbox, flavour)
    with world.cluster.watchdog() as watchdog:
        world.cluster.until_healthy("the watchdog is content")
        asked = replclus(world, "rebuild", NODE)
        assert asked.returncode == 0 and "is being rebuilt" in asked.stdout, asked.stderr
        eventually(lambda: back(world), "it is back", within_s=REBUILD_S_MAX)
        assert watchdog.said("Progress", node=NODE)
        world.cluster.run(PRIMARY, "INSERT INTO app.t (id, v) VALUES (3000, 'afterwards')")
        world.caught_up()
    assert world.cluster.equal("app.t")


@pytest.fixture(scope="module")
def refusing(module_sandbox: Sandbox) -> SeedWorld:
    return seed_world(lambda *_, **__: module_sandbox, module_sandbox.flavour, rows=2)


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        ((PRIMARY,), 1, "n1 is the primary"),
        (("n33",), 2, "there is no node called 'n33': did you mean n3?"),
        ((), 2, "Missing argument 'NODE'"),
    ],
)
def test_what_is_refused(refusing: SeedWorld, arguments: tuple[str, ...], code: int, why: str) -> None:
    answer = replclus(refusing, "rebuild", *arguments)
    assert answer.returncode == code and why in answer.stderr, answer
    assert refusing.cluster.record.member(NODE).state is MemberState.ACTIVE


def test_without_an_administrator(refusing: SeedWorld) -> None:
    config = refusing.cluster.sandbox.config
    text = config.read_text()
    start, end = text.index("[accounts.admin]"), text.index("[accounts.app]")
    config.write_text(text[:start] + text[end:])
    try:
        answer = replclus(refusing, "rebuild", NODE)
        assert answer.returncode == 2 and "accounts.admin" in answer.stderr, answer
    finally:
        config.write_text(text)


def _uuid(world: SeedWorld) -> str | None:
    if world.flavour is Flavour.MARIADB:
        return None
    return str(world.cluster.rows(NODE, "SELECT @@server_uuid")[0][0])
