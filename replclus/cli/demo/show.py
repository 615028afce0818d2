"""How the story is told on the terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from replclus.cli.demo.compare import Comparison
from replclus.cli.demo.history import History
from replclus.cli.demo.result import OUTAGE_MS_MAX, Result
from replclus.model.spec import ClusterSpec


@dataclass(frozen=True, slots=True, order=True)
class Moment:
    """One line of the timeline. `offset_ms` counts from the kill."""

    offset_ms: float
    who: str
    sentence: str
    style: str = ""


class Show:
    """Writes to one console: stdout, or stderr where stdout is kept for JSON."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()

    def chapter(self, title: str) -> None:
        elapsed = time.monotonic() - self._began
        self._print(Text.assemble("\n", (f"{elapsed:5.1f} s  ", "dim"), (title, "bold")))

    def line(self, text: str, style: str = "") -> None:
        self._print(Text(f"         {text}", style=style))

    def moment(self, moment: Moment) -> None:
        self._print(
            Text.assemble(
                (f"  {moment.offset_ms:+9.1f} ms  ", "cyan"), (f"{moment.who:<12}", "dim"), (moment.sentence, moment.style)
            )
        )

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)

    @contextmanager
    def progress(self, what: str) -> Iterator[Bar]:
        """A bar that goes away when it is full. Lines printed meanwhile appear above it."""
        columns = (TextColumn("        "), BarColumn(40), TextColumn("{task.description}"))
        with Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal) as progress:
            yield Bar(progress, what)

    def traffic(self, spec: ClusterSpec, history: History) -> None:
        """Who served how much, as the applications saw it."""
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
        table.add_column("         server")
        for title in ("reads", "writes"):
            table.add_column(title, justify="right")
        writes = history.writes_by_node
        for node in spec.nodes:
            table.add_row(f"         {node.name}", f"{history.reads[node.name]:,}", f"{writes[node.name]:,}")
        self._console.print(table)

    def tables(self, comparison: Comparison) -> None:
        """Every table's checksum, once if all servers agree, else by server."""
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
        table.add_column("         table")
        table.add_column("rows", justify="right")
        table.add_column("SHA-256 of all rows, in order")
        for name in comparison.contents[0].sums:
            found = {each.node: each.sums.get(name) for each in comparison.contents}
            first = next(iter(found.values()))
            if first is not None and len(set(found.values())) == 1:
                table.add_row(f"         {name}", f"{first.rows:,}", f"{first.sha256[:24]}…  equal on all {len(found)}")
                continue
            for node, one in found.items():
                text = Text(f"{one.sha256[:24]}…  on {node}" if one else f"missing on {node}", style="red")
                table.add_row(f"         {name}", f"{one.rows:,}" if one else "", text)
        self._console.print(table)

    def verdict(self, result: Result) -> None:
        self._print(Text())
        span = f"{result.outage_from_ms:+.0f} to {result.outage_from_ms + result.outage_ms:+.0f} ms"
        outage = f"{result.outage_ms:.0f} ms, from {span}, was the longest time without an acknowledged write"
        back = "the old primary is back as a healthy replica"
        equal = "all tables are equal on all servers"
        for text, kept in (
            (
                f"{result.acknowledged:,} acknowledged writes, {len(result.lost)} lost",
                not result.lost,
            ),
            (f"{len(result.errors)} errors seen by the applications", not result.errors),
            (f"{result.stale_reads} reads that missed the reader's own writes", not result.stale_reads),
            (f"{outage} (at most {OUTAGE_MS_MAX:.0f})", result.outage_ms <= OUTAGE_MS_MAX),
            (back if not result.not_rejoined else f"the old primary is not back: {result.not_rejoined}", not result.not_rejoined),
            (equal if result.checksums_equal else "the tables differ between servers", result.checksums_equal),
        ):
            mark = ("✓  ", "bold green") if kept else ("✗  ", "bold red")
            self._print(Text.assemble("      ", mark, text))
        if result.ok:
            final = "Nothing was lost: the primary died under load, and every acknowledged write is on every server."
            self._print(Text(f"\n{final} ({result.seconds:.0f} s)", style="bold green"))


class Bar:
    """The progress of one piece of work."""

    def __init__(self, progress: Progress, what: str) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=None)

    def to(self, completed: float, total: float, what: str) -> None:
        self._progress.update(self._task, completed=completed, total=total, description=what)
