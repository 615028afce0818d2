"""What happened, as values. Log lines, `--json` output, metrics and the audit trail are all derived from these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


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
    code: ClassVar[str] = "StepDone"
    step: str
    took_ms: float
    node: str | None = None

    @property
    def sentence(self) -> str:
        return f"{self.step}{f' {self.node}' if self.node else ''} took {self.took_ms:.0f} ms"


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
class PrimaryChanged(Event):
    """A new primary accepts writes. `outage_ms` counts from our first doubt about the old one."""

    code: ClassVar[str] = "PrimaryChanged"
    old: str
    new: str
    epoch: int
    outage_ms: float

    @property
    def sentence(self) -> str:
        return f"{self.new} is primary of epoch {self.epoch} instead of {self.old}, {self.outage_ms:.0f} ms after the first doubt"
