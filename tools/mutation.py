"""`make mutation`: changes replclus/failover one expression at a time, and prints how many of the changes a test notices.

The tests are those that need no server (pyproject.toml, [tool.mutmut]). What survives is listed, to be looked at with
`python -m mutmut show NAME`. Fails below SCORE_MIN.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SCORE_MIN = 85.0
STATS = Path("mutants/mutmut-cicd-stats.json")


def main() -> int:
    """Returns the exit code: 0 if enough were noticed."""
    mutmut = [sys.executable, "-m", "mutmut"]
    subprocess.run([*mutmut, "run", "--max-children", str(os.cpu_count() or 1)], check=False)
    subprocess.run([*mutmut, "export-cicd-stats"], check=True)
    counts: dict[str, int] = json.loads(STATS.read_text())
    noticed = counts["killed"] + counts["timeout"] + counts["segfault"]
    played = counts["total"] - counts["skipped"]
    subprocess.run([*mutmut, "results"], check=True)
    score = 100 * noticed / played
    print(f"{noticed:,} of {played:,} changes were noticed: {score:.1f} %, promised {SCORE_MIN:g} %")
    return 0 if score >= SCORE_MIN else 1


if __name__ == "__main__":
    sys.exit(main())
