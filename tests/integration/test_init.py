"""`replclus init` on real, empty servers of both families."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pymysql
import pytest

from replclus.errors import ConfigError, Locked
from replclus.events import Event, RecordChanged, StepDone, StepStarted, Warned
from replclus.model.record import MemberState
from replclus.model.spec import Account, ClusterSpec, Durability, Flavour, Secret
from replclus.model.topology import Topology
from replclus.provision import bootstrap
from replclus.provision.look import connect_with
from replclus.sandbox import Sandbox
from replclus.store import SqliteStore
from replclus.store.secrets import Secrets, load_secrets
from tests.conftest import MakeSandbox, running
from tests.integration.init_worlds import binary_logs, facts, option_files, servers, snapshot, snapshot_at_rest, spec_of, store_of

SECONDS_MAX = {Flavour.MARIADB: 5.0, Flavour.MYSQL: 8.0}


@pytest.fixture(scope="module")
def made(module_sandbox: Sandbox) -> tuple[Sandbox, list[Event], float]:
    """Four servers after their first `init`: the events it told, and the seconds it took."""
    spec = spec_of(module_sandbox)
    store, told = store_of(spec), list[Event]()
    began = time.monotonic()
    assert bootstrap(spec, store, report=told.append).changed
    took = time.monotonic() - began
    store.close()
    return module_sandbox, told, took


def secrets_of(sandbox: Sandbox) -> Secrets:
    secrets = load_secrets(spec_of(sandbox).state_dir)
    assert secrets is not None
    return secrets


def test_four_empty_servers_become_a_cluster_within_seconds(made: tuple[Sandbox, list[Event], float]) -> None:
    sandbox, _, took = made
    assert took <= SECONDS_MAX[sandbox.flavour]


def test_the_record_admits_everybody_as_the_servers_are(made: tuple[Sandbox, list[Event], float]) -> None:
    sandbox, *_ = made
    spec = spec_of(sandbox)
    record = store_of(spec).load()
    assert record is not None
    assert (record.epoch, record.primary, record.ackers) == (1, "n1", frozenset({"n2", "n3", "n4"}))
    assert {member.state for member in record.members} == {MemberState.ACTIVE}
    for member in record.members:
        who = facts(spec, spec.node(member.name)).identity
        assert (member.server_id, member.uuid, record.cluster_id) == (who.server_id, who.uuid, who.cluster_id)


def test_one_accepts_writes_and_the_others_follow_it(made: tuple[Sandbox, list[Event], float]) -> None:
    sandbox, *_ = made
    spec = spec_of(sandbox)
    first = facts(spec, spec.nodes[0])
    assert first.writable and first.channel is None
    for node in spec.nodes[1:]:
        replica = facts(spec, node)
        assert not replica.writable and replica.channel is not None
        assert (replica.channel.source_port, replica.channel.receiver.connected) == (spec.nodes[0].port, True)
        assert replica.channel.applier.running
        assert first.executed == replica.executed


def test_every_replica_acknowledges(made: tuple[Sandbox, list[Event], float]) -> None:
    sandbox, *_ = made
    spec = spec_of(sandbox)
    source = facts(spec, spec.nodes[0]).semi_sync
    assert source.source_enabled and source.source_active and not source.waiting
    assert all(facts(spec, node).semi_sync.replica_enabled for node in spec.nodes[1:])
    clients = running(sandbox).run("SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_%_clients'")
    assert [int(value) for _, value in clients] == [3]


def test_every_required_setting_holds(made: tuple[Sandbox, list[Event], float]) -> None:
    sandbox, *_ = made
    spec = spec_of(sandbox)
    assert spec.admin is not None
    for node in spec.nodes:
        server = connect_with(spec)(node, spec.admin)
        values = server.variables()
        wrong = [
            wish.name
            for wish in server.dialect.required_settings(spec.durability, spec.timings)
            if not wish.satisfied_by(values.get(wish.name, ""))
        ]
        server.close()
        assert wrong == []


def test_replicas_are_closed_even_to_administrators_on_mysql(made: tuple[Sandbox, list[Event], float]) -> None:
    sandbox, *_ = made
    if sandbox.flavour is Flavour.MYSQL:
        assert [server.run("SELECT @@super_read_only")[0][0] for server in servers(sandbox)] == [0, 1, 1, 1]


def test_accounts_are_for_exact_hosts_and_without_super(made: tuple[Sandbox, list[Event], float]) -> None:
    sandbox, *_ = made
    every = []
    for server in servers(sandbox):
        rows = server.run("SELECT user, host FROM mysql.user WHERE user LIKE 'replclus%' OR user = 'app' ORDER BY 1, 2")
        every.append(rows)
        assert {user for user, _ in rows} == {"replclus_repl", "replclus_watchdog", "replclus_lease", "app"}
        assert not any("%" in host or "_" in host for _, host in rows)
        powers = server.run(
            "SELECT grantee FROM information_schema.user_privileges WHERE privilege_type IN ('SUPER', 'CREATE USER', 'FILE')"
        )
        assert not any("replclus" in grantee or "app" in grantee for (grantee,) in powers)
    assert all(rows == every[0] for rows in every)


def test_no_password_and_no_hash_travels_through_a_binary_log(made: tuple[Sandbox, list[Event], float]) -> None:
    sandbox, *_ = made
    secrets = secrets_of(sandbox)
    for server in servers(sandbox):
        logs = binary_logs(server)
        assert b"replclus" in logs
        for account in (secrets.replication, secrets.watchdog):
            assert account.password.reveal().encode() not in logs
        assert b"CREATE USER" not in logs and b"IDENTIFIED" not in logs


def test_the_pulse_carries_a_map_that_names_everybody(made: tuple[Sandbox, list[Event], float]) -> None:
    sandbox, *_ = made
    spec = spec_of(sandbox)
    for node in spec.nodes:
        server = connect_with(spec)(node, secrets_of(sandbox).watchdog)
        pulse = server.pulse()
        server.close()
        assert pulse is not None and (pulse.epoch, pulse.primary) == (1, "n1")
        topology = Topology.from_json(pulse.topology)
        assert [(one.name, one.port) for one in topology.nodes] == [(one.name, one.port) for one in spec.nodes]


def test_the_application_writes_to_the_primary_and_reads_on_replicas(made: tuple[Sandbox, list[Event], float]) -> None:
    sandbox, *_ = made
    first, second, *_ = spec_of(sandbox).nodes
    app: dict[str, Any] = {"user": "app", "password": "app", "database": "app", "autocommit": True}
    with pymysql.connect(host=first.host, port=first.port, **app) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS greeting (word VARCHAR(20) PRIMARY KEY)")
        cursor.execute("REPLACE INTO greeting VALUES ('hello')")
        cursor.execute("SELECT beat FROM replclus.pulse")
        cursor.execute("REPLACE INTO replclus.outcome (token) VALUES ('a token')")
        with pytest.raises(pymysql.err.OperationalError):
            cursor.execute("UPDATE replclus.pulse SET beat = 0")
    with pymysql.connect(host=second.host, port=second.port, **app) as connection, connection.cursor() as cursor:
        assert _soon(cursor, "SELECT word FROM greeting") == "hello"
        with pytest.raises(pymysql.err.OperationalError) as refused:
            cursor.execute("INSERT INTO greeting VALUES ('no')")
        assert refused.value.args[0] == 1290


def _soon(cursor: pymysql.cursors.Cursor, query: str) -> object:
    """The value that `query` gives, once what it needs has been replicated; at most 5 s."""
    end = time.monotonic() + 5
    while True:
        try:
            cursor.execute(query)
            row = cursor.fetchone()
            if row is not None or time.monotonic() > end:
                return row and row[0]
        except pymysql.err.ProgrammingError:
            if time.monotonic() > end:
                raise
        time.sleep(0.02)


def test_progress_is_told_step_by_step(made: tuple[Sandbox, list[Event], float]) -> None:
    _, told, _ = made
    began = [(one.step, one.node) for one in told if isinstance(one, StepStarted)]
    ended = [(one.step, one.node) for one in told if isinstance(one, StepDone)]
    assert sorted(map(str, began)) == sorted(map(str, ended))
    assert began[0] == ("describe", None) and ended[-1] == ("admit", None)
    assert [one.version for one in told if isinstance(one, RecordChanged)] == [1, 2]


def test_a_second_init_changes_nothing_and_says_so(made: tuple[Sandbox, list[Event], float]) -> None:
    sandbox, *_ = made
    spec = spec_of(sandbox)
    before, record, told = snapshot_at_rest(sandbox), store_of(spec).load(), list[Event]()
    again = bootstrap(spec, store_of(spec), report=told.append)
    assert (again.changed, again.steps, told) == (False, (), [])
    assert store_of(spec).load() == record
    assert snapshot(sandbox) == before


def test_a_second_init_does_not_mind_a_watchdog_as_long_as_there_is_nothing_to_do(
    made: tuple[Sandbox, list[Event], float],
) -> None:
    sandbox, *_ = made
    spec = spec_of(sandbox)
    store = store_of(spec)
    with store.lock("watchdog"):
        assert not bootstrap(spec, store_of(spec)).changed
        running(sandbox, "n2").run("SET GLOBAL sync_binlog = 0")
        with pytest.raises(Locked, match="watchdog"):
            bootstrap(spec, store_of(spec))
    assert bootstrap(spec, store_of(spec)).changed
    assert running(sandbox, "n2").run("SELECT @@sync_binlog") == ((1,),)


def test_accounts_that_vanished_come_back_without_a_trace_in_the_history(made: tuple[Sandbox, list[Event], float]) -> None:
    sandbox, *_ = made
    spec = spec_of(sandbox)
    third = running(sandbox, "n3")
    before = facts(spec, spec.node("n3")).executed
    if sandbox.flavour is Flavour.MYSQL:
        third.run("SET GLOBAL super_read_only = 0")
    third.run("SET sql_log_bin = 0", "DROP USER replclus_repl@localhost", "DROP USER app@localhost")
    if sandbox.flavour is Flavour.MYSQL:
        third.run("SET GLOBAL super_read_only = 1")
    steps = bootstrap(spec, store_of(spec)).steps
    assert [(step.name, step.node) for step in steps] == [("create accounts", "n3"), ("create application account", "n3")]
    assert not bootstrap(spec, store_of(spec)).changed
    assert facts(spec, spec.node("n3")).executed == before
    assert not facts(spec, spec.node("n3")).writable


def test_after_a_restart_a_member_is_read_only_and_replicates_from_nobody(made: tuple[Sandbox, list[Event], float]) -> None:
    """Of this module the last test that needs every replica attached."""
    sandbox, *_ = made
    spec = spec_of(sandbox)
    server = running(sandbox, "n4")
    server.process.stop()
    server.process.start()
    found = facts(spec, spec.node("n4"))
    assert not found.writable and found.channel is not None
    assert not found.channel.receiver.running and not found.channel.applier.running
    assert not bootstrap(spec, store_of(spec)).changed


def test_a_dry_run_says_every_step_and_touches_nothing(make_sandbox: MakeSandbox, flavour: Flavour) -> None:
    sandbox = make_sandbox(flavour, replicas=1)
    spec = spec_of(sandbox)
    before = snapshot(sandbox)
    dry = bootstrap(spec, SqliteStore(spec.state_dir, create=False), dry_run=True)
    assert snapshot(sandbox) == before and not spec.state_dir.exists()
    assert not dry.changed
    told: list[Event] = []
    done = bootstrap(spec, store_of(spec), report=told.append)
    assert [step.sentence for step in done.steps] == [step.sentence for step in dry.steps]


def test_the_marked_node_becomes_the_primary(make_sandbox: MakeSandbox, flavour: Flavour) -> None:
    sandbox = make_sandbox(flavour, replicas=1)
    spec = spec_of(sandbox)
    spec = replace(spec, nodes=(spec.nodes[0], replace(spec.nodes[1], primary=True)), durability=Durability.AVAILABLE)
    bootstrap(spec, store_of(spec))
    record = store_of(spec).load()
    assert record is not None and record.primary == "n2"
    assert facts(spec, spec.nodes[1]).writable and not facts(spec, spec.nodes[0]).writable
    assert not facts(spec, spec.nodes[1]).semi_sync.source_enabled


def test_a_history_from_installation_does_not_reach_the_others(make_sandbox: MakeSandbox, flavour: Flavour) -> None:
    """Administrators who set up every server by the same script leave the same statements in every binary log."""
    sandbox = make_sandbox(flavour, replicas=1)
    for server in servers(sandbox):
        server.run("CREATE USER dba@localhost", "CREATE DATABASE scratch", "DROP DATABASE scratch")
    spec = spec_of(sandbox)
    assert all(facts(spec, node).executed for node in spec.nodes)
    bootstrap(spec, store_of(spec))
    first, second = (facts(spec, node) for node in spec.nodes)
    assert first.executed == second.executed
    assert all(server.run("SELECT COUNT(*) FROM mysql.user WHERE user = 'dba'") == ((1,),) for server in servers(sandbox))


def test_without_an_administrator_nothing_is_tried(make_sandbox: MakeSandbox) -> None:
    spec = replace(spec_of(make_sandbox(Flavour.MARIADB, replicas=1)), admin=None)
    with pytest.raises(ConfigError, match=r"accounts\.admin"):
        bootstrap(spec, store_of(spec))


# ---- servers on hosts that are not ours: an administrator's account over TCP, and nothing else -----------------------


def remote(sandbox: Sandbox) -> ClusterSpec:
    """The sandbox as seen from elsewhere: no sockets, no directories, and an administrator who may come by TCP."""
    for server in servers(sandbox):
        server.run("SET sql_log_bin = 0", "CREATE USER boss@'127.0.0.1' IDENTIFIED BY 'secret'")
        server.run("SET sql_log_bin = 0", "GRANT ALL ON *.* TO boss@'127.0.0.1' WITH GRANT OPTION")
    spec = spec_of(sandbox)
    nodes = tuple(replace(node, socket=None, process_dir=None) for node in spec.nodes)
    return replace(spec, nodes=nodes, admin=Account("boss", Secret("secret")))


def test_remote_servers_remember_how_to_start_or_we_are_told_what_to_write(make_sandbox: MakeSandbox, flavour: Flavour) -> None:
    sandbox = make_sandbox(flavour, replicas=1)
    spec, told = remote(sandbox), list[Event]()
    files = option_files(sandbox)
    bootstrap(spec, store_of(spec), report=told.append)
    assert option_files(sandbox) == files
    warned = [(one.node, one.what) for one in told if isinstance(one, Warned) and "option file" in one.what]
    assert not bootstrap(spec, store_of(spec)).changed
    if flavour is Flavour.MARIADB:
        assert [node for node, _ in warned] == ["n1", "n2"]
        assert all("read_only=ON" in what and "skip_slave_start=ON" in what for _, what in warned)
        return
    assert warned == []
    second = running(sandbox, "n2")
    second.process.stop()
    kept = [line for line in files["n2"].splitlines() if not line.startswith(("read_only", "super_read_only", "skip_replica"))]
    (second.place.directory / "my.cnf").write_text("\n".join(kept) + "\n")
    second.process.start()
    found = facts(spec, spec.node("n2"))
    assert not found.writable and found.channel is not None and not found.channel.receiver.running
    assert second.run("SELECT @@super_read_only, @@rpl_semi_sync_source_timeout") == ((1, 4294967295),)


def test_remote_servers_know_our_accounts_by_the_address_they_see(make_sandbox: MakeSandbox, flavour: Flavour) -> None:
    sandbox = make_sandbox(flavour, replicas=1)
    spec = remote(sandbox)
    bootstrap(spec, store_of(spec))
    hosts = running(sandbox).run("SELECT host FROM mysql.user WHERE user = 'replclus_watchdog' ORDER BY host")
    assert hosts == (("127.0.0.1",), ("::1",), ("localhost",))
    assert facts(spec, spec.nodes[1], secrets_of(sandbox).watchdog).channel is not None
