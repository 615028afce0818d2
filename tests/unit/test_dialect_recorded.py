"""What servers answered (`recorded/`, see the `source` in each file), and what is read out of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from replclus.dialect import Dialect, detect, read_identity
from replclus.dialect.base import clients
from replclus.errors import UnsupportedServer
from replclus.model.observation import Version
from replclus.model.spec import Account, Flavour, NodeSpec, Secret, Timings
from replclus.model.topology import PulseRow

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.json"))
SOURCE = NodeSpec(name="n1", host="127.0.0.1", port=47021)
# Those of the time when the rows were recorded.
RECORDED_TIMINGS = Timings(heartbeat_period_s=0.5)
ACCOUNT = Account("replclus_repl", Secret("x"))

Recording = dict[str, Any]


@pytest.fixture(params=RECORDED, ids=[path.stem for path in RECORDED])
def recording(request: pytest.FixtureRequest) -> Recording:
    found: Recording = {"name": request.param.stem, **json.loads(request.param.read_text())}
    return found


def dialect_of(recording: Recording, role: str = "replica") -> Dialect:
    return detect("n2", recording[role]["identify"])


def test_family_and_version(recording: Recording) -> None:
    family, numbers, *_ = recording["name"].split("-")
    dialect = dialect_of(recording)
    assert dialect.flavour == Flavour(family)
    assert dialect.version == Version(*map(int, numbers.split(".")))


def test_identity(recording: Recording) -> None:
    identity = read_identity("n2", recording["replica"]["identify"], {"cluster_id": "shop"})
    assert (identity.server_id, identity.cluster_id) == (2, "shop")
    assert (identity.uuid is None) == (identity.flavour is Flavour.MARIADB)


def test_a_replica(recording: Recording) -> None:
    rows, dialect = recording["replica"], dialect_of(recording)
    identity = read_identity("n2", rows["identify"])
    facts = dialect.facts(identity, rows["link"], rows["semi_sync"], rows["everything"][0])
    assert not facts.writable
    assert facts.identity.cluster_id == "c'1"
    assert facts.channel is not None
    assert facts.channel.source_host == "127.0.0.1"
    assert facts.channel.source_port in {47011, 47021}
    assert facts.channel.receiver.running and facts.channel.receiver.connected and not facts.channel.receiver.errno
    assert facts.channel.applier.running and not facts.channel.applier.errno
    assert facts.received.contains(facts.executed)
    assert facts.executed.count() > 400
    assert facts.pulse == PulseRow(beat=450, epoch=11, primary="n1", routing_ttl_ms=5000, topology="")
    assert facts.semi_sync.replica_enabled == dialect.semi_sync_installed
    assert not facts.semi_sync.source_enabled and not facts.semi_sync.source_active


def test_a_primary(recording: Recording) -> None:
    rows, dialect = recording["primary"], dialect_of(recording, "primary")
    facts = dialect.facts(
        read_identity("n1", rows["identify"]), rows["link"], rows["semi_sync"], {**rows["bare"][0], "cluster_id": None}
    )
    assert facts.writable
    assert facts.channel is None
    assert facts.pulse is None
    assert facts.identity.cluster_id is None
    assert facts.received == facts.executed
    assert facts.semi_sync.source_enabled == facts.semi_sync.source_active == dialect.semi_sync_installed
    assert facts.semi_sync.waiting == 0


def test_what_is_received_and_not_applied(recording: Recording) -> None:
    rows, dialect = recording["replica"], dialect_of(recording)
    column = "Gtid_IO_Pos" if dialect.flavour is Flavour.MARIADB else "Retrieved_Gtid_Set"
    newer = "0-1-530" if dialect.flavour is Flavour.MARIADB else "643a3485-e774-11f1-8031-02fc00000001:15-20"
    link = [{**rows["link"][0], column: newer}]
    facts = dialect.facts(read_identity("n2", rows["identify"]), link, rows["semi_sync"], rows["everything"][0])
    assert not facts.executed.contains(facts.received)
    assert facts.received.beyond(facts.executed).count() == (4 if dialect.flavour is Flavour.MARIADB else 5)


@pytest.mark.parametrize(
    ("said", "running", "connected"),
    [("Yes", True, True), ("Connecting", True, False), ("Preparing", True, False), ("No", False, False)],
)
def test_the_receiver(recording: Recording, said: str, running: bool, connected: bool) -> None:
    dialect, row = dialect_of(recording), dict(recording["replica"]["link"][0])
    column = next(name for name in row if name.endswith("_IO_Running"))
    link = dialect.link([{**row, column: said, "Last_IO_Errno": 1236, "Last_IO_Error": "diverged"}])
    assert link is not None
    receiver = link.channel.receiver
    assert (receiver.running, receiver.connected) == (running, connected)
    assert (receiver.errno, receiver.error) == (1236, "diverged")


def test_a_broken_applier(recording: Recording) -> None:
    dialect, row = dialect_of(recording), dict(recording["replica"]["link"][0])
    column = next(name for name in row if name.endswith("_SQL_Running"))
    link = dialect.link([{**row, column: "No", "Last_SQL_Errno": 1062, "Last_SQL_Error": "Duplicate entry"}])
    assert link is not None
    assert (link.channel.applier.running, link.channel.applier.errno) == (False, 1062)


def test_other_channels_are_not_ours(recording: Recording) -> None:
    dialect, row = dialect_of(recording), dict(recording["replica"]["link"][0])
    column = "Connection_name" if dialect.flavour is Flavour.MARIADB else "Channel_Name"
    assert dialect.link([{**row, column: "reporting"}]) is None


def test_whether_the_source_is_configured_as_we_would(recording: Recording) -> None:
    dialect = dialect_of(recording)
    link = dialect.link(recording["replica"]["link"])
    assert link is not None
    source = NodeSpec(name="n1", host="127.0.0.1", port=link.channel.source_port)
    assert dialect.same_source(link, source, ACCOUNT, RECORDED_TIMINGS)
    assert not dialect.same_source(link, NodeSpec(name="n1", host="127.0.0.1", port=1), ACCOUNT, RECORDED_TIMINGS)
    assert not dialect.same_source(link, source, Account("other", Secret("x")), RECORDED_TIMINGS)
    assert not dialect.same_source(link, source, ACCOUNT, Timings(connect_retry_s=60))


def test_waiting_commits(recording: Recording) -> None:
    dialect = dialect_of(recording, "primary")
    rows = [
        {**row, "Value": "3"} if row["Variable_name"].endswith("_wait_sessions") else row
        for row in recording["primary"]["semi_sync"]
    ]
    assert dialect.waiting(rows) == (3 if rows else 0)


@pytest.mark.parametrize("value", [0, "0", "OFF", "off"])
def test_writable(recording: Recording, value: object) -> None:
    assert dialect_of(recording).writable({"read_only": value})


@pytest.mark.parametrize("value", [1, "1", "ON", "NO_LOCK", "NO_LOCK_NO_ADMIN", 2])
def test_anything_else_is_read_only(recording: Recording, value: object) -> None:
    assert not dialect_of(recording).writable({"read_only": value})


def test_clients_are_neither_replication_nor_ourselves(recording: Recording) -> None:
    own = [row for role in ("primary", "replica") for row in recording[role]["sessions"]]
    theirs = [{"id": 901, "user": "app", "command": "Sleep"}, {"id": 902, "user": "app", "command": "Query"}]
    watchdog = [{"id": 903, "user": "replclus_watchdog", "command": "Query"}]
    assert clients(own + theirs + watchdog, frozenset({"replclus_watchdog"})) == (901, 902)


@pytest.mark.parametrize(
    ("version", "comment"),
    [
        ("5.7.44-log", "MySQL Community Server (GPL)"),
        ("10.0.1", "MySQL Community Server - GPL"),
        ("10.5.29-MariaDB", "mariadb.org binary distribution"),
        ("12.0.2-MariaDB", "mariadb.org binary distribution"),
        ("5.5.5-10.4.34-MariaDB-log", "MariaDB Server"),
        ("8.0.11-TiDB-v7", "TiDB Server"),
        ("what", ""),
    ],
)
def test_servers_replclus_was_not_made_for(version: str, comment: str) -> None:
    rows = [
        {"Variable_name": "version", "Value": version},
        {"Variable_name": "version_comment", "Value": comment},
        {"Variable_name": "server_id", "Value": "1"},
    ]
    with pytest.raises(UnsupportedServer, match=r"MariaDB 10\.6"):
        detect("n1", rows)


def test_a_distribution_may_hide_the_family_in_one_of_the_two() -> None:
    for version, comment in (("10.11.6", "MariaDB Server"), ("10.11.6-MariaDB-1", "Debian 12")):
        rows = [{"Variable_name": "version", "Value": version}, {"Variable_name": "version_comment", "Value": comment}]
        assert detect("n1", rows).flavour is Flavour.MARIADB
