"""What a server says at the end of an OK packet when session tracking is on.

PyMySQL does not know CLIENT_SESSION_TRACK and leaves all that follows the warning count in one piece. That piece is
`lenenc info`, then, if the status has SESSION_STATE_CHANGED, `lenenc block` of entries `type, lenenc data`. Both families
write it so; see https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_ok_packet.html
"""

from __future__ import annotations

from dataclasses import dataclass

CLIENT_SESSION_TRACK = 1 << 23
SESSION_STATE_CHANGED = 0x4000

_SYSTEM_VARIABLE, _SCHEMA, _GTIDS = 0, 1, 3


@dataclass(frozen=True, slots=True)
class Tail:
    """`info` is what PyMySQL would have found without session tracking; the others are None when not told."""

    info: bytes
    gtid: str | None = None
    schema: str | None = None
    sql_mode: str | None = None


def parse_tail(message: bytes) -> Tail:
    """Take `message` apart. ValueError if it is cut short."""
    try:
        start, end = _string(message, 0)
        # PyMySQL keeps the length byte before the text, and nothing at all where there is no text.
        info = message[:end] if end > start else b""
        position, stop = _string(message, end)
        gtid = schema = sql_mode = None
        while position < stop:
            kind = message[position]
            first, position = _string(message, position + 1)
            if kind == _GTIDS:
                # One byte for the encoding, of which only 0, a plain string, exists.
                first, last = _string(message, first + 1)
                gtid = message[first:last].decode("ascii")
            elif kind == _SYSTEM_VARIABLE:
                name_start, name_end = _string(message, first)
                first, last = _string(message, name_end)
                match message[name_start:name_end]:
                    case b"last_gtid":
                        gtid = message[first:last].decode("ascii") or gtid
                    case b"sql_mode":
                        sql_mode = message[first:last].decode("ascii")
            elif kind == _SCHEMA:
                first, last = _string(message, first)
                schema = message[first:last].decode("utf-8", "replace")
    except IndexError:
        raise ValueError(f"the session state of an OK packet is cut short: {message!r}") from None
    return Tail(info, gtid, schema, sql_mode)


def _string(data: bytes, position: int) -> tuple[int, int]:
    """Where the length-encoded string at `position` starts and ends. IndexError if it is not all there."""
    length = data[position]
    position += 1
    if length >= 0xFB:
        width = {0xFC: 2, 0xFD: 3, 0xFE: 8}[length] if length in (0xFC, 0xFD, 0xFE) else len(data)
        length = int.from_bytes(data[position : position + width], "little")
        position += width
    if position + length > len(data):
        raise IndexError(position)
    return position, position + length
