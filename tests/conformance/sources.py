"""The test suites of PyMySQL, SQLAlchemy and Django, from their source distributions.

Wheels have no tests in them, so each distribution is downloaded once, with pip, into the user's cache directory.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from importlib import metadata
from pathlib import Path

# The last PyMySQL whose source distribution holds its test suite. It is run against the PyMySQL that is installed.
PYMYSQL_WITH_TESTS = "0.10.1"
DOWNLOAD_S_MAX = 240


def installed(name: str) -> Path:
    """The sources of the release of `name` that is installed here."""
    return fetch(name, metadata.version(name))


def fetch(name: str, version: str) -> Path:
    """The unpacked source distribution. RuntimeError, which is an error and not a skip, if it cannot be had."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "replclus-tests"
    unpacked = home / f"{name}-{version}"
    if unpacked.is_dir():
        return unpacked
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as directory:
        archive = _download(name, version, Path(directory))
        with tarfile.open(archive) as tar:
            tar.extractall(Path(directory) / "unpacked", filter="data")
        (only,) = (Path(directory) / "unpacked").iterdir()
        try:
            only.rename(unpacked)
        except OSError:
            # Another process was faster.
            if not unpacked.is_dir():
                raise
    return unpacked


def _download(name: str, version: str, directory: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-binary", name, "--dest", str(directory), f"{name}=={version}"]
    # pip asks a distribution for its metadata, and SQLAlchemy would translate its extensions to C before it answers.
    environment = {**os.environ, "DISABLE_SQLALCHEMY_CEXT": "1"}
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DOWNLOAD_S_MAX, check=False
    )
    archives = list(directory.glob("*.tar.gz"))
    if done.returncode or len(archives) != 1:
        raise RuntimeError(
            f"the source distribution of {name} {version}, whose tests are run here, could not be downloaded; "
            f"'{' '.join(command)}' said: {done.stderr.strip()[-1000:] or 'nothing'}"
        )
    return archives[0]
