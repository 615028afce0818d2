"""What the user wrote down: the cluster as it should be. Built by `replclus.config`, never changed afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Flavour(StrEnum):
    MARIADB = "mariadb"
    MYSQL = "mysql"


class Durability(StrEnum):
    """What an acknowledged write survives. See design "Changing the primary" and docs/guarantees.md."""

    LOSSLESS = "lossless"
    AVAILABLE = "available"


class OnDivergence(StrEnum):
    """What is done with a member that has transactions of its own. They are exported before anything is overwritten."""

    QUARANTINE = "quarantine"
    REBUILD = "rebuild"


@dataclass(frozen=True, slots=True)
class Secret:
    """A password that does not print itself."""

    _value: str = field(repr=False)

    def reveal(self) -> str:
        return self._value

    def __str__(self) -> str:
        return "********"

    def __bool__(self) -> bool:
        return bool(self._value)


@dataclass(frozen=True, slots=True)
class Account:
    """A login on a database server."""

    user: str
    password: Secret


@dataclass(frozen=True, slots=True)
class AppAccount:
    """An application's account, which `init` creates: all rights on `schema`, and read access to the pulse."""

    account: Account
    schema: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """One server.

    `process_dir` is set where this machine runs the server as a local process (the sandbox does): it holds
    `mysqld.pid`, `my.cnf` and `data/`, and lets us kill and start it. `socket` is preferred over TCP when set.
    """

    name: str
    host: str
    port: int = 3306
    socket: str | None = None
    process_dir: Path | None = None
    ssh: str | None = None
    weight: int = 1
    priority: int = 0
    candidate: bool = True
    primary: bool = False
    zone: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """`host:port`, with brackets around an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Every wait that matters, in seconds. The defaults are what the promises in docs/guarantees.md were measured with."""

    tick_s: float = 0.1
    full_probe_every_s: float = 1.0
    connect_timeout_s: float = 1.0
    probe_timeout_s: float = 1.0
    pulse_deadline_s: float = 1.5
    # A replica whose receiver brought neither an event nor a heartbeat for this long is not fed any more.
    starve_s: float = 1.0
    # A primary that answers and commits nothing for this long, beyond three times what its slowest beat of late took, has failed.
    stall_s: float = 2.5
    routing_ttl_s: float = 5.0
    # The four the servers would otherwise default to 60 s or worse.
    replica_net_timeout_s: int = 2
    heartbeat_period_s: float = 0.3
    connect_retry_s: int = 1
    connect_retry_count: int = 86400
    # Bounds of the steps of a plan.
    step_timeout_s: float = 5.0
    read_only_deadline_s: float = 0.5
    drain_timeout_s: float = 30.0
    salvage_timeout_s: float = 5.0
    # How long a replica may be away before it is no longer counted among those who acknowledge commits.
    acker_grace_s: float = 3.0
    # After this long without a pulse the primary turns itself read-only; 0: never.
    lease_s: int = 10


@dataclass(frozen=True, slots=True)
class FenceHook:
    """A program of the user's that makes a server unable to write: exit code 0 is its proof. `timeout_s` is its time limit."""

    command: tuple[str, ...]
    timeout_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Programs that the watchdog runs when something happened: each a list of words, empty where there is none.

    The first word is an absolute path. Each run may take `timeout_s`; then it is killed.
    """

    on_failover: tuple[str, ...] = ()
    on_switchover: tuple[str, ...] = ()
    on_problem: tuple[str, ...] = ()
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSpec:
    """A whole cluster. `nodes` keep the order of the file; names, `host:port` pairs and sockets are unique.

    At most `failovers_max` failovers within `failovers_window_s` seconds happen without a person.
    """

    name: str
    nodes: tuple[NodeSpec, ...]
    durability: Durability = Durability.LOSSLESS
    admin: Account | None = None
    app: AppAccount | None = None
    state_dir: Path = Path(".replclus")
    on_divergence: OnDivergence = OnDivergence.QUARANTINE
    failovers_max: int = 3
    failovers_window_s: int = 600
    timings: Timings = field(default_factory=Timings)
    hooks: Hooks = field(default_factory=Hooks)
    fence_hook: FenceHook | None = None

    def node(self, name: str) -> NodeSpec:
        """The node called `name`; KeyError if there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    @property
    def first_primary(self) -> NodeSpec:
        """The node that `init` makes the primary: the one marked `primary = true`, else the first."""
        return next((node for node in self.nodes if node.primary), self.nodes[0])
