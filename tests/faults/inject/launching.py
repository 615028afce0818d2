"""A server that is started through a script of ours, which prepares its environment.

Whoever starts the server, the sandbox, the watchdog or a test, reads in its option file which program runs it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_BINARY = re.compile(r"^server_binary = (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Equipment:
    """What a server is started with. `preload` is loaded into it before libc."""

    preload: Path
    environment: Mapping[str, str] = field(default_factory=dict)


def equip(directory: Path, equipment: Iterable[Equipment]) -> None:
    """From its next start on the server of `directory` has the equipment, on top of what it was equipped with before.

    LD_PRELOAD is an environment variable and not an option of the loader, so it goes through scripts that start a server, and
    through a dynamic loader of the server's own.
    """
    options = directory / "my.cnf"
    text = options.read_text()
    found = _BINARY.search(text)
    assert found is not None, f"{options} names no server_binary"
    lines = []
    for item in equipment:
        lines += [f"export {name}={shlex.quote(value)}" for name, value in item.environment.items()]
        lines.append(f'export LD_PRELOAD="${{LD_PRELOAD:+$LD_PRELOAD:}}"{shlex.quote(str(item.preload))}')
    number = len(list(directory.glob("launch-*"))) + 1
    # The name says what it runs: a server is recognised by its command line.
    script = directory / f"launch-{number}" / "mysqld"
    script.parent.mkdir()
    script.write_text("\n".join(("#!/bin/sh", *lines, f'exec {shlex.quote(found[1])} "$@"', "")))
    script.chmod(0o755)
    options.write_text(text.replace(found[0], f"server_binary = {script}"))
