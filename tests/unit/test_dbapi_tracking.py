"""Session state in OK packets, from bytes recorded on MariaDB 10.11.19 and MySQL 9.7.4."""

from __future__ import annotations

import pytest

from replclus.dbapi.tracking import Tail, parse_tail

UUID = "62e70a86-e775-11f1-a2fa-02fc00000001"
MATCHED = b"(Rows matched: 1  Changed: 1  Warnings: 0"


@pytest.mark.parametrize(
    ("message", "tail"),
    [
        pytest.param(b"\x00\x12\x00\x10\tlast_gtid\x050-1-3", Tail(b"", gtid="0-1-3"), id="mariadb insert"),
        pytest.param(MATCHED + b"\x12\x00\x10\tlast_gtid\x050-1-4", Tail(MATCHED, gtid="0-1-4"), id="mariadb update"),
        pytest.param(b"\x00\x06\x01\x04\x03app", Tail(b"", schema="app"), id="use"),
        pytest.param(
            b"\x00r\x00\x0e\nautocommit\x02ON\x00!\x18character_set_connection\x07utf8mb4\x00\x1d\x14character_set_client\x07"
            b"utf8mb4\x00\x1e\x15character_set_results\x07utf8mb4",
            Tail(b""),
            id="mariadb set",
        ),
        pytest.param(b"\x00*\x03(\x00&" + f"{UUID}:3".encode(), Tail(b"", gtid=f"{UUID}:3"), id="mysql insert"),
        pytest.param(MATCHED + b"*\x03(\x00&" + f"{UUID}:4".encode(), Tail(MATCHED, gtid=f"{UUID}:4"), id="mysql update"),
        pytest.param(b"\x00\x0b\x05\t\x08T_______", Tail(b""), id="mysql begin"),
        pytest.param(
            b"\x005\x03(\x00&" + f"{UUID}:5".encode() + b"\x05\t\x08________", Tail(b"", gtid=f"{UUID}:5"), id="mysql commit"
        ),
        pytest.param(b"\x00\x0d\x00\x0b\tlast_gtid\x00", Tail(b""), id="a variable that is empty again"),
    ],
)
def test_recorded_packets(message: bytes, tail: Tail) -> None:
    assert parse_tail(message) == tail


def test_long_strings() -> None:
    """A GTID set above 250 bytes has a length of three bytes."""
    gtids = ",".join(f"{UUID[:-1]}{digit}:1-1000" for digit in range(9)).encode()
    inner = b"\x00" + b"\xfc" + len(gtids).to_bytes(2, "little") + gtids
    block = b"\x03\xfc" + len(inner).to_bytes(2, "little") + inner
    message = b"\x00\xfc" + len(block).to_bytes(2, "little") + block
    assert parse_tail(message).gtid == gtids.decode()


@pytest.mark.parametrize("cut", range(1, 21))
def test_cut_short(cut: int) -> None:
    with pytest.raises(ValueError, match="cut short"):
        parse_tail((b"\x00\x12\x00\x10\tlast_gtid\x050-1-3")[:-cut])
