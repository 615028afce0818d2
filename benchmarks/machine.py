"""What the figures were measured on, and how they are printed. Shared by the benchmarks."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
COMMAND = (sys.executable, "-m", "replclus.cli.main")


def heading(title: str) -> None:
    """The title, and everything about the machine that moves the figures."""
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"{title}\n  Python {platform.python_version()}, {os.cpu_count()} cores, load average {load}")


def figures(name: str, values: Sequence[float], unit: str) -> None:
    """Raw values and what they come to."""
    raw = " ".join(f"{value:.0f}" if value >= 100 else f"{value:.2f}" for value in values)
    middle, worst = statistics.median(values), max(values)
    print(f"  {name}: median {middle:.2f} {unit}, worst {worst:.2f} {unit}, of {len(values)}: {raw}")


def promise(name: str, value: float, bound: float, unit: str) -> bool:
    """One measured value against what is promised; below 1 it is kept."""
    kept = value <= bound
    print(f"  {'kept' if kept else 'BROKEN'}: {name} {value:.2f} {unit}, promised {bound:g} {unit}, ratio {value / bound:.2f}")
    return kept
