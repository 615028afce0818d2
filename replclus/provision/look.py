"""Looking at every server at once, reading only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from replclus.errors import AccessDenied, ServerError, ServerUnreachable, UnsupportedServer
from replclus.model.spec import Account, ClusterSpec, NodeSpec
from replclus.provision.inspection import Inspection, Unfit
from replclus.server.server import Server
from replclus.store import Secrets

WORKERS_MAX = 16

Connect = Callable[[NodeSpec, Account], Server]

T = TypeVar("T")
R = TypeVar("R")


def connect_with(spec: ClusterSpec) -> Connect:
    """Servers with this cluster's bounds; `step_timeout_s`, because a step may write and wait for a disk."""
    return partial(
        Server, connect_timeout_s=spec.timings.connect_timeout_s, timeout_s=spec.timings.step_timeout_s
    )


def side_by_side(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """`work` on every item, at most WORKERS_MAX at a time, answers in order; the first error once all have ended."""
    if not items:
        return []
    with ThreadPoolExecutor(min(len(items), WORKERS_MAX)) as pool:
        return list(pool.map(work, items))
