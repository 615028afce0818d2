"""Whom nobody overwrites, whatever is asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from replclus.model.gtid import empty_gtid_set
from replclus.sandbox import Sandbox
from tests.integration.seed_worlds import DONOR, NODE, PRIMARY, SeedWorld, seed_world


@pytest.fixture(scope="module")
def world(module_sandbox: Sandbox) -> SeedWorld:
    made = seed_world(lambda *_, **__: module_sandbox, module_sandbox.flavour, rows=3)
    made.detach()
    return made


def refused(world: SeedWorld, **changed: object) -> str:
    """The reason; nothing is touched."""
    before = [world.cluster.rows(name, "SELECT COUNT(*) FROM app.t") for name in (PRIMARY, NODE)]
    answer = world.bring_back(empty_gtid_set(world.flavour), **changed)
    assert not answer.ok and not answer.how and answer.identity is None and answer.exported_to is None, answer
    assert [world.cluster.rows(name, "SELECT COUNT(*) FROM app.t") for name in (PRIMARY, NODE)] == before
    assert not (world.cluster.spec.state_dir / "rebuilding" / f"{NODE}.json").exists()
    return answer.why


def test_the_primary(world: SeedWorld) -> None:
    assert "n1 is the primary" in refused(world, node=PRIMARY)


def test_itself(world: SeedWorld) -> None:
    assert "cannot be rebuilt from itself" in refused(world, donor=NODE)


def test_a_node_that_nobody_described(world: SeedWorld) -> None:
    assert "there is no node n9" in refused(world, node="n9")
    assert "there is no node n9" in refused(world, donor="n9")


def test_one_that_may_acknowledge(world: SeedWorld) -> None:
    assert "may still acknowledge commits" in refused(world, record=world.cluster.record)


def test_without_an_administrator(world: SeedWorld) -> None:
    assert "administrator's account is not at hand" in refused(world, spec=replace(world.cluster.spec, admin=None))


def test_one_that_accepts_writes(world: SeedWorld) -> None:
    world.cluster.run(NODE, "SET GLOBAL read_only = 0")
    try:
        assert "accepts writes" in refused(world)
    finally:
        world.alone(NODE)


def test_a_server_of_another_cluster(world: SeedWorld) -> None:
    foreign = replace(world.record, cluster_id="another")
    assert f"belongs to another cluster ({world.record.cluster_id})" in refused(world, record=foreign)


def test_one_with_data_that_belongs_to_nobody(world: SeedWorld) -> None:
    unlogged = "SET SESSION sql_log_bin = 0"
    world.alone(NODE, unlogged, "RENAME TABLE replclus.identity TO replclus.hidden")
    try:
        assert "has data (app) and belongs to no cluster" in refused(world)
    finally:
        world.alone(NODE, unlogged, "RENAME TABLE replclus.hidden TO replclus.identity")


def test_a_donor_of_another_cluster(world: SeedWorld) -> None:
    unlogged = "SET SESSION sql_log_bin = 0"
    world.alone(DONOR, unlogged, "UPDATE replclus.identity SET cluster_id = 'another'")
    try:
        assert "n2 does not belong to this cluster" in refused(world)
    finally:
        world.alone(DONOR, unlogged, f"UPDATE replclus.identity SET cluster_id = '{world.record.cluster_id}'")


def test_one_that_does_not_answer(world: SeedWorld) -> None:
    world.cluster.kill(NODE)
    try:
        answer = world.bring_back(None)
        assert not answer.ok and "n3: it does not answer" in answer.why
    finally:
        world.cluster.process(NODE).start()
