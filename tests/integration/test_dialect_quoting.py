"""Bound values and quoted identifiers, tried with hostile ones on real servers in every mode that changes quoting."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replclus.dialect import AccountRole, Statement, quote_identifier
from replclus.errors import AccessDenied
from replclus.model.spec import Account, Flavour, NodeSpec, Secret, Timings
from replclus.server.server import Server
from tests.conftest import RunningServer

ROOT = Account("root", Secret(""))
# Quotes of all kinds, escapes, comments, placeholders, the second byte of GBK characters, controls, other planes.
NASTY = "`'\"\\;%_ -/*#\n\r\t\x00\x1a\u00bf\u5c27\u4e2d\U0001f600aZ9"
MODES = ("", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES", "PIPES_AS_CONCAT,ANSI")


@pytest.fixture(params=MODES)
def server(module_server: RunningServer, request: pytest.FixtureRequest) -> Iterator[Server]:
    """Root's way in to a server whose default mode is not ours."""
    place = module_server.place
    module_server.run(f"SET GLOBAL sql_mode = '{request.param}'")
    made = Server(NodeSpec(name="n1", host=place.host, port=place.port, socket=str(place.socket)), ROOT, timeout_s=5.0)
    yield made
    made.close()


def examples(count: int) -> settings:
    return settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@examples(100)
@given(value=st.text(alphabet=NASTY, max_size=60))
def test_a_value_comes_back_as_it_was(server: Server, value: str) -> None:
    assert server.run(Statement("SELECT %s AS v, 1 AS one", (value,))) == [{"v": value, "one": 1}]


def test_a_megabyte_comes_back_as_it_was(server: Server) -> None:
    value = (NASTY * 50000)[: 1 << 20]
    assert server.run(Statement("SELECT SHA2(%s, 256) = SHA2(%s, 256) AS same, CHAR_LENGTH(%s) AS n", (value, value, value))) == [
        {"same": 1, "n": len(value)}
    ]


@examples(25)
@given(name=st.text(alphabet=NASTY.replace("\n", "").replace("\r", ""), min_size=1, max_size=40))
def test_an_identifier_names_what_it_says(server: Server, name: str) -> None:
    try:
        quoted = quote_identifier(name)
    except ValueError:
        return
    server.run(Statement(f"CREATE DATABASE {quoted}"))
    try:
        rows = server.run(Statement("SELECT COUNT(*) AS n FROM information_schema.schemata WHERE schema_name = %s", (name,)))
        assert rows == [{"n": 1}]
    finally:
        server.run(Statement(f"DROP DATABASE {quoted}"))


@examples(15)
@given(password=st.text(alphabet=NASTY.replace("\x00", ""), min_size=1, max_size=30))
def test_a_password_opens_the_door_and_nothing_else(server: Server, password: str) -> None:
    account = Account("o'neil`\\", Secret(password))
    for statement in server.dialect.account_statements(AccountRole.APPLICATION, account, "localhost")[:2]:
        server.run(statement)
    assert Server(server.node, account).run(Statement("SELECT 1 AS one")) == [{"one": 1}]
    with pytest.raises(AccessDenied):
        Server(server.node, Account(account.user, Secret(password + "x"))).run(Statement("SELECT 1"))


@examples(15)
@given(
    user=st.text(alphabet="`'\"\\;%_ -/*#aZ\u4e2d", min_size=1, max_size=20),
    password=st.text(alphabet=NASTY, max_size=12),
)
def test_a_replication_source_is_what_it_says(server: Server, user: str, password: str) -> None:
    source = NodeSpec(name="n9", host="db-9.example.org", port=3399)
    dialect = server.dialect
    try:
        change = dialect.change_source(source, Account(user, Secret(password)), Timings())
    except ValueError:
        return
    server.run(change)
    try:
        link = server.link()
        assert link is not None and link.user == user
        assert (link.channel.source_host, link.channel.source_port) == (source.host, source.port)
        assert dialect.same_source(link, source, Account(user, Secret(password)), Timings())
    finally:
        for statement in dialect.forget_source():
            server.run(statement)


def test_a_schema_s_owner_owns_no_other(server: Server) -> None:
    """`_` in a GRANT matches any character unless it is quoted."""
    account = Account("owner", Secret("x"))
    for name in ("my_shop", "myxshop"):
        server.run(Statement(f"CREATE DATABASE IF NOT EXISTS {quote_identifier(name)}"))
    server.run_script("pulse")
    for statement in server.dialect.account_statements(AccountRole.APPLICATION, account, "localhost", schema="my_shop"):
        server.run(statement)
    owner = Server(server.node, account)
    owner.run(Statement("CREATE TABLE IF NOT EXISTS my_shop.t (id INT)"))
    with pytest.raises(AccessDenied):
        owner.run(Statement("CREATE TABLE myxshop.t (id INT)"))


def test_no_log_has_a_password(module_server: RunningServer, server: Server) -> None:
    """Accounts, by hash or rewritten by the server. MariaDB writes CHANGE MASTER into the general log as it is."""
    canary = "correcthorsebatterystaple"
    log = module_server.process.directory / "general.log"
    server.run(Statement("SET GLOBAL general_log_file = %s", (str(log),)))
    server.run(Statement("SET GLOBAL general_log = 1"))
    try:
        for statement in server.dialect.account_statements(AccountRole.WATCHDOG, Account("w", Secret(canary)), "localhost"):
            server.run(statement)
        if module_server.flavour is Flavour.MYSQL:
            server.run(server.dialect.change_source(server.node, Account("w", Secret(canary)), Timings()))
            for statement in server.dialect.forget_source():
                server.run(statement)
    finally:
        server.run(Statement("SET GLOBAL general_log = 0"))
    assert b"CREATE USER" in log.read_bytes()
    for path in [log, *module_server.process.data.glob("binlog.*"), module_server.process.error_log]:
        assert canary.encode() not in path.read_bytes(), path
