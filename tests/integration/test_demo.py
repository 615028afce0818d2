"""The demo as a user runs it. How short the outage is, is measured on a machine at rest: benchmarks/demo10.py."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from replclus.model.spec import Flavour
from tests.clusters import eventually

COMMAND = (sys.executable, "-m", "replclus.cli.main", "demo")
OUTAGE_MS_SANE = 20_000


def processes_below(directory: Path) -> list[str]:
    """Command lines of running processes that mention `directory`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(directory) in words:
                found.append(words)
    return found


@pytest.mark.slow
def test_nothing_is_lost_and_nothing_is_left_behind(server_root: Path, flavour: Flavour) -> None:
    place = server_root / f"demo-{flavour.value}"
    place.mkdir()
    ended = subprocess.run(
        [*COMMAND, "--json", "--flavour", flavour.value],
        env={**os.environ, "TMPDIR": str(place)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.stdout, ended.stderr
    result = json.loads(ended.stdout.splitlines()[-1])
    assert result["flavour"] == flavour.value
    assert result["acknowledged"] > 100
    assert (result["lost"], result["errors_seen_by_application"], result["stale_reads"]) == (0, 0, 0), ended.stderr
    assert result["rejoined"], ended.stderr
    assert result["checksums_equal"], ended.stderr
    assert result["write_outage_ms"] < OUTAGE_MS_SANE
    assert ended.returncode == (0 if result["ok"] else 1)
    assert result["ok"] is (result["write_outage_ms"] <= 1000)
    assert list(place.iterdir()) == []
    assert processes_below(place) == []


@pytest.mark.mariadb
@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("sign", ["replclus.toml", "app4.jsonl"])
def test_an_interrupted_demo_clears_up(server_root: Path, number: signal.Signals, code: int, sign: str) -> None:
    """Interrupted while it sets up, and under load."""
    place = server_root / f"demo-{number.name}-{sign}"
    place.mkdir()
    process = subprocess.Popen(
        COMMAND, env={**os.environ, "TMPDIR": str(place)}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        eventually(lambda: list(place.glob(f"*/{sign}")), f"the demo has come as far as {sign}")
        time.sleep(0.5)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == code
    assert "Traceback" not in err
    assert list(place.iterdir()) == []
    assert processes_below(place) == []
