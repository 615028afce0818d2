"""Many threads, and many processes, share a pool: nothing is left behind. Full size: `make campaign-pool campaign-forks`."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from replclus.sandbox import Sandbox
from tests.clusters import Cluster
from tests.load.failovers import bring_back, fail_over, watched
from tests.load.forked import Parent, missing
from tests.load.pooled import Pooled


@pytest.fixture
def cluster(sandbox: Sandbox) -> Iterator[Cluster]:
    with watched(sandbox) as (made, _):
        yield made


def test_fifty_threads_leave_nothing_behind(cluster: Cluster) -> None:
    """No connection leaks, no memory grows, no thread is stuck, while the primary is killed, and moved."""
    found = Pooled(cluster, 50).run(seconds=15, failover_every_s=5, warm_up_s=4)
    assert found.errors == []
    assert found.stuck == []
    assert len(found.primaries) >= 2
    assert found.turns > 500
    assert [node for node, rest in found.at_rest.items() if rest.leaked] == [], found.summary()
    assert found.resident_mb[1] - found.resident_mb[0] < 15, found.summary()


def test_forked_children_use_their_own_connections(cluster: Cluster) -> None:
    parent = Parent(cluster, threads=3)
    failover = threading.Timer(1.0, lambda: bring_back(cluster, fail_over(cluster)))
    failover.start()
    found = parent.run(generations=3, children=4)
    failover.join()
    assert found.wrong == []
    assert missing(cluster, found) == []
    assert found.children == 12
