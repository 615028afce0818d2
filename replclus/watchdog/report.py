"""What happened in one change of the primary, put together from the journal: who saw what, what was decided, what it took.

Pure: journal entries in, a `ChangeReport` out. A watchdog that was killed leaves a journal, so it leaves a report too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from replclus.model.record import ClusterRecord
from replclus.store import JournalEntry

BEFORE_S = 60.0
BEFORE_MAX = 50
"""How much of what came before a change belongs to its report: the first doubts, and what was decided about them."""
AFTER_S = 600.0
AFTER_MAX = 500
"""How much of what came after it: stragglers that follow, the old primary that returns."""

_BEGINS, _CHANGED, _GIVEN_UP = "ChangeBegun", "PrimaryChanged", "ChangeGivenUp"
_LEADING = frozenset({"ProblemAppeared", "ProblemGone", "Decided", "Warned"})
_AUDIT = "Mutated"
_STEP_ENDS = frozenset({"StepDone", "StepFailed"})
_AGAINST_THE_OLD = frozenset({"Fence", "CloseForWrites"})


class Outcome(StrEnum):
    """UNFINISHED: its end is not in the journal. OVERTAKEN: it went on as a change of a later epoch."""

    PROMOTED = "promoted"
    REOPENED = "reopened"
    GIVEN_UP = "given_up"
    OVERTAKEN = "overtaken"
    UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One line of the timeline. `after_ms` counts from the first doubt, or from the request of a person."""

    at: float
    after_ms: float
    event: str
    sentence: str
    node: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTaken:
    """`took_ms` is None for a step that failed; `why` then says how."""

    step: str
    node: str | None
    took_ms: float | None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementSent:
    node: str
    step: str
    statement: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeReport:
    """One failover or switchover. `new` is None unless somebody was promoted, or the old primary reopened.

    `seen` are the sights of `ChangeBegun`, one a node. `chosen` says why it was the candidate. `fenced` says how the old
    primary was kept from writing. `expected_loss` was stated before anything was touched; `salvaged` says what of it was
    found in the files of the old primary, empty where nobody looked.
    """

    epoch: int
    kind: str
    outcome: Outcome
    began_at: float
    old: str
    new: str | None
    why: str
    candidate: str | None
    chosen: str
    fenced: tuple[str, ...]
    expected_loss: str
    salvaged: str
    outage_ms: float | None
    seen: tuple[Mapping[str, Any], ...]
    timeline: tuple[Moment, ...]
    steps: tuple[StepTaken, ...]
    statements: tuple[StatementSent, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def epochs(entries: Sequence[JournalEntry]) -> tuple[int, ...]:
    """The changes that began in `entries`, oldest first."""
    return tuple(dict.fromkeys(int(entry.event["epoch"]) for entry in entries if entry.code == _BEGINS))


def assemble(entries: Sequence[JournalEntry], epoch: int, record: ClusterRecord | None = None) -> ChangeReport | None:
    """The report of the change that claimed `epoch`; None if the journal does not know of it.

    `record` tells how it ended where the watchdog was killed before it could write that down.
    """
    beginnings = [entry for entry in entries if entry.code == _BEGINS and entry.event["epoch"] == epoch]
    if not beginnings:
        return None
    # A watchdog that went on with it says so too; what is known before the first step is the first one's word.
    first = beginnings[0]
    window = tuple(_window(entries, first, beginnings[-1]))
    facts = first.event
    zero = first.at - float(facts["doubted_for_ms"]) / 1000
    outcome, end = _outcome(window, first)
    new = str(end.event["new"]) if end is not None and end.code == _CHANGED else None
    if outcome is Outcome.UNFINISHED and record is not None and record.operation is None and record.epoch >= epoch:
        outcome, new = _by_record(record, epoch, str(facts["old"]))
    return ChangeReport(
        epoch=epoch,
        kind=str(facts["kind"]),
        outcome=outcome,
        began_at=zero,
        old=str(facts["old"]),
        new=new,
        why=str(facts["why"]),
        candidate=facts["candidate"],
        chosen=_chosen(window),
        fenced=tuple(_fenced(window, first)),
        expected_loss=str(facts["loss"]),
        salvaged=next((str(entry.event["what"]) for entry in window if entry.code == "SalvageEnded"), ""),
        outage_ms=_outage_ms(end, zero),
        seen=tuple(facts["seen"]),
        timeline=tuple(_moment(entry, zero) for entry in _told(window)),
        steps=tuple(_steps(window)),
        statements=tuple(
            StatementSent(node=entry.event["node"], step=entry.event["step"], statement=entry.event["statement"])
            for entry in window
            if entry.code == _AUDIT and entry.event["epoch"] == epoch
        ),
    )


def last_step_ms(entries: Sequence[JournalEntry]) -> dict[str, float]:
    """How long each kind of step took when it was last carried out."""
    return {str(entry.event["step"]): float(entry.event["took_ms"]) for entry in entries if entry.code == "StepDone"}


def _window(entries: Sequence[JournalEntry], first: JournalEntry, last: JournalEntry) -> Iterator[JournalEntry]:
    """What belongs to the change: what led to it, and everything up to the next one or for AFTER_S."""
    before: list[JournalEntry] = []
    for entry in reversed([entry for entry in entries if entry.seq < first.seq]):
        if entry.code in (_CHANGED, _GIVEN_UP, _BEGINS) or first.at - entry.at > BEFORE_S or len(before) == BEFORE_MAX:
            break
        if entry.code in _LEADING:
            before.append(entry)
    yield from reversed(before)
    later = 0
    for entry in entries:
        if entry.seq < first.seq:
            continue
        if entry.seq > last.seq:
            later += entry.code != _AUDIT
            if entry.code == _BEGINS:
                yield entry
                return
            if entry.at - last.at > AFTER_S or later > AFTER_MAX:
                return
        yield entry


def _outcome(window: Sequence[JournalEntry], first: JournalEntry) -> tuple[Outcome, JournalEntry | None]:
    for entry in window:
        if entry.seq <= first.seq:
            continue
        if entry.code == _BEGINS and entry.event["epoch"] != first.event["epoch"]:
            return Outcome.OVERTAKEN, entry
        if entry.code == _GIVEN_UP:
            return Outcome.GIVEN_UP, entry
        if entry.code == _CHANGED:
            same = entry.event["new"] == first.event["old"]
            return (Outcome.REOPENED if same else Outcome.PROMOTED), entry
    return Outcome.UNFINISHED, None


def _by_record(record: ClusterRecord, epoch: int, old: str) -> tuple[Outcome, str | None]:
    if record.primary != old:
        return Outcome.PROMOTED, record.primary
    return (Outcome.REOPENED, old) if record.epoch == epoch else (Outcome.GIVEN_UP, None)


def _outage_ms(end: JournalEntry | None, zero: float) -> float | None:
    """By the watchdog's own clock where one watchdog saw it all, else by the wall times in the journal."""
    if end is None or end.code != _CHANGED:
        return None
    measured = end.event["outage_ms"]
    return max(0.0, (end.at - zero) * 1000) if measured is None else float(measured)


def _chosen(window: Sequence[JournalEntry]) -> str:
    """What the record said when it first named the new primary."""
    named = (str(entry.event["what"]) for entry in window if entry.code == "RecordChanged" and "elected" in entry.event["what"])
    return next(named, "")


def _fenced(window: Sequence[JournalEntry], first: JournalEntry) -> Iterator[str]:
    """How it was known that the old primary accepts nothing more: by its host's word, then by what was done to it."""
    old = first.event["old"]
    if any(sight["node"] == old and sight["process"] == "gone" for sight in first.event["seen"]):
        yield f"the host of {old} says that its process is gone"
    for entry in window:
        if entry.code in _STEP_ENDS and entry.event["step"] in _AGAINST_THE_OLD and entry.event["node"] == old:
            yield str(entry.event["sentence"])


def _steps(window: Sequence[JournalEntry]) -> Iterator[StepTaken]:
    for entry in window:
        event = entry.event
        if entry.code == "StepDone":
            yield StepTaken(step=event["step"], node=event["node"], took_ms=round(float(event["took_ms"]), 1))
        elif entry.code == "StepFailed":
            yield StepTaken(step=event["step"], node=event["node"], took_ms=None, why=event["why"])


def _told(window: Sequence[JournalEntry]) -> Iterator[JournalEntry]:
    """What belongs into a timeline: a step that ended is told once."""
    ended = [(entry.seq, entry.event["step"], entry.event.get("node")) for entry in window if entry.code in _STEP_ENDS]
    for entry in window:
        if entry.code == "StepStarted":
            step = (entry.event["step"], entry.event["node"])
            if entry.event["step"] == "Swap" or any(seq > entry.seq and (name, node) == step for seq, name, node in ended):
                continue
        if entry.code != _AUDIT:
            yield entry


def _moment(entry: JournalEntry, zero: float) -> Moment:
    return Moment(
        at=entry.at,
        after_ms=round((entry.at - zero) * 1000, 1),
        event=entry.code,
        sentence=str(entry.event["sentence"]),
        node=entry.event.get("node"),
    )
