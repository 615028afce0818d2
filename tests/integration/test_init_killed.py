"""`init` killed with SIGKILL, at every step and in the middle of them, and run again: it finishes, as the same cluster."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Iterator
from enum import Enum

import pytest

from replclus.events import Event
from replclus.model.observation import Facts
from replclus.model.record import ClusterRecord, MemberState
from replclus.model.spec import Account, Flavour, NodeSpec
from replclus.provision import bootstrap
from replclus.provision.look import connect_with
from replclus.sandbox import Sandbox
from replclus.server.server import Server
from tests.conftest import MakeSandbox
from tests.integration.init_worlds import empty, facts, option_files, spec_of, store_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# Every n-th statement: together with every step that is close enough, and the walk ends within a minute or two.
STATEMENT_STRIDE = 11
STEPS_MAX = 200


@pytest.fixture
def world(make_sandbox: MakeSandbox, flavour: Flavour) -> Iterator[tuple[Sandbox, dict[str, str]]]:
    sandbox = make_sandbox(flavour, replicas=1)
    yield sandbox, option_files(sandbox)


def child(sandbox: Sandbox, mode: Mode, number: int) -> bool:
    """Run `init` in a process that kills itself at its n-th event or statement. True if it got that far."""
    pid = os.fork()
    if pid == 0:
        # The copy must never come back into the test run, whatever happens.
        try:
            run_until(sandbox, mode, number)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert ended in {0, -signal.SIGKILL}
    return ended != 0


def run_until(sandbox: Sandbox, mode: Mode, number: int) -> None:
    spec, fuse = spec_of(sandbox), Fuse(number)
    plain = connect_with(spec)

    def connect(node: NodeSpec, account: Account) -> Server:
        if mode is Mode.EVENT:
            return plain(node, account)
        return Server(node, account, timeout_s=spec.timings.step_timeout_s, audit=lambda _node, _sql: fuse.burn())

    def report(_event: Event) -> None:
        if mode is Mode.EVENT:
            fuse.burn()

    bootstrap(spec, store_of(spec), report=report, connect=connect)


class Mode(Enum):
    EVENT = "event"
    STATEMENT = "statement"


class Fuse:
    """Kills this process when it was lit for the n-th time."""

    def __init__(self, number: int) -> None:
        self._left = number

    def burn(self) -> None:
        self._left -= 1
        if self._left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


def finish(sandbox: Sandbox, where: str) -> None:
    """What is left is done by the next run; and then nothing is left."""
    spec = spec_of(sandbox)
    store = store_of(spec)
    begun = store.load()
    bootstrap(spec, store)
    record = store.load()
    assert record is not None, where
    if begun is not None:
        assert record.cluster_id == begun.cluster_id, where
    check(sandbox, record, where)
    assert not bootstrap(spec, store).changed, where
    store.close()


def check(sandbox: Sandbox, record: ClusterRecord, where: str) -> None:
    spec = spec_of(sandbox)
    assert {member.state for member in record.members} == {MemberState.ACTIVE}, where
    assert record.epoch == 1, where
    first = facts(spec, spec.nodes[0])
    assert first.writable and first.semi_sync.source_active and first.identity.cluster_id == record.cluster_id, where
    for node in spec.nodes[1:]:
        replica = _caught_up(sandbox, node)
        assert not replica.writable and replica.semi_sync.replica_enabled, where
        assert replica.channel is not None and replica.channel.receiver.connected and replica.channel.applier.running, where
        assert replica.executed == first.executed, where
        assert replica.identity.cluster_id == record.cluster_id, where


def _caught_up(sandbox: Sandbox, node: NodeSpec) -> Facts:
    spec = spec_of(sandbox)
    end = time.monotonic() + 5
    while True:
        first, replica = facts(spec, spec.nodes[0]), facts(spec, node)
        if replica.executed == first.executed or time.monotonic() > end:
            return replica
        time.sleep(0.02)


def test_at_every_step(world: tuple[Sandbox, dict[str, str]]) -> None:
    sandbox, files = world
    for number in range(1, STEPS_MAX):
        killed = child(sandbox, Mode.EVENT, number)
        finish(sandbox, f"killed at event {number}")
        if not killed:
            assert number > 25
            return
        empty(sandbox, files)
    raise AssertionError(f"init tells of more than {STEPS_MAX} events")


def test_between_statements(world: tuple[Sandbox, dict[str, str]]) -> None:
    sandbox, files = world
    for number in range(1, STEPS_MAX * STATEMENT_STRIDE, STATEMENT_STRIDE):
        killed = child(sandbox, Mode.STATEMENT, number)
        finish(sandbox, f"killed at statement {number}")
        if not killed:
            assert number > 50
            return
        empty(sandbox, files)
    raise AssertionError("init needs more statements than anybody thought")


def test_again_and_again_a_little_later_each_time(make_sandbox: MakeSandbox, flavour: Flavour) -> None:
    """No clean start in between: every run finds what the one before left."""
    sandbox = make_sandbox(flavour, replicas=2)
    for number in range(2, 30, 3):
        child(sandbox, Mode.EVENT, number)
    finish(sandbox, "killed ten times")
