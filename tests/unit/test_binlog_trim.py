"""Where the binary log is cut, and everything that keeps us from cutting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from replclus.model.gtid import MysqlGtidSet
from replclus.server.binlog_file import EventType
from replclus.server.binlog_trim import CannotCut, Cut, NothingToCut, trim
from tests.unit.binlog_writer import U1, U2, BinlogWriter

KNOWN = MysqlGtidSet.parse(f"{U1}:1-5,{U2}:1")


def log(**options: bool) -> BinlogWriter:
    """A crashed primary's newest file, with two transactions that the new primary has."""
    return BinlogWriter(**options).previous((U1, "", 1, 3)).transaction(U1, 4).transaction(U1, 5)


@pytest.mark.parametrize("checksums", [True, False])
def test_the_tail_is_cut_and_kept(tmp_path: Path, checksums: bool) -> None:
    tail = log(checksums=checksums).transaction(U1, 6).gtid(U1, 7).ddl("CREATE TABLE a (i INT)").transaction(U1, 1, "blue")
    index = tail.save(tmp_path)
    start = tail.offsets[f"{U1}:6"]

    outcome = trim(index, KNOWN)

    assert isinstance(outcome, Cut)
    assert str(outcome.gtids) == f"{U1}:6-7:blue:1"
    assert outcome.offset == start
    assert outcome.file.read_bytes() == tail.content[:start]
    assert outcome.kept.read_bytes() == tail.content[start:]
    assert outcome.kept.stat().st_mode & 0o777 == 0o600
    assert trim(index, KNOWN) == NothingToCut()


def test_every_cut_keeps_its_own_copy(tmp_path: Path) -> None:
    first = trim(log().transaction(U1, 6).save(tmp_path), KNOWN)
    second = trim(log().transaction(U1, 6).transaction(U1, 7).save(tmp_path), KNOWN)
    assert isinstance(first, Cut)
    assert isinstance(second, Cut)
    assert [first.kept.name, second.kept.name] == ["binlog.000002.cut-1", "binlog.000002.cut-2"]


def test_a_half_written_last_transaction_goes_too(tmp_path: Path) -> None:
    tail = log().transaction(U1, 6).gtid(U1, 7).query("BEGIN").rows()
    del tail.content[-3:]
    outcome = trim(tail.save(tmp_path), KNOWN)
    assert isinstance(outcome, Cut)
    assert str(outcome.gtids) == f"{U1}:6-7"


Extend = Callable[[BinlogWriter], BinlogWriter]


@pytest.mark.parametrize(
    "extend",
    [
        pytest.param(lambda log: log, id="nothing unknown"),
        pytest.param(lambda log: log.gtid(U2, 1).query("BEGIN").rows().query("COMMIT"), id="known ones are not looked into"),
        pytest.param(lambda log: log.other(EventType.ROTATE, bytes(20)), id="rotated after known ones"),
    ],
)
def test_nothing_to_cut(tmp_path: Path, extend: Extend) -> None:
    assert trim(extend(log()).save(tmp_path), KNOWN) == NothingToCut()


def test_no_binary_log_at_all(tmp_path: Path) -> None:
    assert trim(tmp_path / "binlog.index", KNOWN) == NothingToCut()
    (tmp_path / "binlog.index").write_text("")
    assert trim(tmp_path / "binlog.index", KNOWN) == NothingToCut()


@pytest.mark.parametrize(
    ("extend", "why"),
    [
        (lambda log: log.transaction(U1, 6).transaction(U2, 1), "which the new primary has, comes after"),
        (lambda log: log.transaction(U1, 6).other(EventType.ROTATE, bytes(20)), "the next file"),
        (lambda log: log.transaction(U1, 6).other(EventType.STOP, b""), "a clean stop"),
        (lambda log: log.transaction(U1, 6).other(EventType.ANONYMOUS_GTID, bytes(42)), "without GTID"),
        (lambda log: log.gtid(U1, 6).query("XA START").rows().other(EventType.XA_PREPARE, bytes(20)), "XA PREPARE"),
        (lambda log: log.gtid(U1, 6).query("BEGIN").rows().query("COMMIT"), "engine like MyISAM"),
        (lambda log: log.gtid(U1, 6).query("BEGIN").rows().query("COMMIT").transaction(U1, 7), "engine like MyISAM"),
        (lambda log: log.gtid(U1, 6).query("CREATE TABLE m (i INT) ENGINE=MyISAM"), "engine like MyISAM"),
        (lambda log: log.gtid(U1, 6).query("DROP TABLE a", variables=b"\xc8\x11" + bytes(8)), "engine like MyISAM"),
        (lambda log: log.gtid(U1, 6).other(EventType.TRANSACTION_PAYLOAD, bytes(60)), "compressed"),
        (lambda log: log.gtid(U1, 6).other(EventType.XID, b"").other(EventType.GTID, b"short"), "cannot be read"),
    ],
)
def test_what_is_not_safe_is_refused_and_left_alone(tmp_path: Path, extend: Extend, why: str) -> None:
    refuse(extend(log()), tmp_path, why)


def test_a_clean_stop_has_committed_the_tail(tmp_path: Path) -> None:
    refuse(log(closed=True).transaction(U1, 6), tmp_path, "stopped cleanly")


def test_a_tail_in_an_older_file_is_committed(tmp_path: Path) -> None:
    refuse(BinlogWriter().previous((U1, "", 1, 6)), tmp_path, "older file")
    refuse(BinlogWriter().previous((U1, "", 1, 5), (U1, "blue", 1, 1), tagged=True), tmp_path, "older file")


def test_damage_before_the_tail(tmp_path: Path) -> None:
    damaged = log().transaction(U1, 6)
    damaged.content[damaged.offsets[f"{U1}:5"] + 25] ^= 1
    refuse(damaged, tmp_path, "checksum")


def refuse(written: BinlogWriter, directory: Path, why: str) -> None:
    index = written.save(directory)
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    outcome = trim(index, KNOWN)
    assert isinstance(outcome, CannotCut)
    assert why in outcome.reason
    assert "\n" not in outcome.reason
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before
