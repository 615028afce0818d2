"""Fences on real servers of both families: what proves, what does not, and what a fence must never do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pymysql
import pytest

from replclus.errors import StoreError
from replclus.model.record import ClusterRecord, Operation, OperationKind, Phase
from replclus.model.spec import FenceHook, Flavour, NodeSpec
from replclus.server.server import Server
from replclus.watchdog.hands import Fenced, Hands
from tests.clusters import Cluster, eventually, initialised
from tests.conftest import MakeSandbox

BOUND_S = 20.0
"""The bounds of all ways together, and room for a slow machine."""


@pytest.fixture
def cluster(make_sandbox: MakeSandbox, flavour: Flavour) -> Iterator[Cluster]:
    cluster = initialised(make_sandbox(flavour, replicas=1))
    yield cluster
    cluster.store.close()


def failing_over(record: ClusterRecord) -> ClusterRecord:
    operation = Operation(kind=OperationKind.FAILOVER, phase=Phase.REVOKE, old_primary=record.primary, reason="a test")
    return replace(record, epoch=record.epoch + 1, operation=operation)


def elsewhere(node: NodeSpec) -> NodeSpec:
    """The same server, as if its host were not ours and no socket led to it."""
    return replace(node, process_dir=None, socket=None)


def fence(cluster: Cluster, hook: FenceHook | None = None, record: ClusterRecord | None = None, *, remote: bool = True) -> Fenced:
    nodes = tuple(elsewhere(node) if remote else node for node in cluster.spec.nodes)
    now = record or failing_over(cluster.record)
    hands = Hands(replace(cluster.spec, nodes=nodes, fence_hook=hook), cluster.secrets, lambda: now)
    began = time.monotonic()
    try:
        return hands.fence("n1")
    finally:
        assert time.monotonic() - began < BOUND_S
        hands.close()


def app(cluster: Cluster) -> pymysql.Connection[pymysql.cursors.Cursor]:
    account = cluster.spec.app
    assert account is not None
    node = cluster.spec.node("n1")
    login = {"user": account.account.user, "password": account.account.password.reveal()}
    return pymysql.connect(host=node.host, port=node.port, autocommit=True, connect_timeout=5, **login)


def script(directory: Path, text: str) -> str:
    path = directory / "fence.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_host_that_is_ours_kills_it(cluster: Cluster) -> None:
    fenced = fence(cluster, remote=False)
    assert fenced.proven and "killed" in fenced.how
    assert not cluster.process("n1").is_running()
    again = fence(cluster, remote=False)
    assert again.proven and "dead already" in again.how


def test_without_its_host_mysql_turns_everybody_away_and_mariadb_is_only_asked(cluster: Cluster) -> None:
    client = app(cluster)
    fenced = fence(cluster)
    with pytest.raises(pymysql.err.OperationalError):
        client.ping(reconnect=False)
    if cluster.sandbox.flavour is Flavour.MARIADB:
        assert not fenced.proven and not cluster.writable("n1")
        return
    assert fenced == Fenced("offline_mode is on", proven=True)
    with pytest.raises(pymysql.err.OperationalError):
        app(cluster)
    # A replica's receiver is no administrator either: nobody is left to acknowledge anything.
    eventually(lambda: clients(cluster) == 0, "no replica is attached")
    server = Server(cluster.spec.node("n1"), cluster.secrets.watchdog, timeout_s=10.0)
    server.open_for_writes()
    app(cluster).close()
    assert fence(cluster).proven
    follow(cluster, server)
    app(cluster).close()
    server.close()


def clients(cluster: Cluster) -> int:
    rows = cluster.rows("n1", "SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_%_clients'")
    return sum(int(value) for _, value in rows)


def follow(cluster: Cluster, server: Server) -> None:
    other = Server(cluster.spec.node("n2"), cluster.secrets.watchdog, timeout_s=10.0)
    other.detach()
    other.close()
    server.follow(cluster.spec.node("n2"), cluster.secrets.replication, cluster.spec.timings, cluster.record.durability)


def test_a_frozen_server_is_fenced_by_the_hook(cluster: Cluster, tmp_path: Path) -> None:
    out = tmp_path / "called"
    hook = FenceHook((script(tmp_path, f'echo "$1 $REPLCLUS_NODE $REPLCLUS_HOST $REPLCLUS_PORT" > {out}'), "now"))
    cluster.process("n1").freeze()
    try:
        fenced = fence(cluster, hook)
    finally:
        cluster.process("n1").thaw()
    node = cluster.spec.node("n1")
    assert fenced.proven and "fence.sh" in fenced.how
    assert out.read_text() == f"now n1 {node.host} {node.port}\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sleep 60", "did not end within 1 s"),
        ("echo no power switch >&2; exit 3", "exit code 3: no power switch"),
        ("kill -9 $$", "signal 9"),
        (None, "does not exist"),
    ],
)
def test_a_hook_that_fails_is_said_and_proves_nothing(cluster: Cluster, tmp_path: Path, text: str | None, says: str) -> None:
    name = str(tmp_path / "missing") if text is None else script(tmp_path, text)
    cluster.process("n1").freeze()
    try:
        fenced = fence(cluster, FenceHook((name,), timeout_s=1.0))
    finally:
        cluster.process("n1").thaw()
    assert not fenced.proven
    assert says in fenced.how


def test_nothing_reaches_it(cluster: Cluster) -> None:
    cluster.process("n1").freeze()
    try:
        fenced = fence(cluster)
    finally:
        cluster.process("n1").thaw()
    assert not fenced.proven and "n1" in fenced.how


def test_a_fence_that_comes_late_spares_the_primary(cluster: Cluster, tmp_path: Path) -> None:
    out = tmp_path / "called"
    hook = FenceHook((script(tmp_path, f"touch {out}"),))
    for remote in (False, True):
        fenced = fence(cluster, hook, cluster.record, remote=remote)
        assert not fenced.proven and "left alone" in fenced.how
    assert cluster.writable("n1") and not out.exists()
    app(cluster).close()


def test_a_record_that_cannot_be_read_fences_nobody(cluster: Cluster) -> None:
    def broken() -> ClusterRecord:
        raise StoreError("the disk is gone")

    hands = Hands(cluster.spec, cluster.secrets, broken)
    fenced = hands.fence("n1")
    hands.close()
    assert not fenced.proven and "the disk is gone" in fenced.how
    assert cluster.writable("n1")
