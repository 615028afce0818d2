"""Ten demos in a row: how many kept every promise, and how long the applications could not write.

python benchmarks/demo10.py [--flavour mariadb|mysql] [--runs 10]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from typing import Any

from machine import COMMAND, REPOSITORY, figures, heading, promise

from replclus.model.spec import Flavour

OUTAGE_MS_MAX = 1000.0
SECONDS_MAX = 40.0


def one(flavour: Flavour) -> dict[str, Any]:
    """The demo's JSON; one without a last line failed before it could judge anything."""
    ended = subprocess.run(
        [*COMMAND, "demo", "--json", "--flavour", flavour.value],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=300,
        check=False,
    )
    lines = ended.stdout.splitlines()
    if not lines:
        return {"ok": False, "broken_promises": ended.stderr.strip().splitlines()[-1:]}
    found: dict[str, Any] = json.loads(lines[-1])
    return {**found, "story": ended.stderr}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flavour", type=Flavour, default=Flavour.MARIADB, choices=list(Flavour))
    parser.add_argument("--runs", type=int, default=10)
    given = parser.parse_args()
    heading(f"{given.runs} demos on {given.flavour.value}")
    results = []
    for number in range(1, given.runs + 1):
        found = one(given.flavour)
        results.append(found)
        shown = {
            key: found.get(key) for key in ("ok", "acknowledged", "lost", "write_outage_ms", "write_outage_from_ms", "seconds")
        }
        broken = "; ".join(found.get("broken_promises", ()))
        print(f"  {number:2}  load {os.getloadavg()[0]:.1f}  {json.dumps(shown)}  {broken}", flush=True)
        if not found["ok"]:
            print(found.get("story", ""), flush=True)
    judged = [found for found in results if "write_outage_ms" in found]
    successes = sum(bool(found["ok"]) for found in results)
    print(f"  successes: {successes} of {given.runs}")
    if not judged:
        return 1
    outages = sorted(float(found["write_outage_ms"]) for found in judged)
    seconds = [float(found["seconds"]) for found in judged]
    figures("outage", outages, "ms")
    figures("whole demo", seconds, "s")
    promise("the longest outage", outages[-1], OUTAGE_MS_MAX, "ms")
    promise("the longest demo", max(seconds), SECONDS_MAX, "s")
    return 0 if successes == given.runs else 1


if __name__ == "__main__":
    sys.exit(main())
