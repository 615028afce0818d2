"""Cut the unacknowledged tail off a crashed MySQL primary's binary log, before the server starts again.

Under AFTER_SYNC semi-sync a transaction that waits for its acknowledgement is in the binary log and only *prepared* in
InnoDB. At the next start recovery looks each prepared transaction up in the newest binary log file: found means commit,
missing means roll back. So a tail that the new primary does not have can be undone without a rebuild, if it is removed
from the file first. MariaDB has this built in (`--init-rpl-role=SLAVE`), MySQL has not.

It is right only for transactions that are prepared and no more. Everything that says otherwise is refused, with nothing
touched: a file that was closed properly (a clean stop commits), a tail that reaches back into an older file (the server
was started since), known transactions behind unknown ones, an XA PREPARE, a table of an engine without transactions.

What no file can tell is whether the primary had fallen back to asynchronous commits; whoever calls this answers for that
by the durability policy. Such a transaction still betrays itself: InnoDB kept its GTID, and once the server is up
gtid_executed has it again, so that the judge of old primaries finds it. Its rows are then in the copy, not in the log.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from replclus.model.gtid import MysqlGtidSet
from replclus.server.binlog_file import (
    BinlogUnreadable,
    Event,
    EventType,
    closed_properly,
    events,
    gtid,
    previous_gtids,
    statement,
)

_GTIDS = frozenset({EventType.GTID, EventType.GTID_TAGGED})
_FORBIDDEN_IN_TAIL: dict[int, str] = {
    EventType.ANONYMOUS_GTID: "a transaction without GTID",
    EventType.XA_PREPARE: "an XA PREPARE",
    EventType.ROTATE: "the next file, and with it the commit",
    EventType.STOP: "a clean stop, and with it the commit",
}
_COPY_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Cut:
    """Done: `gtids` are gone from `file`, which ends at `offset` now. Their bytes are in `kept`."""

    file: Path
    offset: int
    gtids: MysqlGtidSet
    kept: Path


@dataclass(frozen=True, slots=True)
class NothingToCut:
    """Every transaction in the newest file is known."""


@dataclass(frozen=True, slots=True)
class CannotCut:
    """There are unknown transactions, and cutting them off would not be safe. Nothing was touched."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Tail:
    offset: int
    gtids: MysqlGtidSet


def trim(index: Path, known: MysqlGtidSet) -> Cut | NothingToCut | CannotCut:
    """Cut the newest file listed in `index` (`binlog.index`) where the first transaction outside `known` begins.

    `known` is everything the new primary has received. The server must not be running. Safe to be killed at any point
    and to be repeated: the bytes are copied and synced before the file gets shorter. OSError as the system says it.
    """
    newest = _newest(index)
    if newest is None:
        return NothingToCut()
    try:
        with newest.open("rb") as file:
            found = _find_tail(events(file), known)
    except BinlogUnreadable as problem:
        return CannotCut(f"{newest.name} cannot be read: {problem}")
    if not isinstance(found, _Tail):
        return found
    kept = _cut(newest, found.offset)
    return Cut(newest, found.offset, found.gtids, kept)


def _newest(index: Path) -> Path | None:
    """The last file of the index; names in it are relative to its directory. None if there is no binary log yet."""
    try:
        names = [line for line in index.read_text().splitlines() if line.strip()]
    except FileNotFoundError:
        return None
    return index.parent / names[-1] if names else None


def _find_tail(log: Iterable[Event], known: MysqlGtidSet) -> _Tail | NothingToCut | CannotCut:
    """Where the unknown transactions begin, provided that nothing but them follows, and that all can be rolled back."""
    search = _Search(known)
    for event in log:
        refusal = search.take(event)
        if refusal is not None:
            return refusal
    return search.outcome()


class _Search:
    """Walks the events of the newest file, from known transactions into the tail of unknown ones."""

    def __init__(self, known: MysqlGtidSet) -> None:
        self._known = known
        self._closed = False
        self._start: int | None = None
        self._unknown = MysqlGtidSet()
        # The last transaction of the tail, until it has shown that InnoDB holds it prepared; and whether there is
        # reason to believe that it is complete without that.
        self._open: MysqlGtidSet | None = None
        self._first_statement = True
        self._doubtful = False

    def take(self, event: Event) -> CannotCut | None:
        """A reason to give up, as soon as there is one."""
        if event.type == EventType.FORMAT_DESCRIPTION:
            self._closed = closed_properly(event)
        elif event.type == EventType.PREVIOUS_GTIDS:
            if earlier := previous_gtids(event) - self._known:
                return CannotCut(f"{_one_line(earlier)} is in an older file, so the server has already committed it")
        elif event.type in _GTIDS:
            return self._begin(event)
        elif self._start is not None and event.type in _FORBIDDEN_IN_TAIL:
            return CannotCut(f"after {_one_line(self._unknown)} comes {_FORBIDDEN_IN_TAIL[event.type]}")
        elif self._open is not None:
            self._inside(event)
        return None

    def outcome(self) -> _Tail | NothingToCut | CannotCut:
        if self._start is None:
            return NothingToCut()
        if self._closed:
            return CannotCut(f"the server was stopped cleanly after {_one_line(self._unknown)}, which committed it")
        if self._open is not None and self._doubtful:
            return _not_prepared(self._open)
        # A last transaction without an end was only half written when the server died: not even prepared.
        return _Tail(self._start, self._unknown)

    def _begin(self, event: Event) -> CannotCut | None:
        one = gtid(event).as_set()
        if self._open is not None:
            return _not_prepared(self._open)
        if not self._known >= one:
            self._start = event.offset if self._start is None else self._start
            self._unknown |= one
            self._open, self._first_statement, self._doubtful = one, True, False
        elif self._start is not None:
            return CannotCut(f"{_one_line(one)}, which the new primary has, comes after {_one_line(self._unknown)}")
        return None

    def _inside(self, event: Event) -> None:
        if event.type == EventType.XID:
            self._open = None
        elif event.type == EventType.TRANSACTION_PAYLOAD:
            self._doubtful = True
        elif event.type == EventType.QUERY:
            said = statement(event)
            if said.ddl_xid:
                self._open = None
            elif said.text == b"COMMIT" or (self._first_statement and said.text != b"BEGIN"):
                self._doubtful = True
            self._first_statement = False


def _not_prepared(gtids: MysqlGtidSet) -> CannotCut:
    return CannotCut(f"{_one_line(gtids)} cannot be rolled back: it is compressed, or changes a table of an engine like MyISAM")


def _cut(file: Path, offset: int) -> Path:
    """Copy everything from `offset` on to `<file>.cut-<n>`, then shorten the file. Each is on disk before the next."""
    with file.open("r+b") as log:
        log.seek(offset)
        kept, copy = _new_copy(file)
        with os.fdopen(copy, "wb") as out:
            while chunk := log.read(_COPY_CHUNK_BYTES):
                out.write(chunk)
            out.flush()
            os.fsync(out.fileno())
        _sync_directory(file.parent)
        log.truncate(offset)
        log.flush()
        os.fsync(log.fileno())
    return kept


def _new_copy(file: Path) -> tuple[Path, int]:
    """The first free `<file>.cut-<n>`, created for us alone, and its descriptor."""
    number = 1
    while True:
        path = file.with_name(f"{file.name}.cut-{number}")
        try:
            return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            number += 1


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _one_line(gtids: MysqlGtidSet) -> str:
    return str(gtids).replace("\n", "")
