"""Carries plans out. It knows steps, not reasons; what a step means on a server is said by `replclus.server`."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import assert_never

from replclus.errors import ExecutionFailed, ReplclusError
from replclus.events import RecordChanged, Report, SalvageEnded, StepDone, StepFailed, StepStarted
from replclus.failover.decision import (
    Action,
    CatchUp,
    CloseForWrites,
    Configure,
    Detach,
    Fence,
    Follow,
    FreeSenders,
    OpenForWrites,
    Plan,
    Promote,
    Publish,
    Reconnect,
    Salvage,
    Seed,
    StopReceiving,
    Swap,
    Together,
    WaitApplied,
)
from replclus.failover.invariants import epochs_only_grow
from replclus.model.record import ClusterRecord
from replclus.model.spec import ClusterSpec
from replclus.model.topology import Topology
from replclus.store import Lock, Store
from replclus.watchdog.audit import Auditor
from replclus.watchdog.board import Board
from replclus.watchdog.hands import Hands
from replclus.watchdog.pulse import BeatClock, pulse_row
from replclus.watchdog.restoring import Restorer, Workers

# The first look comes often a moment too early; each further pause is twice as long.
CAUGHT_UP_POLL_S, CAUGHT_UP_POLL_S_MAX = 0.001, 0.02


@dataclass(slots=True)
class Executor:
    """Runs one plan at a time. `lock` is asked before every action: a watchdog that lost it does nothing more."""

    spec: ClusterSpec
    store: Store
    lock: Lock
    board: Board
    hands: Hands
    beats: BeatClock
    report: Report
    audit: Auditor
    topology: Callable[[ClusterRecord], Topology]
    pool: ThreadPoolExecutor
    workers: Workers
    restorer: Restorer | None = None
    clock: Callable[[], float] = time.monotonic

    def warm_up(self) -> None:
        """Log in to whoever answers, in the background: in a failover that would take longer than most steps."""
        seen, _ = self.board.snapshot()
        for name in (name for name, observation in seen.items() if observation.answered):
            if self.hands.cold(name):
                self.pool.submit(self.hands.warm, name)

    def run(self, plan: Plan, record: ClusterRecord) -> ClusterRecord:
        """The record as it stands when the plan has ended, well or not. Failures are events, and the next tick's business."""
        for step in plan.steps:
            if isinstance(step, Together):
                ok = self._together(step, record)
            elif isinstance(step, Swap):
                swapped = self._swap(step, record)
                ok, record = swapped is not None, swapped or record
            else:
                ok = self._act(step, record)
            if not ok:
                break
        return record

    def _swap(self, step: Swap, record: ClusterRecord) -> ClusterRecord | None:
        epochs_only_grow(record, step.record)
        self.report(StepStarted(step="Swap"))
        try:
            self._still_ours()
            after = self.store.cas(record.version, step.record)
        except ReplclusError as error:
            self.report(StepFailed(step="Swap", why=str(error)))
            return None
        self.board.forget_positions(after.ackers - record.ackers)
        self.report(RecordChanged(version=after.version, epoch=after.epoch, primary=after.primary, what=step.what))
        return after

    def _together(self, step: Together, record: ClusterRecord) -> bool:
        """True as soon as every essential action and `enough` of the others succeeded."""
        running: dict[Future[bool], Action] = {self.pool.submit(self._act, action, record): action for action in step.actions}
        essential = sum(action.essential for action in step.actions)
        others = 0
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                action = running.pop(future)
                if future.result():
                    essential, others = essential - action.essential, others + (not action.essential)
                elif action.essential:
                    return False
            if essential == 0 and others >= step.enough:
                return True
        return essential == 0

    def _act(self, action: Action, record: ClusterRecord) -> bool:
        """Carry out one action on one server, and say so. An action that is not essential may fail without harm."""
        name, started = type(action).__name__, self.clock()
        self.report(StepStarted(step=name, node=action.node))
        if action.node is not None:
            self.board.note_begun(action.node, self.spec.timings.step_timeout_s)
        try:
            self._still_ours()
            with self.audit.during(name, record.epoch):
                how = self._perform(action, record)
        except ReplclusError as error:
            self.report(StepFailed(step=name, node=action.node, why=str(error)))
            if action.node is not None:
                self.board.note_failure(action.node)
            return not action.essential
        self.report(StepDone(step=name, node=action.node, took_ms=(self.clock() - started) * 1000, how=how))
        if isinstance(action, FreeSenders):
            # It shows only later whether that helped, and doing it again too soon would cut off the new connection.
            self.board.note_failure(action.node)
        elif action.node is not None:
            self.board.note_success(action.node)
        return True

    def _still_ours(self) -> None:
        if not self.lock.held():
            raise ExecutionFailed("lock", None, "another process has taken over this cluster, so this one stops acting")

    def _perform(self, action: Action, record: ClusterRecord) -> str:
        """Do it. What there is to say of how it was done, or nothing."""
        hands = self.hands
        match action:
            case Fence(node):
                return self._fence(node, record)
            case StopReceiving(node):
                with hands.server(node) as server:
                    server.stop_receiving()
            case Reconnect(node):
                with hands.server(node) as server:
                    server.reconnect()
            case WaitApplied(node, timeout_s):
                with hands.server(node) as server:
                    if not server.wait_applied(timeout_s):
                        raise ExecutionFailed("WaitApplied", node, f"has not applied all it received within {timeout_s:g} s")
            case CatchUp(node, source, timeout_s):
                self._catch_up(node, source, timeout_s)
            case Promote(node):
                with hands.server(node) as server:
                    server.forget_source()
                    server.become_source(record.durability)
            case OpenForWrites(node):
                with hands.server(node) as server:
                    server.open_for_writes()
            case CloseForWrites(node, deadline_s):
                with hands.server(node) as server:
                    if not server.close_for_writes(deadline_s):
                        raise ExecutionFailed("CloseForWrites", node, f"did not become read-only within {deadline_s:g} s")
            case Publish(node):
                self._publish(node, record)
            case Follow(node, source, covered):
                described, timings = self.spec.node(source), self.spec.timings
                with hands.server(node) as server:
                    server.follow(described, hands.secrets.replication, timings, record.durability, covered)
            case Detach(node):
                with hands.server(node) as server:
                    server.detach()
            case Configure(node):
                with hands.server(node) as server:
                    server.restore_settings(record.durability, self.spec.timings)
            case FreeSenders(source=source):
                with hands.server(source) as server:
                    server.free_senders()
            case Salvage(node, source, timeout_s):
                self._salvage(node, source, timeout_s, record)
            case Seed(node, source, extra):
                self.workers.begin(record, node, source, extra)
            case Swap():
                raise AssertionError("the record is never changed beside other actions")
            case never:
                assert_never(never)
        return ""

    def _fence(self, node: str, record: ClusterRecord) -> str:
        fenced = self.hands.fence(node)
        if not fenced.proven:
            raise ExecutionFailed("Fence", node, fenced.how)
        self.board.note_fenced(node, record.epoch)
        return fenced.how

    def _salvage(self, node: str, source: str, timeout_s: float, record: ClusterRecord) -> None:
        if self.restorer is None:
            raise ExecutionFailed("Salvage", source, "this process cannot read the files of servers")
        done = self.restorer.salvage(record, node, source, timeout_s)
        self.report(SalvageEnded(node=node, source=source, what=done.sentence))

    def _catch_up(self, node: str, source: str, timeout_s: float) -> None:
        with self.hands.server(source) as server:
            wanted = server.executed()
        deadline, pause_s = self.clock() + timeout_s, CAUGHT_UP_POLL_S
        while self.clock() < deadline:
            with self.hands.server(node) as server:
                if server.received().contains(wanted):
                    server.stop_receiving()
                    return
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, CAUGHT_UP_POLL_S_MAX)
        raise ExecutionFailed("CatchUp", node, f"has not received everything from {source} within {timeout_s:g} s")

    def _publish(self, node: str, record: ClusterRecord) -> None:
        timings = self.spec.timings
        with self.hands.server(node) as server:
            before = server.pulse()
            if before is not None:
                self.beats.start_after(before.beat)
            server.beat(pulse_row(self.topology(record), self.beats.next(), timings), timings.step_timeout_s)
