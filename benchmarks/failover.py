"""How long a client cannot write when the primary fails: the outage at 200 writes a second through `replclus.connect`.

python benchmarks/failover.py [--flavour mariadb|mysql ...] [--kind kill ...] [--runs N] [--quick] [--json FILE] [--timeline]

A cluster of real servers in memory, the real `replclus watchdog`, and a client process of its own with one connection, which
writes one row each 5 ms and keeps its own history. In each run the primary is struck; the outage is the longest time between
two acknowledgements around that. Then the victim is brought back as its host would, and the cluster must be healthy before
the next run: `back` is how long that takes, from the start of its process to a cluster that has nothing to complain about. After
each failover the new primary must have every row whose write was acknowledged, and in the end so must all servers: what is
missing counts as lost. `failed` counts statements that raised anything but OutcomeUnknown, and for planned
switchovers those too.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from failover_client import TABLE, Client, writing
from failover_kinds import KINDS, Kind
from machine import heading, promise

from replclus.model.spec import Flavour
from replclus.sandbox import throw_away
from tests.clusters import Cluster, WatchdogProcess, eventually

QUICK_RUNS = 3
CLUSTERS_MAX = 3
"""A cluster that did not become healthy again is counted and replaced, so often at most."""
RECOVER_S_MAX = 60.0
SETTLE_S = 0.3
SLOW_MS = 30.0
# Between two runs, so that they do not strike in step with the ticks.
PAUSE_S = (0.3, 0.8)


@dataclass
class Row:
    """One kind on one family."""

    kind: str
    flavour: str
    outages_ms: list[float] = field(default_factory=list)
    back_s: list[float] = field(default_factory=list)
    lost: int = 0
    failed: int = 0
    unknown: int = 0
    acknowledged: int = 0
    failovers: int = 0
    not_healed: list[str] = field(default_factory=list)

    def percentile(self, part: float) -> float:
        return percentile(self.outages_ms, part)

    def print(self) -> None:
        print(f"  raw ms: {' '.join(f'{value:.0f}' for value in self.outages_ms)}")
        parts = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
        outage = "  ".join(f"{name} {self.percentile(part):>6.0f}" for name, part in parts.items())
        told = f"acknowledged {self.acknowledged:,}, lost {self.lost}, failed {self.failed}, unknown {self.unknown}"
        print(f"  {self.kind:<11}{self.flavour:<9}{outage} ms of {len(self.outages_ms)}; failovers {self.failovers}, {told}")
        if self.back_s:
            back = "  ".join(f"{name} {percentile(self.back_s, part):>6.1f}" for name, part in parts.items())
            print(f"  {'back':<11}{self.flavour:<9}{back} s of {len(self.back_s)}")
        for why in self.not_healed:
            print(f"  BROKEN: {why}")

    def kept(self, kind: Kind) -> bool:
        kept = self.lost == 0 and not self.not_healed and not (kind.planned and self.failed)
        if kind.p50_s is not None:
            kept &= promise(f"{self.kind} {self.flavour} p50", self.percentile(0.5) / 1000, kind.p50_s, "s")
        if kind.back_s is not None:
            kept &= promise(f"{self.kind} {self.flavour} back p99", percentile(self.back_s, 0.99), kind.back_s, "s")
        return promise(f"{self.kind} {self.flavour} p99", self.percentile(0.99) / 1000, kind.p99_s, "s") and kept


def percentile(values: Sequence[float], part: float) -> float:
    """Nearest rank: a value that was measured. Without any, no bound is kept."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)] if values else math.inf


class Bench:
    """One cluster, its watchdog and its client."""

    def __init__(self, kind: Kind, row: Row, cluster: Cluster, watchdog: WatchdogProcess, client: Client, timeline: bool) -> None:
        self.kind, self.row, self.cluster, self.watchdog, self.client = kind, row, cluster, watchdog, client
        self._timeline = timeline
        self._dice = random.Random(len(row.outages_ms))  # noqa: S311
        self._checked = 0
        self.whole = True

    def run(self) -> None:
        """One failure, from a healthy cluster to a healthy cluster."""
        cluster, client = self.cluster, self.client
        time.sleep(self._dice.uniform(*PAUSE_S))
        began = time.monotonic()
        eventually(lambda: client.acknowledged_since(began), "the client writes")
        old, heard = cluster.record.primary, len(self.watchdog.events)
        struck = time.monotonic()
        self.kind.strike(cluster, old)
        eventually(lambda: client.acknowledged_since(struck, not_by=old), "another node takes writes", within_s=RECOVER_S_MAX)
        time.sleep(SETTLE_S)
        self.row.outages_ms.append(1000 * client.outage_s(struck, time.monotonic()))
        self.row.failovers += 1
        self._count(struck)
        if self._timeline:
            self._print_timeline(heard, struck)
        self._check((cluster.record.primary,))
        began = time.monotonic()
        self.kind.heal(cluster, old)
        cluster.until_healthy(f"the cluster is healthy again, with {old}", within_s=RECOVER_S_MAX)
        if not self.kind.planned:
            self.row.back_s.append(time.monotonic() - began)

    def _count(self, struck: float) -> None:
        failed, unknown = self.client.fates(struck, "failed"), self.client.fates(struck, "unknown")
        for write in failed:
            print(f"  failed: {write.error}")
        self.row.unknown += len(unknown)
        self.row.failed += len(failed) + (len(unknown) if self.kind.planned else 0)

    def _check(self, names: Sequence[str], *, all_rows: bool = False) -> None:
        """Count what was acknowledged and is on none of `names`, of the last run or of the cluster's whole life."""
        acknowledged = [write.id for write in self.client.read() if write.outcome == "acknowledged"]
        wanted = {number for number in acknowledged if all_rows or number > self._checked}
        for name in names:
            rows = self.cluster.rows(name, f"SELECT id FROM app.writes WHERE id >= {min(wanted, default=0)}")  # noqa: S608  our number
            missing = wanted - {number for (number,) in rows}
            if missing:
                print(f"  LOST on {name}: {sorted(missing)[:20]}")
            self.row.lost += len(missing)
        self._checked = max(acknowledged, default=0)

    def finish(self) -> None:
        """The client has stopped. Wait until every server has applied everything, then look for every row on each."""
        self.row.acknowledged += sum(write.outcome == "acknowledged" for write in self.client.read())
        eventually(lambda: self.cluster.equal("app.writes"), "all servers have the same rows", within_s=RECOVER_S_MAX)
        self._check(self.cluster.sandbox.names, all_rows=True)

    def _print_timeline(self, heard: int, struck: float) -> None:
        zero = time.time() - time.monotonic() + struck
        for event in self.watchdog.events[heard:]:
            at_ms = 1000 * (datetime.fromisoformat(event["at"]).timestamp() - zero)
            print(f"    {at_ms:>8.1f}  {event['event']:<16}{event['sentence'][:110]}")
        for write in self.client.read():
            took_ms = 1000 * (write.ended - write.began)
            if write.ended >= struck and took_ms > SLOW_MS:
                told = f"{write.outcome} {write.node} after {took_ms:.1f} ms {write.error[:80]}"
                print(f"    {1000 * (write.ended - struck):>8.1f}  client          {told}")
        print(f"    outage {self.row.outages_ms[-1]:.1f} ms", flush=True)

    def explain(self) -> str:
        """What the watchdog makes of it, for a cluster that did not heal."""
        problems = "; ".join(problem.sentence for problem in self.cluster.status().problems)
        return f"{problems}; the last events: {[event['sentence'] for event in self.watchdog.events[-5:]]}"


@contextmanager
def bench(kind: Kind, flavour: Flavour, row: Row, *, timeline: bool) -> Iterator[Bench]:
    with throw_away("rcf-") as root, kind.world(root / "s", flavour) as world:
        cluster = world.cluster
        cluster.run(cluster.record.primary, TABLE)
        with world.watchdog() as watchdog:
            cluster.until_healthy("the cluster is healthy", within_s=RECOVER_S_MAX)
            with writing(world.address, root / "client.jsonl", prefix=world.client_prefix) as client:
                made = Bench(kind, row, cluster, watchdog, client, timeline)
                yield made
            if made.whole:
                made.finish()


def measure(kind: Kind, flavour: Flavour, runs: int, *, timeline: bool) -> Row:
    row = Row(kind.name, flavour.value)
    while len(row.outages_ms) < runs and len(row.not_healed) < CLUSTERS_MAX:
        with bench(kind, flavour, row, timeline=timeline) as made:
            while len(row.outages_ms) < runs:
                try:
                    made.run()
                except AssertionError as error:
                    made.whole = False
                    row.not_healed.append(f"run {len(row.outages_ms) + 1}: {error}: {made.explain()}")
                    print(f"  {row.not_healed[-1]}", flush=True)
                    break
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flavour", type=Flavour, action="append", choices=list(Flavour), help="both, if not given")
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="all, if not given")
    parser.add_argument("--runs", type=int, help="instead of what each kind is measured with")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_RUNS} runs each")
    parser.add_argument("--timeline", action="store_true", help="print what the watchdog did, in ms after the strike")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw figures there as well")
    given = parser.parse_args()
    heading("Write outage at 200 writes/s through replclus.connect")
    kept, rows = True, list[dict[str, Any]]()
    for name in given.kind or list(KINDS):
        for flavour in given.flavour or list(Flavour):
            kind = KINDS[name]
            runs = given.runs or (QUICK_RUNS if given.quick else kind.runs)
            row = measure(kind, flavour, runs, timeline=given.timeline)
            row.print()
            kept &= row.kept(kind)
            rows.append(asdict(row))
            if given.json:
                given.json.write_text(json.dumps(rows, indent=1) + "\n")
            sys.stdout.flush()
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
