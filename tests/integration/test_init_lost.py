"""The record lost, the record damaged, and what a killed server may keep."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from replclus.errors import Damaged, Refused
from replclus.events import Event, Warned
from replclus.model.gtid import GtidSet
from replclus.model.record import ClusterRecord, Operation, OperationKind, Phase
from replclus.model.spec import ClusterSpec, Durability, Flavour
from replclus.provision import bootstrap, known_to_primary, rebuild_record
from replclus.sandbox import Sandbox
from replclus.store.secrets import Secrets, load_secrets
from tests.conftest import running
from tests.integration.init_worlds import facts, servers, spec_of, store_of


@pytest.fixture(scope="module")
def spec(module_sandbox: Sandbox) -> ClusterSpec:
    """Four servers after `init`."""
    spec = spec_of(module_sandbox)
    bootstrap(spec, store_of(spec))
    return spec


@pytest.fixture
def secrets(spec: ClusterSpec) -> Secrets:
    secrets = load_secrets(spec.state_dir)
    assert secrets is not None
    return secrets


def recorded(spec: ClusterSpec) -> ClusterRecord:
    record = store_of(spec).load()
    assert record is not None
    return record


def test_a_truncated_record_is_rebuilt_from_the_servers(spec: ClusterSpec, secrets: Secrets) -> None:
    before = recorded(spec)
    (spec.state_dir / "record.db").write_bytes(b"")
    store = store_of(spec)
    with pytest.raises(Damaged):
        store.load()
    store.set_aside()
    store.create(rebuild_record(spec, secrets))
    assert replace(recorded(spec), version=before.version) == before


def test_init_finds_its_own_cluster_again_when_the_record_is_gone(spec: ClusterSpec) -> None:
    before = recorded(spec)
    (spec.state_dir / "record.db").unlink()
    told: list[Event] = []
    assert bootstrap(spec, store_of(spec), report=told.append).changed
    assert any(isinstance(one, Warned) and "record was lost" in one.what for one in told)
    assert replace(recorded(spec), version=before.version) == before
    assert not bootstrap(spec, store_of(spec)).changed


def test_two_writable_servers_are_no_record(module_sandbox: Sandbox, spec: ClusterSpec, secrets: Secrets) -> None:
    third = running(module_sandbox, "n3")
    third.run("SET GLOBAL read_only = 0")
    try:
        with pytest.raises(Refused, match="n1 and n3 accept writes"):
            rebuild_record(spec, secrets)
    finally:
        third.run("SET GLOBAL super_read_only = 1" if third.flavour is Flavour.MYSQL else "SET GLOBAL read_only = 1")


def test_a_server_that_does_not_answer_leaves_the_question_open(
    module_sandbox: Sandbox, spec: ClusterSpec, secrets: Secrets
) -> None:
    module_sandbox.stop("n4")
    try:
        with pytest.raises(Refused, match="n4 does not answer"):
            rebuild_record(spec, secrets)
    finally:
        module_sandbox.start("n4")


def known(spec: ClusterSpec, secrets: Secrets, node: str, wait_s: float = 0.3) -> GtidSet | None:
    return known_to_primary(spec, store_of(spec), secrets, node, wait_s=wait_s)


def test_a_replica_may_keep_what_the_primary_has(module_sandbox: Sandbox, spec: ClusterSpec, secrets: Secrets) -> None:
    assert known(spec, secrets, "n2") == facts(spec, spec.node("n1")).executed


def test_the_primary_may_keep_what_its_ackers_have(module_sandbox: Sandbox, spec: ClusterSpec, secrets: Secrets) -> None:
    first = running(module_sandbox, "n1")
    first.run("CREATE TABLE IF NOT EXISTS app.t (a INT PRIMARY KEY)", "REPLACE INTO app.t VALUES (1)")
    _settled(spec)
    keeps = facts(spec, spec.node("n1")).executed
    _attach_all(module_sandbox)
    assert known(spec, secrets, "n1") == keeps
    first.process.kill()
    try:
        assert known(spec, secrets, "n1") == keeps
        module_sandbox.stop("n3")
        assert known(spec, secrets, "n1") is None
    finally:
        module_sandbox.start("n3")
        first.process.start()
        first.run("SET GLOBAL read_only = 0")


def _settled(spec: ClusterSpec) -> None:
    """Until every attached replica has what the primary has; at most 5 s."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        first = facts(spec, spec.nodes[0])
        if all(facts(spec, node).received.contains(first.executed) for node in spec.nodes[1:3]):
            return
        time.sleep(0.05)


def _attach_all(sandbox: Sandbox) -> None:
    for server in servers(sandbox)[1:]:
        server.run("START REPLICA")


def test_while_the_primary_is_being_changed_the_answer_waits_for_the_end(
    module_sandbox: Sandbox, spec: ClusterSpec, secrets: Secrets
) -> None:
    store, record = store_of(spec), recorded(spec)
    operation = Operation(kind=OperationKind.FAILOVER, phase=Phase.REVOKE, old_primary="n1", reason="a test")
    changing = store.cas(record.version, replace(record, epoch=record.epoch + 1, operation=operation))
    assert known(spec, secrets, "n1") is None
    ending = threading.Timer(0.4, lambda: store.cas(changing.version, replace(changing, operation=None)))
    ending.start()
    try:
        began = time.monotonic()
        assert known(spec, secrets, "n2", wait_s=10) == facts(spec, spec.node("n1")).executed
        assert 0.3 <= time.monotonic() - began <= 5
    finally:
        ending.join()


def test_a_primary_that_is_not_open_yet_is_not_believed(module_sandbox: Sandbox, spec: ClusterSpec, secrets: Secrets) -> None:
    """Of a promotion that is recorded and not done, nothing can be told: the drain may not be over."""
    store, record = store_of(spec), recorded(spec)
    promised = store.cas(record.version, replace(record, epoch=record.epoch + 1, primary="n2"))
    try:
        assert known(spec, secrets, "n1") is None
    finally:
        store.cas(promised.version, replace(promised, primary="n1"))


def test_where_acknowledged_writes_may_be_on_one_server_only_nothing_is_cut_off(
    module_sandbox: Sandbox, spec: ClusterSpec, secrets: Secrets
) -> None:
    store, record = store_of(spec), recorded(spec)
    loose = store.cas(record.version, replace(record, durability=Durability.AVAILABLE))
    try:
        assert known(spec, secrets, "n2") is None
    finally:
        store.cas(loose.version, replace(loose, durability=Durability.LOSSLESS))


def test_lost_passwords_are_replaced_everywhere(module_sandbox: Sandbox, spec: ClusterSpec, secrets: Secrets) -> None:
    """Last in this module: the others' `secrets` no longer open anything."""
    _attach_all(module_sandbox)
    (spec.state_dir / "secrets.toml").unlink()
    steps = bootstrap(spec, store_of(spec)).steps
    assert [(step.name, step.node) for step in steps] == [("create accounts", node.name) for node in spec.nodes]
    made = load_secrets(spec.state_dir)
    assert made is not None and made != secrets
    assert all(facts(spec, node, made.watchdog).identity.cluster_id == recorded(spec).cluster_id for node in spec.nodes)
    assert not bootstrap(spec, store_of(spec)).changed
