"""Every error replclus raises, in one tree.

    ReplclusError                   anything below; `except ReplclusError` is enough for a caller
    ├── ConfigError                 the user's input is wrong: exit code 2, nothing was touched
    ├── Refused                     we could, but it would not be safe; `reasons` says why: exit code 1
    │   └── PreflightFailed         a server is not fit to join; every complaint at once
    ├── ServerError                 one database server did not do what it was asked
    │   ├── ServerUnreachable       no answer within the deadline, or no connection
    │   ├── AccessDenied            it answered, and does not know us or does not allow it
    │   ├── UnsupportedServer       its version or flavour is not one replclus speaks to
    │   └── ForeignServer           its identity row names another cluster
    ├── HostError                   a process, file or port on a host did not do what it was asked
    ├── GtidSyntaxError             a text is not a GTID set; also a ValueError
    ├── StoreError                  the cluster record could not be read or written
    │   ├── Damaged                 what is stored is not what was written: set it aside and rebuild it
    │   ├── Conflict                compare-and-swap lost: somebody else changed the record first
    │   └── Locked                  another watchdog (or command) holds this record
    └── ExecutionFailed             a step of a plan did not reach its goal within its bound

Refusing is a value inside the deciding rooms (`failover.decision.Refuse`); it becomes `Refused` only at a door.
Errors that an application can see from `replclus.connect()` live in `dbapi/errors.py`, because they must also be PyMySQL
exceptions.
"""

from __future__ import annotations

from collections.abc import Sequence


class ReplclusError(Exception):
    """Root of the tree. `str()` is one sentence: what happened, to which node, what to do."""

    exit_code = 1


class ConfigError(ReplclusError):
    """Wrong configuration or usage. `where` is a file, key or option, e.g. `replclus.toml: node[1].port`."""

    exit_code = 2

    def __init__(self, message: str, *, where: str | None = None) -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.where = where


class Refused(ReplclusError):
    """The request was understood and is not safe. `reasons` are sentences a person can act on."""

    def __init__(self, *reasons: str) -> None:
        super().__init__("; ".join(reasons))
        self.reasons: tuple[str, ...] = reasons


class PreflightFailed(Refused):
    """Servers cannot join yet. One reason per complaint, each with its fix. Nothing was touched.

    Exit code 2, because the remedy is always the user's: another configuration, or another server.
    """

    exit_code = 2

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__(*reasons)


class ServerError(ReplclusError):
    """A database server failed us. `node` is its name, `errno` the server's or client's error number, or None."""

    def __init__(self, node: str, message: str, *, errno: int | None = None) -> None:
        super().__init__(f"{node}: {message}")
        self.node = node
        self.message = message
        self.errno = errno


class ServerUnreachable(ServerError):
    """No connection, or no answer within the deadline."""


class AccessDenied(ServerError):
    """The server refused our account (1044, 1045, 1142, 1227, 1698)."""


class UnsupportedServer(ServerError):
    """A version or flavour outside MySQL 8.0-9.x and MariaDB 10.6-11.x."""


class ForeignServer(ServerError):
    """The server belongs to another cluster. It is never touched."""


class HostError(ReplclusError):
    """A process, file, directory or port on a host."""


class GtidSyntaxError(ReplclusError, ValueError):
    """Not a GTID set of that family. `text` is all that was given, `position` the 0-based place where it goes wrong."""

    def __init__(self, family: str, problem: str, *, text: str, position: int) -> None:
        before, after = text[max(0, position - 20) : position], text[position : position + 20]
        where = f"after {before!r}" if before else "at the start"
        found = f"found {after!r}" if after else "found the end"
        super().__init__(f"not a {family} GTID set: {problem} at character {position}, {where}, {found}")
        self.text = text
        self.position = position


class StoreError(ReplclusError):
    """The cluster record could not be read or written."""


class Damaged(StoreError):
    """What is stored is empty, truncated or garbage. The servers still know enough to rebuild a record."""


class Conflict(StoreError):
    """Somebody else changed the record between our read and our write."""


class Locked(StoreError):
    """Another process drives this cluster."""


class ExecutionFailed(ReplclusError):
    """A step did not reach its goal within its bound. `step` is its name, `node` where it ran."""

    def __init__(self, step: str, node: str | None, message: str) -> None:
        super().__init__(f"{step}{f' on {node}' if node else ''}: {message}")
        self.step = step
        self.node = node
