"""Which ports a sandbox gets, so that two sandboxes never meet, not even while one of their servers is down.

Every sandbox of this user is noted in the cache, with its directory and ports. A note whose directory is gone is void.
"""

from __future__ import annotations

import hashlib
import json
import random
import socket
from pathlib import Path

from replclus.errors import ConfigError
from replclus.sandbox.template import cache_directory, locked

# Below what the kernel hands out to outgoing connections (32768 and up), above what well-known services use.
_FIRST, _LAST = 20000, 31999
_ATTEMPTS_MAX = 200


def reserve(directory: Path, count: int, host: str, base_port: int | None) -> tuple[int, ...]:
    """`count` consecutive free ports, from `base_port` on if given; they are `directory`'s until `release`.

    ConfigError names the first port that is taken, and by which sandbox if it is one's.
    """
    if base_port is not None and not 1 <= base_port <= 65536 - count:
        raise ConfigError(f"ports {base_port} to {base_port + count - 1} are out of range 1 to 65535", where="--base-port")
    notes = _notes_directory()
    with locked(notes / ".lock"):
        taken = _taken(notes)
        ports = _choose(count, host, taken) if base_port is None else _exactly(base_port, count, host, taken)
        _note(directory, notes).write_text(json.dumps({"directory": str(directory), "ports": ports}))
    return ports


def release(directory: Path) -> None:
    """Give the ports of `directory` back. Nothing happens if it had none."""
    notes = _notes_directory()
    with locked(notes / ".lock"):
        _note(directory, notes).unlink(missing_ok=True)


def _notes_directory() -> Path:
    notes = cache_directory() / "sandboxes"
    notes.mkdir(mode=0o700, exist_ok=True)
    return notes


def _note(directory: Path, notes: Path) -> Path:
    return notes / f"{hashlib.sha256(str(directory).encode()).hexdigest()[:16]}.json"


def _taken(notes: Path) -> dict[int, str]:
    """Every port of a sandbox that still exists, with its directory. Void notes are removed on the way."""
    taken: dict[int, str] = {}
    for path in notes.glob("*.json"):
        try:
            note = json.loads(path.read_text())
            directory, ports = str(note["directory"]), [int(port) for port in note["ports"]]
        except (OSError, ValueError, KeyError, TypeError):
            directory, ports = "", []
        if directory and Path(directory).is_dir():
            taken |= dict.fromkeys(ports, directory)
        else:
            path.unlink(missing_ok=True)
    return taken


def _choose(count: int, host: str, taken: dict[int, str]) -> tuple[int, ...]:
    # Random, so that users who do not share a cache rarely even try the same ports.
    chance = random.SystemRandom()
    for _ in range(_ATTEMPTS_MAX):
        base = chance.randrange(_FIRST, _LAST - count)
        ports = tuple(range(base, base + count))
        if not any(port in taken or not _free(host, port) for port in ports):
            return ports
    raise ConfigError(f"no {count} consecutive free ports were found on {host}: pass --base-port")


def _exactly(base_port: int, count: int, host: str, taken: dict[int, str]) -> tuple[int, ...]:
    ports = tuple(range(base_port, base_port + count))
    for port in ports:
        if port in taken:
            raise ConfigError(f"port {port} belongs to the sandbox in {taken[port]}: choose another", where="--base-port")
        if not _free(host, port):
            raise ConfigError(f"port {port} on {host} is in use or not allowed: choose another", where="--base-port")
    return ports


def _free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As the servers do: a connection that has just been closed does not keep the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
