"""Libraries in C, compiled when they are needed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def compile_library(source: Path, library: Path) -> None:
    built = subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), str(source)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    assert built.returncode == 0, f"gcc cannot compile {source.name} (apt-get install gcc libc6-dev): {built.stderr}"
