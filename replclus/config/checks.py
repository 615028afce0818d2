"""What pydantic cannot see because it concerns several tables: duplicates, two primaries, hosts of the application.

The checks read the plain TOML document and skip what is malformed there (the models complain about that), so that one
wrong key does not hide the other problems.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from replclus.config import grammar
from replclus.config.problems import Location, Problems
from replclus.model.spec import Timings

DEFAULT_PORT = 3306


def check_document(document: Mapping[str, Any], base: Path, problems: Problems) -> None:
    """Everything that holds between tables. `base` anchors relative paths."""
    nodes = list(_tables(document.get("node")))
    _check_unique(nodes, problems)
    _check_sockets(nodes, base, problems)
    _check_one_primary(nodes, problems)
    _check_accounts(document.get("accounts"), nodes, problems)
    _check_lease(document, problems)


def _tables(value: object) -> Iterator[tuple[int, dict[str, Any]]]:
    if isinstance(value, list):
        yield from ((index, entry) for index, entry in enumerate(value) if isinstance(entry, dict))


def _check_unique(nodes: list[tuple[int, dict[str, Any]]], problems: Problems) -> None:
    names: dict[str, str] = {}
    addresses: dict[tuple[str, int], str] = {}
    for index, node in nodes:
        where = _label(index, node)
        name = node.get("name")
        if isinstance(name, str):
            first = names.setdefault(name.lower(), where)
            if first != where:
                problems.add(("node", index, "name"), f"{name!r} is the name of {first} already: choose another")
        address = _address(node)
        if address:
            first = addresses.setdefault(address, where)
            if first != where:
                shown = f"{node['host']}:{address[1]}"
                complaint = f"{shown} is the address of {first} already: every node needs a host:port of its own"
                problems.add(("node", index), complaint)


def _address(node: dict[str, Any]) -> tuple[str, int] | None:
    """What makes two nodes one server, or None where the node does not say it properly."""
    host, port = node.get("host"), node.get("port", DEFAULT_PORT)
    if not isinstance(host, str) or type(port) is not int:
        return None
    try:
        return grammar.same_place(grammar.host(host)), port
    except ValueError:
        return None


def _check_sockets(nodes: list[tuple[int, dict[str, Any]]], base: Path, problems: Problems) -> None:
    for key in ("socket", "process_dir"):
        seen: dict[str, str] = {}
        for index, node in nodes:
            value = node.get(key)
            if not isinstance(value, str) or not value:
                continue
            path = os.path.normpath(base / value)
            first = seen.setdefault(path, _label(index, node))
            location: Location = ("node", index, key)
            if first != _label(index, node):
                problems.add(location, f"{value!r} belongs to {first} already: every node needs its own")
            if key == "socket" and len(os.fsencode(path)) > grammar.SOCKET_BYTES_MAX:
                limit = grammar.SOCKET_BYTES_MAX
                problems.add(location, f"{path} is longer than a Unix socket's {limit} bytes: use a shorter directory")


def _check_one_primary(nodes: list[tuple[int, dict[str, Any]]], problems: Problems) -> None:
    marked = [(index, node) for index, node in nodes if node.get("primary") is True]
    for index, _ in marked[1:]:
        first = _label(*marked[0])
        problems.add(("node", index, "primary"), f"{first} is marked already: leave it true on one node only")


def _check_accounts(accounts: object, nodes: list[tuple[int, dict[str, Any]]], problems: Problems) -> None:
    app = accounts.get("app") if isinstance(accounts, dict) else None
    if not isinstance(app, dict):
        return
    admin = accounts.get("admin") if isinstance(accounts, dict) else None
    if isinstance(admin, dict) and isinstance(app.get("user"), str) and app["user"] == admin.get("user"):
        problems.add(("accounts", "app", "user"), "is the admin's account: give the application an account of its own")
    if isinstance(app.get("user"), str) and app["user"].startswith("replclus_"):
        problems.add(("accounts", "app", "user"), "names beginning with 'replclus_' are replclus's own: choose another")
    if "hosts" not in app and not all(_on_this_machine(node) for _, node in nodes):
        problems.add(
            ("accounts", "app", "hosts"),
            "is missing: list the exact hosts that the application connects from, as the servers see them",
        )


def _check_lease(document: Mapping[str, Any], problems: Problems) -> None:
    """Applications through replclus stop first, then the primary: the other way round they would meet a read-only server."""
    defaults = Timings()
    cluster, timings = document.get("cluster", {}), document.get("timings", {})
    lease = cluster.get("lease_s", defaults.lease_s) if isinstance(cluster, dict) else None
    ttl = timings.get("routing_ttl_s", defaults.routing_ttl_s) if isinstance(timings, dict) else None
    if type(lease) is not int or type(ttl) not in (int, float) or lease <= 0 or ttl is None:
        return
    if lease <= ttl:
        problems.add(
            ("cluster", "lease_s"),
            f"{lease} is not more than timings.routing_ttl_s ({ttl:g}), the time that applications write without a pulse: "
            "make it twice as long, or 0 for no lease",
        )


def _on_this_machine(node: dict[str, Any]) -> bool:
    """Also true for a malformed host, about which there is a complaint already."""
    host = node.get("host")
    try:
        return not isinstance(host, str) or grammar.is_loopback(grammar.host(host))
    except ValueError:
        return True


def _label(index: int, node: dict[str, Any]) -> str:
    name = node.get("name")
    return f"node[{index}] ({name})" if isinstance(name, str) else f"node[{index}]"
