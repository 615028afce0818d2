"""The tables and keys of replclus.toml, as pydantic models: what exists, its type, its bounds, its meaning.

This is the only list of keys there is. `docs/configuration.md` is generated from it (`replclus.config.document`). The
models stay close to the file: `replclus.config.loading` makes of them what a value means for a cluster.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from replclus.config import grammar
from replclus.model.record import FAILOVERS_KEPT
from replclus.model.spec import ClusterSpec, Durability, Hooks, OnDivergence, Timings

DEFAULT_STATE_DIR = ".replclus"
NODES_MAX = 64

_DEFAULT = Timings()
_DEFAULT_HOOKS = Hooks()
_UNASKED = ClusterSpec(name="", nodes=())

Name = Annotated[str, AfterValidator(grammar.name)]
Host = Annotated[str, AfterValidator(grammar.host)]
ClientHost = Annotated[str, AfterValidator(grammar.client_host)]
User = Annotated[str, AfterValidator(grammar.user)]
Schema = Annotated[str, AfterValidator(grammar.schema)]
PathText = Annotated[str, AfterValidator(grammar.path)]
Label = Annotated[str, AfterValidator(grammar.label)]
SshDestination = Annotated[str, AfterValidator(grammar.ssh)]
Command = list[Annotated[str, AfterValidator(grammar.word)]]
Port = Annotated[int, Field(ge=1, le=65535)]


def _durability(value: str) -> str:
    known = [durability.value for durability in Durability]
    if value not in known:
        hint = grammar.did_you_mean(value, known)
        raise ValueError(f"{value!r} is not a durability{hint}: use " + " or ".join(f'"{word}"' for word in known))
    return value


def _on_divergence(value: str) -> str:
    known = [policy.value for policy in OnDivergence]
    if value not in known:
        hint = grammar.did_you_mean(value, known)
        raise ValueError(f"{value!r} is not a policy{hint}: use " + " or ".join(f'"{word}"' for word in known))
    return value


class Table(BaseModel):
    """Strict, because a file that means something else than it says is worse than one that is refused.

    `hide_input_in_errors`, because the input holds passwords.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, allow_inf_nan=False)


class ClusterTable(Table):
    """The cluster as a whole."""

    name: Name = Field(description="name of the cluster, for people")
    durability: Annotated[str, AfterValidator(_durability)] = Field(
        default=Durability.LOSSLESS.value,
        description='what an acknowledged write survives: `"lossless"` (semi-synchronous, nothing is lost when one '
        'server is) or `"available"` (writes go on without a replica, the tail can be lost)',
    )
    state_dir: PathText = Field(
        default=DEFAULT_STATE_DIR,
        description="directory (mode 0700) of the cluster record, its lock and the generated passwords; relative to this file",
    )
    lease_s: int = Field(
        default=_DEFAULT.lease_s,
        ge=0,
        le=3600,
        description="after this many seconds without a pulse the primary turns itself read-only, by an event of its own; more "
        "than `timings.routing_ttl_s`; 0: never",
    )


class FenceTable(Table):
    """A program that makes a failed primary unable to write where replclus cannot: it cuts the power, or the network.

    It runs on the watchdog's machine, without a shell and without input, and finds the server in `REPLCLUS_NODE`,
    `REPLCLUS_HOST` and `REPLCLUS_PORT`, beside the variables that `[hooks]` get. Exit code 0 means that the server provably
    acknowledges nothing any more.
    """

    command: Command = Field(
        min_length=1,
        max_length=64,
        description="the program and its arguments; with a slash in it, the program is relative to this file",
    )
    timeout_s: float = Field(default=5.0, ge=0.1, le=60, description="it is killed, and has failed, after this many seconds")

    @model_validator(mode="after")
    def _names_a_program(self) -> FenceTable:
        if not self.command[0].strip():
            raise ValueError('command begins with an empty word: write ["program", "argument", …]')
        return self


class AccountTable(Table):
    """A login. Its password is given in one of three ways."""

    user: User = Field(description="name of the account")
    password: str | None = Field(default=None, description="the password itself")
    password_env: str | None = Field(default=None, description="name of the environment variable that holds the password")
    password_file: PathText | None = Field(
        default=None,
        description="file (mode 0600, no symbolic link) with nothing but the password; relative to this file",
    )

    @property
    def password_keys(self) -> tuple[str, ...]:
        """Which of the ways are used."""
        ways = ("password", "password_env", "password_file")
        return tuple(key for key in ways if getattr(self, key) is not None)

    @model_validator(mode="after")
    def _one_way(self) -> AccountTable:
        if len(self.password_keys) > 1:
            raise ValueError(f"gives the password twice: keep one of {_and(self.password_keys)}")
        return self


class AdminTable(AccountTable):
    """The account that `init`, `rebuild` and `add` use; it is stored nowhere else.

    Without a password key the password is empty, which is what root over a local socket needs.
    """


class AppTable(AccountTable):
    """The application's account, which `init` creates with all rights on one schema. A password is required."""

    schema_: Schema = Field(alias="schema", description="the schema it has all rights on")
    hosts: list[ClientHost] | None = Field(
        default=None,
        min_length=1,
        max_length=NODES_MAX,
        description="exact hosts it may connect from, without wildcards; may be left out when every node is on this "
        "machine (default then: `127.0.0.1` and `localhost`)",
    )

    @model_validator(mode="after")
    def _has_password(self) -> AppTable:
        if not self.password_keys or self.password == "":
            raise ValueError("has no password: add password_env, password_file or password")
        return self


class AccountsTable(Table):
    """Accounts that you provide. Those of the watchdog and of replication are generated by `init`."""

    admin: AdminTable | None = Field(default=None, description="used by `init`, `rebuild` and `add`")
    app: AppTable | None = Field(default=None, description="created by `init`")


class NodeTable(Table):
    """One server; write one `[[node]]` per server. The order matters only for `primary`."""

    name: Name = Field(description="name of the node, unique")
    host: Host = Field(description="host name or IP address by which the other servers and the applications reach it")
    port: Port = Field(default=3306, description="TCP port")
    socket: PathText | None = Field(
        default=None, description="Unix socket, used instead of TCP from this machine; relative to this file"
    )
    process_dir: PathText | None = Field(
        default=None,
        description="directory of a server process on this machine (`mysqld.pid`, `my.cnf`, `data/`), which lets "
        "replclus kill and start it; relative to this file",
    )
    ssh: SshDestination | None = Field(default=None, description="`user@host[:port]` that gives access to the server's host")
    weight: int = Field(default=1, ge=0, le=1000, description="share of reads in the weighted balancers; 0 takes none")
    priority: int = Field(
        default=0, ge=-1000, le=1000, description="among equally advanced candidates the highest becomes the primary"
    )
    candidate: bool = Field(default=True, description="false: never becomes the primary by failover")
    primary: bool = Field(default=False, description="true on one node: `init` makes it the primary (default: the first node)")
    zone: Label | None = Field(default=None, description="where it stands: a rack, a data centre")
    tags: list[Label] = Field(default_factory=list, max_length=32, description="words of your own")


class FailoverTable(Table):
    """What the watchdog may do without a person."""

    on_divergence: Annotated[str, AfterValidator(_on_divergence)] = Field(
        default=OnDivergence.QUARANTINE.value,
        description='what becomes of a member with transactions of its own: `"quarantine"` until a person decides, or '
        '`"rebuild"`: its transactions are exported, then its data is replaced',
    )
    failovers_max: int = Field(
        default=_UNASKED.failovers_max, ge=1, le=FAILOVERS_KEPT, description="so many failovers happen within the window, no more"
    )
    failovers_window_s: int = Field(
        default=_UNASKED.failovers_window_s,
        ge=1,
        le=86400,
        description="the window, in seconds; `replclus resume` begins it anew",
    )


class TimingsTable(Table):
    """Every wait that matters, in seconds. The promises in docs/guarantees.md were measured with the defaults."""

    tick_s: float = Field(default=_DEFAULT.tick_s, ge=0.01, le=5, description="the watchdog looks and decides this often")
    full_probe_every_s: float = Field(
        default=_DEFAULT.full_probe_every_s, ge=0.1, le=60, description="all facts of a server are read this often"
    )
    connect_timeout_s: float = Field(
        default=_DEFAULT.connect_timeout_s, ge=0.05, le=30, description="a connection attempt may take this long"
    )
    probe_timeout_s: float = Field(default=_DEFAULT.probe_timeout_s, ge=0.05, le=30, description="a probe may take this long")
    pulse_deadline_s: float = Field(
        default=_DEFAULT.pulse_deadline_s, ge=0.05, le=30, description="the primary must commit the pulse within this time"
    )
    starve_s: float = Field(
        default=_DEFAULT.starve_s, ge=0.1, le=60, description="a replica that received nothing for this long is not fed any more"
    )
    stall_s: float = Field(
        default=_DEFAULT.stall_s,
        ge=0.1,
        le=600,
        description="a primary that commits nothing for this long, and three times its slowest pulse of late, has failed;"
        " twice this long if its disk is slow but at work (MySQL)",
    )
    routing_ttl_s: float = Field(
        default=_DEFAULT.routing_ttl_s, ge=0.5, le=300, description="applications write no longer than this without a new pulse"
    )
    replica_net_timeout_s: int = Field(
        default=_DEFAULT.replica_net_timeout_s, ge=1, le=3600, description="a replica reconnects after this much silence"
    )
    heartbeat_period_s: float = Field(
        default=_DEFAULT.heartbeat_period_s, ge=0.05, le=1800, description="pause between the signs of life of an idle primary"
    )
    connect_retry_s: int = Field(
        default=_DEFAULT.connect_retry_s, ge=1, le=3600, description="pause of a replica between attempts to connect"
    )
    connect_retry_count: int = Field(
        default=_DEFAULT.connect_retry_count, ge=1, le=1_000_000, description="attempts (a count) before a replica gives up"
    )
    step_timeout_s: float = Field(
        default=_DEFAULT.step_timeout_s, ge=0.1, le=600, description="a step of a plan without a bound of its own"
    )
    read_only_deadline_s: float = Field(
        default=_DEFAULT.read_only_deadline_s,
        ge=0.05,
        le=60,
        description="the old primary must become read-only within this time",
    )
    drain_timeout_s: float = Field(
        default=_DEFAULT.drain_timeout_s, ge=0.1, le=86400, description="a candidate must apply what it received within this time"
    )
    salvage_timeout_s: float = Field(
        default=_DEFAULT.salvage_timeout_s,
        ge=0.1,
        le=600,
        description="what only a dead primary's files hold is fetched within this time, or stays lost (durability `available`)",
    )
    acker_grace_s: float = Field(
        default=_DEFAULT.acker_grace_s,
        ge=0.1,
        le=3600,
        description="a replica may be away this long before it no longer counts among those who acknowledge commits",
    )

    @model_validator(mode="after")
    def _fit_together(self) -> TimingsTable:
        if self.heartbeat_period_s >= self.replica_net_timeout_s:
            raise ValueError(
                f"heartbeat_period_s ({self.heartbeat_period_s:g}) must be less than replica_net_timeout_s "
                f"({self.replica_net_timeout_s:g}), or replicas give up a healthy primary: make it a quarter"
            )
        if self.heartbeat_period_s >= self.starve_s:
            raise ValueError(
                f"heartbeat_period_s ({self.heartbeat_period_s:g}) must be less than starve_s ({self.starve_s:g}), or replicas "
                "of an idle primary seem to get nothing from it: make it a third"
            )
        if self.routing_ttl_s <= self.pulse_deadline_s + self.tick_s:
            raise ValueError(
                f"routing_ttl_s ({self.routing_ttl_s:g}) must be more than pulse_deadline_s + tick_s "
                f"({self.pulse_deadline_s + self.tick_s:g}), or one slow pulse stops all writes"
            )
        return self


class HooksTable(Table):
    """Programs of yours that the watchdog runs after something happened. Each is a list of words, run without a shell.

    The first word is a path (relative to this file) or a name on PATH. On stdin a program gets the event as one line of
    JSON; in its environment the cluster's name and the event's values as `REPLCLUS_CLUSTER`, `REPLCLUS_EVENT`,
    `REPLCLUS_SENTENCE`, for a change of the primary `REPLCLUS_OLD`, `REPLCLUS_NEW` and `REPLCLUS_EPOCH`, for a problem
    `REPLCLUS_PROBLEM` and `REPLCLUS_NODE`; of the watchdog's own environment only PATH, HOME, the user and the language.
    Hooks run one after another, behind the watchdog's back: one that hangs or fails is a warning and delays nothing but
    other hooks.
    """

    on_failover: Command = Field(default_factory=list, max_length=64, description="after an unplanned change of the primary")
    on_switchover: Command = Field(default_factory=list, max_length=64, description="after a planned one")
    on_problem: Command = Field(
        default_factory=list, max_length=64, description="when a problem appears (`replclus status` shows the same)"
    )
    timeout_s: float = Field(
        default=_DEFAULT_HOOKS.timeout_s,
        ge=0.1,
        le=300,
        description="a program that runs longer is killed, with the processes it started",
    )


class Document(Table):
    """All of replclus.toml."""

    cluster: ClusterTable = Field(description="the cluster as a whole")
    accounts: AccountsTable = Field(default_factory=AccountsTable, description="accounts that you provide")
    failover: FailoverTable = Field(default_factory=FailoverTable, description="what happens without a person")
    timings: TimingsTable = Field(default_factory=TimingsTable, description="waits")
    hooks: HooksTable = Field(default_factory=HooksTable, description="programs to run when something happened")
    fence: FenceTable | None = Field(default=None, description="a program that fences a failed primary")
    node: list[NodeTable] = Field(min_length=1, max_length=NODES_MAX, description="one [[node]] per server")


def _and(words: tuple[str, ...]) -> str:
    return ", ".join(words[:-1]) + " and " + words[-1]
