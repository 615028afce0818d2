"""The load proofs at full size: `python -m tests.load.campaign NAME [--flavour mariadb|mysql ...]`.

What the tests in tests/integration/test_load_*.py do in a minute, as long as it takes. Prints what was found, in figures, and
every contradiction to a promise; exit 0 only if there is none.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from replclus.dbapi import registry
from replclus.model.spec import Flavour
from replclus.sandbox import Sandbox, create, throw_away
from tests.clusters import initialised
from tests.load import forked, pooled, stale
from tests.load.books import audit
from tests.load.failovers import bring_back, fail_over, frozen, killed_again_and_again, watched
from tests.load.threads import Load

THREADS = 16
SHOWN_MAX = 10
# Of a process with fifty threads and four servers' worth of links, after it has warmed up.
GROWTH_MB_MAX = 5.0
BOUND_MS = 600


def failovers(sandbox: Sandbox) -> Iterable[str]:
    """Three failovers under 16 threads, with outcomes tracked and without; then one more, of a frozen primary."""
    with watched(sandbox) as (cluster, _):
        for tracked in (True, False):
            load = Load(cluster, prefix="tracked " if tracked else "untracked ", track_outcome=tracked)
            with load.running(autocommit=THREADS // 2, transactions=THREADS // 2) as books:
                killed_again_and_again(cluster, 3, pause_s=4.0)
            print(f"  3 kills, {'tracked' if tracked else 'not tracked'}: {books.summary()}")
            yield from audit(cluster, books, prefix=load.prefix)
            yield from (f"{name} is unknown, though tracked" for name in books.unknown if tracked)
        load = Load(cluster, prefix="frozen ", track_outcome=True)
        with load.running(autocommit=THREADS // 2, transactions=THREADS // 2) as books:
            time.sleep(2)
            yield from frozen(cluster, books)
        print(f"  frozen: {books.summary()}")
        yield from audit(cluster, books, prefix=load.prefix)


def stale_reads(sandbox: Sandbox) -> Iterable[str]:
    """100 000 reads in session mode with replicas held back; then bounded reads, with a watchdog, for half a minute."""
    cluster = initialised(sandbox)
    cluster.run("n1", stale.TABLE)
    with stale.mischief(cluster, held_s=1.0):
        found = stale.session_readers(cluster, threads=8, reads=100_000)
    print(f"  session: {found.summary()}")
    yield from found.stale
    with cluster.watchdog():
        cluster.until_healthy("the cluster is healthy")
        with stale.mischief(cluster, held_s=1.5):
            found = stale.bounded_readers(cluster, threads=4, seconds=30, bound_ms=BOUND_MS)
    print(f"  bounded by {BOUND_MS} ms: {found.summary()}")
    print(f"  the oldest {found.oldest_ms:.0f} ms, the longest time between two beats {found.beat_ms:.0f} ms")
    yield from found.stale
    registry.shut_down()


def pool(sandbox: Sandbox) -> Iterable[str]:
    """50 threads for 5 minutes, each opening and closing connections, with a failover or a switchover each 20 s."""
    with watched(sandbox) as (cluster, _):
        found = pooled.Pooled(cluster, 50).run(seconds=300, failover_every_s=20, warm_up_s=45)
        print(f"  {found.summary()}")
        yield from found.errors
        yield from found.stuck
        yield from (f"connections to {node} leaked: {rest}" for node, rest in found.at_rest.items() if rest.leaked)
        growth = found.resident_mb[1] - found.resident_mb[0]
        if growth > GROWTH_MB_MAX:
            yield f"memory grew by {growth:.1f} MB"


def forks(sandbox: Sandbox) -> Iterable[str]:
    """Three times ten generations of eight children, forked under load, each time with a failover in the middle."""
    with watched(sandbox) as (cluster, _):
        for round_ in range(3):
            parent = forked.Parent(cluster, threads=4, prefix=f"round {round_} ")
            failover = threading.Timer(2.0, lambda: bring_back(cluster, fail_over(cluster)))
            failover.start()
            found = parent.run(generations=10, children=8)
            failover.join()
            print(f"  {found.summary()}")
            yield from found.wrong
            yield from (f"{name} is lost" for name in forked.missing(cluster, found))


CAMPAIGNS: dict[str, Callable[[Sandbox], Iterable[str]]] = {
    "failovers": failovers,
    "stale": stale_reads,
    "pool": pool,
    "forks": forks,
}


def run(name: str, flavour: Flavour) -> bool:
    began = time.monotonic()
    print(f"{name} on {flavour.value}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}", flush=True)
    with throw_away("rcc-") as root:
        sandbox = create(Path(root) / "s", flavour=flavour, replicas=3)
        try:
            found = list(CAMPAIGNS[name](sandbox))
        finally:
            sandbox.destroy()
    for contradiction in found[:SHOWN_MAX]:
        print(f"  BROKEN: {contradiction}")
    print(f"  {'kept' if not found else f'{len(found)} contradictions'}, {time.monotonic() - began:.0f} s", flush=True)
    return not found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=list(CAMPAIGNS))
    parser.add_argument("--flavour", type=Flavour, action="append", choices=list(Flavour), help="both, if not given")
    given = parser.parse_args()
    kept = [run(given.name, flavour) for flavour in given.flavour or list(Flavour)]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
