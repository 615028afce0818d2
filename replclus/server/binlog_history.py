"""Which transactions stand in a server's binary log files, where in them, and of what kind; both families.

The bytes of chosen transactions can be copied into a small binary log of their own, which the families' tools read like
any other. So nothing needs those tools to choose by GTID, which MariaDB's can do only lately, and only by position.
MariaDB's own events: https://mariadb.com/kb/en/gtid_event/, https://mariadb.com/kb/en/gtid_list_event/
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import reduce
from pathlib import Path
from typing import BinaryIO

from replclus.model.gtid import GtidSet, MariadbGtidSet, empty_gtid_set
from replclus.model.spec import Flavour
from replclus.server.binlog_file import BinlogUnreadable, Event, EventType, events, gtid, previous_gtids, statement

# How many files are looked through, newest first, before giving up.
FILES_MAX = 1000
_COPY_CHUNK_BYTES = 1 << 20

Table = tuple[str, str]


class MariadbType(IntEnum):
    """MariaDB's own event types that matter here."""

    GTID = 162
    GTID_LIST = 163
    START_ENCRYPTION = 164
    QUERY_COMPRESSED = 165


_STANDALONE = 0x01
_MARIADB_GTID = struct.Struct("<QIB")
_MARIADB_ORIGIN = struct.Struct("<IIQ")
_COUNT_BITS = (1 << 28) - 1
_TABLE_MAP = 19
_ROW_TYPES = frozenset({23, 24, 25, 30, 31, 32, 166, 167, 168, 169, 170, 171})
_SECOND_VERSION = frozenset({30, 31, 32, 169, 170, 171})
_UPDATES = frozenset({24, 31, 167, 170})
# Behind these no transaction goes on.
_BETWEEN = frozenset({EventType.ROTATE, EventType.STOP, EventType.FORMAT_DESCRIPTION, 161, MariadbType.GTID_LIST})
_OPENING, _CLOSING = (b"BEGIN",), (b"COMMIT", b"ROLLBACK")
_INNER = (b"SAVEPOINT", b"ROLLBACK TO", b"RELEASE")


@dataclass(slots=True)
class Logged:
    """One transaction in `file`, from byte `start` up to `end`.

    `complete`: its last event is there; a server that crashes may leave half a transaction. `rows_only`: nothing but row
    changes. `tables` are those it changed rows of, `partial` those where not every column of a row was written down.
    """

    gtids: GtidSet
    file: Path
    start: int
    end: int
    complete: bool = False
    rows_only: bool = True
    tables: set[Table] = field(default_factory=set)
    partial: set[Table] = field(default_factory=set)


def log_files(index: Path) -> list[Path]:
    """The files that `index` lists, oldest first; names in it are relative to its directory. Empty if there is no log."""
    try:
        names = [line.strip() for line in index.read_text().splitlines() if line.strip()]
    except FileNotFoundError:
        return []
    return [index.parent / name for name in names]


def earlier(file: Path, flavour: Flavour) -> GtidSet:
    """What all earlier files together hold, as this one says in its first events. BinlogUnreadable, OSError."""
    with file.open("rb") as log:
        for event in events(log):
            if event.type == EventType.PREVIOUS_GTIDS:
                return previous_gtids(event)
            if event.type == MariadbType.GTID_LIST and flavour is Flavour.MARIADB:
                return _gtid_list(event)
            _refuse_encrypted(event, flavour)
    return empty_gtid_set(flavour)


def newest_until(files: Sequence[Path], flavour: Flavour, enough: Callable[[GtidSet], bool]) -> list[Path]:
    """The newest of `files`, oldest first, from the one before which nothing of interest can be: `enough` says so of what
    earlier files hold. At most FILES_MAX."""
    found: list[Path] = []
    for file in reversed(files[-FILES_MAX:]):
        found.append(file)
        if enough(earlier(file, flavour)):
            break
    return found[::-1]


def transactions(file: Path, flavour: Flavour) -> Iterator[Logged]:
    """Every transaction in `file`, in order. BinlogUnreadable, OSError."""
    with file.open("rb") as log:
        walk = _Walk(file, flavour)
        end = 0
        for event in events(log):
            done = walk.take(event)
            if done is not None:
                yield done
            end = log.tell()
        if (last := walk.finish(end)) is not None:
            yield last


def copy_out(chosen: Sequence[Logged], directory: Path, bytes_max: int) -> list[Logged]:
    """Copy `chosen`, which are in order, into `extra-1.binlog`, … in `directory`: one for each file that they are in.

    The same transactions, in their new places. Each file begins with the format description of its origin; all are synced.
    OSError; ValueError beyond `bytes_max`.
    """
    size = sum(one.end - one.start for one in chosen)
    if size > bytes_max:
        raise ValueError(f"the transactions take {size} bytes, more than the {bytes_max} that are allowed")
    copied: list[Logged] = []
    for number, file in enumerate(files_of(chosen), start=1):
        copy = directory / f"extra-{number}.binlog"
        with file.open("rb") as log, _private(copy) as out:
            _copy_range(log, out, 0, _description_end(file))
            for one in chosen:
                if one.file == file:
                    start = out.tell()
                    _copy_range(log, out, one.start, one.end)
                    copied.append(replace(one, file=copy, start=start, end=out.tell()))
            out.flush()
            os.fsync(out.fileno())
    return copied


def files_of(logged: Sequence[Logged]) -> list[Path]:
    """The files that they are in, in order."""
    return list(dict.fromkeys(one.file for one in logged))


def union(chosen: Sequence[Logged], flavour: Flavour) -> GtidSet:
    """All their names in one set."""
    return reduce(lambda known, one: known.union(one.gtids), chosen, empty_gtid_set(flavour))


class _Walk:
    """Cuts a stream of events into transactions."""

    def __init__(self, file: Path, flavour: Flavour) -> None:
        self._file = file
        self._flavour = flavour
        self._open: Logged | None = None
        self._standalone = False
        self._first = True
        self._maps: dict[int, tuple[Table, int]] = {}

    def take(self, event: Event) -> Logged | None:
        """The transaction that has ended before this event, if one has."""
        _refuse_encrypted(event, self._flavour)
        name = self._name(event)
        if name is not None:
            done = self.finish(event.offset)
            self._open = Logged(name, self._file, event.offset, event.offset)
            self._first = True
            self._maps = {}
            return done
        if event.type in _BETWEEN or event.type == EventType.ANONYMOUS_GTID:
            return self.finish(event.offset)
        if self._open is not None:
            self._inside(self._open, event)
        return None

    def finish(self, end: int) -> Logged | None:
        done, self._open = self._open, None
        if done is not None:
            done.end = end
        return done

    def _name(self, event: Event) -> GtidSet | None:
        match self._flavour:
            case Flavour.MYSQL if event.type in (EventType.GTID, EventType.GTID_TAGGED):
                return gtid(event).as_set()
            case Flavour.MARIADB if event.type == MariadbType.GTID:
                if len(event.body) < _MARIADB_GTID.size:
                    raise BinlogUnreadable(f"the GTID event at offset {event.offset} is too short")
                number, domain, flags = _MARIADB_GTID.unpack_from(event.body)
                self._standalone = bool(flags & _STANDALONE)
                return MariadbGtidSet.of({(domain, event.server_id): [(number, number)]})
            case _:
                return None

    def _inside(self, one: Logged, event: Event) -> None:
        if event.type in (EventType.XID, EventType.XA_PREPARE, EventType.TRANSACTION_PAYLOAD):
            one.complete = True
            one.rows_only = one.rows_only and event.type == EventType.XID
        elif event.type in (EventType.QUERY, MariadbType.QUERY_COMPRESSED):
            text = statement(event).text if event.type == EventType.QUERY else b""
            self._said(one, text)
        elif event.type == _TABLE_MAP:
            number, table, columns = _table_map(event)
            self._maps[number] = (table, columns)
        elif event.type in _ROW_TYPES:
            self._changed(one, event)

    def _said(self, one: Logged, text: bytes) -> None:
        first, self._first = self._first, False
        if text in _OPENING:
            return
        if text in _CLOSING:
            one.complete = True
            # ROLLBACK in the log means that a table without transactions was changed.
            one.rows_only = one.rows_only and text == b"COMMIT"
        elif not text.startswith(_INNER):
            alone = self._standalone if self._flavour is Flavour.MARIADB else first
            one.complete = one.complete or alone or text.startswith(b"XA ")
            one.rows_only = False

    def _changed(self, one: Logged, event: Event) -> None:
        number = int.from_bytes(event.body[:6], "little")
        known = self._maps.get(number)
        if known is None:
            one.rows_only = False
            return
        table, columns = known
        one.tables.add(table)
        # The second version of these events has a block of extras before the count, which begins with its own length.
        start = 8 + (int.from_bytes(event.body[8:10], "little") if event.type in _SECOND_VERSION else 0)
        start += _packed_bytes(event.body, start)
        size = (columns + 7) // 8
        bitmaps = 2 if event.type in _UPDATES else 1
        if any(not _all_set(event.body[start + nth * size : start + (nth + 1) * size], columns) for nth in range(bitmaps)):
            one.partial.add(table)


def _gtid_list(event: Event) -> MariadbGtidSet:
    body = event.body
    count = int.from_bytes(body[:4], "little") & _COUNT_BITS
    if len(body) < 4 + count * _MARIADB_ORIGIN.size:
        raise BinlogUnreadable(f"the list of earlier transactions at offset {event.offset} ends too early")
    found = [_MARIADB_ORIGIN.unpack_from(body, 4 + nth * _MARIADB_ORIGIN.size) for nth in range(count)]
    return MariadbGtidSet.of({(domain, server): [(1, last)] for domain, server, last in found if last})


def _table_map(event: Event) -> tuple[int, Table, int]:
    """Number, (schema, table), and how many columns. Names end with a NUL that their length does not count."""
    body = event.body
    try:
        number, at = int.from_bytes(body[:6], "little"), 8
        schema = body[at + 1 : at + 1 + body[at]]
        at += body[at] + 2
        table = body[at + 1 : at + 1 + body[at]]
        at += body[at] + 2
        width = _packed_bytes(body, at)
        columns = body[at] if width == 1 else int.from_bytes(body[at + 1 : at + width], "little")
    except IndexError:
        raise BinlogUnreadable(f"the table at offset {event.offset} is described only in part") from None
    return number, (schema.decode("utf-8", "replace"), table.decode("utf-8", "replace")), columns


def _packed_bytes(body: bytes, at: int) -> int:
    """How many bytes a packed integer takes."""
    return {252: 3, 253: 4, 254: 9}.get(body[at], 1) if at < len(body) else 1


def _all_set(bitmap: bytes, columns: int) -> bool:
    wanted = (1 << columns) - 1
    return int.from_bytes(bitmap, "little") & wanted == wanted


def _refuse_encrypted(event: Event, flavour: Flavour) -> None:
    if flavour is Flavour.MARIADB and event.type == MariadbType.START_ENCRYPTION:
        raise BinlogUnreadable("it is encrypted (encrypt_binlog=ON)")


def _description_end(file: Path) -> int:
    with file.open("rb") as log:
        next(events(log))
        return log.tell()


def _copy_range(source: BinaryIO, target: BinaryIO, start: int, end: int) -> None:
    source.seek(start)
    left = end - start
    while left > 0 and (chunk := source.read(min(left, _COPY_CHUNK_BYTES))):
        target.write(chunk)
        left -= len(chunk)


def _private(path: Path) -> BinaryIO:
    """A new file that only we may open."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb")
