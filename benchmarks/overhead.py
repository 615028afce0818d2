"""What replclus costs per statement: `SELECT 1` over TCP through it, next to plain PyMySQL and HAProxy.

python benchmarks/overhead.py [--flavour mariadb|mysql ...] [--rounds 400] [--no-tls]

Like is compared with like: one server answers all of them. It is the only replica of a cluster of two, so replclus sends
every read to it (and `cursor.route` is checked to say so), plain PyMySQL is connected to it, and HAProxy has it as its only
backend. One more row is a cluster of four, whose three replicas take turns. All do a cursor, `execute`, `fetchall` and `close`,
in one process, in batches that take turns, so that whatever else the machine does hits all alike. Everybody uses TCP: the
sandboxes' sockets are kept from replclus by naming the cluster with a URL.

Reads after a write come in pairs too: the write is made, the replica is seen to have it, and then one read is timed. "Told": the
watcher has had time to notice that the replica has it. "At once": it has not, so the replica is asked, in the round trip of the
read; nothing is promised of that but that it is one round trip.

The client is held to one core and all servers to the others, or the scheduler's whims would be larger than what is measured.

Connections are encrypted where the server offers it, as PyMySQL does by itself; `--no-tls` turns that off for all. PyMySQL reads
the system's certificates at every `connect()`, whether the server offers TLS or not, which takes most of its time: so there
is a row without, too.
HAProxy is Debian's: apt-get install haproxy.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pymysql
from machine import heading, promise
from world import APP, free_port, pid_of, small_cluster, url

import replclus
from replclus.model.spec import Flavour
from replclus.sandbox import Sandbox, throw_away

READ_RATIO_MAX, AFTER_WRITE_RATIO_MAX, CONNECT_RATIO_MAX = 1.06, 1.10, 0.1
BATCH = 50
WARM_UP = 300
CONNECTS = 300
AFTER_WRITE = {"at once": 400, "told": 60}
TOLD_AFTER_S = 0.35

Action = Callable[[], object]

_HAPROXY = """\
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen replicas
    bind 127.0.0.1:{port}
    server n2 127.0.0.1:{backend}
"""


def percentile(values: list[float], part: float) -> float:
    return statistics.quantiles(values, n=100)[round(part * 100) - 1]


def take_turns(actions: dict[str, Action], rounds: int, batch: int) -> dict[str, list[float]]:
    """Microseconds of every single call. Who goes first changes from round to round."""
    took: dict[str, list[float]] = {name: [] for name in actions}
    names = list(actions)
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            action, note = actions[name], took[name].append
            for _ in range(batch):
                began = time.perf_counter_ns()
                action()
                note((time.perf_counter_ns() - began) / 1000)
    return took


def table(title: str, took: dict[str, list[float]], base: str) -> dict[str, float]:
    """Print a row per contender; the ratios of the medians to that of `base`."""
    middle = statistics.median(took[base])
    print(f"\n  {title:<46}{'p50 µs':>10}{'p90 µs':>10}{'ratio':>8}{'of':>8}")
    ratios = {}
    for name, values in took.items():
        ratios[name] = statistics.median(values) / middle
        p50, p90 = statistics.median(values), percentile(values, 0.9)
        print(f"  {name:<46}{p50:>10.1f}{p90:>10.1f}{ratios[name]:>8.3f}{len(values):>8}")
    return ratios


def reader(connection: Any) -> Action:
    def read() -> None:
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
        cursor.fetchall()
        cursor.close()

    return read


def _apart(servers: Iterable[int]) -> None:
    """This process on the first core, the servers on the others, where there are others."""
    first, *others = sorted(os.sched_getaffinity(0))
    if others:
        for pid in servers:
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), others)
        os.sched_setaffinity(0, {first})


@contextmanager
def haproxy(backend: int, directory: Path) -> Iterator[int]:
    """A HAProxy in front of a port of this machine; its own port."""
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if program is None:
        raise SystemExit("there is no haproxy to compare with: apt-get install haproxy")
    port = free_port()
    file = directory / "haproxy.cfg"
    file.write_text(_HAPROXY.format(port=port, backend=backend))
    process = subprocess.Popen([program, "-db", "-q", "-f", str(file)])
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


class Bench:
    """One family: a cluster of two, a cluster of four, and everybody who connects to them."""

    def __init__(self, two: Sandbox, four: Sandbox, proxy_port: int, keywords: dict[str, Any]) -> None:
        self.two, self.four, self.proxy_port, self.keywords = two, four, proxy_port, keywords

    def plain(self, node: str = "n2", **more: Any) -> Any:
        address = {"host": "127.0.0.1", "port": self.two.place(node).port}
        return pymysql.connect(**{**address, **self.keywords, **more})

    def routed(self, cluster: Sandbox | None = None) -> Any:
        return replclus.connect(cluster=url(cluster or self.two), **self.keywords)

    def reads(self, rounds: int) -> bool:
        with self.plain() as plain, self.routed() as same, self.routed(self.four) as spread:
            proxied = self.plain(port=self.proxy_port)
            actions = {
                "plain PyMySQL": reader(plain),
                "replclus, the same server": reader(same),
                "replclus, three replicas in turns": reader(spread),
                "PyMySQL through HAProxy": reader(proxied),
            }
            for action in actions.values():
                for _ in range(WARM_UP):
                    action()
            assert same.route.node == "n2", same.route
            look = plain.cursor()
            look.execute("SELECT host FROM information_schema.processlist WHERE user = 'app'")
            assert all(host.startswith("127.0.0.1:") for (host,) in look.fetchall()), "somebody came over a socket"
            ratios = table("SELECT 1", take_turns(actions, rounds, BATCH), "plain PyMySQL")
            proxied.close()
        kept = promise("the same server / plain", ratios["replclus, the same server"], READ_RATIO_MAX, "")
        return promise("three replicas / plain", ratios["replclus, three replicas in turns"], READ_RATIO_MAX, "") and kept

    def after_writes(self) -> bool:
        kept = True
        for moment, times in AFTER_WRITE.items():
            took: dict[str, list[float]] = {"plain PyMySQL": [], "replclus, session consistency": []}
            with self.plain() as plain, self.plain("n1") as writer, self.routed() as both, self.plain() as witness:
                pairs = {"plain PyMySQL": (writer, plain), "replclus, session consistency": (both, both)}
                for turn in range(times):
                    for name, (writes, reads) in pairs.items() if turn % 2 else reversed(pairs.items()):
                        self._written(writes, witness, turn)
                        if moment == "told":
                            time.sleep(TOLD_AFTER_S)
                        began = time.perf_counter_ns()
                        reader(reads)()
                        took[name].append((time.perf_counter_ns() - began) / 1000)
                assert both.route.node == "n2", both.route
            ratios = table(f"SELECT 1 after a write, {moment}", took, "plain PyMySQL")
            if moment == "told":
                kept &= promise(f"after a write, {moment}", ratios["replclus, session consistency"], AFTER_WRITE_RATIO_MAX, "")
        return kept

    @staticmethod
    def _written(writer: Any, witness: Any, turn: int) -> None:
        """A write that the replica is seen to have applied."""
        value = f"{id(writer)}.{turn}"
        writer.cursor().execute("REPLACE INTO bench VALUES (1, %s)", (value,))
        look = witness.cursor()
        while True:
            look.execute("SELECT v FROM bench")
            if look.fetchall() == ((value,),):
                return

    def connects(self) -> bool:
        """`connect()` alone, which makes no link before it is needed, and with the first statement, which takes one."""

        def opened(make: Callable[[], Any], *, used: bool) -> Action:
            def action() -> None:
                connection = make()
                if used:
                    reader(connection)()
                # Closed later: what is timed is connecting.
                left.append(connection)

            return action

        left: list[Any] = []
        kept = True
        for used, title in ((False, "connect()"), (True, "connect(), SELECT 1")):
            actions = {
                "pymysql.connect": opened(self.plain, used=used),
                "pymysql.connect, ssl_disabled": opened(lambda: self.plain(ssl_disabled=True), used=used),
                "replclus.connect": opened(self.routed, used=used),
            }
            took: dict[str, list[float]] = {name: [] for name in actions}
            for _ in range(CONNECTS):
                for name, values in take_turns(actions, 1, 1).items():
                    took[name] += values
                while left:
                    left.pop().close()
            ratios = table(title, took, "pymysql.connect")
            kept &= promise(f"{title} / pymysql", ratios["replclus.connect"], CONNECT_RATIO_MAX if not used else 1.0, "")
        return kept


def measure(flavour: Flavour, rounds: int, *, tls: bool) -> bool:
    heading(f"What replclus costs per statement, {flavour.value}{'' if tls else ', without TLS'}")
    keywords = APP if tls else {**APP, "ssl_disabled": True}
    with ExitStack() as stack:
        stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        root = stack.enter_context(throw_away("rcb-"))
        two = stack.enter_context(small_cluster(root / "two", flavour, replicas=1))
        four = stack.enter_context(small_cluster(root / "four", flavour, replicas=3))
        port = stack.enter_context(haproxy(two.place("n2").port, root))
        with replclus.connect(cluster=url(two), **keywords) as connection:
            connection.cursor().execute("CREATE TABLE bench (id INT PRIMARY KEY, v VARCHAR(40))")
            time.sleep(1)
        _apart(pid_of(cluster, name) for cluster in (two, four) for name in cluster.names)
        bench = Bench(two, four, port, keywords)
        return all([bench.reads(rounds), bench.after_writes(), bench.connects()])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flavour", type=Flavour, action="append", choices=list(Flavour))
    parser.add_argument("--rounds", type=int, default=400, help=f"of {BATCH} statements each")
    parser.add_argument("--no-tls", action="store_true")
    given = parser.parse_args()
    kept = [measure(flavour, given.rounds, tls=not given.no_tls) for flavour in given.flavour or list(Flavour)]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
