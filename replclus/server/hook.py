"""A program of the user's, run within a time limit. Whatever it does, the caller goes on."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import IO

from replclus.errors import HostError

PASSED_ON = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SSH_AUTH_SOCK", "TMPDIR", "TZ", "USER")
"""The only variables of our own environment that a program sees: the others may be passwords."""

OUTPUT_BYTES_MAX = 4096
OUTPUT_LINES_MAX = 5
POLL_S = 0.05
_REAP_S = 0.5


def run_hook(command: Sequence[str], environment: Mapping[str, str], timeout_s: float, question: bytes = b"") -> None:
    """Run it without a shell, with `question` on its stdin. HostError unless it ends with 0 in time.

    One that is late is killed with everything it started in its process group. Its last lines of output become part of
    the error. What it leaves running in the background is not waited for.
    """
    name, deadline = command[0], time.monotonic() + timeout_s
    try:
        process = _start(command, environment, question)
    except FileNotFoundError as error:
        raise HostError(f"{name} does not exist") from error
    except OSError as error:
        raise HostError(f"{name} cannot be run ({error.strerror})") from error
    assert process.stdout is not None
    with process.stdout as output:
        words = _listen(process, output, deadline)
    code = process.poll()
    if code is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_REAP_S)
        raise HostError(f"{name} did not end within {timeout_s:g} s and was killed{words}")
    if code != 0:
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        raise HostError(f"{name} {how}{words}")


def _start(command: Sequence[str], environment: Mapping[str, str], question: bytes) -> subprocess.Popen[bytes]:
    with contextlib.ExitStack() as stack:
        given: IO[bytes] | int = subprocess.DEVNULL
        if question:
            # A file, not a pipe: a program that never reads its input must not block us.
            given = stack.enter_context(tempfile.TemporaryFile())
            given.write(question)
            given.seek(0)
        return subprocess.Popen(  # noqa: S603 - the user's own words, without a shell
            command,
            env={name: os.environ[name] for name in PASSED_ON if name in os.environ} | dict(environment),
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _listen(process: subprocess.Popen[bytes], output: IO[bytes], deadline: float) -> str:
    """Its last words. Ends with the process or at the deadline, even where a child of it keeps the pipe open."""
    tail, readable = b"", True
    while (left := deadline - time.monotonic()) > 0:
        ended = process.poll() is not None
        if readable and select.select([output], [], [], 0 if ended else min(POLL_S, left))[0]:
            chunk = os.read(output.fileno(), OUTPUT_BYTES_MAX)
            tail, readable = (tail + chunk)[-OUTPUT_BYTES_MAX:], bool(chunk)
        elif ended:
            break
        elif not readable:
            time.sleep(min(POLL_S, left))
    lines = ["".join(char for char in line if char.isprintable()).strip() for line in tail.decode(errors="replace").split("\n")]
    said = " / ".join([line for line in lines if line][-OUTPUT_LINES_MAX:])
    return f": {said}" if said else ""
