"""What a killed server may keep, asked of the others before it starts.

Under AFTER_SYNC a commit that was never acknowledged is in the killed primary's binary log and nowhere else. MySQL commits
whatever it finds there when it starts, and has then diverged; so whoever starts the server must know beforehand which
transactions the cluster knows, and cut off the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import reduce

from replclus.model.gtid import GtidSet, parse_gtid_set
from replclus.model.observation import Facts
from replclus.model.record import ClusterRecord
from replclus.model.spec import Account, ClusterSpec, Durability
from replclus.provision.look import Connect, connect_with
from replclus.store import Store
from replclus.store.secrets import Secrets

WAIT_S = 15.0
_AGAIN_S = 0.1


def known_to_primary(
    spec: ClusterSpec,
    store: Store,
    secrets: Secrets,
    node: str,
    *,
    connect: Connect | None = None,
    wait_s: float = WAIT_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> GtidSet | None:
    """What `node`, which is down, may keep: all that it has beyond this was acknowledged to nobody.

    If another node is primary now, that one's executed set. If `node` still is, the union of what its ackers received,
    but only if every one of them answers. None when this cannot be known (then nothing must be cut off), or where a
    transaction that no replica has may have been acknowledged all the same (durability `available`). While the primary
    is being changed, waits up to `wait_s` seconds for the end of that.
    """
    open_ = connect or connect_with(spec)
    end = clock() + wait_s
    while True:
        record = store.load()
        if record is None or record.forming or record.durability is not Durability.LOSSLESS:
            return None
        if record.operation is None:
            if record.primary == node:
                return _known_to_ackers(spec, record, secrets.watchdog, open_)
            facts = _facts(spec, record.primary, secrets.watchdog, open_)
            if facts is not None and facts.writable and _is_ours(record, facts):
                return facts.executed
        if clock() >= end:
            return None
        sleep(_AGAIN_S)


def _known_to_ackers(spec: ClusterSpec, record: ClusterRecord, account: Account, connect: Connect) -> GtidSet | None:
    names = sorted(record.ackers)
    if not names:
        return None
    with ThreadPoolExecutor(len(names)) as pool:
        answers = list(pool.map(lambda name: _facts(spec, name, account, connect), names))
    heard = [facts for facts in answers if facts is not None and _is_ours(record, facts)]
    if len(heard) < len(names):
        return None
    known = reduce(lambda known, facts: known.union(facts.received), heard[1:], heard[0].received)
    # What it had when it was elected was acknowledged by others, whether or not its own replicas have caught up.
    return known if record.floor is None else known.union(parse_gtid_set(record.flavour, record.floor))


def _facts(spec: ClusterSpec, name: str, account: Account, connect: Connect) -> Facts | None:
    """What the server says of itself now; None if it does not answer or is not described."""
    if name not in {node.name for node in spec.nodes}:
        return None
    server = connect(spec.node(name), account)
    try:
        seen = server.observe()
        return seen.facts if seen.answered else None
    finally:
        server.close()


def _is_ours(record: ClusterRecord, facts: Facts) -> bool:
    return facts.identity.cluster_id == record.cluster_id
