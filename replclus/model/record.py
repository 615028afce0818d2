"""The one record: who is primary is a decision, and this is where it is written down.

It changes by compare-and-swap on `version` only, always before the servers are touched. Documents in, documents out: the
methods return the next record, `replclus.store` makes it true.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from replclus.errors import Damaged, StoreError
from replclus.model import plain
from replclus.model.spec import Durability, Flavour

FORMAT = 2
"""Format 1 lacked `failovers`, `floor` and `doubtful`."""


FAILOVERS_KEPT = 20
"""So many times of failovers stay in the record; no bound on their number may be larger."""


class OperationKind(StrEnum):
    FAILOVER = "failover"
    SWITCHOVER = "switchover"


class Phase(StrEnum):
    """How far a change of the primary has come.

    REVOKE: the old primary is being fenced and its ackers detached; nothing is chosen, giving up is possible.
    PROMOTE: `record.primary` names the new primary; it must become writable and the others must follow it.
    """

    REVOKE = "revoke"
    PROMOTE = "promote"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A change of the primary in progress.

    `fenced` says that the old primary provably accepts nothing any more (its process was killed, or it came back read-only
    and detached). `wanted` is the node a person asked for, or None. `position` is what the elected node had received when it
    was elected: should it die before it serves, nobody with less may take its place.
    """

    kind: OperationKind
    phase: Phase
    old_primary: str
    reason: str
    wanted: str | None = None
    fenced: bool = False
    position: str | None = None


class MemberState(StrEnum):
    """JOINING: described, not admitted yet. It serves nobody, and whoever brings it in may still empty it and begin again.

    DRAINING: takes part in everything but reads, because a person wants to work on it. REBUILDING: its data is being
    replaced by a copy of the cluster's; it takes part in nothing until that has ended.
    """

    JOINING = "joining"
    ACTIVE = "active"
    DRAINING = "draining"
    QUARANTINED = "quarantined"
    REBUILDING = "rebuilding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An admitted server and the identity it was admitted with.

    `uuid` is None on MariaDB. `why` explains a quarantine or a rebuild.
    """

    name: str
    host: str
    port: int
    server_id: int
    uuid: str | None = None
    state: MemberState = MemberState.ACTIVE
    why: str = ""

    @property
    def admitted(self) -> bool:
        """Does it take part: is its data the cluster's, may it acknowledge and be elected?"""
        return self.state in (MemberState.ACTIVE, MemberState.DRAINING)


class RequestKind(StrEnum):
    SWITCHOVER = "switchover"
    FAILOVER = "failover"
    REJOIN = "rejoin"
    DRAIN = "drain"
    UNDRAIN = "undrain"
    REBUILD = "rebuild"
    PAUSE = "pause"
    RESUME = "resume"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a person asked the watchdog to do, and in the end what came of it. `id` lets the asker find its answer."""

    id: str
    kind: RequestKind
    to: str | None = None
    force: bool = False
    answer: str | None = None
    done: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRecord:
    """The whole truth about a cluster.

    `version` counts every change, `epoch` only changes of the primary. `ackers` are the replicas that may acknowledge a
    semi-synchronous commit: nobody outside it may, so an acker is added here before it is attached and removed only
    after what it acknowledged is known to be elsewhere too. `failovers` are the times of the newest failovers that nobody
    asked for, in seconds of the wall clock, oldest first. `floor` is what the primary had received when it was elected: until
    its replicas have caught up it may be the only holder of what earlier primaries acknowledged, so nobody with less is ever
    elected after it. `doubtful` are ackers that may have lost what they had acknowledged, with the beat after which they have
    fetched it again.
    """

    version: int
    cluster_id: str
    name: str
    flavour: Flavour
    durability: Durability
    epoch: int
    primary: str
    members: tuple[Member, ...]
    ackers: frozenset[str] = frozenset()
    operation: Operation | None = None
    request: Request | None = None
    paused: bool = False
    failovers: tuple[int, ...] = ()
    doubtful: tuple[tuple[str, int], ...] = ()
    floor: str | None = None

    def member(self, name: str) -> Member:
        """KeyError if there is no such member."""
        for member in self.members:
            if member.name == name:
                return member
        raise KeyError(name)

    def beat_to_see(self, name: str) -> int | None:
        """The beat after which `name` is no longer doubtful; None if it is not."""
        return dict(self.doubtful).get(name)

    def without_doubt(self, *names: str) -> ClusterRecord:
        """Without the marks of these nodes."""
        return replace(self, doubtful=tuple(mark for mark in self.doubtful if mark[0] not in names))

    @property
    def forming(self) -> bool:
        """True until `init` has finished: the record was written before the servers were touched, and nobody is admitted."""
        return all(member.state is MemberState.JOINING for member in self.members)

    @property
    def replicas(self) -> tuple[Member, ...]:
        """Every member but the primary, quarantined ones included."""
        return tuple(member for member in self.members if member.name != self.primary)

    def with_member(self, member: Member) -> ClusterRecord:
        """`member` added, or put in the place of the one with its name."""
        kept = tuple(member if other.name == member.name else other for other in self.members)
        return replace(self, members=kept if any(m.name == member.name for m in self.members) else (*kept, member))

    def to_json(self) -> str:
        doc = asdict(self)
        doc["ackers"], doc["doubtful"] = sorted(self.ackers), dict(self.doubtful)
        return json.dumps({"format": FORMAT, **doc}, sort_keys=True)

    @staticmethod
    def from_json(text: str) -> ClusterRecord:
        """Damaged if `text` is not a record, StoreError if a newer replclus wrote it."""
        try:
            doc = plain.table(json.loads(text))
            written = plain.whole(doc, "format")
            if written > FORMAT:
                raise StoreError(
                    f"the cluster record has format {written}, this replclus understands up to {FORMAT}: use a newer replclus"
                )
            return _record(doc)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Damaged(f"the cluster record is damaged: {error!r}") from error


def _record(doc: plain.Doc) -> ClusterRecord:
    """Give the plain values of a JSON document their types back."""
    operation, request = doc["operation"], doc["request"]
    marks = plain.table(doc["doubtful"]) if "doubtful" in doc else {}
    return ClusterRecord(
        version=plain.whole(doc, "version"),
        cluster_id=plain.text(doc, "cluster_id"),
        name=plain.text(doc, "name"),
        flavour=Flavour(plain.text(doc, "flavour")),
        durability=Durability(plain.text(doc, "durability")),
        epoch=plain.whole(doc, "epoch"),
        primary=plain.text(doc, "primary"),
        members=tuple(_member(member) for member in plain.tables(doc, "members")),
        ackers=frozenset(plain.texts(doc, "ackers")),
        operation=None if operation is None else _operation(plain.table(operation)),
        request=None if request is None else _request(plain.table(request)),
        paused=plain.flag(doc, "paused"),
        failovers=plain.wholes(doc, "failovers") if "failovers" in doc else (),
        doubtful=tuple((name, plain.whole(marks, name)) for name in marks),
        floor=plain.optional_text(doc, "floor") if "floor" in doc else None,
    )


def _member(doc: plain.Doc) -> Member:
    return Member(
        name=plain.text(doc, "name"),
        host=plain.text(doc, "host"),
        port=plain.whole(doc, "port"),
        server_id=plain.whole(doc, "server_id"),
        uuid=plain.optional_text(doc, "uuid"),
        state=MemberState(plain.text(doc, "state")),
        why=plain.text(doc, "why"),
    )


def _operation(doc: plain.Doc) -> Operation:
    return Operation(
        kind=OperationKind(plain.text(doc, "kind")),
        phase=Phase(plain.text(doc, "phase")),
        old_primary=plain.text(doc, "old_primary"),
        reason=plain.text(doc, "reason"),
        wanted=plain.optional_text(doc, "wanted"),
        fenced=plain.flag(doc, "fenced"),
        position=plain.optional_text(doc, "position"),
    )


def _request(doc: plain.Doc) -> Request:
    return Request(
        id=plain.text(doc, "id"),
        kind=RequestKind(plain.text(doc, "kind")),
        to=plain.optional_text(doc, "to"),
        force=plain.flag(doc, "force"),
        answer=plain.optional_text(doc, "answer"),
        done=None if doc["done"] is None else plain.flag(doc, "done"),
    )
