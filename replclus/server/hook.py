"""A program of the user's, run within a time limit. Whatever it does, the caller goes on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO

from replclus.errors import HostError

_LAST_WORDS_CHARS_MAX = 200
_REAP_S = 0.5


def run_hook(command: Sequence[str], environment: Mapping[str, str], timeout_s: float) -> None:
    """Run it without a shell and without input, `environment` added to ours. HostError unless it ends with 0 in time.

    One that is late is killed with everything it started in its process group. Its output is dropped, but for the last line
    on stderr, which becomes part of the error.
    """
    name = command[0]
    with tempfile.TemporaryFile() as stderr:
        try:
            process = subprocess.Popen(  # noqa: S603 - the user's own words, without a shell
                command,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise HostError(f"{name} does not exist") from error
        except OSError as error:
            raise HostError(f"{name} cannot be run ({error.strerror})") from error
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_REAP_S)
            raise HostError(f"{name} did not end within {timeout_s:g} s and was killed") from error
        if code != 0:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
            words = _last_words(stderr)
            raise HostError(f"{name} {how}{f': {words}' if words else ''}")


def _last_words(stderr: IO[bytes]) -> str:
    size = stderr.seek(0, os.SEEK_END)
    stderr.seek(max(0, size - 4 * _LAST_WORDS_CHARS_MAX))
    lines = stderr.read().decode(errors="replace").split("\n")
    said = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return "".join(char for char in said if char.isprintable())[-_LAST_WORDS_CHARS_MAX:]
