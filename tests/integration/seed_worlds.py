"""Clusters with one server that went its own way: n3, which is to be brought back from n2. n1 is the primary."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from replclus.model.gtid import GtidSet
from replclus.model.record import ClusterRecord
from replclus.model.spec import ClusterSpec, Flavour
from replclus.provision.case import Case
from replclus.provision.look import connect_with
from replclus.provision.returning import Returned, bring_back
from replclus.sandbox import Sandbox
from replclus.server.client_tools import Bounds
from replclus.server.server import Server
from tests.clusters import Cluster, eventually, initialised

NODE, DONOR, PRIMARY = "n3", "n2", "n1"
PATIENCE_S = 120.0

_TABLES = (
    "CREATE TABLE app.t (id INT PRIMARY KEY AUTO_INCREMENT, v TEXT, d DECIMAL(12,3), x DOUBLE, f FLOAT, j JSON, b BLOB,"
    " e ENUM('a','b'), s DATETIME(3), z VARCHAR(20) CHARACTER SET latin1, bits BIT(9))",
    # By itself, because MySQL's tool shows nothing of a row behind a geometry.
    "CREATE TABLE app.shapes (id INT PRIMARY KEY, g POINT)",
    "INSERT INTO app.shapes VALUES (7, POINT(7, 2))",
    "CREATE TABLE app.keyless (a INT, b VARCHAR(10))",
    "CREATE VIEW app.seen AS SELECT id, v FROM app.t",
    "INSERT INTO app.keyless VALUES (1, 'twice'), (1, 'twice'), (NULL, '')",
)
_ROW = (
    "INSERT INTO app.t (v, d, x, f, j, b, e, s, z, bits)"
    " VALUES ('row {n} it''s', {n}.5, {n} / 7, {n} / 7, '{{\"a\": {n}}}', x'00ff27',"
    " 'b', '2026-01-01 00:00:00.123', _latin1 x'e9', b'100000001')"
)
DIVERGE = (
    "INSERT INTO app.t (id, v) VALUES (1001, 'only ''here''')",
    "UPDATE app.t SET v = 'changed here' WHERE id = 3",
    "DELETE FROM app.t WHERE id = 5",
)


@dataclass
class SeedWorld:
    """`said` is what the last run reported."""

    cluster: Cluster
    said: list[str] = field(default_factory=list)

    @property
    def flavour(self) -> Flavour:
        return self.cluster.sandbox.flavour

    @property
    def record(self) -> ClusterRecord:
        """As it is while n3 is being rebuilt: it acknowledges nothing."""
        record = self.cluster.record
        return replace(record, ackers=record.ackers - {NODE})

    def case(self, *, stop: threading.Event | None = None, **changed: Any) -> Case:
        spec = self.cluster.spec
        assert spec.admin is not None
        case = Case(
            spec=spec,
            record=self.record,
            secrets=self.cluster.secrets,
            admin=spec.admin,
            node=spec.node(NODE),
            donor=spec.node(DONOR),
            report=lambda event: self.said.append(event.sentence),
            bounds=Bounds.within(PATIENCE_S, stop),
            connect=connect_with(spec),
        )
        return replace(case, **changed)

    def bring_back(self, extra: GtidSet | None, *, stop: threading.Event | None = None, **changed: Any) -> Returned:
        settings: dict[str, Any] = {"spec": self.cluster.spec, "record": self.record, "node": NODE, "donor": DONOR} | changed
        self.said.clear()
        return bring_back(
            secrets=self.cluster.secrets,
            extra=extra,
            report=lambda event: self.said.append(event.sentence),
            stop=stop or threading.Event(),
            **settings,
        )

    def executed(self, name: str) -> GtidSet:
        server = Server(self.cluster.spec.node(name), self.cluster.secrets.watchdog, timeout_s=10.0, connect_timeout_s=10.0)
        try:
            seen = server.observe()
            assert seen.facts is not None and seen.answered, seen.error
            return seen.facts.executed
        finally:
            server.close()

    def extra(self) -> GtidSet:
        """What only n3 has."""
        return self.executed(NODE).subtract(self.executed(PRIMARY))

    def alone(self, name: str, *statements: str) -> None:
        """Written on a replica, behind everybody's back, and closed again."""
        closed = "SET GLOBAL read_only = 1" if self.flavour is Flavour.MARIADB else "SET GLOBAL super_read_only = 1"
        self.cluster.run(name, "SET GLOBAL read_only = 0", *statements, closed)

    def detach(self, name: str = NODE) -> None:
        self.cluster.run(name, "STOP SLAVE" if self.flavour is Flavour.MARIADB else "STOP REPLICA")

    def diverge(self, *statements: str) -> GtidSet:
        """n3 stops following and writes for itself."""
        self.caught_up()
        self.detach()
        self.alone(NODE, *statements)
        return self.extra()

    def caught_up(self) -> None:
        goal = self.executed(PRIMARY)
        for name in (DONOR, NODE):
            eventually(lambda name=name: self.executed(name).contains(goal), f"{name} has what the primary has")  # type: ignore[misc]

    def go_on(self) -> None:
        """The cluster goes on without n3, pulse and all."""
        self.cluster.run(
            PRIMARY,
            "INSERT INTO app.t (id, v) VALUES (2001, 'meanwhile')",
            "UPDATE replclus.pulse SET beat = beat + 1",
        )

    def follow(self) -> None:
        """n3 follows the primary, as the watchdog would let it."""
        spec = self.cluster.spec
        server = Server(spec.node(NODE), self.cluster.secrets.watchdog, timeout_s=10.0, connect_timeout_s=10.0)
        try:
            server.follow(spec.node(PRIMARY), self.cluster.secrets.replication, spec.timings, spec.durability)
        finally:
            server.close()

    def proven_equal(self) -> None:
        """It is read-only and detached now, can follow, and then holds the same rows."""
        assert not self.cluster.writable(NODE)
        self.follow()
        self.caught_up()
        eventually(lambda: self.cluster.equal("app.t") and self.cluster.equal("app.keyless"), "the tables are equal")
        assert self.executed(NODE).contains(self.executed(PRIMARY)) and not self.extra()


def seed_world(make_sandbox: Callable[..., Sandbox], flavour: Flavour, *, rows: int = 20) -> SeedWorld:
    """Three servers with a few tables of every kind of column."""
    world = SeedWorld(initialised(make_sandbox(flavour, replicas=2)))
    world.cluster.run(PRIMARY, *_TABLES, *(_ROW.format(n=n) for n in range(1, rows + 1)))
    world.caught_up()
    return world


def not_ours(spec: ClusterSpec, *names: str) -> ClusterSpec:
    """The same cluster, where somebody else runs the servers `names`, or all of them."""
    others = names or tuple(node.name for node in spec.nodes)
    nodes = tuple(replace(node, process_dir=None) if node.name in others else node for node in spec.nodes)
    return replace(spec, nodes=nodes)


def wait_for(said: list[str], what: str) -> None:
    """Until the run has reported `what`."""
    eventually(lambda: any(what in sentence for sentence in list(said)), f"it says {what!r}", within_s=PATIENCE_S)
