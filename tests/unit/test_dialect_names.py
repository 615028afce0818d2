"""Nothing that is not bound can break out of a statement."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replclus.dialect import check_host, check_port, check_user, quote_identifier, quote_schema

hostile = st.text(alphabet=st.sampled_from("`'\"\\;%_ -/*#\n\t\x00\x1aaZ\u00e9\u4e2d\U0001f600"), min_size=0, max_size=70)


@given(hostile)
def test_an_identifier_is_one_token_or_refused(name: str) -> None:
    try:
        quoted = quote_identifier(name)
    except ValueError:
        return
    assert re.fullmatch(r"`(?:[^`\0]|``)+`", quoted)
    assert quoted[1:-1].replace("``", "`") == name


@given(hostile)
def test_a_schema_in_a_grant_has_no_wildcards(name: str) -> None:
    try:
        quoted = quote_schema(name)
    except ValueError:
        return
    assert not re.search(r"(?<!\\)(?:\\\\)*[_%]", quoted)


@pytest.mark.parametrize("name", ["", "x" * 65, "a\0b", "end ", "\U0001f600", "\ud800"])
def test_what_no_server_can_hold_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="identifier"):
        quote_identifier(name)


@pytest.mark.parametrize("host", ["10.0.0.1", "::1", "2001:db8::5", "db-1.example.org", "localhost", "a", "db.example.org."])
def test_hosts(host: str) -> None:
    assert check_host(host) == host


@pytest.mark.parametrize(
    "host", ["", "x',MASTER_USER='root", "%", "10.0.0.%", "-a", "a-", "a..b", "a_b", "fe80::1%eth0", "a" * 64, "a b", "h\n", "é"]
)
def test_hosts_that_are_none(host: str) -> None:
    with pytest.raises(ValueError):
        check_host(host)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_ports_that_are_none(port: int) -> None:
    with pytest.raises(ValueError, match="port"):
        check_port(port)


@pytest.mark.parametrize("user", ["", "u" * 33, "a\nb", "a\0b"])
def test_users_that_are_none(user: str) -> None:
    with pytest.raises(ValueError, match="user"):
        check_user(user)


def test_users_and_ports() -> None:
    assert check_user("o'neil`\\") == "o'neil`\\"
    assert check_port(3306) == 3306
