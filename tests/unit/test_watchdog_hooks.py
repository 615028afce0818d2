"""Hooks are programs of other people: they may hang, fail, flood, vanish, and leave children behind. Real processes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from replclus import config
from replclus.errors import ConfigError
from replclus.events import Event, HookRan, PrimaryChanged, ProblemAppeared, Warned
from replclus.model.record import OperationKind
from replclus.model.spec import Hooks
from replclus.watchdog.hooks import WAITING_MAX, HookRunner, environment

CHANGED = PrimaryChanged(kind=OperationKind.FAILOVER, old="n1", new="n2", epoch=7, outage_ms=12.0)
MOVED = PrimaryChanged(kind=OperationKind.SWITCHOVER, old="n1", new="n2", epoch=7, outage_ms=None)
PROBLEM = ProblemAppeared(problem="ReplicaDown", what="n3 does not answer", node="n3")
PATIENCE_S = 30.0

Script = Callable[[str], str]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """A shell script with this body; returns its path."""

    def write(body: str) -> str:
        path = tmp_path / f"hook-{len(list(tmp_path.iterdir()))}"
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return str(path)

    return write


class Heard(list[Event]):
    """A Report, and a way to wait for it."""

    def __call__(self, event: Event) -> None:
        self.append(event)

    def one(self, kind: type[Event]) -> Event:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for event in list(self):
                if isinstance(event, kind):
                    return event
            time.sleep(0.01)
        raise AssertionError(f"no {kind.__name__} among {list(self)}")


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def start(heard: Heard) -> Iterator[Callable[[Hooks], HookRunner]]:
    runners: list[HookRunner] = []

    def begin(hooks: Hooks) -> HookRunner:
        runner = HookRunner(hooks, "shop", heard)
        runner.start()
        runners.append(runner)
        return runner

    yield begin
    for runner in runners:
        runner.stop()
        runner.join(PATIENCE_S)
        assert not runner.is_alive()


def gone(pid: int) -> bool:
    """No process, or one that is dead and waits for its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_each_event_goes_to_its_own_hook(
    script: Script, heard: Heard, start: Callable[[Hooks], HookRunner], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    hook = script(f'echo "$1 $REPLCLUS_EVENT $REPLCLUS_CLUSTER" >> {out}; cat >> {out}')
    runner = start(Hooks(on_failover=(hook, "f"), on_switchover=(hook, "s"), on_problem=(hook, "p")))
    for event in (CHANGED, MOVED, PROBLEM, Warned(what="nobody's hook")):
        runner.hear(event)
    runner.stop()
    lines = out.read_text().splitlines()
    assert [line for line in lines if not line.startswith("{")] == [
        "f PrimaryChanged shop",
        "s PrimaryChanged shop",
        "p ProblemAppeared shop",
    ]
    assert [json.loads(line) for line in lines if line.startswith("{")] == [
        json.loads(json.dumps(event.to_dict())) for event in (CHANGED, MOVED, PROBLEM)
    ]
    assert [type(event) for event in heard] == [HookRan, HookRan, HookRan]


def test_a_hook_sees_the_event_and_nothing_else_of_ours(
    script: Script, start: Callable[[Hooks], HookRunner], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPLCLUS_ADMIN_PASSWORD", "secret")
    monkeypatch.setenv("OTHER_PASSWORD", "secret")
    runner = start(Hooks(on_failover=(script(f"env > {tmp_path}/out"),)))
    runner.hear(CHANGED)
    runner.stop()
    seen = dict(line.split("=", 1) for line in (tmp_path / "out").read_text().splitlines())
    assert seen["PATH"] == os.environ["PATH"]
    assert "OTHER_PASSWORD" not in seen
    assert {name: value for name, value in seen.items() if name.startswith("REPLCLUS_")} == environment("shop", CHANGED)
    assert environment("shop", CHANGED) == {
        "REPLCLUS_CLUSTER": "shop",
        "REPLCLUS_EVENT": "PrimaryChanged",
        "REPLCLUS_SENTENCE": "n2 is primary of epoch 7 instead of n1, 12 ms after the first doubt",
        "REPLCLUS_KIND": "failover",
        "REPLCLUS_OLD": "n1",
        "REPLCLUS_NEW": "n2",
        "REPLCLUS_EPOCH": "7",
        "REPLCLUS_OUTAGE_MS": "12.0",
    }


def test_a_hook_that_hangs_is_killed_with_its_children_and_its_last_words_are_kept(
    script: Script, heard: Heard, start: Callable[[Hooks], HookRunner], tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    hook = script(f"sleep 600 & echo $! >> {pids}; echo $$ >> {pids}; echo waiting for Godot; wait")
    runner = start(Hooks(on_failover=(hook,), timeout_s=3.0))
    runner.hear(CHANGED)
    assert not heard, "whoever tells is not held up"
    warned = heard.one(Warned)
    assert f"hook on_failover: {hook} did not end within 3 s and was killed: waiting for Godot" in warned.sentence
    child, leader = map(int, pids.read_text().split())
    assert gone(leader)
    deadline = time.monotonic() + PATIENCE_S
    while not gone(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gone(child)


def test_a_hook_that_fails_is_a_warning_with_its_last_lines(
    script: Script, heard: Heard, start: Callable[[Hooks], HookRunner]
) -> None:
    runner = start(Hooks(on_problem=(script("seq 1 100000; echo no route >&2; exit 3"),)))
    runner.hear(PROBLEM)
    sentence = heard.one(Warned).sentence
    assert "ended with exit code 3" in sentence
    assert sentence.endswith("99998 / 99999 / 100000 / no route")
    assert len(sentence) < 1000


@pytest.mark.parametrize("vanish", [Path.unlink, lambda path: path.chmod(0o644)])
def test_a_hook_that_vanished_is_a_warning(
    script: Script, heard: Heard, start: Callable[[Hooks], HookRunner], vanish: Callable[[Path], None]
) -> None:
    hook = script("true")
    runner = start(Hooks(on_failover=(hook,), on_problem=("/bin/true",)))
    vanish(Path(hook))
    runner.hear(CHANGED)
    runner.hear(PROBLEM)
    assert heard.one(Warned).sentence.startswith(f"warning: hook on_failover: {hook} ")
    heard.one(HookRan)


def test_a_child_that_keeps_the_output_open_does_not_hold_the_next_hook_up(
    script: Script, heard: Heard, start: Callable[[Hooks], HookRunner], tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    runner = start(Hooks(on_failover=(script(f"setsid sleep 600 & echo $! > {pid}"),), timeout_s=120.0))
    began = time.monotonic()
    runner.hear(CHANGED)
    heard.one(HookRan)
    assert time.monotonic() - began < PATIENCE_S
    os.kill(int(pid.read_text()), 9)


def test_more_events_than_may_wait_are_dropped_with_one_warning(
    script: Script, heard: Heard, start: Callable[[Hooks], HookRunner]
) -> None:
    runner = start(Hooks(on_problem=(script("sleep 600"),), timeout_s=1.0))
    for _ in range(WAITING_MAX + 20):
        runner.hear(PROBLEM)
    warnings = [event.sentence for event in heard if isinstance(event, Warned)]
    assert len([sentence for sentence in warnings if "wait for the hooks already" in sentence]) == 1


def test_the_end_waits_for_what_is_due_within_one_limit(
    script: Script, heard: Heard, start: Callable[[Hooks], HookRunner]
) -> None:
    runner = start(Hooks(on_problem=(script("sleep 600"),), timeout_s=1.0))
    for _ in range(5):
        runner.hear(PROBLEM)
    began = time.monotonic()
    runner.stop()
    assert time.monotonic() - began < PATIENCE_S / 3
    assert any("the watchdog is ending" in event.sentence for event in heard)


# ---- the configuration -----------------------------------------------------------------------------------------------

FILE = '[cluster]\nname = "shop"\n[[node]]\nname = "n1"\nhost = "127.0.0.1"\n[hooks]\n'


def load(directory: Path, hooks: str) -> Hooks:
    file = directory / "replclus.toml"
    file.write_text(FILE + hooks)
    return config.load(file).hooks


def test_hooks_are_found_beside_the_file_and_on_the_path(tmp_path: Path, script: Script) -> None:
    name = Path(script("true")).name
    hooks = load(tmp_path, f'on_failover = ["./{name}", "a b"]\non_problem = ["sh", "-c", "true"]\ntimeout_s = 2')
    assert hooks.on_failover == (str(tmp_path / name), "a b")
    assert hooks.on_problem[0].endswith("/sh")
    assert hooks.on_problem[1:] == ("-c", "true")
    assert (hooks.on_switchover, hooks.timeout_s) == ((), 2.0)


@pytest.mark.parametrize(
    ("hooks", "complaint"),
    [
        ('on_failover = ["/no/such"]', "hooks.on_failover: there is no program /no/such: correct the path, or remove the hook"),
        ('on_problem = ["no-such-word"]', "hooks.on_problem: there is no program 'no-such-word' on PATH"),
        ('on_switchover = ["/etc/passwd"]', "hooks.on_switchover: /etc/passwd cannot be executed"),
        ('on_switchover = ["/etc"]', "hooks.on_switchover: /etc cannot be executed"),
        ('on_failover = [""]', "hooks.on_failover: its first word is empty"),
        ('on_failover = "sh"', "hooks.on_failover: must be a list"),
        ("on_failover = [1]", "hooks.on_failover[0]: must be a string"),
        ('on_fail = ["sh"]', "hooks.on_fail: unknown key (did you mean 'on_failover'?)"),
        ("timeout_s = 0", "hooks.timeout_s: 0 is too small: use 0.1 or more"),
        ("timeout_s = 1e9", "hooks.timeout_s: 1000000000.0 is too large: use 300 or less"),
    ],
)
def test_a_hook_that_cannot_work_is_refused_when_the_file_is_read(tmp_path: Path, hooks: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, hooks)
    assert complaint in str(refused.value)
    assert refused.value.exit_code == 2


def test_an_application_does_not_need_the_hooks_of_the_watchdogs_host(tmp_path: Path) -> None:
    file = tmp_path / "replclus.toml"
    file.write_text(FILE + 'on_failover = ["/no/such"]')
    assert config.load(file, hooks=False).hooks == Hooks()
