"""What a fault is played on: a healthy cluster under load, and the verbs to break it and to wait for what comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pymysql

from replclus.errors import HostError
from replclus.failover.status import Status
from replclus.model.record import MemberState
from replclus.model.spec import Flavour
from tests.clusters import Cluster, WatchdogProcess, eventually
from tests.faults.evidence import Tables
from tests.faults.lab import WATCHDOG, Lab
from tests.faults.load import Load
from tests.faults.network import Network
from tests.faults.sampler import Sampler
from tests.faults.workloads import FILLING, NAMES, TABLES

PATIENCE_S = 60.0
"""How long anything that must happen may take on a machine that is busy with other things."""
WARM_UP_S = 1.0
STUCK_S = 15.0
HEALINGS_MAX = 3
"""After this long an operator restarts a former primary that could not be closed: commits wait on it that nobody acknowledges."""
QUIET_S = 4.0
"""How long something must not happen before we believe that it does not: several times what a failover takes."""


class Scene:
    """`watchdog` is the running one, or the last one that ran; everything else is looked up afresh at every call."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab = lab
        self.directory = directory
        self.network: Network = lab.network
        self.cluster: Cluster = lab.cluster
        self.flavour: Flavour = lab.flavour
        self.load: Load
        self.watchdog: WatchdogProcess
        self._undo = ExitStack()
        self._watching = ExitStack()
        self.began_at = self.healed_at = 0
        self.first_epoch = 0
        self.restarted: list[str] = []

    # ---- who is who --------------------------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        return self.lab.names

    @property
    def primary(self) -> str:
        """By the record."""
        return self.cluster.record.primary

    @property
    def replicas(self) -> tuple[str, ...]:
        primary = self.primary
        return tuple(name for name in self.names if name != primary)

    def server_directory(self, name: str) -> Path:
        return self.cluster.sandbox.place(name).directory

    def pid(self, name: str) -> int:
        return int(self.cluster.process(name).pid_file.read_text())

    # ---- breaking ----------------------------------------------------------------------------------------------------

    def kill(self, name: str) -> None:
        """SIGKILL. The server stays down until `start`, or the end of the fault."""
        self.cluster.kill(name)

    def freeze(self, name: str) -> None:
        """SIGSTOP, until `thaw` or the end of the fault."""
        self.cluster.process(name).freeze()
        self.afterwards(lambda: self.thaw(name))

    def thaw(self, name: str) -> None:
        with suppress(HostError):
            self.cluster.process(name).thaw()

    def start(self, name: str) -> None:
        """As the service manager of its host would, by the code of `replclus sandbox start`: the tail is cut off first."""
        self.cluster.start(name)

    def sql(self, name: str, *statements: str) -> None:
        """As root, past every router. Waits at most ten seconds for each answer."""
        with self.cluster.connect(name, read_timeout=10) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def afterwards(self, undo: Callable[[], object]) -> None:
        """Called when the fault has been played, whatever came of it; the last one first."""
        self._undo.callback(undo)

    # ---- waiting -----------------------------------------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def promoted(self, *, within_s: float = PATIENCE_S) -> str:
        """Waits until another node is primary and writes are acknowledged again. Returns its name."""
        self._eventually(lambda: self.failed_over, "another node becomes primary", within_s)
        self._eventually(lambda: self.cluster.record.operation is None, "the failover ends", within_s)
        self.writes_resume(within_s=within_s)
        return self.primary

    @property
    def failed_over(self) -> bool:
        return self.cluster.record.epoch > self.first_epoch

    def quiet(self, seconds: float = QUIET_S) -> None:
        """Waits, and fails if somebody is promoted meanwhile."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert not self.failed_over, f"{self.primary} was made primary: {self._what_is_said()}"
            time.sleep(0.05)

    def writes_resume(self, process: str | None = None, *, within_s: float = PATIENCE_S) -> None:
        """Waits until a write that begins from now on is acknowledged."""
        now = time.monotonic_ns()
        self._eventually(lambda: self.load.acknowledged_since(now, process), "a write is acknowledged", within_s)

    def noticed(self, *problems: str, within_s: float = PATIENCE_S) -> None:
        """Waits until the watchdog has reported one of these situations."""
        self._eventually(
            lambda: any(self.watchdog.said("ProblemAppeared", problem=problem) for problem in problems),
            f"the watchdog reports {' or '.join(problems)}",
            within_s,
        )

    def decided(self, verdict: str, *, within_s: float = PATIENCE_S) -> None:
        """Waits until the watchdog has come to this verdict: stay, wait, refuse or act."""
        self._eventually(lambda: self.watchdog.said("Decided", verdict=verdict), f"the watchdog's verdict is {verdict}", within_s)

    def _eventually(self, condition: Callable[[], object], what: str, within_s: float) -> None:
        try:
            eventually(condition, what, within_s=within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self._what_is_said()}") from None

    def _what_is_said(self) -> str:
        return " | ".join(event["sentence"] for event in self.watchdog.events[-12:])

    # ---- the watchdog ------------------------------------------------------------------------------------------------

    def start_watchdog(self, host: str = WATCHDOG, prefix: tuple[str, ...] = ()) -> None:
        """A new process; `prefix` stands before its command. What earlier ones said is kept."""
        before = self.watchdog.events if hasattr(self, "watchdog") else []
        self.watchdog = self._watching.enter_context(self.lab.watchdog(host=host, prefix=prefix))
        self.watchdog.events[:0] = before

    def stop_watchdog(self) -> None:
        """Ends all watchdogs that were started."""
        self._watching.close()

    # ---- the play ----------------------------------------------------------------------------------------------------

    @contextmanager
    def played(self, *, direct: bool = False) -> Iterator[Sampler]:
        """Under load, with a watchdog. At the end of the `with` both have stopped, and nothing is broken any more."""
        sampler = Sampler(self.cluster, self.directory)
        try:
            self.start_watchdog()
            self._eventually(self.cluster.healthy, "the cluster is healthy", PATIENCE_S)
            _make_tables(self.cluster)
            self.load = Load(self.lab, self.directory, direct=direct)
            try:
                for process in self.load.processes:
                    self.writes_resume(process)
                self.began_at = time.monotonic_ns()
                time.sleep(WARM_UP_S)
                self.first_epoch = self.cluster.record.epoch
                yield sampler
            finally:
                self.load.stop()
        finally:
            self.undo()
            self.stop_watchdog()
            sampler.stop()

    def undo(self) -> None:
        """Everything that was broken is repaired, except what only the watchdog can repair."""
        self._undo.close()
        self.network.mend_all()

    def heal(self, *, quarantine: bool) -> None:
        """Repairs, starts what is down, and waits until the cluster is whole and takes writes from everybody."""
        self.undo()
        undone, self.healed_at = time.monotonic(), 0
        spared = set(self.names)

        def whole() -> bool:
            if time.monotonic() > undone + STUCK_S:
                self._restart_stuck(spared)
            return self._whole(quarantine=quarantine)

        # What a look finds whole may be a failover a moment later, of which the watchdog knows and the look does not.
        for _ in range(HEALINGS_MAX):
            self._eventually(whole, "the cluster is whole again", 1.5 * PATIENCE_S)
            self.healed_at = time.monotonic_ns()
            for process in self.load.processes:
                self.writes_resume(process)
            if self._whole(quarantine=quarantine):
                return
        raise AssertionError("the cluster does not stay whole")

    def _whole(self, *, quarantine: bool) -> bool:
        """One primary, everybody else replicating from it; or quarantined, if that is a good end. Starts what is down."""
        for name in self.names:
            if not self.cluster.process(name).is_running():
                self.start(name)
        status: Status = self.cluster.status()
        # Whatever is wrong with a quarantined node is why it is in quarantine.
        aside = set(self.names) - set(self.serving()) if quarantine else set()
        problems = [problem for problem in status.problems if problem.node not in aside]
        writable = [node.name for node in status.nodes if node.writable]
        return not problems and writable == [status.primary] and self.cluster.record.operation is None

    def _restart_stuck(self, spared: set[str]) -> None:
        """As an operator would whose watchdog cannot: SIGKILL and start, once for each server. It is told in the verdict."""
        for name in self.replicas:
            if name in spared and self.cluster.process(name).is_running() and self.cluster.writable(name):
                spared.remove(name)
                self.restarted.append(name)
                self.kill(name)
                self.start(name)

    def serving(self) -> tuple[str, ...]:
        return tuple(member.name for member in self.cluster.record.members if member.state is not MemberState.QUARANTINED)

    def finals(self) -> dict[str, Tables]:
        """The tables of every serving node, once they are equal or it is certain that they will not be."""
        with suppress(AssertionError):
            eventually(lambda: len({str(_tables(self.cluster, name)) for name in self.serving()}) == 1, "equal", within_s=20)
        return {name: _tables(self.cluster, name) for name in self.serving()}


def _make_tables(cluster: Cluster) -> None:
    """Empty tables, on all nodes."""
    primary = cluster.record.primary
    drops = [f"DROP TABLE IF EXISTS app.{name}" for name in NAMES]
    with cluster.connect(primary, read_timeout=PATIENCE_S) as connection, connection.cursor() as cursor:
        for statement in (*drops, *TABLES, FILLING):
            cursor.execute(statement)
    filled = ((0, 0, 0, 0, 600),)
    counts = ", ".join(f"(SELECT COUNT(*) FROM app.{name})" for name in NAMES if name != "bank")
    sql = f"SELECT {counts}, (SELECT SUM(balance) FROM app.bank)"

    def there(name: str) -> bool:
        try:
            return cluster.rows(name, sql) == filled
        except pymysql.err.Error:
            return False

    eventually(lambda: all(there(name) for name in cluster.sandbox.names), "the tables are everywhere", within_s=PATIENCE_S)


def _tables(cluster: Cluster, name: str) -> Tables:
    columns = {"entries": "id, origin", "lists": "k, elements", "registers": "name, v", "bank": "account, balance"}
    columns["claims"] = "k, who, origin"
    return {table: cluster.rows(name, f"SELECT {names} FROM app.{table} ORDER BY 1, 2") for table, names in columns.items()}
