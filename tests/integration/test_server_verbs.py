"""A life of a pair of servers, told by the watchdog's account alone. Every statement of both dialects is executed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from replclus.dialect import AccountRole, Statement
from replclus.errors import AccessDenied, ServerError, ServerUnreachable
from replclus.model.gtid import MariadbGtidSet, parse_gtid_set
from replclus.model.observation import Reach
from replclus.model.spec import Account, Durability, Flavour, NodeSpec, Secret
from replclus.sandbox import create
from replclus.server.server import Server
from tests.integration.server_pair import (
    APP,
    LOSSLESS,
    REPLICATION,
    TIMINGS,
    WATCHDOG,
    Pair,
    caught_up,
    create_account,
    facts,
    pair,
    until,
)


@pytest.fixture(scope="module")
def both(server_root: Path, flavour: Flavour) -> Iterator[Pair]:
    sandbox = create(server_root / f"verbs-{flavour}", flavour=flavour, replicas=1)
    with pair(sandbox) as made:
        yield made
    sandbox.destroy()


@pytest.fixture
def primary(both: Pair) -> Iterator[Server]:
    server = both.server("n1")
    yield server
    server.close()


@pytest.fixture
def replica(both: Pair) -> Iterator[Server]:
    server = both.server("n2")
    yield server
    server.close()


def test_what_is_seen_of_a_primary(both: Pair, primary: Server) -> None:
    seen = facts(primary)
    assert seen.writable and seen.channel is None and seen.received == seen.executed
    assert seen.identity.cluster_id == primary.identity().cluster_id == "it's 100%"
    assert seen.identity.flavour is both.flavour and seen.identity.server_id == 1
    assert seen.semi_sync.source_enabled and seen.semi_sync.source_active and not seen.semi_sync.replica_enabled
    assert seen.pulse is not None and seen.pulse.topology == ""
    pulse = primary.pulse()
    assert pulse is not None and pulse.topology == "{}"


def test_what_is_seen_of_a_replica(both: Pair, replica: Server) -> None:
    seen = facts(replica)
    assert not seen.writable and seen.channel is not None
    assert (seen.channel.source_host, seen.channel.source_port) == ("127.0.0.1", both.nodes["n1"].port)
    assert seen.channel.receiver.connected and seen.channel.applier.running
    assert seen.semi_sync.replica_enabled and not seen.semi_sync.source_enabled
    link = replica.link()
    assert link is not None and link.by_gtid and link.connect_retry_s == TIMINGS.connect_retry_s


def test_a_light_probe_keeps_what_it_does_not_read(both: Pair, primary: Server, replica: Server) -> None:
    first = replica.observe()
    primary.beat(both.pulse(), 2.0)
    caught_up(both)
    second = replica.observe(first, full=False)
    assert second.facts is not None and first.facts is not None
    assert second.facts.executed == first.facts.executed and second.full_at == first.full_at and second.at > first.at
    assert second.facts.pulse is not None and second.facts.pulse.beat == both.beats
    replica.close()
    assert replica.observe(second, full=False).full_at > first.full_at, "after a new connection everything is read"


def test_variables_and_schemas(both: Pair, primary: Server) -> None:
    assert primary.variables()["server_id"] == "1"
    assert both.admin("n1").user_schemas() == ("app",)


def test_following_again_changes_nothing(both: Pair, replica: Server) -> None:
    both.said.clear()
    replica.follow(both.nodes["n1"], REPLICATION, TIMINGS, LOSSLESS)
    assert not [sql for sql in both.said if sql.startswith(("CHANGE", "START", "STOP", "RESET"))]


@pytest.mark.parametrize("stopped", ["receiver", "applier", "both"])
def test_following_starts_what_is_stopped(both: Pair, primary: Server, replica: Server, stopped: str) -> None:
    word = "SLAVE" if both.flavour is Flavour.MARIADB else "REPLICA"
    threads = {"receiver": " IO_THREAD", "applier": " SQL_THREAD", "both": ""}
    both.sql("n2", f"STOP {word}{threads[stopped]}")
    if stopped == "applier":
        primary.beat(both.pulse(), 2.0)
    both.said.clear()
    replica.follow(both.nodes["n1"], REPLICATION, TIMINGS, LOSSLESS)
    assert not [sql for sql in both.said if sql.startswith("CHANGE")]
    until(lambda: (channel := facts(replica).channel) and channel.receiver.connected and channel.applier.running)
    primary.beat(both.pulse(), 2.0)
    caught_up(both)


def test_a_new_password_is_noticed(both: Pair, replica: Server) -> None:
    changed = Account(REPLICATION.user, Secret("another"))
    for name in both.nodes:
        admin = both.admin(name)
        with admin.administration():
            create_account(admin, AccountRole.REPLICATION, changed)
        admin.close()
    replica.stop_receiving()
    replica.follow(both.nodes["n1"], REPLICATION, TIMINGS, LOSSLESS)
    until(lambda: (channel := facts(replica).channel) and channel.receiver.errno == 1045)
    replica.follow(both.nodes["n1"], changed, TIMINGS, LOSSLESS)
    until(lambda: (channel := facts(replica).channel) and channel.receiver.connected)
    for name in both.nodes:
        admin = both.admin(name)
        with admin.administration():
            create_account(admin, AccountRole.REPLICATION, REPLICATION)
        admin.close()
    replica.stop_receiving()
    replica.follow(both.nodes["n1"], changed, TIMINGS, LOSSLESS)
    until(lambda: (channel := facts(replica).channel) and channel.receiver.errno == 1045)
    replica.follow(both.nodes["n1"], REPLICATION, TIMINGS, LOSSLESS)
    until(lambda: (channel := facts(replica).channel) and channel.receiver.connected)


def test_there_and_back(both: Pair, primary: Server, replica: Server) -> None:
    """Two planned changes of the primary; whoever was primary goes on exactly where it stopped."""
    servers = {"n1": primary, "n2": replica}
    for epoch, (old, new) in enumerate((("n1", "n2"), ("n2", "n1")), start=2):
        both.sql(old, f"INSERT INTO app.t VALUES ({epoch}, 'before')")
        assert servers[old].close_for_writes(2.0)
        goal = facts(servers[old]).executed
        until(lambda: facts(servers[new]).received.contains(goal))  # noqa: B023
        servers[new].stop_receiving()
        assert servers[new].wait_applied(5.0)
        assert facts(servers[new]).executed.contains(goal)
        servers[new].forget_source()
        assert servers[new].link() is None
        servers[new].become_source(LOSSLESS)
        assert not facts(servers[new]).writable
        servers[old].follow(both.nodes[new], REPLICATION, TIMINGS, LOSSLESS)
        servers[new].open_for_writes()
        servers[new].beat(both.pulse(epoch), 3.0)
        caught_up(both, old, new)
        assert facts(servers[old]).executed == facts(servers[new]).executed
        assert not facts(servers[old]).semi_sync.source_enabled
    assert both.sql("n2", "SELECT id FROM app.t ORDER BY id") == ((2,), (3,))


def test_verbs_may_be_repeated(both: Pair, primary: Server, replica: Server) -> None:
    for _ in range(2):
        primary.become_source(LOSSLESS)
        primary.open_for_writes()
        primary.forget_source()
        replica.stop_receiving()
        assert replica.wait_applied(2.0)
        replica.detach()
    seen = facts(replica)
    assert seen.channel is not None and not seen.channel.receiver.running and not seen.channel.applier.running
    for _ in range(2):
        replica.forget_source()
        assert replica.close_for_writes(1.0)
        replica.detach()
    assert facts(replica).channel is None
    assert replica.wait_applied(0.1), "nothing was received"
    replica.follow(both.nodes["n1"], REPLICATION, TIMINGS, LOSSLESS)
    caught_up(both)


def test_available_waits_for_nobody(both: Pair, primary: Server, replica: Server) -> None:
    replica.follow(both.nodes["n1"], REPLICATION, TIMINGS, Durability.AVAILABLE)
    assert not facts(replica).semi_sync.replica_enabled
    primary.become_source(Durability.AVAILABLE)
    assert not facts(primary).semi_sync.source_enabled
    replica.detach()
    primary.beat(both.pulse(3), 1.0)
    replica.follow(both.nodes["n1"], REPLICATION, TIMINGS, LOSSLESS)
    primary.become_source(LOSSLESS)
    caught_up(both)


def test_the_pulse_belongs_to_the_latest_epoch(both: Pair, primary: Server, replica: Server) -> None:
    primary.beat(both.pulse(5, '{"map": 1}'), 2.0)
    primary.beat(both.pulse(5, '{"map": 1}'), 2.0)
    with pytest.raises(ServerError, match="epoch 5, later than 4"):
        primary.beat(both.pulse(4), 2.0)
    before = facts(replica).executed
    with pytest.raises(ServerError, match="read-only"):
        replica.beat(both.pulse(6), 2.0)
    caught_up(both)
    assert facts(replica).executed == facts(primary).executed and facts(primary).executed.contains(before)
    pulse = replica.pulse()
    assert pulse is not None and pulse.topology == '{"map": 1}'


def test_the_pulse_is_small(both: Pair, primary: Server) -> None:
    """Without its map, which is most of the row."""
    status = "SHOW MASTER STATUS" if both.flavour is Flavour.MARIADB else "SHOW BINARY LOG STATUS"
    topology = "x" * 5000
    primary.beat(both.pulse(5, topology), 2.0)
    before = both.sql("n1", status)[0][1]
    for _ in range(10):
        primary.beat(both.pulse(5, topology), 2.0)
    assert both.sql("n1", status)[0][1] - before < 10 * 400


def test_a_script_may_be_run_again(both: Pair) -> None:
    admin = both.admin("n1")
    admin.run_script("pulse")
    with pytest.raises(FileNotFoundError):
        admin.run_script("nonsense")
    admin.close()


def test_the_watchdog_may_do_nothing_else(both: Pair, primary: Server) -> None:
    for sql in (
        "SELECT * FROM mysql.user",
        "SHUTDOWN",
        "CREATE USER x@localhost",
        "DROP TABLE replclus.pulse",
        "CREATE DATABASE x",
        "SELECT * FROM app.t",
        "GRANT SELECT ON *.* TO replclus_watchdog@localhost",
    ):
        with pytest.raises(AccessDenied):
            primary.run(Statement(sql))
    rights = "\n".join(str(next(iter(row.values()))) for row in primary.run(Statement("SHOW GRANTS")))
    assert "SUPER" not in rights and "ALL PRIVILEGES" not in rights


def test_others_may_do_less(both: Pair) -> None:
    repl = both.server("n1", REPLICATION)
    with pytest.raises(AccessDenied):
        repl.pulse()
    app = both.server("n1", APP)
    assert app.pulse() is not None
    app.run(Statement("INSERT INTO replclus.outcome (token) VALUES ('abc')"))
    assert app.run(Statement("SELECT COUNT(*) AS n FROM replclus.outcome")) == [{"n": 1}]
    for sql in ("UPDATE replclus.pulse SET beat = 0", "SELECT * FROM replclus.identity", "SET GLOBAL read_only = 0"):
        with pytest.raises(AccessDenied):
            app.run(Statement(sql))
    with pytest.raises(ServerError, match="read-only"):
        both.server("n2", APP).run(Statement("INSERT INTO app.t VALUES (99, '')"))


def test_administration_leaves_no_trace(both: Pair) -> None:
    """On a read-only replica, and not in its binary log; a lost connection is not silently replaced."""
    admin = both.admin("n2")
    before = facts(admin).executed
    with admin.administration():
        admin.run(Statement("CREATE DATABASE here_only"))
        admin.run(Statement("DROP DATABASE here_only"))
    assert facts(admin).executed == before and not facts(admin).writable
    with pytest.raises(ServerUnreachable, match="settings of this session"), admin.administration():
        admin.abort()
        admin.run(Statement("CREATE DATABASE never"))
    admin.close()
    assert both.sql("n2", "SHOW DATABASES LIKE 'never'") == ()
    assert facts(admin).executed == before


def test_reach(both: Pair, primary: Server) -> None:
    node = both.nodes["n1"]
    nobody = Server(NodeSpec(name="n1", host="127.0.0.1", port=1), WATCHDOG)
    assert nobody.observe().reach is Reach.REFUSED
    missing = Server(NodeSpec(name="n1", host="127.0.0.1", port=1, socket="/nonexistent/mysqld.sock"), WATCHDOG)
    assert missing.observe().reach is Reach.REFUSED
    stranger = Server(node, Account("replclus_watchdog", Secret("wrong")))
    seen = stranger.observe()
    assert seen.reach is Reach.DENIED and seen.reach.alive and "wrong" not in seen.error
    with pytest.raises(AccessDenied):
        stranger.identity()
    with pytest.raises(ServerUnreachable):
        nobody.identity()
    assert nobody.observe(primary.observe()).facts is not None, "what was known stays"


def test_seeding_an_empty_server(server_root: Path, flavour: Flavour) -> None:
    sandbox = create(server_root / f"seed-{flavour}", flavour=flavour, replicas=0)
    try:
        place = sandbox.places[0]
        server = Server(
            NodeSpec(name="n1", host=place.host, port=place.port, socket=str(place.socket)), Account("root", Secret(""))
        )
        server.run(Statement("CREATE DATABASE x"))
        assert facts(server).executed.count() == 1
        assert facts(server).pulse is None
        server.reset_history()
        assert facts(server).executed.count() == 0
        text = "0-7-40,0-8-99" if flavour is Flavour.MARIADB else "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-99"
        gtids = parse_gtid_set(flavour, text)
        server.set_executed(gtids)
        assert facts(server).executed == gtids
        if isinstance(gtids, MariadbGtidSet):
            assert server.run(Statement("SELECT @@gtid_slave_pos AS p")) == [{"p": "0-8-99"}]
        server.close()
    finally:
        sandbox.destroy()
