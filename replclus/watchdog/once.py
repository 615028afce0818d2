"""One look at a cluster, touching nothing."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from replclus.failover.view import NEVER, ClusterView, NodeHistory, PulseHealth
from replclus.model.observation import Observation
from replclus.model.record import ClusterRecord
from replclus.model.spec import Account, ClusterSpec, NodeSpec
from replclus.server.server import Server
from replclus.store.secrets import Secrets
from replclus.watchdog.entry import knock
from replclus.watchdog.prober import with_word_of_host


def observe_once(spec: ClusterSpec, record: ClusterRecord, secrets: Secrets) -> ClusterView:
    """Ask every server once and knock at its door, all at the same time, and ask the primary once more when all have answered.

    The second look makes the primary's facts the newest, so that no replica seems to have transactions of its own. No
    beat is written: the pulse counts as healthy.
    """
    nodes = spec.nodes
    with ThreadPoolExecutor(max_workers=max(1, 2 * len(nodes))) as pool:
        doors = pool.map(lambda node: knock(node, secrets.replication, spec.timings), nodes)
        seen = {found.node: found for found in pool.map(lambda node: look(spec, node, secrets.watchdog), nodes)}
        shut = {node.name: why for node, why in zip(nodes, doors, strict=True)}
    if record.primary in seen and seen[record.primary].answered:
        seen[record.primary] = look(spec, spec.node(record.primary), secrets.watchdog)
    now = time.monotonic()
    pulse = PulseHealth(committed_at=now)
    history = {name: NodeHistory(answering_since=NEVER, shut_out=why, knocked_at=now) for name, why in shut.items()}
    wall_s = int(time.time())
    return ClusterView(spec=spec, record=record, observations=seen, now=now, pulse=pulse, history=history, wall_s=wall_s)


def look(spec: ClusterSpec, node: NodeSpec, account: Account) -> Observation:
    """One full observation on a connection of its own."""
    timings = spec.timings
    server = Server(node, account, connect_timeout_s=timings.connect_timeout_s, timeout_s=timings.probe_timeout_s)
    try:
        seen = server.observe(full=True)
    finally:
        server.close()
    return with_word_of_host(seen, node)
