"""Reading MySQL binary log files, from bytes a real 9.7.4 wrote and from bytes written by hand."""

from __future__ import annotations

import io
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replclus.server.binlog_file import (
    ENCRYPTED_MAGIC,
    BinlogUnreadable,
    Event,
    EventType,
    closed_properly,
    events,
    gtid,
    previous_gtids,
    statement,
)
from tests.unit.binlog_writer import U1, U2, BinlogWriter

# Bodies recorded on MySQL 9.7.4, without header and checksum.
UNTAGGED = "002eebea56e77711f199c602fc0000000104000000000000000202000000000000000400000000000000104811edf66006fc0a0150620100"
TAGGED = "0272000000025cad03a903ac9d03ee22c5036502190304f1030000000204040608626c756508080a140c7f5f4c11edf66006102d041283120b"
PREVIOUS_TAGGED = (
    "01020000000000012eebea56e77711f199c602fc0000000100010000000000000001000000000000000500000000000000"
    "2eebea56e77711f199c602fc0000000108626c7565010000000000000001000000000000000200000000000000"
)


def read(content: bytes | bytearray) -> list[Event]:
    return list(events(io.BytesIO(bytes(content))))


def test_the_names_a_real_server_wrote() -> None:
    assert str(gtid(Event(0, EventType.GTID, 0, bytes.fromhex(UNTAGGED)))) == "2eebea56-e777-11f1-99c6-02fc00000001:4"
    assert str(gtid(Event(0, EventType.GTID_TAGGED, 0, bytes.fromhex(TAGGED)))) == "2eebea56-e777-11f1-99c6-02fc00000001:blue:1"


def test_the_earlier_transactions_a_real_server_wrote() -> None:
    event = Event(127, EventType.PREVIOUS_GTIDS, 0x80, bytes.fromhex(PREVIOUS_TAGGED))
    assert str(previous_gtids(event)) == "2eebea56-e777-11f1-99c6-02fc00000001:1-4:blue:1"
    assert not previous_gtids(Event(127, EventType.PREVIOUS_GTIDS, 0x80, bytes(8)))


@pytest.mark.parametrize("checksums", [True, False])
def test_a_whole_file(checksums: bool) -> None:
    log = BinlogWriter(checksums=checksums).previous((U1, "", 1, 9)).transaction(U1, 10).transaction(U2, 1, "green")
    found = read(log.content)
    kinds = [EventType(event.type) for event in found if event.type in set(EventType)]
    one = [EventType.QUERY, EventType.XID]
    assert kinds == [
        EventType.FORMAT_DESCRIPTION,
        EventType.PREVIOUS_GTIDS,
        EventType.GTID,
        *one,
        EventType.GTID_TAGGED,
        *one,
    ]
    names = {str(gtid(event)): event.offset for event in found if event.type in (EventType.GTID, EventType.GTID_TAGGED)}
    assert names == log.offsets
    assert [statement(event).text for event in found if event.type == EventType.QUERY] == [b"BEGIN", b"BEGIN"]


def test_whether_the_server_closed_it() -> None:
    assert not closed_properly(read(BinlogWriter().content)[0])
    assert closed_properly(read(BinlogWriter(closed=True).content)[0])


def test_ddl_that_can_be_rolled_back_shows_its_xid() -> None:
    atomic, plain = read(BinlogWriter().ddl("CREATE TABLE a (i INT)").query("CREATE TABLE b (i INT) ENGINE=MyISAM").content)[1:]
    assert (statement(atomic).ddl_xid, statement(plain).ddl_xid) == (True, False)
    assert statement(atomic).text == b"CREATE TABLE a (i INT)"


@given(cut=st.integers(min_value=0))
def test_a_half_written_end_is_no_damage(cut: int) -> None:
    log = BinlogWriter().previous().transaction(U1, 1)
    whole = read(log.content)
    first_end = whole[1].offset
    cut = first_end + cut % (len(log.content) - first_end)
    expected = [event for event, following in pairwise([*whole, Event(len(log.content), 0, 0, b"")]) if following.offset <= cut]
    assert read(log.content[:cut]) == expected


@given(position=st.integers(min_value=0), bit=st.integers(min_value=0, max_value=7))
def test_no_flipped_bit_goes_unnoticed(position: int, bit: int) -> None:
    log = BinlogWriter().previous((U1, "", 1, 3)).transaction(U1, 4)
    start = 4 + 19
    position = start + position % (len(log.content) - start)
    broken = bytearray(log.content)
    broken[position] ^= 1 << bit
    try:
        found = read(broken)
    except BinlogUnreadable:
        return
    # A longer length can also look like an end that was not written; then nothing after it is believed.
    assert len(found) < len(read(log.content))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "does not start like a binary log"),
        (ENCRYPTED_MAGIC + bytes(100), "encrypted"),
        (b"\xfebin" + bytes(50), "does not begin with a format description"),
    ],
)
def test_what_is_no_binary_log(content: bytes, why: str) -> None:
    with pytest.raises(BinlogUnreadable, match=why):
        read(content)


@given(kind=st.sampled_from([EventType.GTID, EventType.GTID_TAGGED]), body=st.binary(max_size=80))
def test_any_bytes_are_a_name_or_unreadable(kind: EventType, body: bytes) -> None:
    try:
        gtid(Event(4, kind, 0, body))
    except BinlogUnreadable as problem:
        assert "offset 4" in str(problem)


@given(body=st.binary(max_size=80))
def test_any_bytes_are_a_list_or_unreadable(body: bytes) -> None:
    for parse in (previous_gtids, statement):
        try:
            parse(Event(4, 0, 0, body))
        except BinlogUnreadable as problem:
            assert "offset 4" in str(problem)
