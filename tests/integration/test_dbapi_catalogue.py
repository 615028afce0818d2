"""Stored functions on a real cluster: those that only read leave the primary, and no other."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

import replclus
from replclus.dbapi import catalogue
from replclus.model.spec import Flavour
from tests.clusters import Cluster, eventually
from tests.integration.dbapi_world import Connect, cluster, connect, scalar

__all__ = ["cluster", "connect"]

_NUMBER = iter(range(1000))


@pytest.fixture
def creator(cluster: Cluster, connect: Connect) -> Iterator[replclus.Connection]:
    """A connection of the application, which may create functions here."""
    for node in cluster.sandbox.names:
        cluster.run(node, "SET GLOBAL log_bin_trust_function_creators = 1")
    yield connect()


def created(connection: replclus.Connection, body: str, declared: str = "READS SQL DATA", name: str = "") -> str:
    name = name or f"f{next(_NUMBER)}"
    connection.cursor().execute(f"CREATE FUNCTION {name}(p INT) RETURNS INT {declared} {body}")
    return name


def goes(connection: replclus.Connection, sql: str) -> str:
    cursor = connection.cursor()
    cursor.execute(sql)
    route = cursor.route
    assert route is not None
    return route.target


class TestWhereFunctionsRun:
    def test_one_that_reads(self, creator: replclus.Connection) -> None:
        name = created(creator, "RETURN (SELECT COUNT(*) FROM t WHERE id < p)")
        assert goes(creator, f"SELECT {name}(1)") == "replica"
        assert goes(creator, f"SELECT `app`.`{name.upper()}` (1)") == "replica"
        assert goes(creator, f"SELECT {name}(1), @a") == "primary"
        assert creator.explain(f"SELECT {name}(1)").target == "replica"
        assert scalar(creator, f"SELECT {name}(5) = {name}(5)") == 1

    @pytest.mark.parametrize(
        ("declared", "body"),
        [
            ("READS SQL DATA", "BEGIN INSERT INTO t (v) VALUES ('from a function'); RETURN 1; END"),
            ("NO SQL", "BEGIN UPDATE t SET v = 'x' WHERE id = p; RETURN 1; END"),
            ("CONTAINS SQL", "RETURN p"),
            ("READS SQL DATA", "RETURN GET_LOCK('of a function', 0)"),
            ("READS SQL DATA", "RETURN @a"),
            ("READS SQL DATA", "RETURN @@server_id"),
        ],
    )
    def test_others(self, creator: replclus.Connection, declared: str, body: str) -> None:
        name = created(creator, body, declared)
        assert goes(creator, f"SELECT {name}(1)") == "primary"

    def test_one_that_calls_another(self, creator: replclus.Connection) -> None:
        reads = created(creator, "RETURN p")
        writes = created(creator, "BEGIN INSERT INTO t (v) VALUES ('deep'); RETURN 1; END")
        assert goes(creator, f"SELECT {created(creator, f'RETURN {reads}(p)')}(1)") == "replica"
        assert goes(creator, f"SELECT {created(creator, f'RETURN {writes}(p)')}(1)") == "primary"

    def test_no_function_at_all(self, creator: replclus.Connection) -> None:
        for _ in range(2):
            with pytest.raises(replclus.OperationalError):
                goes(creator, "SELECT there_is_none_of_this_name(1)")
        assert goes(creator, "SELECT COUNT(*) FROM t") == "replica"

    def test_body_that_the_account_may_not_see(self, cluster: Cluster, creator: replclus.Connection) -> None:
        """MySQL shows bodies to their owner and to SHOW_ROUTINE; MariaDB to whoever may read mysql.proc."""
        cluster.run("n1", "CREATE FUNCTION app.of_root(p INT) RETURNS INT READS SQL DATA RETURN p")
        eventually(lambda: cluster.rows("n2", "SELECT app.of_root(1)"), "the function is on a replica")
        assert scalar(creator, "SELECT ROUTINE_DEFINITION FROM information_schema.ROUTINES WHERE ROUTINE_NAME='of_root'") is None
        assert goes(creator, "SELECT of_root(1)") == "primary"


class TestChanges:
    def test_a_function_made_anew_is_judged_anew(self, cluster: Cluster, creator: replclus.Connection) -> None:
        name = created(creator, "RETURN p")
        assert goes(creator, f"SELECT {name}(1)") == "replica"
        cursor = creator.cursor()
        if cluster.sandbox.flavour is Flavour.MARIADB:
            cursor.execute(
                f"CREATE OR REPLACE FUNCTION {name}(p INT) RETURNS INT READS SQL DATA "
                "BEGIN INSERT INTO t (v) VALUES ('anew'); RETURN 1; END"
            )
        else:
            cursor.execute(f"DROP FUNCTION {name}")
            created(creator, "BEGIN INSERT INTO t (v) VALUES ('anew'); RETURN 1; END", name=name)
        assert goes(creator, f"SELECT {name}(1)") == "primary"
        cursor.execute(f"DROP FUNCTION {name}")
        created(creator, "RETURN p + 1", name=name)
        assert goes(creator, f"SELECT {name}(1)") == "replica"
        assert scalar(creator, f"SELECT {name}(1)") == 2

    def test_a_change_made_elsewhere_is_noticed_in_time(
        self, cluster: Cluster, creator: replclus.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Here in a tenth of a second instead of half a minute."""
        monkeypatch.setattr(catalogue, "FRESH_S_MAX", 0.1)
        name = created(creator, "RETURN p")
        assert goes(creator, f"SELECT {name}(1)") == "replica"
        cluster.run("n1", f"DROP FUNCTION app.{name}")
        cluster.run("n1", f"CREATE FUNCTION app.{name}(p INT) RETURNS INT CONTAINS SQL RETURN p")
        time.sleep(0.2)
        eventually(lambda: cluster.rows("n2", f"SELECT app.{name}(1)"), "the function is on a replica")
        assert goes(creator, f"SELECT {name}(1)") == "primary"
