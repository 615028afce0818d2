"""The `replclus` command as an operator types it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

COMMAND = (sys.executable, "-m", "replclus.cli.main")
SECONDS_MAX = 90


def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run `replclus`, and expect `code` of it."""
    ended = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    assert ended.returncode == code, f"{arguments}: exit code {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
    assert "Traceback" not in ended.stderr
    return ended


def facts(*arguments: object, code: int = 0) -> dict[str, Any]:
    """The JSON document that is the last line of stdout."""
    found: dict[str, Any] = json.loads(run(*arguments, "--json", code=code).stdout.splitlines()[-1])
    return found


def last_line(ended: subprocess.CompletedProcess[str]) -> str:
    return ended.stderr.strip().splitlines()[-1]
