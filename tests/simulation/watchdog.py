"""The watchdog: observe, decide, act; again. As `replclus.watchdog.loop` and `executor` have it, in simulated time.

It can be killed before any action and in the middle of `Together`, be paused (what it saw then is old when it goes on), and
lose its lock to another one. The lock is asked before every action, as the executor does.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from replclus.failover import machine
from replclus.failover.decision import Act, Action, Decision, FreeSenders, Plan, Swap, Together, Wait
from replclus.failover.view import ClusterView, Work
from replclus.model.record import ClusterRecord, MemberState
from replclus.watchdog.tenure import Tenure
from tests.simulation import laws
from tests.simulation.clock import PROBE_QUANTA, QUANTUM_S, REBUILD_QUANTA, STEP_QUANTA
from tests.simulation.hands import Failed, perform
from tests.simulation.sight import Pulse, Sight

if TYPE_CHECKING:
    from tests.simulation.servers import Server
    from tests.simulation.world import World

REREAD_QUANTA_MAX = 3
TWICE_EVERY = 16
"""Every so many decisions are made a second time, to see that they come out the same."""

Doing = Generator[None, None, None]
Acting = Generator[None, None, bool]


class Killed(Exception):
    """The watchdog's process ends here."""


class Watchdog:
    """`trap` is the number of actions it may still begin before it is killed; None if it is not to be killed."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.alive = True
        self.paused = False
        self.trap: int | None = None
        self.start()

    def start(self) -> None:
        """A new process: it knows the record, and nothing else."""
        self.alive = True
        self.trap = None
        self.sight = Sight(self.world, self.name)
        self.pulse = Pulse(self.world, self.name, self.sight)
        self.busy: set[str] = set()
        self.decision: Decision | None = None
        self.had: dict[str, int] = {}
        self._work: Doing = self._run()
        self._stragglers: list[Acting] = []
        self.works: dict[str, Work] = {}
        self._tenure = Tenure()
        self._decided = 0

    def kill(self) -> None:
        self.alive = False
        self._work.close()
        for acting in self._stragglers:
            acting.close()
        self._stragglers.clear()

    def work(self) -> None:
        if not self.alive or self.paused:
            return
        parts = [self.sight.work, self.pulse.work, self._go_on]
        if self.world.luck.random() < 0.3:
            parts.reverse()
        for part in parts:
            part()
            if not self.alive:
                return

    def _go_on(self) -> None:
        try:
            for acting in self._stragglers:
                next(acting, None)
            next(self._work)
        except Killed:
            self.world.tell(f"{self.name} is killed")
            self.kill()

    # ---- the loop ----------------------------------------------------------------------------------------------------

    def _run(self) -> Doing:
        for _ in range(2 * PROBE_QUANTA):
            if self.sight.newer(tuple(self.world.servers), 0):
                break
            yield
        while True:
            if self.world.lock_holder != self.name:
                yield
                continue
            yield from self._tick(self.world.record)
            self.sight.alarm = False
            yield

    def _tick(self, record: ClusterRecord) -> Doing:
        view = self.view(record)
        if record.operation is None:
            self.pulse.aim(record.primary, record.epoch)
        else:
            self.pulse.hold()
        decision = self._decide(view)
        if isinstance(decision, Act):
            if decision.plan.holds_pulse:
                self.pulse.hold()
            began = self.world.now
            laws.plan_is_lawful(view, decision.plan)
            self.had = dict(self.sight.had)
            yield from self._execute(decision.plan, record)
            since = began if self.world.record.operation is not None else self.world.now
            self._tenure.note(self.world.record, since * QUANTUM_S)
            yield from self._reread(tuple(self.world.servers))
        elif isinstance(decision, Wait):
            yield from self._reread(decision.reread)

    def view(self, record: ClusterRecord) -> ClusterView:
        now_s = self.world.now * QUANTUM_S
        self._tenure.note(record, now_s)
        return ClusterView(
            spec=self.world.spec,
            record=record,
            observations=self.sight.observations,
            now=now_s,
            pulse=self.pulse.seen(),
            history=self.sight.history,
            operation_since=self._tenure.since,
            wall_s=self.world.now,
            newest_beat=self.world.beat_number,
            works=self._works_of(record),
        )

    def _works_of(self, record: ClusterRecord) -> dict[str, Work]:
        """The rebuilds in the background; what has ended and is in the record is forgotten."""
        wanted = {member.name for member in record.members if member.state is MemberState.REBUILDING}
        for name in [name for name, work in self.works.items() if work.ended and name not in wanted]:
            del self.works[name]
        return {name: work for name, work in self.works.items() if name in wanted}

    def begin_rebuild(self, server: Server, donor: Server) -> None:
        if server.name not in self.works:
            self.works[server.name] = Work(what=f"from {donor.name}")
            self._stragglers.append(self._rebuild(server, donor))

    def _rebuild(self, server: Server, donor: Server) -> Acting:
        """In the background. It ends read-only and detached; broken off, it leaves a server that is nothing."""
        network = self.world.network
        bits, took = None, 0
        for took in range(4 * REBUILD_QUANTA):
            yield
            if not (server.running and donor.running and not server.hung):
                break
            if not (network.both(self.name, server.name) and network.both(self.name, donor.name)):
                break
            if bits is None:
                bits = donor.executed
                server.empty()
            if took >= REBUILD_QUANTA:
                server.become_copy(bits)
                work = Work(ended=True, ok=True, what="copied", server_id=server.index + 1, uuid=server.identity.uuid)
                self.works[server.name] = work
                return True
        self.works[server.name] = Work(ended=True, what="it was broken off")
        return False

    def _decide(self, view: ClusterView) -> Decision:
        decision = laws.total(view)
        self._decided += 1
        if self._decided % TWICE_EVERY == 0 and machine.tick(view) != decision:
            raise laws.Violation("the same view was decided twice, in two ways")
        before, self.decision = self.decision, decision
        if before is None or (before.verdict, before.why) != (decision.verdict, decision.why):
            self.world.tell(f"{self.name} decides to {decision.verdict}: {decision.why}")
        return decision

    def _reread(self, names: tuple[str, ...]) -> Doing:
        since = self.world.now
        for name in names:
            self.sight.ask(name)
        for _ in range(REREAD_QUANTA_MAX):
            if self.sight.newer(names, since):
                return
            yield

    # ---- carrying out ------------------------------------------------------------------------------------------------

    def _execute(self, plan: Plan, record: ClusterRecord) -> Doing:
        for step in plan.steps:
            if isinstance(step, Together):
                ok = yield from self._together(step, record)
            elif isinstance(step, Swap):
                yield from self._dawdle()
                swapped = self._swap(step, record)
                ok, record = swapped is not None, swapped or record
            else:
                ok = yield from self._act(step, record)
            if not ok:
                return

    def _dawdle(self) -> Doing:
        """Between any two actions time may pass."""
        if self.world.luck.random() < 0.3:
            yield

    def _swap(self, step: Swap, record: ClusterRecord) -> ClusterRecord | None:
        self._begin(step)
        if self.world.lock_holder != self.name:
            return None
        laws.record_changes_lawfully(self.world, record, step.record)
        after = self.world.swap(record.version, step.record, f"{self.name}: {step.what}")
        if after is not None:
            self.sight.forget_positions(after.ackers - record.ackers)
        return after

    def _begin(self, action: Action) -> None:
        if self.trap is not None:
            if self.trap == 0:
                raise Killed
            self.trap -= 1

    def _act(self, action: Action, record: ClusterRecord) -> Acting:
        """One action on one server. One that is not essential may fail without harm."""
        yield from self._dawdle()
        self._begin(action)
        assert action.node is not None
        what = f"{self.name}   {type(action).__name__} {action.node}"
        try:
            if self.world.lock_holder != self.name:
                raise Failed("another process has taken over")
            self.world.tell(what)
            self.sight.note_begun(action.node, STEP_QUANTA)
            yield from perform(self, action, record)
        except Failed as error:
            self.world.tell(f"{what} failed: {error}")
            self.sight.note_failure(action.node)
            return not action.essential
        if isinstance(action, FreeSenders):
            self.sight.note_failure(action.node)
        else:
            self.sight.note_success(action.node)
        return True

    def _together(self, step: Together, record: ClusterRecord) -> Acting:
        """True as soon as every essential action and `enough` of the others succeeded; stragglers go on."""
        running = [(action, self._act(action, record)) for action in step.actions]
        self.world.luck.shuffle(running)
        essential, others = sum(action.essential for action in step.actions), 0
        while running:
            left = []
            for action, acting in running:
                try:
                    next(acting)
                except StopIteration as end:
                    if end.value:
                        essential, others = essential - action.essential, others + (not action.essential)
                    elif action.essential:
                        self._stragglers.extend(other for _, other in running if other is not acting)
                        return False
                else:
                    left.append((action, acting))
            running = left
            if essential == 0 and others >= step.enough:
                self._stragglers.extend(acting for _, acting in running)
                return True
            if running:
                yield
        return essential == 0
