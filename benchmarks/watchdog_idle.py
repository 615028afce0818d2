"""What a watchdog at rest costs: CPU and memory over half a minute, four nodes, default tick.

python benchmarks/watchdog_idle.py [--flavour mariadb|mysql] [--seconds 30]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import COMMAND, REPOSITORY, figures, heading, promise

from replclus.config import load
from replclus.model.spec import Flavour
from replclus.provision import bootstrap
from replclus.sandbox import create
from replclus.store import SqliteStore

CPU_PERCENT_MAX = 5.0
RESIDENT_MB_MAX = 80.0
WARM_UP_S = 5.0
SAMPLE_S = 5.0


def cpu_seconds(pid: int) -> float:
    """User and system time of all its threads: fields 14 and 15 of /proc/PID/stat, see proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Now, in units of 10^6 bytes: field 2 of /proc/PID/statm."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(config: Path, seconds: float) -> bool:
    process = subprocess.Popen([*COMMAND, "watchdog", "-c", str(config)], stdout=subprocess.DEVNULL, cwd=REPOSITORY)
    try:
        time.sleep(WARM_UP_S)
        percents, memory = [], []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began, used = time.monotonic(), cpu_seconds(process.pid)
            time.sleep(SAMPLE_S)
            percents.append((cpu_seconds(process.pid) - used) / (time.monotonic() - began) * 100)
            memory.append(resident_mb(process.pid))
        if process.poll() is not None:
            raise SystemExit(f"the watchdog ended with code {process.returncode}")
    finally:
        process.terminate()
        process.wait()
    figures("CPU", percents, "% of a core")
    figures("resident", memory, "MB")
    mean = sum(percents) / len(percents)
    return all((promise("CPU", mean, CPU_PERCENT_MAX, "%"), promise("resident", max(memory), RESIDENT_MB_MAX, "MB")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flavour", type=Flavour, default=Flavour.MARIADB, choices=list(Flavour))
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    heading(f"Watchdog at rest, four {given.flavour.value} nodes, {given.seconds:g} s")
    with tempfile.TemporaryDirectory(prefix="rcb-") as root:
        sandbox = create(Path(root) / "s", flavour=given.flavour)
        try:
            spec = load(sandbox.config)
            store = SqliteStore(spec.state_dir)
            bootstrap(spec, store)
            store.close()
            return 0 if measure(sandbox.config, given.seconds) else 1
        finally:
            sandbox.destroy()


if __name__ == "__main__":
    sys.exit(main())
