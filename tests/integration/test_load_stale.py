"""Nobody sees what is older than they may, with replicas held back on purpose. The full size is `make campaign-stale`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from replclus.dbapi import registry
from replclus.sandbox import Sandbox
from tests.clusters import Cluster, initialised
from tests.load.stale import TABLE, bounded_readers, mischief, session_readers


@pytest.fixture
def cluster(sandbox: Sandbox) -> Iterator[Cluster]:
    made = initialised(sandbox)
    made.run("n1", TABLE)
    yield made
    registry.shut_down()


def test_a_session_reads_its_own_writes_and_never_back_in_time(cluster: Cluster) -> None:
    with mischief(cluster, held_s=0.6):
        found = session_readers(cluster, threads=8, reads=5_000)
    assert found.stale == []
    assert min(found.reads[name] for name in ("n2", "n4")) > 100, "replicas did serve, between the times they were held back"


def test_bounded_reads_are_never_older_than_the_bound_and_a_beat(cluster: Cluster) -> None:
    with cluster.watchdog():
        cluster.until_healthy("the cluster is healthy")
        with mischief(cluster, held_s=1.5):
            found = bounded_readers(cluster, threads=4, seconds=4, bound_ms=600)
    assert found.stale == [], found.beat_ms
    assert found.reads["n2"] + found.reads["n4"] > 100
