"""Reports are put together from a journal, whatever the watchdog that wrote it came to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from replclus.events import (
    ChangeBegun,
    ChangeGivenUp,
    Decided,
    Event,
    Mutated,
    PrimaryChanged,
    ProblemAppeared,
    RecordChanged,
    Sight,
    StepDone,
    StepFailed,
    StepStarted,
)
from replclus.model.record import ClusterRecord, Member, Operation, OperationKind, Phase
from replclus.model.spec import Durability, Flavour
from replclus.store import JournalEntry, SqliteStore
from replclus.watchdog import report_files
from replclus.watchdog.report import BEFORE_S, Outcome, assemble, epochs, last_step_ms
from replclus.watchdog.report_files import ReportFiles, Reports, numbers
from replclus.watchdog.report_text import text

FAILOVER = OperationKind.FAILOVER
SEEN = (
    Sight(node="n1", reach="refused", age_ms=2.0, error="connection refused", process="gone"),
    Sight(node="n2", reach="answered", age_ms=9.0, received="0-1-42", process="running"),
)
BEGUN = ChangeBegun(
    kind=FAILOVER,
    epoch=5,
    old="n1",
    why="its process is gone",
    candidate="n2",
    loss="no acknowledged write",
    doubted_for_ms=20.0,
    seen=SEEN,
)
ELECTED = RecordChanged(version=9, epoch=5, primary="n2", what="n2 is elected, it received everything the others did")
CHANGED = PrimaryChanged(kind=FAILOVER, old="n1", new="n2", epoch=5, outage_ms=120.0)
RECORD = ClusterRecord(
    version=10,
    cluster_id="c",
    name="shop",
    flavour=Flavour.MARIADB,
    durability=Durability.LOSSLESS,
    epoch=5,
    primary="n2",
    members=tuple(Member(name=name, host="198.18.0.1", port=3306, server_id=1) for name in ("n1", "n2")),
)
CHANGING = replace(
    RECORD, operation=Operation(kind=FAILOVER, phase=Phase.PROMOTE, old_primary="n1", reason="its process is gone")
)


def journal(*events: Event | float) -> tuple[JournalEntry, ...]:
    """Entries ten milliseconds apart; a number moves the clock on by as many seconds."""
    at, entries = 1000.0, []
    for event in events:
        if isinstance(event, float):
            at += event
        else:
            at += 0.01
            entries.append(
                JournalEntry(seq=len(entries) + 1, at=at, code=event.code, event=json.loads(json.dumps(event.to_dict())))
            )
    return tuple(entries)


def test_a_failover_from_the_first_doubt_to_the_end() -> None:
    report = assemble(
        journal(
            ProblemAppeared(problem="Draining", what="n2 takes no reads", node="n2"),
            BEFORE_S + 1,
            ProblemAppeared(problem="PrimaryDead", what="n1 is dead", node="n1"),
            Decided(verdict="act", why="failover from n1"),
            BEGUN,
            StepStarted(step="StopReceiving", node="n2"),
            Mutated(node="n2", statement="STOP SLAVE IO_THREAD", epoch=5, step="StopReceiving"),
            StepDone(step="StopReceiving", node="n2", took_ms=11.04),
            ELECTED,
            StepStarted(step="Follow", node="n3"),
            StepFailed(step="Follow", node="n3", why="no answer"),
            StepStarted(step="Promote", node="n2"),
            CHANGED,
        ),
        5,
    )
    assert report is not None
    assert (report.outcome, report.old, report.new, report.outage_ms) == (Outcome.PROMOTED, "n1", "n2", 120.0)
    assert (report.why, report.candidate, report.expected_loss) == ("its process is gone", "n2", "no acknowledged write")
    assert report.chosen == ELECTED.what
    assert report.fenced == ("the host of n1 says that its process is gone",)
    assert [(step.step, step.node, step.took_ms, step.why) for step in report.steps] == [
        ("StopReceiving", "n2", 11.0, ""),
        ("Follow", "n3", None, "no answer"),
    ]
    assert [moment.event for moment in report.timeline] == [
        "ProblemAppeared",
        "Decided",
        "ChangeBegun",
        "StepDone",
        "RecordChanged",
        "StepFailed",
        "StepStarted",
        "PrimaryChanged",
    ], "what came long before, steps that have ended and the audit are left out"
    assert [moment.after_ms for moment in report.timeline][:3] == [0.0, 10.0, 20.0], "counted from the first doubt"
    assert [(sent.node, sent.statement) for sent in report.statements] == [("n2", "STOP SLAVE IO_THREAD")]
    page = text(report)
    for words in (
        "n2 is primary instead of n1",
        "connection refused",
        "Follow n3",
        "failed: no answer",
        "1 statements changed n2",
    ):
        assert words in page


@pytest.mark.parametrize(
    ("events", "record", "outcome", "new", "outage_ms"),
    [
        ((BEGUN, CHANGED), None, Outcome.PROMOTED, "n2", 120.0),
        ((BEGUN, replace(CHANGED, new="n1")), None, Outcome.REOPENED, "n1", 120.0),
        ((BEGUN, ChangeGivenUp(kind=FAILOVER, epoch=6, primary="n1")), None, Outcome.GIVEN_UP, None, None),
        ((BEGUN, replace(BEGUN, epoch=6, old="n2")), None, Outcome.OVERTAKEN, None, None),
        ((BEGUN, StepDone(step="Promote", node="n2", took_ms=1.0)), CHANGING, Outcome.UNFINISHED, None, None),
        # Killed, and gone on with by the next one: the wall clock bridges the gap.
        ((BEGUN, 3.0, replace(BEGUN, resumed=True), replace(CHANGED, outage_ms=None)), None, Outcome.PROMOTED, "n2", 3040.0),
        # Killed after the last swap and before it could say so: the record tells.
        ((BEGUN, ELECTED), RECORD, Outcome.PROMOTED, "n2", None),
        ((BEGUN, ELECTED), replace(RECORD, primary="n1"), Outcome.REOPENED, "n1", None),
        ((BEGUN, ELECTED), replace(RECORD, primary="n1", epoch=6), Outcome.GIVEN_UP, None, None),
    ],
)
def test_every_way_to_end(
    events: Sequence[Event | float], record: ClusterRecord | None, outcome: Outcome, new: str | None, outage_ms: float | None
) -> None:
    report = assemble(journal(*events), 5, record)
    assert report is not None
    assert (report.outcome, report.new) == (outcome, new)
    assert report.outage_ms == (None if outage_ms is None else pytest.approx(outage_ms))
    assert text(report).startswith("epoch 5 ")


def test_a_change_ends_where_the_next_begins() -> None:
    entries = journal(BEGUN, CHANGED, replace(BEGUN, epoch=6, old="n2"), replace(CHANGED, old="n2", new="n1", epoch=6))
    assert epochs(entries) == (5, 6)
    first, second = assemble(entries, 5), assemble(entries, 6)
    assert first is not None
    assert second is not None
    assert (first.new, second.new) == ("n2", "n1")
    assert [moment.event for moment in second.timeline] == ["ChangeBegun", "PrimaryChanged"]
    assert assemble(entries, 7) is None


def test_the_last_measurement_of_a_step_counts() -> None:
    steps = [StepDone(step="Promote", node="n2", took_ms=took_ms) for took_ms in (5.0, 7.0)]
    assert last_step_ms(journal(*steps, BEGUN)) == {"Promote": 7.0}


class TestFiles:
    """<state_dir>/reports, written by the journal's thread."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> SqliteStore:
        store = SqliteStore(tmp_path / "state")
        store.create(RECORD)
        return store

    def tell(self, store: SqliteStore, files: ReportFiles, *events: Event) -> None:
        store.append(*((1000.0 + number, event) for number, event in enumerate(events)))
        files.written(events)

    def test_written_at_the_end_and_again_when_more_is_known(self, store: SqliteStore) -> None:
        directory = store.path.parent / "reports"
        files = ReportFiles(store.path.parent, store)
        self.tell(store, files, Decided(verdict="stay", why="all is well"))
        assert not directory.exists()
        self.tell(store, files, BEGUN, ELECTED, CHANGED)
        assert {path.name for path in directory.iterdir()} == {"epoch-5.json", "epoch-5.txt"}
        assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
        assert json.loads((directory / "epoch-5.json").read_text())["outcome"] == "promoted"
        self.tell(store, files, RecordChanged(version=11, epoch=5, primary="n2", what="n1 quarantined: it has diverged"))
        assert "n1 quarantined" in (directory / "epoch-5.txt").read_text()

    def test_nothing_is_read_while_the_primary_is_changed(self, store: SqliteStore) -> None:
        record = store.load()
        assert record is not None
        store.cas(record.version, CHANGING)
        self.tell(store, ReportFiles(store.path.parent, store), BEGUN, ELECTED)
        assert not (store.path.parent / "reports").exists()
        assert Reports(store.path.parent, store).epochs() == [5], "who asks meanwhile is told from the journal"
        found = Reports(store.path.parent, store).find(5)
        assert found is not None
        assert found.document["outcome"] == "unfinished"

    def test_a_watchdog_that_was_killed_has_its_reports_written_by_the_next(self, store: SqliteStore) -> None:
        third = replace(BEGUN, epoch=3)
        store.append((1.0, third), (2.0, replace(CHANGED, epoch=3)), (3.0, replace(BEGUN, epoch=4)), (4.0, BEGUN), (5.0, ELECTED))
        files = ReportFiles(store.path.parent, store)
        self.tell(store, files, Decided(verdict="stay", why="all is well"))
        assert numbers(store.path.parent / "reports") == [3, 4, 5]
        outcomes = [Reports(store.path.parent, store).find(epoch) for epoch in (3, 4, 5)]
        assert [each.document["outcome"] for each in outcomes if each] == ["promoted", "overtaken", "promoted"]

    def test_only_so_many_are_kept(self, store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(report_files, "REPORTS_MAX", 2)
        files = ReportFiles(store.path.parent, store)
        for epoch in (3, 4, 5):
            self.tell(store, files, replace(BEGUN, epoch=epoch), replace(CHANGED, epoch=epoch))
        assert numbers(store.path.parent / "reports") == [4, 5]
