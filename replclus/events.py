"""What happened, as values. Log lines, `--json` output, metrics and the audit trail are all derived from these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from replclus.model.record import OperationKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened. `code` is stable and machine-readable, `sentence` is for people."""

    code: ClassVar[str] = "Event"

    @property
    def sentence(self) -> str:
        raise AssertionError("every event says its own sentence")

    def to_dict(self) -> dict[str, Any]:
        return {"event": self.code, "sentence": self.sentence, **asdict(self)}


Report = Callable[[Event], None]
"""Whoever wants to hear of events: the terminal, the journal, a test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Event):
    """A long piece of work took one step. `node` is None when it concerns the whole cluster."""

    code: ClassVar[str] = "Progress"
    what: str
    node: str | None = None

    @property
    def sentence(self) -> str:
        return f"{self.node}: {self.what}" if self.node else self.what


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned(Event):
    code: ClassVar[str] = "Warned"
    what: str
    node: str | None = None

    @property
    def sentence(self) -> str:
        return f"warning: {self.node}: {self.what}" if self.node else f"warning: {self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemAppeared(Event):
    code: ClassVar[str] = "ProblemAppeared"
    problem: str
    what: str
    node: str | None = None

    @property
    def sentence(self) -> str:
        return f"{self.problem}: {self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemGone(Event):
    code: ClassVar[str] = "ProblemGone"
    problem: str
    node: str | None = None

    @property
    def sentence(self) -> str:
        return f"{self.problem} is over{f' on {self.node}' if self.node else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided(Event):
    """The machine's answer changed. `verdict` is stay, wait, refuse or act."""

    code: ClassVar[str] = "Decided"
    verdict: str
    why: str

    @property
    def sentence(self) -> str:
        return f"{self.verdict}: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordChanged(Event):
    """The record was swapped, before any server was touched."""

    code: ClassVar[str] = "RecordChanged"
    version: int
    epoch: int
    primary: str
    what: str

    @property
    def sentence(self) -> str:
        return f"epoch {self.epoch}, primary {self.primary}: {self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted(Event):
    code: ClassVar[str] = "StepStarted"
    step: str
    node: str | None = None

    @property
    def sentence(self) -> str:
        return f"{self.step}{f' {self.node}' if self.node else ''} …"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone(Event):
    """`how` is for steps that can be done in several ways."""

    code: ClassVar[str] = "StepDone"
    step: str
    took_ms: float
    node: str | None = None
    how: str = ""

    @property
    def sentence(self) -> str:
        return (
            f"{self.step}{f' {self.node}' if self.node else ''} took {self.took_ms:.0f} ms{f': {self.how}' if self.how else ''}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFailed(Event):
    code: ClassVar[str] = "StepFailed"
    step: str
    why: str
    node: str | None = None

    @property
    def sentence(self) -> str:
        return f"{self.step}{f' {self.node}' if self.node else ''} failed: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutated(Event):
    """A statement that changes a server is about to be sent there. `statement` is its text without the values.

    `epoch` is the record's at that moment, `step` what it is a part of. Goes into the journal only: `replclus audit`.
    """

    code: ClassVar[str] = "Mutated"
    node: str
    statement: str
    epoch: int
    step: str

    @property
    def sentence(self) -> str:
        return f"{self.node}: {self.statement}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SalvageEnded(Event):
    """The files of `source`, which is dead, were searched for transactions that nobody received. `what` became of them."""

    code: ClassVar[str] = "SalvageEnded"
    node: str
    source: str
    what: str

    @property
    def sentence(self) -> str:
        return f"salvage from {self.source}: {self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HookRan(Event):
    """A hook ended well. One that did not is a warning."""

    code: ClassVar[str] = "HookRan"
    hook: str
    took_ms: float

    @property
    def sentence(self) -> str:
        return f"hook {self.hook} took {self.took_ms:.0f} ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What was known of one node when a change of the primary began.

    `reach` is how far the latest probe came, `age_ms` how old that is, None before
    the first. `received` is the position it reported last, empty
    if it never did. `fed_by` is the node it receives from now, None for nobody. `process` is the host's word about the
    server process: `running`, `gone`, or empty where there is no access to the host.
    """

    node: str
    reach: str
    age_ms: float | None
    error: str = ""
    writable: bool = False
    received: str = ""
    fed_by: str | None = None
    process: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeBegun(Event):
    """The primary is about to be replaced, or moved, as change number `epoch`: what is known before anything is touched.

    `candidate` is who would be elected by what is known now, None if that is open; `loss` says what is expected to be
    lost. `doubted_for_ms` is the age of the first doubt about the old primary, 0 where a person asked. `resumed`: it was
    begun by a watchdog that did not finish it.
    """

    code: ClassVar[str] = "ChangeBegun"
    kind: OperationKind
    epoch: int
    old: str
    why: str
    candidate: str | None
    loss: str
    doubted_for_ms: float = 0.0
    resumed: bool = False
    seen: tuple[Sight, ...] = ()

    @property
    def sentence(self) -> str:
        how = "goes on" if self.resumed else "begins"
        return f"{self.kind.value} from {self.old} {how} in epoch {self.epoch}: {self.why}; expected loss: {self.loss}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrimaryChanged(Event):
    """A new primary accepts writes. `old` and `new` are equal where the primary went on in a new epoch.

    `outage_ms` counts from our first doubt about the old one, or from when a planned switchover closed it; None if the
    watchdog that saw the beginning is gone.
    """

    code: ClassVar[str] = "PrimaryChanged"
    kind: OperationKind
    old: str
    new: str
    epoch: int
    outage_ms: float | None

    @property
    def sentence(self) -> str:
        since = "it was closed" if self.kind is OperationKind.SWITCHOVER else "the first doubt"
        took = "" if self.outage_ms is None else f", {self.outage_ms:.0f} ms after {since}"
        return f"{self.new} is primary of epoch {self.epoch} instead of {self.old}{took}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeGivenUp(Event):
    """A change of the primary ended without one: `primary` stays what it was, in a new epoch."""

    code: ClassVar[str] = "ChangeGivenUp"
    kind: OperationKind
    epoch: int
    primary: str

    @property
    def sentence(self) -> str:
        return f"the {self.kind.value} was given up: {self.primary} stays primary, in epoch {self.epoch}"
