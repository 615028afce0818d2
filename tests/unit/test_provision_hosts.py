from __future__ import annotations

from replclus.model.spec import ClusterSpec, NodeSpec
from replclus.provision.hosts import LOOPBACK, account_hosts, resolve

NAMES = {"db1.example": ("198.18.0.1", "2001:db8::1"), "db2.example": ("198.18.0.2",)}


def lookup(host: str) -> tuple[str, ...]:
    return NAMES.get(host, ())


def spec(*hosts: str) -> ClusterSpec:
    return ClusterSpec(name="c", nodes=tuple(NodeSpec(name=f"n{i}", host=host) for i, host in enumerate(hosts)))


def test_every_node_by_name_and_address_and_we_as_the_servers_see_us() -> None:
    wanted = {"db1.example", "198.18.0.1", "2001:db8::1", "db2.example", "198.18.0.2", "198.18.0.99"}
    assert set(account_hosts(spec("db1.example", "db2.example"), ["198.18.0.99", "198.18.0.99", ""], lookup)) == wanted


def test_never_a_wildcard() -> None:
    assert not any(set("%_/") & set(host) for host in account_hosts(spec("db1.example", "198.18.0.7"), ["localhost"], lookup))


def test_one_loopback_address_brings_its_other_names() -> None:
    assert set(account_hosts(spec("127.0.0.1"), ["localhost"], lookup)) == set(LOOPBACK)
    assert set(LOOPBACK) <= set(account_hosts(spec("198.18.0.7"), ["localhost"], lookup))


def test_no_loopback_where_nobody_comes_from_there() -> None:
    assert account_hosts(spec("198.18.0.7"), ["198.18.0.8"], lookup) == ("198.18.0.7", "198.18.0.8")


def test_a_name_that_is_unknown_here_is_kept() -> None:
    assert account_hosts(spec("db9.example"), [], lookup) == ("db9.example",)


def test_the_answer_is_sorted_so_that_a_second_run_sees_the_same() -> None:
    hosts = account_hosts(spec("198.18.0.9", "198.18.0.2"), ["198.18.0.5"], lookup)
    assert list(hosts) == sorted(hosts)


def test_resolving_an_address_needs_no_name_service() -> None:
    assert resolve("198.18.0.7") == ("198.18.0.7",)
    assert resolve("no-such-host.invalid") == ()
