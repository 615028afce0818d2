"""How long a MySQL GTID set with many holes takes to parse and subtract, next to sets of plain integers.

    .venv/bin/python benchmarks/gtid.py [intervals]

Both sides do the same work in the same run, alternating; the best of several rounds counts. Two shapes: `holes` is what a
parallel replica looks like (intervals of three transactions), `long` has 1 000 transactions per interval.
The goal is 50 ms for parsing one set of 10 000 intervals and subtracting another from it; exit 1 when it is missed.
With another number of intervals nothing is judged: it shows that time grows with the intervals, not their square.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from operator import sub
from time import perf_counter

from replclus.model.gtid import MysqlGtidSet

UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
ROUNDS = 7
GOAL_MS, GOAL_INTERVALS = 50.0, 10_000


def text_of(intervals: int, length: int, offset: int) -> str:
    """`intervals` intervals of `length` transactions, each followed by a hole of two."""
    starts = range(1 + offset, 1 + offset + intervals * (length + 2), length + 2)
    return f"{UUID}:" + ":".join(f"{start}-{start + length - 1}" for start in starts)


def naive_parse(text: str) -> set[int]:
    numbers: set[int] = set()
    for item in text.split(":")[1:]:
        first, _, last = item.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return numbers


def best_ms(*actions: Callable[[], object]) -> list[float]:
    """The shortest time of each action, in milliseconds; they take turns, so that noise hits all alike."""
    best = [float("inf")] * len(actions)
    for _ in range(ROUNDS):
        for index, action in enumerate(actions):
            started = perf_counter()
            action()
            best[index] = min(best[index], (perf_counter() - started) * 1000)
    return best


def main() -> int:
    intervals = int(sys.argv[1]) if len(sys.argv) > 1 else GOAL_INTERVALS
    worst = 0.0
    print(f"{intervals} intervals, best of {ROUNDS} rounds, ms\n")
    print(f"{'shape':8}{'step':12}{'interval set':>14}{'integer set':>14}{'ratio':>9}")
    for shape, length in (("holes", 3), ("long", 1000)):
        text, other_text = text_of(intervals, length, 0), text_of(intervals, length, 1)
        ours, other = MysqlGtidSet.parse(text), MysqlGtidSet.parse(other_text)
        naive, naive_other = naive_parse(text), naive_parse(other_text)
        assert (ours - other).count() == len(naive - naive_other)
        parse = best_ms(partial(MysqlGtidSet.parse, text), partial(naive_parse, text))
        subtract = best_ms(partial(sub, ours, other), partial(sub, naive, naive_other))
        both = [parse[0] + subtract[0], parse[1] + subtract[1]]
        for step, (mine, theirs) in (("parse", parse), ("subtract", subtract), ("both", both)):
            print(f"{shape:8}{step:12}{mine:14.2f}{theirs:14.2f}{theirs / mine:8.1f}x")
        worst = max(worst, both[0])
    if intervals != GOAL_INTERVALS:
        return 0
    met = worst < GOAL_MS
    print(f"\nparse + subtract: {worst:.1f} ms, goal {GOAL_MS:.0f} ms: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
