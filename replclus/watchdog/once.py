"""One look at a cluster, touching nothing."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from replclus.failover.view import ClusterView, PulseHealth
from replclus.model.observation import Observation
from replclus.model.record import ClusterRecord
from replclus.model.spec import Account, ClusterSpec, NodeSpec
from replclus.server.server import Server
from replclus.store.secrets import Secrets
from replclus.watchdog.prober import with_word_of_host


def observe_once(spec: ClusterSpec, record: ClusterRecord, secrets: Secrets) -> ClusterView:
    """Ask every server once, all at the same time, and the primary once more when all have answered.

    The second look makes the primary's facts the newest, so that no replica seems to have transactions of its own. No
    beat is written: the pulse counts as healthy.
    """
    with ThreadPoolExecutor(max_workers=max(1, len(spec.nodes))) as pool:
        seen = {found.node: found for found in pool.map(lambda node: look(spec, node, secrets.watchdog), spec.nodes)}
    if record.primary in seen and seen[record.primary].answered:
        seen[record.primary] = look(spec, spec.node(record.primary), secrets.watchdog)
    now = time.monotonic()
    pulse = PulseHealth(committed_at=now)
    return ClusterView(spec=spec, record=record, observations=seen, now=now, pulse=pulse, wall_s=int(time.time()))


def look(spec: ClusterSpec, node: NodeSpec, account: Account) -> Observation:
    """One full observation on a connection of its own."""
    timings = spec.timings
    server = Server(node, account, connect_timeout_s=timings.connect_timeout_s, timeout_s=timings.probe_timeout_s)
    try:
        seen = server.observe(full=True)
    finally:
        server.close()
    return with_word_of_host(seen, node)
