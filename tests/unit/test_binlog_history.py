"""Transactions in binary log files of both families: found, judged, and copied out."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from replclus.model.gtid import MariadbGtidSet, MysqlGtidSet
from replclus.model.spec import Flavour
from replclus.server.binlog_file import BinlogUnreadable, EventType
from replclus.server.binlog_history import (
    Logged,
    MariadbType,
    copy_out,
    earlier,
    files_of,
    log_files,
    newest_until,
    transactions,
    union,
)
from tests.unit.binlog_writer import U1, BinlogWriter

WRITE, UPDATE, UPDATE_V2 = 23, 24, 31
STANDALONE = 1


def gtid_list(*origins: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", len(origins)) + b"".join(struct.pack("<IIQ", *origin) for origin in origins)


def table_map(number: int, schema: str, table: str, columns: int) -> bytes:
    named = b"".join(bytes([len(name)]) + name.encode() + b"\0" for name in (schema, table))
    return number.to_bytes(6, "little") + b"\0\0" + named + bytes([columns]) + bytes(columns)


def rows(number: int, columns: int, *bitmaps: int, extra: bytes = b"") -> bytes:
    size = (columns + 7) // 8
    return (
        number.to_bytes(6, "little") + b"\0\0" + extra + bytes([columns]) + b"".join(b.to_bytes(size, "little") for b in bitmaps)
    )


def mariadb(log: BinlogWriter, number: int, *, domain: int = 0, flags: int = 0) -> BinlogWriter:
    return log.other(MariadbType.GTID, struct.pack("<QIB", number, domain, flags) + bytes(6))


def changed(log: BinlogWriter, table: str = "t", *, kind: int = WRITE, bitmaps: tuple[int, ...] = (0b111,)) -> BinlogWriter:
    return log.other(19, table_map(5, "app", table, 3)).other(kind, rows(5, 3, *bitmaps))


def whole(log: BinlogWriter, *numbers: int) -> BinlogWriter:
    for number in numbers:
        changed(log.gtid(U1, number).query("BEGIN")).xid()
    return log


def saved(log: BinlogWriter, directory: Path, name: str = "binlog.000002") -> Path:
    path = directory / name
    path.write_bytes(log.content)
    return path


def read(log: BinlogWriter, directory: Path, flavour: Flavour) -> list[Logged]:
    return list(transactions(saved(log, directory), flavour))


def test_a_mariadb_file(tmp_path: Path) -> None:
    log = BinlogWriter().other(MariadbType.GTID_LIST, gtid_list((0, 1, 9), (0, 2, 7), (1, 1, 0)))
    changed(mariadb(log, 10)).xid()
    mariadb(log, 11, flags=STANDALONE).query("CREATE TABLE a (i INT)")
    changed(mariadb(log, 12, domain=3), kind=UPDATE, bitmaps=(0b001, 0b010)).query("COMMIT")
    changed(mariadb(log, 13))
    found = read(log, tmp_path, Flavour.MARIADB)
    assert [str(one.gtids) for one in found] == ["0-1-10..10", "0-1-11..11", "3-1-12..12", "0-1-13..13"]
    assert [one.complete for one in found] == [True, True, True, False]
    assert [one.rows_only for one in found] == [True, False, True, True]
    assert [one.tables for one in found] == [{("app", "t")}, set(), {("app", "t")}, {("app", "t")}]
    assert [bool(one.partial) for one in found] == [False, False, True, False]
    assert str(earlier(tmp_path / "binlog.000002", Flavour.MARIADB)) == "0-1-9,0-2-7"
    assert str(union(found[:2], Flavour.MARIADB)) == "0-1-10..11"


def test_a_mysql_file(tmp_path: Path) -> None:
    log = BinlogWriter().previous((U1, "", 1, 9))
    changed(log.gtid(U1, 10).query("BEGIN")).xid()
    log.gtid(U1, 11).ddl("CREATE TABLE b (i INT)")
    log.gtid(U1, 12).query("BEGIN").query("INSERT INTO b VALUES (1)").query("SAVEPOINT x").query("COMMIT")
    log.gtid(U1, 13).other(EventType.TRANSACTION_PAYLOAD, b"compressed")
    log.gtid(U1, 14).query("BEGIN").query("SAVEPOINT x")
    log.gtid(U1, 15)
    found = read(log, tmp_path, Flavour.MYSQL)
    assert str(union(found, Flavour.MYSQL)) == f"{U1}:10-15"
    assert [one.complete for one in found] == [True, True, True, True, False, False]
    assert [one.rows_only for one in found] == [True, False, False, False, True, True]
    assert str(earlier(tmp_path / "binlog.000002", Flavour.MYSQL)) == f"{U1}:1-9"


def test_whole_and_partial_rows_of_the_second_version(tmp_path: Path) -> None:
    extra = struct.pack("<H", 5) + b"abc"
    log = BinlogWriter().previous().gtid(U1, 1).query("BEGIN").other(19, table_map(5, "app", "t", 9))
    log.other(UPDATE_V2, rows(5, 9, 0x1FF, 0x1FF, extra=extra)).xid()
    log.gtid(U1, 2).query("BEGIN").other(19, table_map(6, "app", "t", 9))
    log.other(UPDATE_V2, rows(6, 9, 0x1FF, 0x0FF, extra=extra)).xid()
    found = read(log, tmp_path, Flavour.MYSQL)
    assert [one.partial for one in found] == [set(), {("app", "t")}]


def test_rows_of_a_table_that_was_not_announced_are_not_trusted(tmp_path: Path) -> None:
    log = mariadb(BinlogWriter(), 1).other(WRITE, rows(7, 3, 0b111)).xid()
    assert not read(log, tmp_path, Flavour.MARIADB)[0].rows_only


@pytest.mark.parametrize("between", [EventType.ROTATE, EventType.STOP, EventType.ANONYMOUS_GTID])
def test_a_transaction_ends_where_the_next_thing_begins(tmp_path: Path, between: EventType) -> None:
    log = whole(BinlogWriter().previous(), 1)
    end = len(log.content)
    log.other(between, bytes(30)).query("nobody's")
    (found,) = read(log, tmp_path, Flavour.MYSQL)
    assert found.end == end and found.complete and found.rows_only and found.tables == {("app", "t")}


def test_copies_hold_exactly_what_was_chosen(tmp_path: Path) -> None:
    one = whole(BinlogWriter().previous(), 1, 2, 3)
    two = whole(BinlogWriter().previous((U1, "", 1, 3)), 4, 5)
    found = [
        logged
        for number, log in enumerate((one, two), start=1)
        for logged in transactions(saved(log, tmp_path, f"binlog.00000{number}"), Flavour.MYSQL)
    ]
    (tmp_path / "copies").mkdir()
    copied = copy_out([found[0], found[2], found[4]], tmp_path / "copies", 10_000)
    assert [path.name for path in files_of(copied)] == ["extra-1.binlog", "extra-2.binlog"]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files_of(copied))
    for origin, copy in zip((found[0], found[2], found[4]), copied, strict=True):
        assert origin.file.read_bytes()[origin.start : origin.end] == copy.file.read_bytes()[copy.start : copy.end]
        assert copy.gtids == origin.gtids
    first = files_of(copied)[0].read_bytes()
    description = len(BinlogWriter().content)
    assert first[:description] == one.content[:description] and len(first) == copied[1].end
    with pytest.raises(ValueError, match="more than the 10 that are allowed"):
        copy_out(found, tmp_path / "copies", 10)


def test_the_files_that_matter(tmp_path: Path) -> None:
    index = tmp_path / "binlog.index"
    assert log_files(index) == []
    names = [f"binlog.00000{number}" for number in range(1, 5)]
    for number, name in enumerate(names):
        saved(whole(BinlogWriter().previous((U1, "", 1, 10 * number + 1)), 10 * number + 2), tmp_path, name)
    index.write_text("".join(f"./{name}\n" for name in names))
    listed = log_files(index)
    wanted = MysqlGtidSet.parse(f"{U1}:20-40")
    assert newest_until(listed, Flavour.MYSQL, lambda have: not have.intersection(wanted)) == listed[1:]
    assert newest_until(listed, Flavour.MYSQL, lambda _: False) == listed
    assert newest_until([], Flavour.MYSQL, lambda _: True) == []


def test_a_file_without_a_list_has_nothing_before_it(tmp_path: Path) -> None:
    assert earlier(saved(BinlogWriter(), tmp_path), Flavour.MARIADB) == MariadbGtidSet()


@pytest.mark.parametrize(
    ("kind", "body", "why"),
    [
        (MariadbType.START_ENCRYPTION, b"", "encrypted"),
        (MariadbType.GTID, b"short", "too short"),
        (MariadbType.GTID_LIST, struct.pack("<I", 3), "ends too early"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, kind: int, body: bytes, why: str) -> None:
    path = saved(BinlogWriter().other(kind, body), tmp_path)
    with pytest.raises(BinlogUnreadable, match=why):
        earlier(path, Flavour.MARIADB) if kind == MariadbType.GTID_LIST else list(transactions(path, Flavour.MARIADB))


def test_a_table_that_is_described_in_part(tmp_path: Path) -> None:
    log = mariadb(BinlogWriter(), 1).other(19, table_map(1, "app", "t", 3)[:10])
    with pytest.raises(BinlogUnreadable, match="only in part"):
        read(log, tmp_path, Flavour.MARIADB)
