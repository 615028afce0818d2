"""What must not stay behind on the machine is undone even if the test is killed."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_COMMAND_S_MAX = 20
_UNDONE = "undone"


@contextmanager
def undone_if_killed(*commands: Sequence[str]) -> Iterator[None]:
    """Whoever enters undoes things himself at the end; a shell that outlives him runs `commands` if he could not.

    The shell holds the other end of a pipe. A command that fails or hangs does not keep the next one from being run.
    """
    lines = [f"timeout {_COMMAND_S_MAX} {shlex.join(command)} >/dev/null 2>&1" for command in commands]
    script = f'trap "" INT TERM HUP; read word; test "$word" = {_UNDONE} && exit 0; ' + "; ".join(lines)
    shell = subprocess.Popen(["/bin/sh", "-c", script], stdin=subprocess.PIPE, text=True, start_new_session=True)
    try:
        yield
    finally:
        shell.communicate(_UNDONE + "\n")
