"""The store of one host: a SQLite database, `record.db`, in the state directory.

A rollback journal rather than WAL: at rest the whole truth is then in one file, so that a file which was truncated or
taken away is noticed, where a lost WAL would quietly bring back an older record.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from replclus.errors import Conflict, Damaged, StoreError
from replclus.events import Event
from replclus.model.record import ClusterRecord
from replclus.store import files
from replclus.store.lock import FileLock
from replclus.store.protocol import JournalEntry

BUSY_TIMEOUT_S = 5.0
JOURNAL_ROWS_MAX = 10_000
ASIDE_MAX = 1000

_APPLICATION_ID = 0x72636C73  # "rcls"
_SCHEMA_VERSION = 1
_SCHEMA = f"""
PRAGMA journal_mode = TRUNCATE;
PRAGMA synchronous = FULL;
BEGIN;
CREATE TABLE record (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    cluster_id TEXT NOT NULL,
    document TEXT NOT NULL,
    checksum INTEGER NOT NULL
);
CREATE TRIGGER record_only_grows BEFORE UPDATE ON record
WHEN NEW.version <> OLD.version + 1 OR NEW.epoch < OLD.epoch OR NEW.cluster_id <> OLD.cluster_id
BEGIN
    SELECT RAISE(ABORT, 'version and epoch of a record only grow, and its cluster stays the same');
END;
CREATE TABLE journal (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    code TEXT NOT NULL,
    event TEXT NOT NULL
);
CREATE TRIGGER journal_only_grows BEFORE UPDATE ON journal
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only');
END;
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_SCHEMA_VERSION};
COMMIT;
"""


class SqliteStore:
    """One connection, shared by the threads of a process. The file is opened at first use, and again if it was replaced.

    With `create=False` nothing is ever created: as long as there is no file, there is no record and an empty journal, and
    changes are refused. Raises ConfigError if the state directory cannot be used.
    """

    def __init__(self, state_dir: Path, *, create: bool = True) -> None:
        self._state_dir = state_dir
        self._create = create
        self._guard = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None
        self._known: tuple[str, ClusterRecord] | None = None
        if create:
            files.make_state_dir(state_dir)
        else:
            files.check_state_dir(state_dir)

    @property
    def path(self) -> Path:
        return self._state_dir / "record.db"

    def load(self) -> ClusterRecord | None:
        """See Store.load. Cheap enough to be called many times a second."""
        with self._reading() as connection:
            if connection is None:
                return None
            row = connection.execute("SELECT version, document, checksum FROM record").fetchone()
        return None if row is None else self._record(*row)

    def create(self, record: ClusterRecord) -> None:
        with self._changing() as connection:
            if connection.execute("SELECT 1 FROM record").fetchone():
                raise Conflict(f"{self.path} has a record already")
            columns = (record.version, record.epoch, record.cluster_id, *_document(record))
            connection.execute("INSERT INTO record VALUES (1, ?, ?, ?, ?, ?)", columns)

    def cas(self, expected_version: int, new: ClusterRecord) -> ClusterRecord:
        written = replace(new, version=expected_version + 1)
        columns = (written.version, written.epoch, written.cluster_id, *_document(written))
        with self._changing() as connection:
            changed = connection.execute(
                "UPDATE record SET version = ?, epoch = ?, cluster_id = ?, document = ?, checksum = ? WHERE version = ?",
                (*columns, expected_version),
            ).rowcount
            if not changed:
                row = connection.execute("SELECT version FROM record").fetchone()
                there = f"it has version {row[0]}" if row else "there is none"
                raise Conflict(f"the record was to be changed from version {expected_version}, but {there}: read it again")
        return written

    def lock(self, who: str) -> FileLock:
        if not files.check_state_dir(self._state_dir):
            raise self._nothing_here()
        return FileLock(self._state_dir / "watchdog.lock", who)

    def append(self, *entries: tuple[float, Event]) -> None:
        rows = [(at, event.code, json.dumps(event.to_dict(), default=str)) for at, event in entries]
        with self._changing() as connection:
            connection.executemany("INSERT INTO journal (at, code, event) VALUES (?, ?, ?)", rows)
            connection.execute("DELETE FROM journal WHERE seq <= (SELECT MAX(seq) FROM journal) - ?", (JOURNAL_ROWS_MAX,))

    def journal(self, limit: int) -> tuple[JournalEntry, ...]:
        with self._reading() as connection:
            if connection is None:
                return ()
            query = "SELECT seq, at, code, event FROM journal ORDER BY seq DESC LIMIT ?"
            rows = connection.execute(query, (limit,)).fetchall()
        entries = (JournalEntry(seq=seq, at=at, code=code, event=json.loads(text)) for seq, at, code, text in rows)
        return tuple(entries)[::-1]

    def set_aside(self) -> Path:
        """Move a damaged database away, and return where to, so that the record can be rebuilt from the servers.

        The caller holds the lock. Conflict if the record reads well, which means that somebody else was faster.
        """
        with self._guard, self._os_errors(), files.alone_in(self._state_dir, BUSY_TIMEOUT_S):
            self._must_be_damaged()
            self.close()
            aside = next((path for path in self._asides() if not path.exists()), None)
            if aside is None:
                raise StoreError(f"{self._state_dir} holds {ASIDE_MAX} damaged records: look into that, then remove them")
            # The journal goes first: left behind, SQLite would roll it back into the new database.
            if self._rollback_journal.exists():
                self._rollback_journal.rename(f"{aside}-journal")
            self.path.rename(aside)
            files.sync_directory(self._state_dir)
            return aside

    def close(self) -> None:
        with self._guard:
            if self._connection is not None:
                self._connection.close()
            self._connection = self._opened = self._known = None

    def _must_be_damaged(self) -> None:
        """A record that somebody rebuilt in the meantime is not thrown away."""
        if files.identity(self.path) is None:
            raise self._nothing_here()
        with suppress(Damaged):
            self.close()
            self.load()
            raise Conflict(f"{self.path} is not damaged any more: read it again")

    # ---- opening -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        with self._guard, self._os_errors():
            yield self._open()

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is committed, on disk, when the block ends well."""
        with self._guard, self._os_errors():
            connection = self._open()
            if connection is None:
                raise self._nothing_here()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def _open(self) -> sqlite3.Connection | None:
        """The connection, to the file that is there now."""
        there = files.identity(self.path)
        if self._connection is not None and there == self._opened:
            return self._connection
        self.close()
        if there is None:
            if not self._create:
                return None
            self._build()
            there = files.identity(self.path)
        connection = _connect(self.path)
        try:
            _check(connection, self.path)
        except BaseException:
            connection.close()
            raise
        self._connection, self._opened = connection, there
        return connection

    def _build(self) -> None:
        """Create an empty store. It appears whole: a `record.db` that is not one is damaged, never half-made."""
        with files.alone_in(self._state_dir, BUSY_TIMEOUT_S):
            if files.identity(self.path) is not None:
                return
            # What is left of a database that was taken away must not be rolled back into the new one.
            self._rollback_journal.unlink(missing_ok=True)
            with files.new_file(self.path) as draft:
                connection = _connect(draft)
                try:
                    connection.executescript(_SCHEMA)
                finally:
                    connection.close()
                draft.with_name(f"{draft.name}-journal").unlink(missing_ok=True)

    @property
    def _rollback_journal(self) -> Path:
        return self.path.with_name("record.db-journal")

    def _asides(self) -> Iterator[Path]:
        return (self.path.with_name(f"record.db.damaged-{number}") for number in range(1, ASIDE_MAX + 1))

    def _nothing_here(self) -> StoreError:
        return StoreError(f"there is no cluster record in {self._state_dir}: run `replclus init` first")

    def _record(self, version: int, document: str, checksum: int) -> ClusterRecord:
        if self._known is not None and self._known[0] == document:
            return self._known[1]
        if not isinstance(document, str) or zlib.crc32(document.encode()) != checksum:
            raise Damaged(f"{self.path} is damaged: its checksum is wrong")
        record = ClusterRecord.from_json(document)
        if record.version != version:
            raise Damaged(f"{self.path} is damaged: it holds version {version} and {record.version} at once")
        self._known = (document, record)
        return record

    @contextmanager
    def _os_errors(self) -> Iterator[None]:
        """SQLite's and the operating system's errors in our words."""
        try:
            yield
        except sqlite3.Error as error:
            raise _translated(self.path, error) from error
        except OSError as error:
            raise StoreError(f"{error.filename or self.path} cannot be used: {error.strerror}") from error


def _connect(path: Path) -> sqlite3.Connection:
    """In autocommit mode: transactions are begun and ended by us. Never creates the file."""
    uri = f"file:{quote(os.fspath(path.absolute()))}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse what we did not write, or not like this."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION_ID:
        raise Damaged(f"{path} is damaged: it is empty, or not a cluster record")
    if version > _SCHEMA_VERSION:
        raise StoreError(f"{path} was written by a newer replclus (schema {version}): use that one")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise Damaged(f"{path} is damaged: {verdict}")
    connection.execute("PRAGMA journal_mode = TRUNCATE")


def _translated(path: Path, error: sqlite3.Error) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest says more exactly what went wrong
    match code:
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_ERROR:
            # The last is "no such table": the statements are ours, so the file was emptied while we had it open.
            return Damaged(f"{path} is damaged: {error}")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreError(f"{path} is locked by another process for more than {BUSY_TIMEOUT_S:g} s: find out by which")
        case sqlite3.SQLITE_CONSTRAINT:
            return StoreError(f"{path} refuses this change: {error}")
        case _:
            return StoreError(f"{path} cannot be used: {error}")


def _document(record: ClusterRecord) -> tuple[str, int]:
    """The last two columns of the table."""
    text = record.to_json()
    return text, zlib.crc32(text.encode())
