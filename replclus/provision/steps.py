"""What `init` does, as values: a plan is phases, one after the other; the steps of one phase go on side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from replclus.dialect import Setting
from replclus.model.spec import Durability


@dataclass(frozen=True, slots=True, kw_only=True)
class Describe:
    """Write the record, with a cluster id and every member `joining`, before any server is touched."""

    name: ClassVar[str] = "describe"
    node: None = None
    nodes: tuple[str, ...]
    primary: str

    @property
    def sentence(self) -> str:
        return f"write the cluster record: {', '.join(self.nodes)}, with {self.primary} as the primary, not admitted yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configure:
    """Set `settings` on the running server, put `lines` into its option file, or have it remember how to start.

    A server whose plugins are about to be installed needs more than can be seen beforehand: it is looked at again.
    """

    name: ClassVar[str] = "configure"
    node: str
    settings: tuple[Setting, ...] = ()
    lines: tuple[str, ...] = ()
    persist: bool = False

    @property
    def sentence(self) -> str:
        parts = []
        if self.settings:
            parts.append(f"set {', '.join(setting.name for setting in self.settings)}")
        if self.lines:
            parts.append(f"write into its option file: {'; '.join(self.lines)}")
        if self.persist:
            parts.append("have it start read-only and replicating from nobody")
        return f"{self.node}: {', '.join(parts) or 'check its settings'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallPlugins:
    name: ClassVar[str] = "install plugins"
    node: str

    @property
    def sentence(self) -> str:
        return f"{self.node}: install the semi-synchronous replication plugins"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateAccounts:
    """Our own accounts, out of the binary log. Accounts that exist get our password and rights."""

    name: ClassVar[str] = "create accounts"
    node: str
    users: tuple[str, ...]
    hosts: tuple[str, ...]

    @property
    def sentence(self) -> str:
        return f"{self.node}: create the accounts {', '.join(self.users)} for {', '.join(self.hosts)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateApplication:
    """The application's account, likewise. Last, because it may read tables that only then exist, and nobody should write
    to a cluster that is not one yet."""

    name: ClassVar[str] = "create application account"
    node: str
    user: str
    hosts: tuple[str, ...]

    @property
    def sentence(self) -> str:
        return f"{self.node}: create the application's account {self.user} for {', '.join(self.hosts)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Detach:
    """Forget any source, so that the history below can be forgotten too."""

    name: ClassVar[str] = "detach"
    node: str

    @property
    def sentence(self) -> str:
        return f"{self.node}: replicate from nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetHistory:
    """An empty server's own transactions, from its installation, would be errant on it and break the others."""

    name: ClassVar[str] = "forget history"
    node: str

    @property
    def sentence(self) -> str:
        return f"{self.node}: forget the binary log of the empty server"


@dataclass(frozen=True, slots=True, kw_only=True)
class BecomeSource:
    """Semi-sync on the primary, before a replica connects and before a client may write: so no write is without a copy."""

    name: ClassVar[str] = "become source"
    node: str
    durability: Durability

    @property
    def sentence(self) -> str:
        return f"{self.node}: become a source, with durability {self.durability}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Follow:
    """Attach by GTID, read-only, and wait until the source feeds it."""

    name: ClassVar[str] = "follow"
    node: str
    source: str

    @property
    def sentence(self) -> str:
        return f"{self.node}: follow {self.source} by GTID, read-only"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPrimary:
    """Accept writes; create the schema `replclus` and the application's; beat for the first time.

    By now the replicas are attached and acknowledge, so that with semi-sync not even the first write is without a copy.
    """

    name: ClassVar[str] = "open"
    node: str
    schema: str | None = None

    @property
    def sentence(self) -> str:
        also = f" and schema {self.schema}" if self.schema else ""
        return f"{self.node}: accept writes, create schema replclus{also}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verify:
    """A replica is fed and applies: the pulse just written arrives. The primary is writable and acknowledged."""

    name: ClassVar[str] = "verify"
    node: str
    primary: str

    @property
    def sentence(self) -> str:
        if self.node == self.primary:
            return f"{self.node}: check that it accepts writes and that its commits are acknowledged"
        return f"{self.node}: check that it follows, read-only"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallLease:
    """The event of the lease, on every server of its own and out of the binary log; it sleeps on one that is read-only."""

    name: ClassVar[str] = "install lease"
    node: str

    @property
    def sentence(self) -> str:
        return f"{self.node}: create the event that makes a primary without a pulse read-only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Admit:
    """Every member becomes active: from here on the watchdog owns the cluster."""

    name: ClassVar[str] = "admit"
    node: None = None
    nodes: tuple[str, ...]

    @property
    def sentence(self) -> str:
        return f"admit {', '.join(self.nodes)} in the cluster record"


Step = (
    Describe
    | Configure
    | InstallPlugins
    | CreateAccounts
    | Detach
    | ForgetHistory
    | BecomeSource
    | Follow
    | OpenPrimary
    | Verify
    | CreateApplication
    | InstallLease
    | Admit
)
Phase = tuple[Step, ...]
