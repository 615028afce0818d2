"""What was seen of one server, at one moment. Made by `replclus.dialect` from rows, read by `replclus.failover`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from replclus.model.gtid import GtidSet
from replclus.model.spec import Flavour
from replclus.model.topology import PulseRow


class Reach(StrEnum):
    """How far a probe came. Only REFUSED says something about the process; the rest is about the path to it."""

    ANSWERED = "answered"
    REFUSED = "refused"  # nothing listens there: connection refused, or no socket file
    CLOSED = "closed"  # an established connection was cut while we waited for the answer
    TIMED_OUT = "timed_out"  # no answer within the deadline
    OVERLOADED = "overloaded"  # alive: too many connections (1040, 1203)
    DENIED = "denied"  # alive: our account is unknown or lacks a right
    FAILED = "failed"  # alive: it answered with another error

    @property
    def alive(self) -> bool:
        """True when a server process certainly spoke to us."""
        return self in _ALIVE


_ALIVE = frozenset({Reach.ANSWERED, Reach.OVERLOADED, Reach.DENIED, Reach.FAILED})


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """`10.11.19` is Version(10, 11, 19)."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who the server is. `uuid` is MySQL's server_uuid and None on MariaDB; `cluster_id` is None before it was admitted."""

    flavour: Flavour
    version: Version
    server_id: int
    uuid: str | None = None
    cluster_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """The thread that fetches from the source (IO thread, receiver).

    `running` is its switch (it may still be trying to connect); `connected` means that it believes a source to be there.
    `heartbeats` counts those that came, since the server started or its source changed; it may be 0 where it is not running.
    """

    running: bool
    connected: bool
    errno: int = 0
    error: str = ""
    heartbeats: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Applier:
    """The thread that applies what was received (SQL thread, applier)."""

    running: bool
    errno: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A replica's link to its source."""

    source_host: str
    source_port: int
    receiver: Receiver
    applier: Applier


@dataclass(frozen=True, slots=True, kw_only=True)
class SemiSync:
    """Semi-synchronous replication as the server reports it.

    `source_active` is False when the source has silently fallen back to asynchronous; `waiting` counts sessions whose
    commit waits for an acknowledgement, `clients` the replicas that are attached to this source and acknowledge.
    """

    source_enabled: bool = False
    source_active: bool = False
    replica_enabled: bool = False
    waiting: int = 0
    clients: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything one full probe returns.

    `executed` is what the server has applied and written to its binlog; `received` is that plus what it has fetched and
    not yet applied, so `received` always contains `executed`. `channel` is None where no source is configured.
    `locked` says that a commit waits for somebody's global lock; `drift` names settings that are not as they must be.
    `lease_armed`: it takes writes and will turn itself read-only when no pulse comes for the `lease_ms` of its last one. None
    if that could not be asked. After a change of role it may be a full probe behind, on the side of False.
    `syncs` counts what its storage engine has had its disk make durable, since the server started; None where that is unknown.
    """

    identity: Identity
    writable: bool
    executed: GtidSet
    received: GtidSet
    channel: Channel | None = None
    semi_sync: SemiSync = SemiSync()
    pulse: PulseRow | None = None
    locked: bool = False
    drift: tuple[str, ...] = ()
    lease_armed: bool | None = None
    syncs: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The latest news of one node.

    `at` is when it arrived, `full_at` when `facts` were last read completely, both in seconds of the observer's monotonic
    clock. `facts` is what the server last said: it stays, and ages, when the server stops answering. `process_alive` is
    what the node's host says about the server process, None where we have no access to the host.
    """

    node: str
    at: float
    reach: Reach
    error: str = ""
    facts: Facts | None = None
    full_at: float = float("-inf")
    process_alive: bool | None = None

    @property
    def answered(self) -> bool:
        return self.reach is Reach.ANSWERED and self.facts is not None
