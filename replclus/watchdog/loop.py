"""Observe, decide, act; again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from replclus.errors import ConfigError
from replclus.events import Decided, ProblemAppeared, ProblemGone, Report, Warned
from replclus.failover import machine
from replclus.failover.decision import Act, Decision, Wait
from replclus.failover.problems import Problem, find_problems
from replclus.failover.status import routing_map
from replclus.failover.view import NEVER, ClusterView
from replclus.model.observation import Reach
from replclus.model.record import ClusterRecord, MemberState
from replclus.model.spec import ClusterSpec
from replclus.model.topology import Topology
from replclus.store import Lock, Store
from replclus.store.secrets import Secrets
from replclus.watchdog.board import Board
from replclus.watchdog.entry import EntryProber
from replclus.watchdog.executor import Executor
from replclus.watchdog.hands import Hands
from replclus.watchdog.prober import Prober
from replclus.watchdog.pulse import BeatClock, Pulse
from replclus.watchdog.restoring import Restorer, Workers
from replclus.watchdog.telling import Telling
from replclus.watchdog.tenure import Tenure

REREAD_S_MAX = 0.25
"""How long the loop waits for servers that it asked again. A hung one is not waited for longer."""

PATIENCE_PART = 16
"""Evidence that is missing is asked for again after this part of a tick, then after twice as long, up to a whole tick."""


class Watchdog:
    """The night shift of one cluster, good for one `run`. `report` is called from several threads, one event at a time.

    Without a `restorer` nothing can be rebuilt or salvaged, and whoever asks is told so.
    """

    def __init__(
        self,
        spec: ClusterSpec,
        store: Store,
        secrets: Secrets,
        report: Report,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        restorer: Restorer | None = None,
    ) -> None:
        self._spec = spec
        self._store = store
        self._secrets = secrets
        self._clock = clock
        self._telling = Telling(spec, store, report, clock)
        self._report = self._telling.tell
        self._board = Board(clock)
        self._wall = wall
        self._restorer = restorer
        self._workers = Workers(restorer, self._board, self._report)
        self._beats = BeatClock(wall, clock)
        self._problems: dict[tuple[str, str | None], Problem] = {}
        self._said: tuple[str, str] = ("", "")
        self._tenure = Tenure()
        self._patience_s = spec.timings.tick_s / PATIENCE_PART

    def run(self, stop: threading.Event, *, until: Callable[[ClusterRecord], bool] | None = None) -> None:
        """Until `stop` is set, or `until` says of the record that the work is done.

        Raises Locked if another process drives this cluster, ConfigError if it was never initialised.
        """
        with ExitStack() as stack:
            lock = stack.enter_context(self._store.lock("watchdog"))
            record = self._load()
            self._telling.start()
            stack.callback(self._telling.stop)
            timings = self._spec.timings
            probers = {
                node.name: Prober(node, self._secrets.watchdog, timings, record.durability, self._board, self._clock)
                for node in self._spec.nodes
            }
            pulse = Pulse(self._secrets.watchdog, timings, self._board, self._beats, self._clock)
            hands = Hands(self._spec, self._secrets, self._store.load, self._clock, self._telling.audit)
            stack.callback(hands.close)
            pool = ThreadPoolExecutor(max_workers=2 * len(probers) + 2, thread_name_prefix="step")
            stack.callback(pool.shutdown, wait=False, cancel_futures=True)
            stack.callback(pulse.stop)
            pulse.start()
            doors = [EntryProber(node, self._secrets.replication, timings, self._board, self._clock) for node in self._spec.nodes]
            eyes: list[Prober | EntryProber] = [*probers.values(), *doors]
            for eye in eyes:
                stack.callback(eye.stop)
                eye.start()
            stack.callback(self._workers.stop)
            executor = self._executor(lock, hands, pool)
            self._first_look(probers)
            while not stop.is_set():
                record = self._load()
                if until is not None and until(record):
                    break
                self._tick(record, probers, pulse, executor)
            if lock.held() and (trouble := pulse.take_leave()) is not None:
                self._report(Warned(what=trouble))

    def _executor(self, lock: Lock, hands: Hands, pool: ThreadPoolExecutor) -> Executor:
        return Executor(
            spec=self._spec,
            store=self._store,
            lock=lock,
            board=self._board,
            hands=hands,
            beats=self._beats,
            report=self._report,
            audit=self._telling.audit,
            topology=self._topology,
            pool=pool,
            workers=self._workers,
            restorer=self._restorer,
            clock=self._clock,
        )

    def _load(self) -> ClusterRecord:
        record = self._store.load()
        if record is None:
            raise ConfigError(f"cluster {self._spec.name} has no record yet: run `replclus init` first")
        configured = {node.name: (node.host, node.port) for node in self._spec.nodes}
        for member in record.members:
            if configured.get(member.name) != (member.host, member.port):
                where = f"{member.name} is a member of the cluster at {member.host}:{member.port}"
                raise ConfigError(f"{where}, and the configuration says otherwise: put the [[node]] back as it was")
        return record

    def _first_look(self, probers: dict[str, Prober]) -> None:
        """See every server once before the first decision, and never send a beat smaller than one that exists."""
        self._board.wait_for_news(probers, NEVER, self._spec.timings.connect_timeout_s + self._spec.timings.probe_timeout_s)
        observations, _ = self._board.snapshot()
        for seen in observations.values():
            if seen.facts is not None and seen.facts.pulse is not None:
                self._beats.start_after(seen.facts.pulse.beat)

    def _tick(self, record: ClusterRecord, probers: dict[str, Prober], pulse: Pulse, executor: Executor) -> None:
        view = self._view(record, pulse)
        self._telling.changes.watch(view)
        self._aim(pulse, view)
        self._tell_problems(view)
        decision = machine.tick(view)
        self._tell_decision(decision)
        if isinstance(decision, Act):
            if decision.plan.holds_pulse:
                pulse.hold()
            self._telling.changes.begin(view, decision.plan)
            began = self._clock()
            after = executor.run(decision.plan, record)
            # What is asked while the last step of a change is done may be answered from before it.
            self._tenure.note(after, began if after.operation is not None else self._clock())
            self._telling.changes.end(record, after)
            self._reread(probers, tuple(probers))
        elif isinstance(decision, Wait):
            self._reread(probers, decision.reread)
            self._board.wait_for_alarm(self._patience_s)
            self._patience_s = min(2 * self._patience_s, self._spec.timings.tick_s)
            return
        else:
            executor.warm_up()
            if not view.primary.reach.alive:
                # That a replica gets nothing shows only when it was looked at completely, twice.
                for prober in probers.values():
                    prober.ask()
            self._board.wait_for_alarm(self._spec.timings.tick_s)
        self._patience_s = self._spec.timings.tick_s / PATIENCE_PART

    def _view(self, record: ClusterRecord, pulse: Pulse) -> ClusterView:
        now = self._clock()
        self._tenure.note(record, now)
        observations, history = self._board.snapshot()
        return ClusterView(
            spec=self._spec,
            record=record,
            observations=observations,
            now=now,
            pulse=pulse.health,
            history=history,
            operation_since=self._tenure.since,
            wall_s=int(self._wall()),
            newest_beat=self._beats.newest(),
            works=self._workers.works(member.name for member in record.members if member.state is MemberState.REBUILDING),
        )

    def _topology(self, record: ClusterRecord) -> Topology:
        observations, history = self._board.snapshot()
        return routing_map(
            ClusterView(spec=self._spec, record=record, observations=observations, history=history, now=self._clock())
        )

    def _aim(self, pulse: Pulse, view: ClusterView) -> None:
        """Beats go to the primary that the record names, and to nobody while that is being changed."""
        if view.record.operation is None:
            pulse.aim(self._spec.node(view.record.primary), routing_map(view))
        else:
            pulse.hold()

    def _reread(self, probers: dict[str, Prober], names: tuple[str, ...]) -> None:
        """Ask them again, and wait for their answers; not for those of servers that hung when they were last asked."""
        since = self._clock()
        for name in names:
            probers[name].ask()
        seen, _ = self._board.snapshot()
        awaited = [name for name in names if name not in seen or seen[name].reach is not Reach.TIMED_OUT]
        self._board.wait_for_news(awaited, since, REREAD_S_MAX)

    # ---- telling -----------------------------------------------------------------------------------------------------

    def _tell_problems(self, view: ClusterView) -> None:
        """What appeared and what is over. Not in the middle of a change of the primary, which makes problems of its own."""
        if view.record.operation is not None:
            return
        present = {(problem.code, problem.node): problem for problem in find_problems(view)}
        for key, problem in present.items():
            if key not in self._problems:
                self._report(ProblemAppeared(problem=problem.code, what=problem.sentence, node=problem.node))
        for code, node in self._problems.keys() - present.keys():
            self._report(ProblemGone(problem=code, node=node))
        self._problems = present

    def _tell_decision(self, decision: Decision) -> None:
        said = (decision.verdict, decision.why)
        if said != self._said:
            self._report(Decided(verdict=decision.verdict, why=decision.why))
            self._said = said
