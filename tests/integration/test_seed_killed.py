"""Whoever rebuilds a server may die at any moment: the next run begins anew and ends well."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from replclus.model.gtid import empty_gtid_set
from replclus.model.spec import Flavour
from tests.clusters import REPOSITORY, eventually
from tests.conftest import MakeSandbox
from tests.integration.seed_worlds import DIVERGE, NODE, SeedWorld, not_ours, seed_world

# One process that brings n3 back from n2, and says what it is doing. Its arguments: the configuration, the GTIDs, and a
# word for the ways that it must not take.
_PROGRAM = """
import json, sys, threading
from dataclasses import replace
from pathlib import Path
from replclus.config import load
from replclus.model.gtid import parse_gtid_set
from replclus.provision.returning import bring_back
from replclus.store import SqliteStore
from replclus.store.secrets import load_secrets

spec = load(Path(sys.argv[1]))
if sys.argv[3] == "dump":
    spec = replace(spec, nodes=tuple(replace(node, process_dir=None) for node in spec.nodes))
record = SqliteStore(spec.state_dir).load()
record = replace(record, ackers=record.ackers - {"n3"})
extra = parse_gtid_set(record.flavour, sys.argv[2])
say = lambda event: print(json.dumps(event.sentence), flush=True)
print(json.dumps(repr(bring_back(spec, record, load_secrets(spec.state_dir), "n3", extra, "n2", say, threading.Event()))))
"""


def run_until(world: SeedWorld, extra: str, word: str, delay_s: float, way: str = "") -> list[str]:
    """Start a process that brings n3 back, and SIGKILL it `delay_s` after it said `word`; what it said."""
    command = [sys.executable, "-c", _PROGRAM, str(world.cluster.sandbox.config), extra, way]
    said: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(json.loads(line))
            if word in said[-1]:
                threading.Event().wait(delay_s)
                process.send_signal(signal.SIGKILL)
                break
        process.wait(60)
    assert any(word in line for line in said), said
    return said


def mark(world: SeedWorld) -> Path:
    return world.cluster.spec.state_dir / "rebuilding" / f"{NODE}.json"


@pytest.mark.parametrize(
    ("word", "delay_s"),
    [("are saved in", 0.0), ("cloning", 0.1), ("cloning", 0.2), ("cloning", 0.3), ("starting it", 0.0), ("starting it", 0.005)],
)
@pytest.mark.mysql
def test_mysql_killed_while_cloning(make_sandbox: MakeSandbox, word: str, delay_s: float) -> None:
    world = seed_world(make_sandbox, Flavour.MYSQL, rows=5)
    extra = world.diverge(*DIVERGE[:1])
    run_until(world, str(extra).replace("\n", ""), word, delay_s)
    done = world.bring_back(extra)
    assert done.ok, (done.why, world.said)
    assert done.exported_to is not None and b"@1=1001" in (done.exported_to / "readable.sql").read_bytes()
    assert not mark(world).exists()
    world.proven_equal()


@pytest.mark.parametrize(
    ("word", "delay_s"),
    [("are saved in", 0.0), ("undoing", 0.05), ("copying the files", 0.3), ("making the copy", 0.0), ("making the copy", 0.8)],
)
@pytest.mark.mariadb
def test_mariadb_killed_on_every_rung(make_sandbox: MakeSandbox, word: str, delay_s: float) -> None:
    world = seed_world(make_sandbox, Flavour.MARIADB, rows=5)
    also = () if word in {"undoing", "are saved in"} else ("CREATE TABLE app.ghost (i INT)",)
    extra = world.diverge(*DIVERGE[:1], *also)
    run_until(world, str(extra), word, delay_s)
    done = world.bring_back(extra)
    assert done.ok, (done.why, world.said)
    assert done.exported_to is not None and b"@1=1001" in (done.exported_to / "readable.sql").read_bytes()
    assert not mark(world).exists()
    world.proven_equal()


@pytest.mark.mariadb
def test_killed_between_the_two_renames(make_sandbox: MakeSandbox) -> None:
    world = seed_world(make_sandbox, Flavour.MARIADB, rows=5)
    extra = world.diverge("CREATE TABLE app.ghost (i INT)")
    run_until(world, str(extra), "copying the files", 0.0)
    process = world.cluster.process(NODE)
    process.kill()
    process.data.rename(process.data.with_name("data.old"))
    done = world.bring_back(extra)
    assert done.ok, (done.why, world.said)
    world.proven_equal()


@pytest.mark.mariadb
def test_killed_while_a_dump_is_loaded(make_sandbox: MakeSandbox) -> None:
    """The half-loaded server has lost its identity row; the note of the killed run says that it is ours."""
    world = seed_world(make_sandbox, Flavour.MARIADB, rows=5)
    world.cluster.run("n1", "CREATE TABLE app.big (i INT PRIMARY KEY, v TEXT)")
    world.cluster.run("n1", "USE app", "INSERT INTO app.big SELECT seq, REPEAT('x', 2000) FROM seq_1_to_20000")
    world.caught_up()
    extra = world.diverge("CREATE TABLE app.ghost (i INT)")
    run_until(world, str(extra), "by dump", 0.2, "dump")
    assert mark(world).exists()
    done = world.bring_back(extra, spec=not_ours(world.cluster.spec))
    assert done.ok and done.how == "dump", (done.why, world.said)
    world.proven_equal()


def test_told_to_stop_it_stops_soon_and_can_begin_anew(make_sandbox: MakeSandbox, flavour: Flavour) -> None:
    world = seed_world(make_sandbox, flavour, rows=5)
    extra = world.diverge("CREATE TABLE app.ghost (i INT)")
    stop = threading.Event()
    answers = []
    runner = threading.Thread(target=lambda: answers.append(world.bring_back(extra, stop=stop)))
    runner.start()
    eventually(lambda: any("clon" in said or "copying" in said for said in list(world.said)), "it is being seeded")
    stop.set()
    runner.join(30)
    assert answers and not answers[0].ok and answers[0].stopped, answers
    assert answers[0].exported_to is not None
    done = world.bring_back(empty_gtid_set(flavour))
    assert done.ok and done.exported_to == answers[0].exported_to, (done.why, world.said)
    world.proven_equal()


def test_a_note_of_long_ago_does_not_hide_new_transactions(make_sandbox: MakeSandbox, flavour: Flavour) -> None:
    """A rebuild failed once, somebody repaired the server by hand, and later it diverged."""
    world = seed_world(make_sandbox, flavour, rows=5)
    extra = world.diverge(*DIVERGE[:1])
    mark(world).parent.mkdir(mode=0o700)
    mark(world).touch(mode=0o600)
    mark(world).write_text(json.dumps({"server_id": 3, "saved": "/nowhere", "extra": ""}))
    done = world.bring_back(extra)
    assert done.ok and done.how in {"clone", "mariadb-backup"}, done.why
    assert done.exported_to is not None and b"@1=1001" in (done.exported_to / "readable.sql").read_bytes()
    world.proven_equal()
