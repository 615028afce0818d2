"""Servers that are not fit to join: every complaint at once, each with its fix, and nothing is touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from replclus.errors import PreflightFailed
from replclus.model.spec import Account, ClusterSpec, Flavour, Secret
from replclus.provision import bootstrap
from replclus.sandbox import Sandbox
from replclus.store.secrets import create_secrets
from tests.conftest import MakeSandbox, running
from tests.integration.init_worlds import facts, snapshot, snapshot_at_rest, spec_of, store_of

# What init itself makes before it looks: an empty store. The record and the passwords come after.
EMPTY_STATE = ["record.db"]


@contextmanager
def refused(sandbox: Sandbox, spec: ClusterSpec) -> Iterator[list[str]]:
    """Run `init`, which must refuse and leave everything as it was. The list is filled with its reasons."""
    before, reasons = snapshot_at_rest(sandbox), list[str]()
    store = store_of(spec)
    with pytest.raises(PreflightFailed) as caught:
        bootstrap(spec, store)
    assert caught.value.exit_code == 2
    assert store.load() is None
    store.close()
    after = snapshot(sandbox)
    states = after.pop("state"), before.pop("state")
    assert states[0] in (states[1], EMPTY_STATE)
    assert after == before
    reasons += caught.value.reasons
    yield reasons


def test_a_wrong_password(module_sandbox: Sandbox) -> None:
    spec = replace(spec_of(module_sandbox), admin=Account("root", Secret("no, not this")))
    with refused(module_sandbox, spec) as reasons:
        assert len(reasons) == 4
        assert all("accounts.admin" in reason and "'root'" in reason for reason in reasons)
        assert not any("no, not this" in reason for reason in reasons)


def test_an_unknown_user(module_sandbox: Sandbox) -> None:
    with refused(module_sandbox, replace(spec_of(module_sandbox), admin=Account("nobody", Secret("")))) as reasons:
        assert all("accounts.admin" in reason and "'nobody'" in reason for reason in reasons)


def test_a_server_that_is_down_and_one_that_holds_data_are_told_together(module_sandbox: Sandbox) -> None:
    spec = spec_of(module_sandbox)
    running(module_sandbox, "n1").run("CREATE DATABASE crm", "CREATE DATABASE shop")
    running(module_sandbox, "n3").process.stop()
    try:
        with refused(module_sandbox, spec) as reasons:
            first, third = reasons
            assert first.startswith(f"n1 ({spec.nodes[0].address}): holds data (schemas crm, shop)")
            assert third.startswith(f"n3 ({spec.nodes[2].address}): does not answer")
    finally:
        running(module_sandbox, "n1").run("DROP DATABASE crm", "DROP DATABASE shop")
        running(module_sandbox, "n3").process.start()


def test_an_address_where_nobody_listens(module_sandbox: Sandbox) -> None:
    spec = spec_of(module_sandbox)
    nowhere = replace(spec.nodes[3], port=1, socket=None, process_dir=None)
    with refused(module_sandbox, replace(spec, nodes=(*spec.nodes[:3], nowhere))) as (reason,):
        assert reason.startswith("n4 (127.0.0.1:1): does not answer")


def test_two_servers_with_one_server_id(module_sandbox: Sandbox) -> None:
    third = running(module_sandbox, "n3")
    third.run("SET GLOBAL server_id = 1")
    try:
        with refused(module_sandbox, spec_of(module_sandbox)) as (reason,):
            assert reason.startswith("n1 and n3 have one server_id (1)")
    finally:
        third.run("SET GLOBAL server_id = 3")


def test_a_server_without_binary_log_and_with_other_wrong_settings(module_sandbox: Sandbox) -> None:
    second = running(module_sandbox, "n2")
    second.process.stop()
    mysql = module_sandbox.flavour is Flavour.MYSQL
    updates = "--skip-log-replica-updates" if mysql else "--skip-log-slave-updates"
    second.process.start(options=("--skip-log-bin", updates, "--sync-binlog=0"))
    try:
        with refused(module_sandbox, spec_of(module_sandbox)) as (reason,):
            assert reason.startswith("n2 (") and "restart it" in reason
            for found in ("log_bin=OFF", "replica_updates=OFF" if mysql else "slave_updates=OFF", "sync_binlog=0"):
                assert found in reason
            for line in ("log_bin=binlog", "replica_updates=ON" if mysql else "slave_updates=ON", "sync_binlog=1"):
                assert line in reason
    finally:
        second.process.stop()
        second.process.start()


def test_a_replica_of_something_else(module_sandbox: Sandbox) -> None:
    fourth = running(module_sandbox, "n4")
    if module_sandbox.flavour is Flavour.MYSQL:
        fourth.run("CHANGE REPLICATION SOURCE TO SOURCE_HOST = '198.18.7.7', SOURCE_USER = 'x'")
    else:
        fourth.run("CHANGE MASTER TO MASTER_HOST = '198.18.7.7', MASTER_USER = 'x'")
    try:
        with refused(module_sandbox, spec_of(module_sandbox)) as (reason,):
            assert "n4" in reason and "198.18.7.7:3306" in reason and "ALL" in reason
    finally:
        fourth.run("RESET REPLICA ALL")


def test_an_application_account_that_may_write_to_replicas(module_sandbox: Sandbox) -> None:
    third = running(module_sandbox, "n3")
    right = "CONNECTION_ADMIN" if module_sandbox.flavour is Flavour.MYSQL else "READ_ONLY ADMIN"
    third.run("SET GLOBAL read_only = 0", "SET sql_log_bin = 0", "CREATE USER app@localhost")
    third.run("SET sql_log_bin = 0", f"GRANT {right} ON *.* TO app@localhost")
    try:
        with refused(module_sandbox, spec_of(module_sandbox)) as (reason,):
            assert "n3" in reason and "'app'" in reason and right in reason
    finally:
        third.run("SET sql_log_bin = 0", "DROP USER app@localhost")


def test_collations_that_differ(module_sandbox: Sandbox) -> None:
    second = running(module_sandbox, "n2")
    ((was,),) = second.run("SELECT @@collation_server")
    second.run("SET GLOBAL collation_server = utf8mb4_bin")
    try:
        with refused(module_sandbox, spec_of(module_sandbox)) as (reason,):
            assert "n2" in reason and f"set collation_server={was}" in reason
    finally:
        second.run(f"SET GLOBAL collation_server = {was}")


def test_a_cluster_of_one(make_sandbox: MakeSandbox, flavour: Flavour) -> None:
    sandbox = make_sandbox(flavour, replicas=0)
    with refused(sandbox, spec_of(sandbox)) as (reason,):
        assert "a cluster of one server cannot be lossless" in reason


def test_two_families(make_sandbox: MakeSandbox) -> None:
    ours, theirs = make_sandbox(Flavour.MARIADB, replicas=1), make_sandbox(Flavour.MYSQL, replicas=0)
    spec = spec_of(ours)
    stranger = replace(spec_of(theirs).nodes[0], name="n3")
    with refused(ours, replace(spec, nodes=(*spec.nodes, stranger))) as reasons:
        assert any("n1 is mariadb and n3 mysql" in reason for reason in reasons)


def test_a_server_of_another_cluster_is_never_touched(make_sandbox: MakeSandbox, flavour: Flavour) -> None:
    theirs, ours = make_sandbox(flavour, replicas=1), make_sandbox(flavour, replicas=1)
    bootstrap(spec_of(theirs), store_of(spec_of(theirs)))
    taken = snapshot_at_rest(theirs)
    spec = spec_of(ours)
    stranger = replace(spec_of(theirs).nodes[1], name="n2")
    cluster_id = facts(spec_of(theirs), stranger).identity.cluster_id
    with refused(ours, replace(spec, nodes=(spec.nodes[0], stranger))) as reasons:
        assert any(f"n2 ({stranger.address}): belongs to cluster {cluster_id} already" in reason for reason in reasons)
    assert snapshot(theirs) == taken


def test_a_whole_cluster_that_somebody_else_made_is_not_adopted(make_sandbox: MakeSandbox, flavour: Flavour) -> None:
    """The same servers, described a second time: only the passwords of the first `init` prove that they are ours."""
    sandbox = make_sandbox(flavour, replicas=1)
    spec = spec_of(sandbox)
    bootstrap(spec, store_of(spec))
    elsewhere = replace(spec, state_dir=sandbox.directory / "other")
    with refused(sandbox, elsewhere) as reasons:
        assert len(reasons) == 2 and all("holds no record" in reason for reason in reasons)
    create_secrets(elsewhere.state_dir)
    with refused(sandbox, elsewhere) as reasons:
        assert len(reasons) == 2


def test_a_version_that_is_too_old(make_sandbox: MakeSandbox) -> None:
    """MariaDB can be told to call itself anything."""
    sandbox = make_sandbox(Flavour.MARIADB, replicas=1)
    second = running(sandbox, "n2")
    second.process.stop()
    second.process.start(options=("--version=10.3.39-MariaDB",))
    with refused(sandbox, spec_of(sandbox)) as (reason,):
        assert reason.startswith("n2 (") and "10.3.39" in reason and "10.6 to 11.x" in reason
