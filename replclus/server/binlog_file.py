"""Read a MySQL binary log file from disk, far enough to know which transaction starts where.

Version 4 of the format, the only one since MySQL 5.0. Every event is a 19-byte header, a body and, usually, a CRC32.
https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_replication_binlog_event.html

What may follow a crash is told apart from damage: a last event that was only half written ends the walk quietly (the
server drops it on its own), anything else that does not add up raises `BinlogUnreadable`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import BinaryIO
from uuid import UUID

from replclus.model.gtid import MysqlGtidSet

MAGIC = b"\xfebin"
ENCRYPTED_MAGIC = b"\xfdbin"

# Timestamp, type, server id, length, end position in the file, flags.
_HEADER = struct.Struct("<IBIIIH")
_CHECKSUM_BYTES = 4
_CRC32 = 1
_FLAG_IN_USE = 0x1
# The body of the first event: format version, server version, creation time, header length, lengths per type.
_FORMAT_VERSION = struct.Struct("<H")
_GTID_BODY = struct.Struct("<B16sq")
# The head of a statement: thread, seconds, length of the schema name, error, length of the status variables.
_QUERY_HEAD = struct.Struct("<IIBHH")
# Status variables of one length: code to bytes. 17 is what we look for: the XID of a statement that can be rolled back.
_FIXED_VARIABLES = {0: 4, 1: 8, 3: 4, 4: 6, 7: 2, 8: 2, 9: 8, 10: 4, 13: 3, 16: 1, 17: 8, 18: 2, 19: 1, 20: 1}
_TEXT_VARIABLES = {5: 1, 6: 1, 11: 2}
_UPDATED_SCHEMAS, _TOO_MANY_SCHEMAS = 12, 254
_DDL_XID = 17


class EventType(IntEnum):
    """The event types that matter here."""

    QUERY = 2
    STOP = 3
    ROTATE = 4
    FORMAT_DESCRIPTION = 15
    XID = 16
    GTID = 33
    ANONYMOUS_GTID = 34
    PREVIOUS_GTIDS = 35
    XA_PREPARE = 38
    TRANSACTION_PAYLOAD = 40
    GTID_TAGGED = 42


class BinlogUnreadable(Exception):
    """The file is not what we know how to read. The message says at which offset, and why."""


@dataclass(frozen=True, slots=True)
class Event:
    """`offset` is where its header starts; `body` is without header and checksum. `server_id` is the origin's."""

    offset: int
    type: int
    flags: int
    body: bytes
    server_id: int = 0


@dataclass(frozen=True, slots=True)
class Gtid:
    """One transaction's name. `tag` is "" for an untagged one."""

    uuid: str
    tag: str
    number: int

    def as_set(self) -> MysqlGtidSet:
        return MysqlGtidSet.of({(self.uuid, self.tag): [(self.number, self.number)]})

    def __str__(self) -> str:
        return ":".join(part for part in (self.uuid, self.tag, str(self.number)) if part)


def events(file: BinaryIO) -> Iterator[Event]:
    """Every complete event of a binary log file opened for reading, in order. The first is the format description."""
    magic = file.read(4)
    if magic == ENCRYPTED_MAGIC:
        raise BinlogUnreadable("it is encrypted (binlog_encryption=ON)")
    if magic != MAGIC:
        raise BinlogUnreadable("it does not start like a binary log")
    # Until the first event tells otherwise: that event always carries a checksum field itself.
    checksummed = True
    offset = 4
    while header := file.read(_HEADER.size):
        if len(header) < _HEADER.size:
            return
        _, kind, server_id, length, end, flags = _HEADER.unpack(header)
        if offset == 4:
            checksummed = _describes_checksums(file, kind, length)
        smallest = _HEADER.size + (_CHECKSUM_BYTES if checksummed else 0)
        if length < smallest or end != offset + length:
            raise BinlogUnreadable(f"the event at offset {offset} has an impossible length or position")
        rest = file.read(length - _HEADER.size)
        if len(rest) < length - _HEADER.size:
            return
        if checksummed:
            _check(header, rest, flags, offset, kind)
            rest = rest[:-_CHECKSUM_BYTES]
        yield Event(offset, kind, flags, rest, server_id)
        offset += length


def closed_properly(description: Event) -> bool:
    """Whether the server finished this file itself, by a clean stop or by rotating to the next one."""
    return not description.flags & _FLAG_IN_USE


def previous_gtids(event: Event) -> MysqlGtidSet:
    """What all earlier files together hold: the body of the PREVIOUS_GTIDS event, with or without tags."""
    reader = _Reader(event.body, event.offset)
    word = reader.unsigned(8)
    # The topmost byte is the format. The tagged one repeats it in the lowest byte, around the count.
    match word >> 56:
        case 0:
            tagged, count = False, word
        case 1:
            tagged, count = True, (word >> 8) & ((1 << 48) - 1)
        case other:
            raise BinlogUnreadable(f"the list of earlier transactions at offset {event.offset} has unknown format {other}")
    pairs: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for _ in range(count):
        uuid = str(UUID(bytes=reader.take(16)))
        tag = reader.text() if tagged else ""
        # Intervals are written as [first, end).
        intervals = [(reader.unsigned(8), reader.unsigned(8) - 1) for _ in range(reader.unsigned(8))]
        pairs.setdefault((uuid, tag), []).extend(intervals)
    return MysqlGtidSet.of(pairs)


def gtid(event: Event) -> Gtid:
    """The name in a GTID or GTID_TAGGED event."""
    if event.type == EventType.GTID:
        if len(event.body) < _GTID_BODY.size:
            raise BinlogUnreadable(f"the GTID event at offset {event.offset} is too short")
        _, uuid, number = _GTID_BODY.unpack_from(event.body)
        return Gtid(str(UUID(bytes=uuid)), "", number)
    return _tagged_gtid(event)


def _tagged_gtid(event: Event) -> Gtid:
    """A message of numbered fields in MySQL's own serialization: version, size, last required field, then the fields.

    Field 0 is the flags, 1 the uuid byte by byte, 2 the number (zigzag), 3 the tag; later ones do not concern us.
    """
    reader = _Reader(event.body, event.offset)
    reader.variable(), reader.variable(), reader.variable()
    reader.field(0)
    reader.variable()
    reader.field(1)
    uuid = bytes(reader.byte() for _ in range(16))
    reader.field(2)
    zigzag = reader.variable()
    reader.field(3)
    return Gtid(str(UUID(bytes=uuid)), reader.text(), (zigzag >> 1) ^ -(zigzag & 1))


@dataclass(frozen=True, slots=True)
class Statement:
    """A QUERY event. `ddl_xid`: it is DDL that InnoDB prepared under a number, so that recovery can roll it back."""

    text: bytes
    ddl_xid: bool


def statement(event: Event) -> Statement:
    """The SQL text of a QUERY event: DDL, or what stands around row events (`BEGIN`, `COMMIT`, `SAVEPOINT` …)."""
    if len(event.body) < _QUERY_HEAD.size:
        raise BinlogUnreadable(f"the statement at offset {event.offset} is too short")
    _, _, schema_length, _, variables_length = _QUERY_HEAD.unpack_from(event.body)
    reader = _Reader(event.body[_QUERY_HEAD.size :], event.offset)
    variables = reader.take(variables_length)
    reader.take(schema_length + 1)
    return Statement(reader.rest(), _DDL_XID in _status_variables(variables, event.offset))


def _status_variables(encoded: bytes, offset: int) -> set[int]:
    """The codes of a statement's status variables, up to the first one that is not known here."""
    reader = _Reader(encoded, offset)
    codes: set[int] = set()
    while not reader.at_end:
        code = reader.unsigned(1)
        if code in _FIXED_VARIABLES:
            reader.take(_FIXED_VARIABLES[code])
        elif code in _TEXT_VARIABLES:
            for _ in range(_TEXT_VARIABLES[code]):
                reader.take(reader.unsigned(1))
        elif code == _UPDATED_SCHEMAS:
            count = reader.unsigned(1)
            for _ in range(0 if count == _TOO_MANY_SCHEMAS else count):
                reader.skip_past_nul()
        else:
            break
        codes.add(code)
    return codes


class _Reader:
    """A cursor over an event's body. Running past the end is damage, never an IndexError."""

    def __init__(self, body: bytes, offset: int) -> None:
        self._body = body
        self._at = 0
        self._offset = offset

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._body)

    def skip_past_nul(self) -> None:
        while self.unsigned(1):
            pass

    def take(self, size: int) -> bytes:
        piece = self._body[self._at : self._at + size]
        if len(piece) < size:
            raise BinlogUnreadable(f"the event at offset {self._offset} ends too early")
        self._at += size
        return piece

    def rest(self) -> bytes:
        return self.take(len(self._body) - self._at)

    def unsigned(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def variable(self) -> int:
        """1 to 9 bytes: as many further bytes as the first one has low bits set, and the value above those bits."""
        first = self.take(1)[0]
        extra = 0
        while extra < 8 and first >> extra & 1:
            extra += 1
        if extra == 8:
            return self.unsigned(8)
        word = first | int.from_bytes(self.take(extra), "little") << 8
        return word >> (extra + 1)

    def byte(self) -> int:
        value = self.variable()
        if value > 0xFF:
            raise BinlogUnreadable(f"the event at offset {self._offset} holds {value} where one byte belongs")
        return value

    def field(self, number: int) -> None:
        found = self.variable()
        if found != number:
            raise BinlogUnreadable(f"the event at offset {self._offset} has field {found} where {number} belongs")

    def text(self) -> str:
        return self.take(self.variable()).decode("ascii", "replace")


def _describes_checksums(file: BinaryIO, kind: int, length: int) -> bool:
    """Look ahead into the first event: its last five bytes are the checksum algorithm and the event's own checksum."""
    start = file.tell()
    body = file.read(max(0, length - _HEADER.size))
    file.seek(start)
    if kind != EventType.FORMAT_DESCRIPTION or len(body) < _FORMAT_VERSION.size + 1 + _CHECKSUM_BYTES:
        raise BinlogUnreadable("it does not begin with a format description")
    if _FORMAT_VERSION.unpack_from(body)[0] != 4:
        raise BinlogUnreadable("its format is not version 4")
    algorithm = body[-_CHECKSUM_BYTES - 1]
    if algorithm not in (0, _CRC32):
        raise BinlogUnreadable(f"its checksum algorithm {algorithm} is unknown")
    return algorithm == _CRC32


def _check(header: bytes, rest: bytes, flags: int, offset: int, kind: int) -> None:
    if kind == EventType.FORMAT_DESCRIPTION:
        # The in-use flag is changed in place when the file is closed, so the checksum is that of the flag cleared.
        header = header[:-2] + struct.pack("<H", flags & ~_FLAG_IN_USE)
    stored = int.from_bytes(rest[-_CHECKSUM_BYTES:], "little")
    if zlib.crc32(rest[:-_CHECKSUM_BYTES], zlib.crc32(header)) != stored:
        raise BinlogUnreadable(f"the checksum of the event at offset {offset} is wrong")
