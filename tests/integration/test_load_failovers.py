"""Three failovers under sixteen application threads. The full size is `make campaign-failovers`."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from replclus.sandbox import Sandbox
from tests.clusters import Cluster
from tests.load.books import audit
from tests.load.failovers import frozen, killed_again_and_again, watched
from tests.load.threads import Load

AUTOCOMMIT, TRANSACTIONS = 10, 6


@pytest.fixture
def cluster(sandbox: Sandbox) -> Iterator[Cluster]:
    with watched(sandbox) as (made, _):
        yield made


def test_tracked_writes_leave_nothing_open(cluster: Cluster) -> None:
    """Autocommit statements see no error, nothing runs twice, and a transaction is lost as a whole or not at all."""
    with Load(cluster, track_outcome=True).running(autocommit=AUTOCOMMIT, transactions=TRANSACTIONS) as books:
        killed_again_and_again(cluster, 3)
    assert audit(cluster, books) == []
    assert books.unknown == []
    # Two ids for each transaction that was cut.
    assert len(books.rolled_back) <= 3 * TRANSACTIONS * 2
    assert len(books.acknowledged) > 500


def test_without_tracking_only_what_was_on_its_way_is_unknown(cluster: Cluster) -> None:
    with Load(cluster).running(autocommit=AUTOCOMMIT, transactions=TRANSACTIONS) as books:
        killed_again_and_again(cluster, 1)
    assert audit(cluster, books) == []
    assert len(books.unknown) <= AUTOCOMMIT + 2 * TRANSACTIONS


def test_calls_on_a_frozen_primary_are_broken_off(cluster: Cluster) -> None:
    with Load(cluster, track_outcome=True).running(autocommit=AUTOCOMMIT, transactions=TRANSACTIONS) as books:
        time.sleep(0.5)
        waited = frozen(cluster, books)
    assert waited == []
    assert audit(cluster, books) == []
    assert books.unknown == []
