"""The reports in `<state_dir>/reports`: `epoch-N.json` for programs, `epoch-N.txt` for people."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replclus.errors import StoreError
from replclus.events import ChangeGivenUp, Event, PrimaryChanged, RecordChanged, StepFailed, Warned
from replclus.store import Store
from replclus.store.files import DIRECTORY_MODE, FILE_MODE, sync_directory
from replclus.watchdog.report import BEFORE_MAX, ChangeReport, assemble, epochs
from replclus.watchdog.report_text import text

ENTRIES_MAX = 3000
"""How far back in the journal a report may reach."""
REPORTS_MAX = 1000
"""Beyond that the oldest are removed."""

_TELLING = (PrimaryChanged, ChangeGivenUp, RecordChanged, StepFailed, Warned)
"""Events that end a change, or add to what is known of it."""

_NAME = re.compile(r"epoch-(\d+)\.json")


class ReportFiles:
    """Writes what the journal tells, at the end of a change and when something is added to it. One thread uses it."""

    def __init__(self, state_dir: Path, store: Store) -> None:
        self._directory = state_dir / "reports"
        self._store = store
        self._caught_up = False

    def written(self, events: Sequence[Event]) -> None:
        """These events have reached the journal. OSError or StoreError if a report cannot be written."""
        if self._caught_up and not any(isinstance(event, _TELLING) for event in events):
            return
        record = self._store.load()
        if record is None or record.operation is not None:
            return  # nothing is read and reckoned while the primary is being changed
        entries = self._store.journal(ENTRIES_MAX)
        # What may have lost its beginning is left as it was written.
        known = epochs(entries[BEFORE_MAX:] if len(entries) == ENTRIES_MAX else entries)
        for epoch in known:
            # The newest may still grow; an earlier one is missing only if a watchdog was killed before it wrote it.
            if epoch in known[-2:] or not _path(self._directory, epoch, "json").exists():
                report = assemble(entries, epoch, record)
                if report is not None:
                    self._write(report)
        self._caught_up = True

    def _write(self, report: ChangeReport) -> None:
        document = json.dumps(report.to_dict(), ensure_ascii=False, default=str, indent=1) + "\n"
        path = _path(self._directory, report.epoch, "json")
        if path.exists() and path.read_text() == document:
            return
        self._directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        _replace(_path(self._directory, report.epoch, "txt"), text(report))
        _replace(path, document)
        sync_directory(self._directory)
        for epoch in numbers(self._directory)[:-REPORTS_MAX]:
            _path(self._directory, epoch, "json").unlink(missing_ok=True)
            _path(self._directory, epoch, "txt").unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Kept:
    """A report as it is shown: for programs, and for people."""

    document: Mapping[str, Any]
    text: str


class Reports:
    """What there is to read: the files, and what the journal knows of changes that have no file yet."""

    def __init__(self, state_dir: Path, store: Store) -> None:
        self._directory = state_dir / "reports"
        self._store = store
        self._entries = store.journal(ENTRIES_MAX)

    def epochs(self) -> list[int]:
        return sorted({*numbers(self._directory), *epochs(self._entries)})

    def find(self, epoch: int) -> Kept | None:
        """StoreError if its file is there and cannot be read."""
        path = _path(self._directory, epoch, "json")
        try:
            return Kept(json.loads(path.read_text()), path.with_suffix(".txt").read_text())
        except FileNotFoundError:
            report = assemble(self._entries, epoch, self._store.load())
        except (OSError, ValueError) as error:
            raise StoreError(f"the report {path} cannot be read ({error}): remove it, and the journal is asked") from error
        return None if report is None else Kept(report.to_dict(), text(report))


def numbers(directory: Path) -> list[int]:
    """The epochs that have a report in `directory`, in order."""
    found = [_NAME.fullmatch(path.name) for path in directory.glob("epoch-*.json")]
    return sorted(int(match[1]) for match in found if match)


def _path(directory: Path, epoch: int, kind: str) -> Path:
    return directory / f"epoch-{epoch}.{kind}"


def _replace(path: Path, content: str) -> None:
    """Whole or not at all; the old one stays until the new one is on disk."""
    draft = path.with_name(f".{path.name}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
