"""`replclus route`, one statement or many."""

from __future__ import annotations

import io
import json

import pytest

from replclus.cli import app as door


def answers(
    questions: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, list[dict[str, object]], str]:
    monkeypatch.setattr("sys.stdin", io.StringIO(questions))
    code = door.run(["route", "--jsonl"])
    captured = capsys.readouterr()
    return code, [json.loads(line) for line in captured.out.splitlines()], captured.err


@pytest.mark.parametrize(
    ("sql", "target"),
    [("SELECT 1", "replica"), ("INSERT INTO t VALUES (1)", "primary"), ("SHOW WARNINGS", "last_used"),
     ("SET NAMES utf8mb4", "session"), ("BEGIN", "transaction"), ("STOP SLAVE", "refuse"), ("", "primary")],
)  # fmt: skip
def test_the_target_comes_first_and_then_the_reason(sql: str, target: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert door.run(["route", sql]) == 0
    printed = capsys.readouterr().out
    assert printed.split()[0] == target
    assert door.run(["route", "--json", sql]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["target"] == target
    assert answer["reason"]


def test_the_flavour_and_the_sql_mode_are_heard(capsys: pytest.CaptureFixture[str]) -> None:
    executable = "SELECT 1 /*M! FOR UPDATE */"
    assert door.run(["route", "--flavour", "mariadb", executable]) == 0
    assert capsys.readouterr().out.startswith("primary")
    assert door.run(["route", "--flavour", "mysql", executable]) == 0
    assert capsys.readouterr().out.startswith("replica")
    assert door.run(["route", "--sql-mode", "ANSI_QUOTES", 'SELECT "a" FROM t']) == 0


def test_many_statements_are_answered_in_order(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [{"sql": "SELECT 1"}, {"sql": "DELETE FROM t", "flavour": "mysql"}, {"sql": "SELECT 2", "sql_mode": "ANSI_QUOTES"}]
    code, found, err = answers("\n".join(map(json.dumps, lines)) + "\n\n", monkeypatch, capsys)
    assert (code, err) == (0, "")
    assert [each["target"] for each in found] == ["replica", "primary", "replica"]


@pytest.mark.parametrize(
    "bad", ["{", "[]", '"SELECT 1"', "{}", '{"sql": 1}', '{"sql": "SELECT 1", "flavour": "oracle"}',
            '{"sql": "SELECT 1", "sql_mode": 5}']
)  # fmt: skip
def test_a_bad_line_is_answered_with_its_number_and_the_rest_goes_on(
    bad: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = '{"sql": "SELECT 1"}'
    code, found, err = answers(f"{good}\n{bad}\n{good}\n", monkeypatch, capsys)
    assert code == 2
    assert [each.get("target") for each in found] == ["replica", None, "replica"]
    assert found[1]["line"] == 2
    assert found[1]["error"]
    assert "2" in err.strip().splitlines()[-1]


def test_a_statement_can_come_from_stdin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("UPDATE t SET a = 1"))
    assert door.run(["route", "-"]) == 0
    assert capsys.readouterr().out.startswith("primary")


@pytest.mark.parametrize(
    ("sql", "facts"),
    [
        ("SELECT 1", {}),
        ("/* replclus: primary */ SELECT 1", {"hint": "primary"}),
        ("/* replclus: node=n3 */ RESET MASTER", {"hint": "node=n3"}),
        ("/* hostgroup=2 */ SELECT 1", {"hint_ignored": "hostgroup=2"}),
        ("/* hostgroup=2 */ SELECT 1 /*ms=slave*/", {"hint": "replica", "hint_ignored": "hostgroup=2"}),
    ],
)
def test_hints_are_shown(sql: str, facts: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert door.run(["route", "--json", sql]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert {key: value for key, value in answer.items() if key not in {"target", "reason"}} == facts
    assert door.run(["route", sql]) == 0
    printed = capsys.readouterr().out
    assert all(value in printed for value in facts.values())
    assert len(printed.strip().splitlines()) == 1 + len(facts)
