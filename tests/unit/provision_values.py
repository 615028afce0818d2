"""Servers, links and records as values, for the tests of `replclus.provision` that need no server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from replclus.dialect import Setting
from replclus.model.gtid import MysqlGtidSet
from replclus.model.observation import Applier, Channel, Facts, Identity, Receiver, Version
from replclus.model.record import ClusterRecord, Member, MemberState
from replclus.model.spec import Account, ClusterSpec, Durability, Flavour, NodeSpec, Secret
from replclus.provision.inspection import Inspection

ID, OTHER = "c0ffee", "decaf"
SAME = {"lower_case_table_names": "0", "character_set_server": "utf8mb4", "collation_server": "utf8mb4_bin"}
ROW = Setting(name="binlog_format", wanted="ROW", line="binlog_format=ROW", dynamic=True, why="")
LOG = Setting(name="log_bin", wanted="ON", line="log_bin=binlog", dynamic=False, why="")
GTID = Setting(name="gtid_mode", wanted="ON", line="gtid_mode=ON", dynamic=False, why="")


def node(number: int) -> NodeSpec:
    return NodeSpec(name=f"n{number}", host="198.18.0.1", port=3306 + number)


def spec(size: int = 3, **more: Any) -> ClusterSpec:
    return ClusterSpec(name="shop", nodes=tuple(node(i) for i in range(1, size + 1)), admin=Account("root", Secret("")), **more)


def server(number: int, *, executed: str = "", channel: Channel | None = None, **more: Any) -> Inspection:
    identity = Identity(
        flavour=more.pop("flavour", Flavour.MYSQL),
        version=more.pop("version", Version(9, 7, 4)),
        server_id=more.pop("server_id", number),
        uuid=more.pop("uuid", f"0000000{number}-0000-0000-0000-000000000000"),
        cluster_id=more.pop("cluster_id", None),
    )
    done = MysqlGtidSet.parse(executed)
    facts = Facts(identity=identity, writable=True, executed=done, received=done, channel=channel)
    return replace(Inspection(node=node(number), facts=facts, variables=SAME), **more)


def link(port: int, host: str = "198.18.0.1") -> Channel:
    return Channel(
        source_host=host,
        source_port=port,
        receiver=Receiver(running=True, connected=True),
        applier=Applier(running=True),
    )


def record(state: MemberState, size: int = 3) -> ClusterRecord:
    members = (
        Member(
            name=f"n{i}",
            host="198.18.0.1",
            port=3306 + i,
            server_id=i,
            uuid=f"0000000{i}-0000-0000-0000-000000000000",
            state=state,
        )
        for i in range(1, size + 1)
    )
    return ClusterRecord(
        version=1,
        cluster_id=ID,
        name="shop",
        flavour=Flavour.MYSQL,
        durability=Durability.LOSSLESS,
        epoch=1,
        primary="n1",
        members=tuple(members),
    )
