"""How long `replclus sandbox create` takes for four servers once the template data directory exists.

python benchmarks/sandbox.py [--flavour mariadb|mysql ...] [--runs 5]
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
from replclus.sandbox import open_sandbox

SECONDS_MAX = {Flavour.MARIADB: 6.0, Flavour.MYSQL: 15.0}


def seconds_of_one(flavour: Flavour, directory: Path) -> float:
    command = [*COMMAND, "sandbox", "create", str(directory), "--flavour", flavour.value]
    began = time.monotonic()
    subprocess.run(command, check=True, capture_output=True, cwd=REPOSITORY, timeout=300)
    took = time.monotonic() - began
    open_sandbox(directory).destroy()
    return took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flavour", type=Flavour, action="append", choices=list(Flavour))
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    kept = True
    for flavour in given.flavour or list(Flavour):
        heading(f"replclus sandbox create, four {flavour.value} servers")
        with tempfile.TemporaryDirectory(prefix="rcb-") as root:
            print(f"  first, with the template if it is missing: {seconds_of_one(flavour, Path(root) / 's'):.2f} s")
            seconds = [seconds_of_one(flavour, Path(root) / "s") for _ in range(given.runs)]
        figures("create", seconds, "s")
        kept &= promise("the slowest", max(seconds), SECONDS_MAX[flavour], "s")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
