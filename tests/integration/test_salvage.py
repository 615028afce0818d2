"""Commits that a killed primary had to itself are on the candidate before it is promoted, under their own names."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from replclus.model.spec import Flavour
from replclus.provision import salvage as salvaging
from replclus.provision.salvage import Salvaged, salvage
from tests.clusters import eventually
from tests.conftest import MakeSandbox
from tests.integration.seed_worlds import DONOR, NODE, PRIMARY, SeedWorld, not_ours, seed_world

LOST_ROWS = 30


def stranded(world: SeedWorld, *also: str) -> None:
    """The replicas hear nothing more, and nobody waits for them: the primary commits for itself, then it is killed."""
    mariadb = world.flavour is Flavour.MARIADB
    world.caught_up()
    for name in (DONOR, NODE):
        world.cluster.run(name, "STOP SLAVE IO_THREAD" if mariadb else "STOP REPLICA IO_THREAD")
    unguarded = "rpl_semi_sync_master_enabled" if mariadb else "rpl_semi_sync_source_enabled"
    rows = (f"INSERT INTO app.t (id, v) VALUES ({5000 + n}, 'lost {n} it''s')" for n in range(LOST_ROWS))
    world.cluster.run(PRIMARY, f"SET GLOBAL {unguarded} = 0", "FLUSH BINARY LOGS", *rows, *also)


def run(world: SeedWorld, **changed: Any) -> Salvaged:
    settings: dict[str, Any] = {"spec": world.cluster.spec, "seconds": 60.0} | changed
    return salvage(
        record=world.record,
        secrets=world.cluster.secrets,
        dead=PRIMARY,
        candidate=DONOR,
        report=lambda event: world.said.append(event.sentence),
        stop=threading.Event(),
        **settings,
    )


def count(world: SeedWorld, name: str = DONOR) -> int:
    return int(world.cluster.rows(name, "SELECT COUNT(*) FROM app.t WHERE id >= 5000")[0][0])


def test_every_commit_of_the_dead_primary_is_salvaged(make_sandbox: MakeSandbox, flavour: Flavour) -> None:
    world = seed_world(make_sandbox, flavour, rows=3)
    stranded(
        world,
        "CREATE TABLE app.new (i INT PRIMARY KEY, v VARCHAR(20))",
        "FLUSH BINARY LOGS",
        "INSERT INTO app.new VALUES (1, 'Ünïcödé')",
        "UPDATE replclus.pulse SET beat = beat + 1",
        "DELETE FROM app.t WHERE id = 2",
    )
    had = world.executed(PRIMARY)
    alive = run(world)
    assert not alive.transactions and "is still running" in alive.why
    world.cluster.kill(PRIMARY)
    done = run(world)
    assert done.transactions == LOST_ROWS + 4 and not done.lost and not done.why, done.sentence
    assert world.executed(DONOR) == had
    assert count(world) == LOST_ROWS and not world.cluster.writable(DONOR)
    assert world.cluster.rows(DONOR, "SELECT v FROM app.new") == (("Ünïcödé",),)
    again = run(world)
    assert not again.transactions and not again.lost and again.sentence == "nothing salvaged"

    # The dead primary comes back and has nothing of its own.
    world.cluster.process(PRIMARY).start()
    assert world.executed(DONOR).contains(world.executed(PRIMARY))
    rows = "SELECT * FROM app.t ORDER BY id"
    assert world.cluster.rows(PRIMARY, rows) == world.cluster.rows(DONOR, rows)


def test_half_a_transaction_at_the_end_is_left_out(make_sandbox: MakeSandbox, flavour: Flavour) -> None:
    world = seed_world(make_sandbox, flavour, rows=3)
    stranded(world)
    world.cluster.kill(PRIMARY)
    newest = max(world.cluster.process(PRIMARY).data.glob("binlog.0*"))
    with newest.open("r+b") as log:
        log.truncate(newest.stat().st_size - 10)
    done = run(world)
    assert done.transactions == LOST_ROWS - 1 and done.lost and done.why == "the last one is only half written", done.sentence
    assert count(world) == LOST_ROWS - 1


def test_what_does_not_fit_stays_behind_and_is_named(
    make_sandbox: MakeSandbox, flavour: Flavour, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = seed_world(make_sandbox, flavour, rows=3)
    stranded(world)
    world.cluster.kill(PRIMARY)
    late = run(world, seconds=0.0)
    assert not late.transactions and late.why and not count(world)
    elsewhere = run(world, spec=not_ours(world.cluster.spec, PRIMARY))
    assert not elsewhere.transactions and "files of n1 are not on this machine" in elsewhere.why
    nobody = run(world, spec=replace(world.cluster.spec, admin=None))
    assert not nobody.transactions and "administrator's account" in nobody.why

    monkeypatch.setattr(salvaging, "SALVAGE_BYTES_MAX", 2000)
    part = run(world)
    assert 0 < part.transactions < LOST_ROWS and part.lost and "more than 2000 bytes" in part.why, part.sentence
    assert count(world) == part.transactions, "a prefix, without holes"
    found = world.cluster.rows(DONOR, "SELECT MAX(id) - 4999 FROM app.t")
    assert found == ((part.transactions,),)
    assert str(part.lost).replace("\n", "") in part.sentence


def test_a_candidate_that_is_not_ready_gets_nothing(make_sandbox: MakeSandbox, flavour: Flavour) -> None:
    world = seed_world(make_sandbox, flavour, rows=3)
    mariadb = flavour is Flavour.MARIADB
    world.caught_up()
    world.cluster.run(DONOR, "STOP SLAVE SQL_THREAD" if mariadb else "STOP REPLICA SQL_THREAD")
    world.cluster.run(PRIMARY, "INSERT INTO app.t (id, v) VALUES (4000, 'received')")
    eventually(lambda: "has not applied" in _killed(world).why, "it has received more than it applied")
    world.cluster.run(DONOR, "START SLAVE SQL_THREAD" if mariadb else "START REPLICA SQL_THREAD")
    eventually(lambda: world.cluster.rows(DONOR, "SELECT COUNT(*) FROM app.t WHERE id = 4000") == ((1,),), "it has applied")
    world.cluster.run(DONOR, "SET GLOBAL read_only = 0")
    assert "accepts writes already" in run(world).why


def _killed(world: SeedWorld) -> Salvaged:
    world.cluster.kill(PRIMARY)
    return run(world)
