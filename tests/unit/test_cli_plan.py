"""`replclus plan`: the table, the same as JSON, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from replclus.cli import app as door

ARTICLE = ("plan", "--writes", "0.1", "--write-cost", "2", "--replicas", "3")


def rows(printed: str) -> dict[str, list[str]]:
    """The table's rows by their first column."""
    split = (line.split() for line in printed.splitlines())
    return {words[0]: words[1:] for words in split if words and (words[0].isdigit() or words[0] == "any")}


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert door.run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_three_numbers_of_the_article(capsys: pytest.CaptureFixture[str]) -> None:
    assert door.run(ARTICLE) == 0
    printed = capsys.readouterr().out
    table = rows(printed)
    assert (table["0"][0], table["3"][0], table["any"][0]) == ("T/11", "T/5", "T/2")
    assert table["3"][1:4] == ["2.20", "T/4.25", "2.59"]
    assert list(table) == ["0", "1", "2", "3", "4", "5", "6", "any"]
    assert "2.20 times as much, the primary 40% busy" in printed


def test_the_bars_grow_up_to_the_limit(capsys: pytest.CaptureFixture[str]) -> None:
    door.run(ARTICLE)
    bars = [line for line in capsys.readouterr().out.splitlines() if "█" in line and "T/" in line]
    lengths = [line.count("█") for line in bars]
    assert lengths == sorted(lengths)
    assert lengths[-1] == 44
    assert all(line.rstrip().endswith("│") for line in bars)
    assert "░" in bars[3]


def test_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, *ARTICLE)
    assert found["one_server"] == {"cost": 11.0, "throughput": "T/11"}
    assert found["plan"]["never"]["throughput"] == "T/5"
    assert found["plan"]["never"]["gain"] == pytest.approx(2.2)
    assert found["plan"]["when_idle"]["cost"] == pytest.approx(4.25)
    assert found["limit"] == {"cost": 2.0, "throughput": "T/2", "gain": 5.5}
    assert [row["replicas"] for row in found["rows"]] == list(range(7))
    assert found["plan"] == found["rows"][3]


def test_what_applying_costs(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, *ARTICLE, "--apply-cost", "1")
    assert found["plan"]["never"]["throughput"] == "T/4"
    assert found["limit"]["throughput"] == "T/2"


def test_no_replicas_no_writes_only_writes(capsys: pytest.CaptureFixture[str]) -> None:
    assert document(capsys, "plan", "--replicas", "0")["plan"]["never"]["gain"] == 1
    nothing_written = document(capsys, "plan", "--writes", "0")
    assert nothing_written["limit"] is None
    assert nothing_written["plan"]["never"]["throughput"] == "3 T"
    assert document(capsys, "plan", "--writes", "1")["plan"]["when_idle"]["gain"] == 1
    assert door.run(["plan", "--writes", "0"]) == 0
    assert "there is no limit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--writes", "1.5"], "--writes: must be a number from 0 to 1, found 1.5"),
        (["--writes", "-0.1"], "--writes: must be a number from 0 to 1, found -0.1"),
        (["--writes", "nan"], "--writes: must be a number from 0 to 1, found nan"),
        (["--write-cost", "-2"], "--write-cost: must be a number from 0 to 1000000, found -2"),
        (["--write-cost", "inf"], "--write-cost: must be a number from 0 to 1000000, found inf"),
        (["--apply-cost", "-1"], "--apply-cost: must be a number from 0 to 1000000, found -1"),
        (["--replicas", "-1"], "--replicas: must be from 0 to 64, found -1"),
        (["--replicas", "65"], "--replicas: must be from 0 to 64, found 65"),
        (["--writes", "1", "--write-cost", "0"], "--write-cost: must be more than 0 where all statements are writes"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert door.run(["plan", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"replclus: {sentence}\n"


@pytest.mark.parametrize(
    "extreme", [["--writes", "1e-320"], ["--write-cost", "1e-320"], ["--write-cost", "1e6", "--writes", "1"]]
)
def test_extremes_are_computed(extreme: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert door.run(["plan", *extreme, "--replicas", "64"]) == 0
    assert capsys.readouterr().err == ""
