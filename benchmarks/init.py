"""How long `replclus init` takes on four empty servers, as a command, start of Python included.

python benchmarks/init.py [--flavour mariadb|mysql ...] [--runs 5]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import COMMAND, REPOSITORY, figures, heading, promise

from replclus.model.spec import Flavour
from replclus.sandbox import create

SECONDS_MAX = {Flavour.MARIADB: 5.0, Flavour.MYSQL: 8.0}


def seconds_of_one(flavour: Flavour, root: Path) -> float:
    sandbox = create(root / "s", flavour=flavour)
    try:
        began = time.monotonic()
        subprocess.run(
            [*COMMAND, "init", "-c", str(sandbox.config)], check=True, capture_output=True, cwd=REPOSITORY, timeout=120
        )
        return time.monotonic() - began
    finally:
        sandbox.destroy()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flavour", type=Flavour, action="append", choices=list(Flavour))
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    kept = True
    for flavour in given.flavour or list(Flavour):
        heading(f"replclus init, four empty {flavour.value} servers")
        with tempfile.TemporaryDirectory(prefix="rcb-") as root:
            seconds = [seconds_of_one(flavour, Path(root)) for _ in range(given.runs)]
        figures("init", seconds, "s")
        kept &= promise("the slowest", max(seconds), SECONDS_MAX[flavour], "s")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
