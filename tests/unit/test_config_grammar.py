"""Names, hosts and paths: what is let through, and that nothing dangerous is."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replclus.config import grammar

HOSTS = [
    ("db1", "db1"),
    ("DB1.Example.ORG.", "db1.example.org"),
    ("3com.example", "3com.example"),
    ("198.18.0.11", "198.18.0.11"),
    ("2001:DB8:0:0::1", "2001:db8::1"),
    ("a" * 63, "a" * 63),
]
NOT_HOSTS = [
    *("", ".", "a..b", "-a", "a-", "a_b", "a b", "a/b", "h:3306", "a" * 64, ".".join(["a" * 60] * 5)),
    *("300.1.1.1", "127.1", "1", "[::1]", "::g", "fe80::1%eth0", "0.0.0.0", "::", "224.0.0.1"),  # noqa: S104
    *("db1\n", "db1\0", "x',MASTER_USER='root", "d\u0431", "\uff11.1.1.1"),
]


@pytest.mark.parametrize(("written", "canonical"), HOSTS)
def test_hosts(written: str, canonical: str) -> None:
    assert grammar.host(written) == canonical


@pytest.mark.parametrize("written", NOT_HOSTS)
def test_not_hosts(written: str) -> None:
    with pytest.raises(ValueError, match=r"is not|has a|has brackets|is neither"):
        grammar.host(written)


@given(st.text(max_size=70) | st.from_regex(r"[a-z0-9.:-]{1,40}", fullmatch=True))
def test_a_host_is_safe_and_canonical_or_refused(written: str) -> None:
    try:
        host = grammar.host(written)
    except ValueError:
        return
    assert re.fullmatch(r"[a-z0-9.:-]{1,253}", host)
    assert grammar.host(host) == host


@given(st.ip_addresses())
def test_addresses_survive(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if address.is_unspecified or address.is_multicast:
        return
    assert ipaddress.ip_address(grammar.host(address.exploded)) == address


@pytest.mark.parametrize(
    ("host", "here"),
    [("localhost", True), ("127.9.9.9", True), ("::1", True), ("db1", False), ("198.18.0.1", False)],
)
def test_loopback(host: str, here: bool) -> None:
    assert grammar.is_loopback(host) is here


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (grammar.name, ["a", "n-1_X", "9", "x" * 32], ["", "-a", "x" * 33, "n.1", "n1\n", "é"]),
        (grammar.user, ["app", "O'Brien", "u" * 32], ["", "u" * 33, "a\0", "a\n"]),
        (grammar.schema, ["app", "my-app$1", "x" * 64], ["", "x" * 65, "a`", "a.b", "sys", "MySQL", "replclus", "a b"]),
        (grammar.label, ["rack-1", "a=b:c/d.e"], ["", "-a", "a b", "x" * 65, "a\n"]),
        (grammar.ssh, ["db1", "dba@db1", "dba@198.18.0.1:2222"], ["", "-x", "-x@db1", "a@-b", "a@b:", "a@b:0", "a@b:x", "@b;c"]),
        (grammar.path, ["a", "/a b/ü"], ["", "~", "~/x", "a\0b", "a\nb", "x" * 5000]),
        (grammar.client_host, ["127.0.0.1", "localhost", "::1"], ["%", "10.%", "web_", "10.0.0.0/8", ""]),
    ],
)  # fmt: skip
def test_the_other_grammars(check: Callable[[str], str], good: list[str], bad: list[str]) -> None:
    for text in good:
        assert check(text) == text
    for text in bad:
        with pytest.raises(ValueError, match=r"\S"):
            check(text)


def test_an_ssh_destination_is_canonical() -> None:
    assert grammar.ssh("dba@DB1.example.:22") == "dba@db1.example:22"


def test_messages_are_bounded() -> None:
    with pytest.raises(ValueError, match=r"^.{1,200}$"):
        grammar.host("x" * 1_000_000)
