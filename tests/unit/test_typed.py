"""The types that replclus ships hold in a program that is checked strictly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import replclus
from tests.clusters import REPOSITORY


def test_a_user_s_program_passes_mypy_strict(tmp_path: Path) -> None:
    program = REPOSITORY / "tests/typed/program.py"
    command = [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={tmp_path}", str(program)]
    done = subprocess.run(
        command, cwd=tmp_path, env={"MYPYPATH": str(REPOSITORY)}, capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_program_does_not(tmp_path: Path) -> None:
    """Or the types would be no types."""
    wrong = tmp_path / "wrong.py"
    wrong.write_text("import replclus\nnode: int = replclus.Route('n1', 'replica', 'why').node\nreplclus.conect()\n")
    command = [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={tmp_path}", str(wrong)]
    done = subprocess.run(
        command, cwd=tmp_path, env={"MYPYPATH": str(REPOSITORY)}, capture_output=True, text=True, timeout=250, check=False
    )
    assert "Incompatible types in assignment" in done.stdout


def test_the_marker_is_in_the_package() -> None:
    assert (Path(replclus.__file__).parent / "py.typed").exists()
