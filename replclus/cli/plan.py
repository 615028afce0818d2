"""`replclus plan`: what replicas would bring, by arithmetic. Asks no server."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from replclus.cli import terminal
from replclus.cli.options import Json, OwnConfig
from replclus.errors import ConfigError
from replclus.model.capacity import Capacity, Load, capacity, limit

COST_MAX = 1_000_000.0
REPLICAS_MAX = 64
# Rows of the table beyond what was asked for.
MORE = 3
BAR_CHARS = 44


def plan(
    writes: Annotated[float, typer.Option("--writes", metavar="PART", help="Writes among all statements, 0 to 1.")] = 0.1,
    write_cost: Annotated[float, typer.Option("--write-cost", metavar="READS", help="What a write costs the primary.")] = 2.0,
    replicas: Annotated[int, typer.Option("--replicas", metavar="N", help="Beside the primary.")] = 3,
    apply_cost: Annotated[
        float | None,
        typer.Option("--apply-cost", metavar="READS", help="What a write costs each replica [default: as the primary]."),
    ] = None,
    as_json: Json = False,
    config: OwnConfig = None,
) -> None:
    """Say how much a primary and replicas can take, compared with one server. Costs are in units of one read."""
    part = _number(writes, 1.0, "--writes")
    load = _load(part, write_cost, apply_cost)
    if not 0 <= replicas <= REPLICAS_MAX:
        raise ConfigError(f"must be from 0 to {REPLICAS_MAX}, found {replicas}", where="--replicas")
    rows = [(capacity(load, number), capacity(load, number, idle_primary_reads=True)) for number in range(replicas + MORE + 1)]
    if as_json:
        terminal.emit({"writes": float(part), **_document(load, rows, replicas)})
        return
    terminal.out().print(Text(f"{_premise(load, part)}\n"), soft_wrap=True)
    terminal.out().print(_table(load, rows, replicas))
    terminal.out().print(Text(f"\n{_verdict(load, *rows[replicas])}"), soft_wrap=True)


def _load(writes: Fraction, write_cost: float, apply_cost: float | None) -> Load:
    at_primary = _number(write_cost, COST_MAX, "--write-cost")
    at_replica = at_primary if apply_cost is None else _number(apply_cost, COST_MAX, "--apply-cost")
    load = Load.of(writes, at_primary, at_replica)
    if not load.one_server:
        raise ConfigError("must be more than 0 where all statements are writes", where="--write-cost")
    return load


def _number(value: float, most: float, where: str) -> Fraction:
    """As exact as it was written, to nine digits: 0.1 is a tenth."""
    if not math.isfinite(value) or not 0 <= value <= most:
        raise ConfigError(f"must be a number from 0 to {most:.0f}, found {value:g}", where=where)
    return Fraction(str(value)).limit_denominator(10**9)


def _document(load: Load, rows: list[tuple[Capacity, Capacity]], replicas: int) -> dict[str, Any]:
    least = limit(load)
    return {
        "replicas": replicas,
        "reads_per_round": float(load.reads),
        "write_cost": float(load.write),
        "apply_cost": float(load.apply),
        "one_server": {"cost": float(load.one_server), "throughput": _throughput(load.one_server)},
        "plan": _facts(*rows[replicas]),
        "limit": None
        if least is None
        else {"cost": float(least), "throughput": _throughput(least), "gain": float(load.one_server / least)},
        "rows": [_facts(*row) for row in rows],
    }


def _facts(without: Capacity, idle_reads: Capacity) -> dict[str, Any]:
    return {"replicas": without.replicas, "never": _figures(without), "when_idle": _figures(idle_reads)}


def _figures(found: Capacity) -> dict[str, Any]:
    return {
        "cost": float(found.cost),
        "throughput": _throughput(found.cost),
        "gain": float(found.gain),
        "primary_busy": float(found.primary_busy),
        "replicas_busy": float(found.replicas_busy),
        "primary_reads": float(found.primary_reads),
    }


def _throughput(cost: Fraction) -> str:
    """`T/5`: rounds in the time in which a server does T reads."""
    if cost == 1:
        return "T"
    return f"T/{float(cost):.4g}" if cost > 1 else f"{float(1 / cost):.4g} T"


def _table(load: Load, rows: list[tuple[Capacity, Capacity]], replicas: int) -> Table:
    least = limit(load)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("replicas", "rounds", "gain", "if idle, the primary reads", "gain"):
        table.add_column(heading, justify="right")
    most = rows[-1][1].gain if least is None else load.one_server / least
    table.add_column(f"█ gain  ░ more, if the primary reads{'' if least is None else '  │ limit'}", no_wrap=True)
    for without, idle_reads in rows:
        table.add_row(
            str(without.replicas),
            _throughput(without.cost),
            f"{float(without.gain):.2f}",
            _throughput(idle_reads.cost),
            f"{float(idle_reads.gain):.2f}",
            _bar(without, idle_reads, most, limited=least is not None),
            style="bold" if without.replicas == replicas else "",
        )
    if least is not None:
        gain = f"{float(most):.2f}"
        table.add_row("any", _throughput(least), gain, _throughput(least), gain, "█" * BAR_CHARS + "│", style="dim")
    return table


def _premise(load: Load, writes: Fraction) -> str:
    if not writes:
        return "There are no writes: a round is one read. A server does T reads a second."
    return (
        f"A round is one write and {float(load.reads):.4g} reads. A server does T reads a second; "
        f"a write costs the primary {float(load.write):g} reads, and each replica {float(load.apply):g}."
    )


def _bar(without: Capacity, idle_reads: Capacity, most: Fraction, *, limited: bool) -> str:
    first, second = (min(BAR_CHARS, round(BAR_CHARS * found.gain / most)) for found in (without, idle_reads))
    bar = "█" * first + "░" * (second - first)
    return f"{bar:<{BAR_CHARS}}│" if limited else bar


def _verdict(load: Load, without: Capacity, idle_reads: Capacity) -> str:
    """The row that was asked for, in words."""
    if not without.replicas:
        return f"One server does {_throughput(load.one_server)} rounds a second."
    least = limit(load)
    ends = (
        "there is no limit" if least is None else f"the limit is {_throughput(least)}, {float(load.one_server / least):.2f} times"
    )
    servers = "a replica" if without.replicas == 1 else f"{without.replicas} replicas"
    return (
        f"One server does {_throughput(load.one_server)}, a primary and {servers} {_throughput(without.cost)}: "
        f"{float(without.gain):.2f} times as much, the primary {float(without.primary_busy):.0%} busy. "
        f'With primary_reads="when_idle" it does {float(idle_reads.primary_reads):.0%} of the reads, which makes '
        f"{_throughput(idle_reads.cost)}, {float(idle_reads.gain):.2f} times; {ends}."
    )
