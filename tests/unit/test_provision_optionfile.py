from __future__ import annotations

import stat
from pathlib import Path

import pytest

from replclus.provision import optionfile

FILE = """\
# a comment
[client]
read_only = OFF

[mysqld]
Read-Only = 1   # because
skip-slave-start
sync_binlog = 0
!includedir /etc/mysql/conf.d
sync_binlog = "1"

[mysqldump]
binlog_format = MIXED
"""


@pytest.mark.parametrize("line", ["read_only=ON", "read-only = TRUE", "skip_slave_start=ON", "sync_binlog=1"])
def test_a_line_that_is_said_in_another_spelling_is_not_missing(line: str) -> None:
    assert optionfile.missing(FILE, [line]) == ()


@pytest.mark.parametrize("line", ["read_only=OFF", "binlog_format=MIXED", "sync_binlog=0", "gtid_strict_mode=ON"])
def test_other_groups_earlier_lines_and_other_values_do_not_count(line: str) -> None:
    assert optionfile.missing(FILE, [line]) == (line,)


def test_merging_satisfies_every_line_and_keeps_the_rest() -> None:
    lines = ("binlog_format=ROW", "sync_binlog=0")
    text = optionfile.merged(FILE, lines)
    assert text.startswith(FILE.rstrip("\n"))
    assert optionfile.missing(text, lines) == ()


def test_merging_again_changes_nothing() -> None:
    once = optionfile.merged(FILE, ["binlog_format=ROW"])
    assert optionfile.merged(once, ["binlog_format=ROW"]) == once


def test_our_section_is_brought_up_to_date_and_to_the_end() -> None:
    once = optionfile.merged(FILE, ["binlog_format=ROW", "slave_net_timeout=2"])
    later = once + "[mysqld]\nbinlog-format=MIXED\n"
    assert optionfile.missing(later, ["binlog_format=ROW"]) == ("binlog_format=ROW",)
    text = optionfile.merged(later, ["binlog_format=ROW", "slave_net_timeout=4"])
    assert optionfile.missing(text, ["binlog_format=ROW", "slave_net_timeout=4"]) == ()
    assert text.count(optionfile.BEGIN) == text.count(optionfile.END) == 1
    assert "slave_net_timeout=2" not in text
    assert text.endswith(f"{optionfile.END}\n")


def test_an_empty_file_gets_only_our_section() -> None:
    assert optionfile.merged("", ["read_only=ON"]) == f"{optionfile.BEGIN}\n[mysqld]\nread_only=ON\n{optionfile.END}\n"


def test_saving_keeps_the_mode_and_leaves_nothing_else_behind(tmp_path: Path) -> None:
    path = tmp_path / "my.cnf"
    path.write_text("old")
    path.chmod(0o640)
    optionfile.save(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == ["my.cnf"]


def test_saving_through_a_link_replaces_the_file_and_not_the_link(tmp_path: Path) -> None:
    target, link = tmp_path / "real.cnf", tmp_path / "my.cnf"
    target.write_text("old")
    link.symlink_to(target)
    optionfile.save(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
