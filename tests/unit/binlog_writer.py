"""Writes MySQL binary log files by hand, so that every situation can be put before the reader, damage included."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from replclus.server.binlog_file import MAGIC, EventType

U1 = "11111111-1111-1111-1111-111111111111"
U2 = "22222222-2222-2222-2222-222222222222"


@dataclass
class BinlogWriter:
    """A file in the making. `offsets` has where each GTID event starts, by its text."""

    checksums: bool = True
    closed: bool = False
    content: bytearray = field(default_factory=lambda: bytearray(MAGIC))
    offsets: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        body = struct.pack("<H50sIB", 4, b"9.7.4", 0, 19) + bytes(42) + bytes([int(self.checksums)])
        self._event(EventType.FORMAT_DESCRIPTION, body, flags=0 if self.closed else 1, checksum=True)

    def previous(self, *sets: tuple[str, str, int, int], tagged: bool = False) -> BinlogWriter:
        """`(uuid, tag, first, last)` of what earlier files hold."""
        word = 1 << 56 | len(sets) << 8 | 1 if tagged else len(sets)
        body = struct.pack("<Q", word)
        for uuid, tag, first, last in sets:
            name = bytes([len(tag) << 1]) + tag.encode() if tagged else b""
            body += UUID(uuid).bytes + name + struct.pack("<Qqq", 1, first, last + 1)
        return self._event(EventType.PREVIOUS_GTIDS, body)

    def gtid(self, uuid: str, number: int, tag: str = "") -> BinlogWriter:
        self.offsets[":".join(part for part in (uuid, tag, str(number)) if part)] = len(self.content)
        if not tag:
            return self._event(EventType.GTID, struct.pack("<B16sq", 0, UUID(uuid).bytes, number) + bytes(17))
        fields = b"\x00" + variable(1) + b"\x02" + b"".join(variable(byte) for byte in UUID(uuid).bytes)
        fields += b"\x04" + variable(number << 1) + b"\x06" + variable(len(tag)) + tag.encode()
        return self._event(EventType.GTID_TAGGED, variable(1) + variable(len(fields) + 3) + variable(0) + fields)

    def query(self, text: str, *, variables: bytes = b"", schema: str = "app") -> BinlogWriter:
        head = struct.pack("<IIBHH", 7, 0, len(schema), 0, len(variables))
        return self._event(EventType.QUERY, head + variables + schema.encode() + b"\0" + text.encode())

    def ddl(self, text: str) -> BinlogWriter:
        """As MySQL writes it: sql_mode, catalog, schemas touched, time, and the XID behind them."""
        variables = b"\x01" + bytes(8) + b"\x06\x03std" + b"\x0c\x01app\0" + b"\x0d\0\0\0" + b"\x11" + bytes(8)
        return self.query(text, variables=variables)

    def rows(self) -> BinlogWriter:
        return self.other(19, b"table").other(30, b"rows")

    def xid(self) -> BinlogWriter:
        return self.other(EventType.XID, bytes(8))

    def transaction(self, uuid: str, number: int, tag: str = "") -> BinlogWriter:
        return self.gtid(uuid, number, tag).query("BEGIN").rows().xid()

    def other(self, kind: int, body: bytes) -> BinlogWriter:
        return self._event(kind, body)

    def save(self, directory: Path, name: str = "binlog.000002") -> Path:
        """The file and an index that ends with it; returns the index."""
        (directory / name).write_bytes(self.content)
        index = directory / "binlog.index"
        index.write_text(f"./binlog.000001\n./{name}\n")
        return index

    def _event(self, kind: int, body: bytes, flags: int = 0, checksum: bool | None = None) -> BinlogWriter:
        checksum = self.checksums if checksum is None else checksum
        length = 19 + len(body) + (4 if checksum else 0)
        end = len(self.content) + length

        def header(shown: int) -> bytes:
            return struct.pack("<IBIIIH", 0, kind, 1, length, end, shown)

        self.content += header(flags) + body
        if checksum:
            # The server computes the first event's with the in-use flag off.
            self.content += struct.pack("<I", zlib.crc32(header(flags & ~1) + body))
        return self


def variable(value: int) -> bytes:
    """MySQL's variable length integer: the number of low one-bits says how many bytes follow."""
    for extra in range(8):
        if value < 1 << 7 * (extra + 1):
            return (value << (extra + 1) | ((1 << extra) - 1)).to_bytes(extra + 1, "little")
    return b"\xff" + value.to_bytes(8, "little")
