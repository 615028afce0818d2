"""A cluster to measure on. Shared by the benchmarks."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from replclus.config import load
from replclus.dbapi import registry
from replclus.model.spec import Flavour
from replclus.provision import bootstrap
from replclus.sandbox import Sandbox, create
from replclus.store import SqliteStore

APP: dict[str, Any] = {"user": "app", "password": "app", "database": "app", "autocommit": True}


@contextmanager
def small_cluster(directory: Path, flavour: Flavour, *, replicas: int) -> Iterator[Sandbox]:
    """One primary, n1, and `replicas` replicas, initialised; no watchdog."""
    sandbox = create(directory, flavour=flavour, replicas=replicas)
    try:
        spec = load(sandbox.config)
        store = SqliteStore(spec.state_dir)
        bootstrap(spec, store)
        store.close()
        yield sandbox
    finally:
        registry.shut_down()
        sandbox.destroy()


def pid_of(sandbox: Sandbox, name: str) -> int:
    return int((sandbox.place(name).directory / "mysqld.pid").read_text())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def url(sandbox: Sandbox) -> str:
    """The cluster by its addresses, so that its servers are reached over TCP though this machine has their sockets."""
    return "mysql+replclus://" + ",".join(f"{place.host}:{place.port}" for place in sandbox.places) + "/"
