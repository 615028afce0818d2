"""The answers of a server, read by PyMySQL with three differences.

A packet is taken from the socket's buffer in one go. PyMySQL goes through five calls for each, and the answer to `SELECT 1` has
five: what is saved here pays for everything that routing adds to a statement (`benchmarks/overhead.py`).

Columns that are described as they were before are not understood again: programs ask the same questions over and over, and
PyMySQL takes longer over the description of a row than over the row.

And the session state at the end of an OK packet is understood (`tracking`), where PyMySQL would show it as a message.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from pymysql import err
from pymysql.constants import CR
from pymysql.protocol import MysqlPacket, OKPacketWrapper

from replclus.dbapi.private import Base, Result
from replclus.dbapi.tracking import SESSION_STATE_CHANGED, parse_tail

IN_TRANSACTION = 1
AUTOCOMMIT = 2
# A transaction is open that was begun READ ONLY.
IN_READ_ONLY = 0x2000
_EOF = struct.Struct("<HH")
_ERROR = 0xFF
# So many results of different shapes are remembered per connection.
SHAPES_MAX = 128
# A packet of this length is continued in the next one.
_LENGTH_MAX = 0xFFFFFF


class Wire(Base):
    """A connection that reads. `gtid`, `schema` and `told_mode` (sql_mode) are the last ones that the server told."""

    gtid: str | None = None
    schema: str | None = None
    told_mode: str | None = None

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.shapes: dict[tuple[str | bytes, ...], Shape] = {}

    def _read_packet(self, packet_type: type[MysqlPacket] = MysqlPacket) -> MysqlPacket:
        """As PyMySQL's, with the same errors: OperationalError 2013 when the connection breaks, InternalError out of sequence."""
        if self._current_timeout != self._read_timeout:
            assert self._sock is not None
            self._sock.settimeout(self._read_timeout)
            self._current_timeout = self._read_timeout
        data = self._read_piece()
        if len(data) == _LENGTH_MAX:
            pieces = [data]
            while len(pieces[-1]) == _LENGTH_MAX:
                pieces.append(self._read_piece())
            data = b"".join(pieces)
        packet = packet_type(data, self.encoding)
        if data and data[0] == _ERROR:
            if self._result is not None and self._result.unbuffered_active:
                self._result.unbuffered_active = False
            packet.raise_for_error()
        return packet

    def _read_piece(self) -> bytes:
        try:
            header = self._rfile.read(4)
            length = header[0] | header[1] << 8 | header[2] << 16
            data: bytes = self._rfile.read(length)
            number = header[3]
        except (OSError, IndexError) as error:
            self._force_close()
            detail = f" ({error})" if isinstance(error, OSError) else ""
            raise err.OperationalError(CR.CR_SERVER_LOST, f"Lost connection to MySQL server during query{detail}") from None
        except BaseException:
            # Somebody interrupts us: what is still to come would be taken for the answer to the next question.
            self._force_close()
            raise
        if len(data) < length or (number == 0 and self._next_seq_id):
            # MariaDB says good-bye with number 0.
            self._force_close()
            raise err.OperationalError(CR.CR_SERVER_LOST, "Lost connection to MySQL server during query")
        if number != self._next_seq_id:
            self._force_close()
            raise err.InternalError(f"Packet sequence number wrong - got {number} expected {self._next_seq_id}")
        self._next_seq_id = (number + 1) & 0xFF
        return data

    def _read_query_result(self, unbuffered: bool = False) -> int:
        self._result = None
        result = TrackedResult(self)
        try:
            if unbuffered:
                result.init_unbuffered_query()
            else:
                result.read()
        except err.MySQLError:
            if not self.server_status & AUTOCOMMIT:
                # An error comes without a status. What failed may have opened a transaction, with its locks and its snapshot.
                self.server_status |= IN_TRANSACTION
            raise
        self._result = result
        status = result.server_status
        if status is not None:
            self.server_status = status
            if status & SESSION_STATE_CHANGED:
                result.message = self._hear(result.message)
        elif result.unbuffered_active and not self.server_status & AUTOCOMMIT:
            # The status comes only after the last row, but the transaction has begun.
            self.server_status |= IN_TRANSACTION
        return result.affected_rows  # type: ignore[return-value]  # None only before it is read

    def _read_ok_packet(self) -> OKPacketWrapper:
        ok: OKPacketWrapper = super()._read_ok_packet()
        if ok.server_status & SESSION_STATE_CHANGED:
            self._hear(ok.message)
        return ok

    def _hear(self, message: bytes) -> bytes:
        """Note the session state at the end of an OK packet; what is returned is the message without it."""
        tail = parse_tail(message)
        if tail.gtid is not None:
            self.gtid = tail.gtid
        if tail.schema is not None:
            self.schema = tail.schema
        if tail.sql_mode is not None:
            self.told_mode = tail.sql_mode
        return tail.info


class Shape(NamedTuple):
    """What PyMySQL makes of the descriptions of a result's columns. Nobody changes it."""

    fields: list[Any]
    converters: list[Any]
    description: tuple[Any, ...]


class _Played:
    """Stands for the connection while PyMySQL understands descriptions that have been read already."""

    def __init__(self, wire: Wire, packets: Sequence[bytes]) -> None:
        self.use_unicode, self.encoding, self.decoders = wire.use_unicode, wire.encoding, wire.decoders
        self._packets = iter(packets)

    def _read_packet(self, packet_type: type[MysqlPacket] = MysqlPacket) -> MysqlPacket:
        return packet_type(next(self._packets), self.encoding)


class TrackedResult(Result):
    """A result that notes the status at the end of its rows. PyMySQL drops it, yet after a SELECT with autocommit off it is
    what says that a transaction is open.
    """

    def _get_descriptions(self) -> None:
        wire = self.connection
        assert isinstance(wire, Wire)
        # One more than there are columns: the packet that ends them.
        packets = [wire._read_packet().get_all_data() for _ in range(self.field_count + 1)]  # type: ignore[no-untyped-call]
        key = (wire.encoding, *packets[:-1])
        shape = wire.shapes.get(key)
        if shape is None:
            self.connection = _Played(wire, packets)
            super()._get_descriptions()
            self.connection = wire
            if len(wire.shapes) >= SHAPES_MAX:
                wire.shapes.clear()
            wire.shapes[key] = Shape(self.fields, self.converters, self.description)
        else:
            self.fields, self.converters, self.description = shape

    def _check_packet_is_eof(self, packet: MysqlPacket) -> bool:
        data = packet.get_all_data()  # type: ignore[no-untyped-call]
        if data[0] != 0xFE or len(data) >= 9:
            return False
        self.warning_count, status = _EOF.unpack_from(data, 1)
        self.has_next = status & 8
        assert isinstance(self.connection, Wire)
        self.connection.server_status = status
        return True


def nothing_done() -> Result:
    """The result of a statement that had nothing left to do."""
    result = Result(None)  # type: ignore[arg-type]  # it is only needed to read packets
    result.affected_rows = result.insert_id = 0
    return result
