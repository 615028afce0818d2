"""What replicas bring: 90 % reads and 10 % writes on one server, and on a primary with three replicas through replclus.

python benchmarks/scale_out.py [--flavour mariadb|mysql ...] [--rounds 3] [--seconds 10] [--quota 0.1]

Every server is held to the same small part of a CPU by a control group, so small that neither the clients nor the machine is
the limit. A read sums up some thousand rows. A write sums up as many as make it cost what two reads cost, which is measured
on the one server before the comparison, and changes ten rows; what it costs a replica to apply that is measured too, and
printed with what `replclus plan` makes of it. The same threads do the same statements on both, with autocommit and the
default consistency: everybody reads their own writes. No watchdog runs: with so little CPU its beats would weigh ten times
what they weigh on a whole one.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import pymysql
from machine import heading
from quota import held_to
from watchdog_idle import cpu_seconds
from world import APP, pid_of, small_cluster, url

import replclus
from replclus.model.capacity import Load, capacity
from replclus.model.spec import Flavour
from replclus.sandbox import Sandbox, create, throw_away

RATIO_MIN = {"never": 2.2, "when_idle": 2.6}
ROWS, ROWS_READ, ROWS_WRITTEN = 40_000, 2_500, 10
EVERY_NTH_WRITES = 10
WRITE_COSTS_READS = 2.0
# One server is measured with a quarter of the threads as well, and its better figure counts: nobody shall win only because the
# other one had a longer queue.
THREADS, FEWER_THREADS = 32, 8
ONE_SERVER = {f"one server, {threads} threads": threads for threads in (THREADS, FEWER_THREADS)}
WARM_UP_S = 3.0
CALIBRATION, CALIBRATED_WITH = 300, (100, 4_100)

_READ = f"SELECT SUM(n), SUM(LENGTH(pad)) FROM items WHERE id BETWEEN %s AND %s + {ROWS_READ}"  # noqa: S608  our number
_WRITE = (
    "UPDATE totals SET n = n + 1 + (SELECT SUM(n) FROM items WHERE id BETWEEN %s AND %s + %s) "  # noqa: S608
    f"WHERE id BETWEEN %s AND %s + {ROWS_WRITTEN - 1}"
)

Connect = Callable[[], Any]


def cpu_of(sandbox: Sandbox) -> dict[str, float]:
    return {name: cpu_seconds(pid_of(sandbox, name)) for name in sandbox.names}


def fill(connection: Any) -> None:
    cursor = connection.cursor()
    for table in ("items", "totals"):
        cursor.execute(f"CREATE TABLE {table} (id INT PRIMARY KEY, n INT NOT NULL, pad VARCHAR(60) NOT NULL)")
        for first in range(0, ROWS, 5000):
            rows = [(number, f"{number:040d}") for number in range(first, first + 5000)]
            cursor.executemany(f"INSERT INTO {table} VALUES (%s, 0, %s)", rows)  # noqa: S608  our names


class Statements:
    """`rows_summed` is how many rows a write looks at before it changes some."""

    def __init__(self, rows_summed: int) -> None:
        self.rows_summed = rows_summed

    def read(self, cursor: Any, dice: random.Random) -> None:
        first = dice.randrange(ROWS - ROWS_READ)
        cursor.execute(_READ, (first, first))
        cursor.fetchall()

    def write(self, cursor: Any, dice: random.Random) -> None:
        first, changed = dice.randrange(ROWS - self.rows_summed), dice.randrange(ROWS - ROWS_WRITTEN)
        cursor.execute(_WRITE, (first, first, self.rows_summed - 1, changed, changed))


def cost_ms(sandbox: Sandbox, connection: Any, act: Callable[[Any, random.Random], None]) -> dict[str, float]:
    """CPU milliseconds that one statement costs each server."""
    cursor, dice = connection.cursor(), random.Random(1)  # noqa: S311
    before = cpu_of(sandbox)
    for _ in range(CALIBRATION):
        act(cursor, dice)
    time.sleep(0.3)
    return {name: (used - before[name]) / CALIBRATION * 1000 for name, used in cpu_of(sandbox).items()}


def calibrated(alone: Sandbox, connection: Any) -> tuple[Statements, float, float]:
    """Statements of which a write costs two reads, and what both cost, in CPU milliseconds."""
    read = cost_ms(alone, connection, Statements(0).read)["n1"]
    few, many = (cost_ms(alone, connection, Statements(rows).write)["n1"] for rows in CALIBRATED_WITH)
    per_row = (many - few) / (CALIBRATED_WITH[1] - CALIBRATED_WITH[0])
    wanted = CALIBRATED_WITH[0] + (WRITE_COSTS_READS * read - few) / per_row
    statements = Statements(min(max(1, round(wanted)), ROWS // 2))
    return statements, read, cost_ms(alone, connection, statements.write)["n1"]


class Mix:
    """Threads that do the mix until they are told to stop."""

    def __init__(self, connect: Connect, statements: Statements, threads: int = THREADS) -> None:
        self._connect, self._statements = connect, statements
        self._stop = threading.Event()
        self._done = [0] * threads
        self.routes: Counter[str] = Counter()
        self._errors: list[Exception] = []

    def rate(self, seconds: float) -> float:
        """Statements per second."""
        threads = [threading.Thread(target=self._work, args=(number,)) for number in range(len(self._done))]
        for thread in threads:
            thread.start()
        time.sleep(WARM_UP_S)
        began, before = time.monotonic(), sum(self._done)
        time.sleep(seconds)
        rate = (sum(self._done) - before) / (time.monotonic() - began)
        self._stop.set()
        for thread in threads:
            thread.join()
        if self._errors:
            raise self._errors[0]
        return rate

    def _work(self, number: int) -> None:
        dice = random.Random(number)  # noqa: S311
        try:
            with self._connect() as connection:
                cursor = connection.cursor()
                for turn in count(number):
                    if self._stop.is_set():
                        return
                    writes = turn % EVERY_NTH_WRITES == 0
                    (self._statements.write if writes else self._statements.read)(cursor, dice)
                    self._done[number] += 1
                    route = getattr(cursor, "route", None)
                    if route is not None and not writes:
                        self.routes[route.node] += 1
        except Exception as error:
            self._errors.append(error)


def plain(alone: Sandbox) -> Connect:
    place = alone.place("n1")
    return lambda: pymysql.connect(host=place.host, port=place.port, **APP, ssl_disabled=True)


def routed(four: Sandbox, primary_reads: str) -> Connect:
    more = {} if primary_reads == "never" else {"primary_reads": primary_reads}
    return lambda: replclus.connect(cluster=url(four), **APP, **more, ssl_disabled=True)


def one_server(directory: Path, flavour: Flavour) -> Sandbox:
    """Like the others, with binary log and all, but alone."""
    alone = create(directory, flavour=flavour, replicas=0)
    with pymysql.connect(unix_socket=str(alone.place("n1").socket), user="root") as root, root.cursor() as cursor:
        cursor.execute("CREATE SCHEMA app")
        cursor.execute("CREATE USER app@'127.0.0.1' IDENTIFIED BY 'app'")
        cursor.execute("GRANT ALL ON app.* TO app@'127.0.0.1'")
    return alone


def measure(flavour: Flavour, given: argparse.Namespace) -> bool:
    heading(f"One {flavour.value} server, and a primary with three replicas, {given.quota:.0%} of a CPU each")
    with ExitStack() as stack:
        root = stack.enter_context(throw_away("rcb-"))
        four = stack.enter_context(small_cluster(root / "four", flavour, replicas=3))
        alone = one_server(root / "one", flavour)
        stack.callback(alone.destroy)
        with plain(alone)() as connection, routed(four, "never")() as cluster:
            fill(connection)
            fill(cluster)
            statements, read, write = calibrated(alone, connection)
            on_four = cost_ms(four, cluster, statements.write)
        apply = statistics.mean(on_four[name] for name in four.names if name != "n1")
        print(
            f"  CPU of a read {read:.2f} ms, of a write {write:.2f} ms ({statements.rows_summed} rows summed), in the cluster "
            f"{on_four['n1']:.2f} ms on the primary and {apply:.2f} ms on a replica"
        )
        stack.enter_context(held_to(given.quota, [pid_of(box, name) for box in (alone, four) for name in box.names]))
        return compare(alone, four, statements, given, _model(read, write, apply))


def _model(read: float, write: float, apply: float) -> dict[str, float]:
    """What the capacity model makes of the measured costs."""
    load = Load.of(Fraction(1, EVERY_NTH_WRITES), Fraction(write / read), Fraction(apply / read))
    return {choice: float(capacity(load, 3, idle_primary_reads=choice == "when_idle").gain) for choice in ("never", "when_idle")}


def compare(alone: Sandbox, four: Sandbox, statements: Statements, given: argparse.Namespace, model: dict[str, float]) -> bool:
    rates: dict[str, list[float]] = {name: [] for name in (*ONE_SERVER, *given.primary_reads)}
    for turn in range(1, given.rounds + 1):
        for name, found in rates.items():
            threads = ONE_SERVER.get(name)
            mix = Mix(plain(alone), statements, threads) if threads else Mix(routed(four, name), statements)
            found.append(mix.rate(given.seconds))
            reads = sum(mix.routes.values())
            shares = "  reads " + " ".join(f"{node} {mix.routes[node] / reads:.0%}" for node in four.names) if reads else ""
            print(f"  {turn}  {name:<22}{found[-1]:>9.1f} statements/s{shares}", flush=True)
    kept = True
    base = max(statistics.median(rates[name]) for name in ONE_SERVER)
    for name in given.primary_reads:
        ratio = statistics.median(rates[name]) / base
        met = ratio >= RATIO_MIN[name]
        kept &= met
        verdict = "kept" if met else "BROKEN"
        print(f"  {verdict}: primary_reads={name} {ratio:.2f} times, promised {RATIO_MIN[name]}, by the model {model[name]:.2f}")
    return kept


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flavour", type=Flavour, action="append", choices=list(Flavour))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="per round and contender")
    parser.add_argument("--quota", type=float, default=0.1, help="of one CPU, for each server")
    parser.add_argument("--primary-reads", action="append", choices=list(RATIO_MIN), help="both, if not given")
    given = parser.parse_args()
    given.primary_reads = given.primary_reads or list(RATIO_MIN)
    kept = [measure(flavour, given) for flavour in given.flavour or list(Flavour)]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
