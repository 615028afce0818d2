"""From where our accounts may log in: exact hosts, never a wildcard."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable

from replclus.config.grammar import is_loopback
from replclus.model.spec import ClusterSpec

LOOPBACK = ("127.0.0.1", "::1", "localhost")

Resolve = Callable[[str], Iterable[str]]


def resolve(host: str) -> tuple[str, ...]:
    """Every address of `host`; none if the name is not known here (the servers may still know it)."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return ()
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def account_hosts(spec: ClusterSpec, seen_from: Iterable[str], resolve: Resolve = resolve) -> tuple[str, ...]:
    """The hosts of the replication and watchdog accounts, the same on every server, sorted.

    Every node may become the source of every other, so each node's host is in, by name and by address: a server names its
    client by address where it does not resolve names. `seen_from` is us, in each server's words (`USER()`).
    """
    hosts = {host for host in seen_from if host}
    for node in spec.nodes:
        hosts |= {node.host, *resolve(node.host)}
    if any(is_loopback(host) for host in hosts):
        hosts |= set(LOOPBACK)
    return tuple(sorted(hosts))
