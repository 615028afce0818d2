"""How a command may end: its exit code, and the last line on stderr."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from replclus.cli import app as door
from replclus.errors import ConfigError, PreflightFailed, Refused, ServerUnreachable

CLUSTER = """
[cluster]
name = "shop"
[[node]]
name = "n1"
host = "127.0.0.1"
port = 1
[[node]]
name = "n2"
host = "127.0.0.1"
port = 2
"""


@pytest.fixture
def cluster_file(tmp_path: Path) -> Path:
    path = tmp_path / "replclus.toml"
    path.write_text(CLUSTER)
    return path


def raising(error: BaseException) -> object:
    def command(**_: object) -> None:
        raise error

    return command


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ConfigError("is wrong: do that", where="node[1].port"), 2, "node[1].port: is wrong: do that"),
        (Refused("n2 is behind", "n3 is down"), 1, "n2 is behind"),
        (PreflightFailed(["n1: log_bin is OFF", "n2: log_bin is OFF"]), 2, "n1: log_bin is OFF"),
        (ServerUnreachable("n1", "no answer"), 1, "n1: no answer"),
    ],
)
def test_an_error_of_ours_is_its_sentence_and_its_code(
    error: Exception, code: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(door, "app", raising(error))
    assert door.run([]) == code
    captured = capsys.readouterr()
    assert words in captured.err.strip().splitlines()[-1]
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_every_complaint_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    complaints = [f"n{number}: log_bin is OFF" for number in range(1, 5)]
    monkeypatch.setattr(door, "app", raising(PreflightFailed(complaints)))
    assert door.run([]) == 2
    printed = capsys.readouterr().err
    assert all(complaint in printed for complaint in complaints)


def test_an_unexpected_error_is_one_sentence_that_says_where_the_traceback_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(door, "app", raising(ZeroDivisionError("of a clock")))
    assert door.run([]) == 1
    (kept,) = tmp_path.glob("*.traceback")
    printed = capsys.readouterr().err
    assert "ZeroDivisionError: of a clock" in printed
    assert str(kept) in printed
    assert "Traceback" not in printed
    assert "Traceback" in kept.read_text()


def test_with_debug_the_traceback_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("REPLCLUS_DEBUG", "1")
    monkeypatch.setattr(door, "app", raising(ZeroDivisionError("of a clock")))
    assert door.run([]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_is_130_and_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(door, "app", raising(SystemExit(130)))
    assert door.run([]) == 130
    assert capsys.readouterr().err == "replclus: interrupted\n"


@pytest.mark.parametrize(
    "arguments",
    [["bogus"], ["status", "--bogus"], ["rejoin"], ["sandbox", "create"], ["sandbox", "bogus"], ["demo", "--seconds", "x"],
     ["route", "--flavour", "oracle", "SELECT 1"], ["route"], ["route", "--jsonl", "SELECT 1"]],
)  # fmt: skip
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert door.run(arguments) == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize("command", ["status", "watchdog", "switchover", "failover", "init"])
def test_a_missing_file_is_named(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert door.run([command, "-c", str(tmp_path / "nowhere.toml")]) == 2
    assert "nowhere.toml" in last_line(capsys)


@pytest.mark.parametrize("command", [["watchdog"], ["switchover"], ["failover"], ["rejoin", "n1"]])
def test_before_init_there_is_nothing_to_drive(
    command: list[str], cluster_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert door.run([*command, "-c", str(cluster_file)]) == 2
    assert "replclus init" in last_line(capsys)
    assert list(cluster_file.parent.iterdir()) == [cluster_file]


def test_the_file_is_taken_from_the_environment(
    cluster_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REPLCLUS_CONFIG", str(cluster_file))
    assert door.run(["status"]) == 0
    assert "shop" in capsys.readouterr().out


def test_without_the_extra_the_command_says_how_to_get_it() -> None:
    program = "import sys; sys.modules['typer'] = None; from replclus.cli.main import main; main()"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "pip install 'replclus[ops]'" in ended.stderr


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert door.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("replclus")
