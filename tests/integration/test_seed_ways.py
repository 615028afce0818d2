"""Every way of making a server's data that of another ends with the same: equal, read-only, detached, fit to follow."""

from __future__ import annotations

import threading

import pymysql
import pytest

from replclus.model.gtid import empty_gtid_set
from replclus.model.spec import Flavour
from replclus.provision import permission, seeding
from replclus.provision.verify import verify
from tests.conftest import MakeSandbox
from tests.integration.seed_worlds import DIVERGE, DONOR, NODE, PRIMARY, SeedWorld, not_ours, seed_world, wait_for

KEEPER = "k'p%"


def as_prescribed(world: SeedWorld) -> None:
    """What every seeded server must be before the watchdog attaches it."""
    assert not world.cluster.writable(NODE)
    status = "SHOW SLAVE STATUS" if world.flavour is Flavour.MARIADB else "SHOW REPLICA STATUS"
    assert world.cluster.rows(NODE, status) == ()
    identity = world.cluster.rows(NODE, "SELECT cluster_id FROM replclus.identity")
    assert identity == ((world.record.cluster_id,),)
    assert world.executed(NODE).contains(world.executed(DONOR)) or world.executed(DONOR).contains(world.executed(NODE))
    if world.flavour is Flavour.MYSQL:
        loaded = "SELECT COUNT(*) FROM information_schema.plugins WHERE plugin_name LIKE 'rpl_semi_sync%'"
        assert world.cluster.rows(NODE, loaded) == ((2,),)


@pytest.mark.parametrize("nth", [0, 1], ids=["best", "dump"])
def test_a_way(make_sandbox: MakeSandbox, flavour: Flavour, nth: int) -> None:
    world = seed_world(make_sandbox, flavour)
    world.diverge(*DIVERGE, "CREATE DATABASE ghost", "CREATE TABLE ghost.t (i INT)", "CREATE USER ghost@localhost")
    grant = ("CREATE USER keeper@localhost IDENTIFIED BY 'k''p%'", "GRANT SELECT ON app.t TO keeper@localhost")
    world.cluster.run(PRIMARY, *grant, "CREATE TABLE app.late (i INT)", "CREATE PROCEDURE app.p() SELECT 1")
    world.go_on()
    case, name = world.case(), list(seeding.ways(flavour))[nth]
    with permission.noted(case, permission.check(case)):
        seeding.ways(flavour)[name](case)

    as_prescribed(world)
    assert world.cluster.rows(NODE, "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = 'ghost'") == ((0,),)
    assert world.cluster.rows(NODE, "SELECT COUNT(*) FROM mysql.user WHERE user = 'ghost'") == ((0,),)
    assert world.cluster.rows(NODE, "SELECT COUNT(*) FROM information_schema.routines WHERE routine_name = 'p'") == ((1,),)
    verified = verify(case, whole_floats=name != "dump")
    assert verified.equal and verified.tables >= 6, verified
    as_prescribed(world)
    place = world.cluster.sandbox.place(NODE)
    with pymysql.connect(unix_socket=str(place.socket), user="keeper", password=KEEPER) as keeper, keeper.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM app.t")
        with pytest.raises(pymysql.err.OperationalError, match="denied"):
            cursor.execute("SELECT COUNT(*) FROM app.keyless")
    world.proven_equal()


@pytest.mark.mysql
def test_a_clone_whose_host_is_not_ours_waits_for_its_supervisor(make_sandbox: MakeSandbox) -> None:
    world = seed_world(make_sandbox, Flavour.MYSQL, rows=3)
    extra = world.diverge(*DIVERGE[:1])

    def supervise() -> None:
        wait_for(world.said, "cloning")
        process = world.cluster.process(NODE)
        while process.is_running() and not ended.wait(0.05):
            pass
        process.start()

    ended = threading.Event()
    supervisor = threading.Thread(target=supervise)
    supervisor.start()
    try:
        done = world.bring_back(extra, spec=not_ours(world.cluster.spec))
    finally:
        ended.set()
        supervisor.join()
    assert done.ok and done.how == "clone" and done.identity is not None, done.why
    assert done.uuid == world.cluster.rows(NODE, "SELECT @@server_uuid")[0][0]
    world.proven_equal()


def test_an_empty_server_is_filled(make_sandbox: MakeSandbox, flavour: Flavour) -> None:
    """As a new disk would leave it: nothing of ours on it, not even the accounts."""
    world = seed_world(make_sandbox, flavour, rows=3)
    world.detach()
    forget = "RESET SLAVE ALL" if flavour is Flavour.MARIADB else "RESET REPLICA ALL"
    reset = "RESET MASTER" if flavour is Flavour.MARIADB else "RESET BINARY LOGS AND GTIDS"
    gone = ("SET sql_log_bin = 0", "DROP DATABASE app", "DROP DATABASE replclus", forget, reset)
    users = world.cluster.rows(NODE, "SELECT user, host FROM mysql.user WHERE user LIKE 'replclus%'")
    world.alone(NODE, *gone, *(f"DROP USER {user}@'{host}'" for user, host in users))
    if flavour is Flavour.MARIADB:
        world.cluster.run(NODE, "SET GLOBAL gtid_slave_pos = ''")
    done = world.bring_back(empty_gtid_set(flavour))
    assert done.ok and done.exported_to is None and done.how in {"clone", "mariadb-backup"}, done.why
    world.proven_equal()
