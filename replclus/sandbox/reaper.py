"""Ends throw-away servers whose owner could not do it itself: interrupted, timed out, or killed.

The owner holds the other end of our standard input. When it is gone, whatever servers are left below its directory are
killed, and the directory is removed.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from replclus.sandbox.ports import release
from replclus.server.process import LocalProcess


def reap(root: Path) -> None:
    """Kill every server below `root` and remove it. Nothing to do is success as well."""
    for data in root.rglob("data/ibdata1"):
        LocalProcess(data.parent.parent).kill()
    for marker in root.rglob(".replclus-sandbox"):
        release(marker.parent)
    shutil.rmtree(root, ignore_errors=True)


def main() -> None:
    """Wait for the end of standard input, then reap the directory that the command line names."""
    sys.stdin.buffer.read()
    reap(Path(sys.argv[1]))
