"""What a process shares: one watcher per cluster and account, one pool per set of connection options.

Made on first use. A forked child starts with the same objects, emptied (`after_fork`), so that connections opened before
the fork notice on their next statement that the map is gone. At exit the watchers are told to stop.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Hashable, Mapping
from typing import Any

from replclus.dbapi.counting import Links, Statistics
from replclus.dbapi.mapping import Node
from replclus.dbapi.options import Options
from replclus.dbapi.pool import Pool
from replclus.dbapi.route import Routed
from replclus.dbapi.watcher import Watcher

# What makes no difference to whom one talks to, and so to what a watcher learns.
_NOT_ABOUT_ACCESS = frozenset(
    {"conv", "use_unicode", "client_flag", "init_command", "sql_mode", "local_infile", "max_allowed_packet",
     "program_name", "connect_timeout", "read_timeout", "write_timeout"}
)  # fmt: skip

_lock = threading.Lock()
_watchers: dict[Hashable, Watcher] = {}
_pools: dict[Hashable, Pool] = {}


def pool_for(options: Options) -> Pool:
    """The pool of these options, made if there is none."""
    key = (_key(options.seeds, options.links), options.bounds)
    pool = _pools.get(key)
    if pool is not None:
        return pool
    with _lock:
        if key not in _pools:
            access = {name: value for name, value in options.links.items() if name not in _NOT_ABOUT_ACCESS}
            watcher_key = _key(options.seeds, access)
            if watcher_key not in _watchers:
                _watchers[watcher_key] = Watcher(options.seeds, access)
            _pools[key] = Pool(_watchers[watcher_key], options.links, options.bounds)
        return _pools[key]


def gather(watcher: Watcher, statements: Mapping[Routed, int] | None = None) -> Statistics:
    """What is counted for the cluster of `watcher`; `statements` instead of those of all its connections."""
    pool: dict[str, Links] = {}
    for one in [one for one in _pools.copy().values() if one.watcher is watcher]:
        for node, (idle, in_use) in one.counts().items():
            before = pool.get(node, Links())
            pool[node] = Links(before.idle + idle, before.in_use + in_use)
    return Statistics(
        cluster=watcher.cluster_id,
        statements=watcher.tally.statements() if statements is None else dict(statements),
        counts=watcher.tally.counts(),
        pool=pool,
    )


def statistics() -> tuple[Statistics, ...]:
    """What this process has met so far: one for each cluster and account that it connects to. A forked child begins anew."""
    return tuple(gather(watcher) for watcher in _watchers.copy().values())


def shut_down() -> None:
    """Stop every watcher and close every connection at rest. The next `connect` starts afresh."""
    with _lock:
        for watcher in _watchers.values():
            watcher.stop()
        for pool in _pools.values():
            pool.forget()
        _watchers.clear()
        _pools.clear()


def _key(seeds: tuple[Node, ...], links: Mapping[str, Any]) -> Hashable:
    return seeds, _frozen(links)


def _frozen(value: Any) -> Hashable:
    """By what it holds: programs that make the same dictionary of converters at every connect get the same pool."""
    if isinstance(value, Mapping):
        return frozenset((name, _frozen(item)) for name, item in value.items())
    if isinstance(value, list | tuple | set):
        return tuple(_frozen(item) for item in value)
    try:
        hash(value)
    except TypeError:
        return id(value)
    return value  # type: ignore[no-any-return]


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    for watcher in _watchers.values():
        watcher.after_fork()
    for pool in _pools.values():
        pool.after_fork()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(shut_down)
