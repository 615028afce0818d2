"""GTID algebra against the servers' own: MySQL computes with sets itself, MariaDB shows what it has written."""

from __future__ import annotations

import random

import pytest

from replclus.model.gtid import MariadbGtidSet, MysqlGtidSet
from replclus.model.spec import Flavour
from tests.conftest import RunningServer

MYSQL_ONLY = pytest.mark.parametrize("flavour", [pytest.param(Flavour.MYSQL, marks=pytest.mark.mysql)], indirect=True)
MARIADB_ONLY = pytest.mark.parametrize("flavour", [pytest.param(Flavour.MARIADB, marks=pytest.mark.mariadb)], indirect=True)

UUIDS = ("3e11fa47-71ca-11e1-9e33-c80aa9429562", "00000000-0000-0000-0000-000000000001")
PAIRS = 400

# What one round trip answers for two texts a and b: a normalised, a - b, a is a subset of b, a & b, a | b.
SERVER_ALGEBRA = (
    "SELECT GTID_SUBTRACT(%(a)s, ''), GTID_SUBTRACT(%(a)s, %(b)s), GTID_SUBSET(%(a)s, %(b)s),"
    " GTID_SUBTRACT(%(a)s, GTID_SUBTRACT(%(a)s, %(b)s)), GTID_SUBTRACT(CONCAT(%(a)s, ',', %(b)s), '')"
)


def random_text(rng: random.Random) -> str:
    """A set as a person might type it: any case and order, overlaps, tags before and after plain numbers."""
    texts = []
    for _ in range(rng.randint(0, 3)):
        uuid = rng.choice(UUIDS)
        text = rng.choice((uuid, uuid.upper()))
        for _ in range(rng.randint(1, 6)):
            first = rng.randint(1, 30)
            last = first + rng.choice((0, 0, 1, 5))
            tag = rng.choice(("", "", ":a", ":A_1", ":_b"))
            text += f"{tag}:{first}" if first == last else f"{tag}:{first}-{last}"
        texts.append(text)
    return rng.choice((",", ", ", ",\n", " ,")).join(texts)


@MYSQL_ONLY
@pytest.mark.parametrize("seed", range(3))
def test_mysql_agrees_with_our_algebra(module_server: RunningServer, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - repeatable, nothing secret
    with module_server.connect() as session, session.cursor() as cursor:
        for _ in range(PAIRS):
            a, b = random_text(rng), random_text(rng)
            cursor.execute(SERVER_ALGEBRA, {"a": a, "b": b})
            ours, theirs = MysqlGtidSet.parse(a), MysqlGtidSet.parse(b)
            answer = (str(ours), str(ours - theirs), int(ours <= theirs), str(ours & theirs), str(ours | theirs))
            assert cursor.fetchone() == answer, f"seed {seed}: {a!r} and {b!r}"


@MYSQL_ONLY
def test_mysql_executed_set_grows_by_what_was_written(module_server: RunningServer) -> None:
    with module_server.connect() as session, session.cursor() as cursor:

        def executed() -> MysqlGtidSet:
            cursor.execute("SELECT @@server_uuid, @@GLOBAL.gtid_executed")
            row = cursor.fetchone()
            assert str(MysqlGtidSet.parse(row[1])) == row[1]
            return MysqlGtidSet.parse(row[1])

        cursor.execute("SELECT @@server_uuid")
        uuid = cursor.fetchone()[0]
        cursor.execute("CREATE DATABASE IF NOT EXISTS gtid_algebra")
        before = executed()
        cursor.execute("SET gtid_next = 'AUTOMATIC:Tagged'")
        cursor.execute("CREATE TABLE gtid_algebra.t (a INT)")
        cursor.execute("SET gtid_next = 'AUTOMATIC'")
        cursor.execute("DROP DATABASE gtid_algebra")
        grown = executed() - before
        assert executed() >= before
        assert grown.count() == 2
        assert {origin for origin, _ in grown.ranges} == {(uuid, ""), (uuid, "tagged")}


@MARIADB_ONLY
def test_mariadb_state_shows_each_origin_and_domain(module_server: RunningServer) -> None:
    with module_server.connect() as session, session.cursor() as cursor:

        def read() -> tuple[MariadbGtidSet, str]:
            cursor.execute("SELECT @@gtid_binlog_state, @@gtid_binlog_pos")
            state, position = cursor.fetchone()
            return MariadbGtidSet.parse(state), position

        cursor.execute("CREATE DATABASE IF NOT EXISTS gtid_algebra")
        cursor.execute("CREATE OR REPLACE TABLE gtid_algebra.t (a INT)")
        before, _ = read()
        written = MariadbGtidSet()
        for domain, server in ((0, 901), (0, 902), (97, 902), (97, 901), (0, 901), (98, 903)):
            cursor.execute("SET SESSION gtid_domain_id = %s, server_id = %s", (domain, server))
            cursor.execute("INSERT INTO gtid_algebra.t VALUES (1)")
            cursor.execute("SELECT @@last_gtid")
            written |= MariadbGtidSet.parse(cursor.fetchone()[0])
        after, position = read()
        assert after == before | written
        assert after - before == written - before
        assert after.beyond(before).count() == 6
        assert after.position() == position
        cursor.execute("DROP DATABASE gtid_algebra")
