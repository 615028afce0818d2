"""The watchdog's hands: one connection per server for acting, apart from the probers' eyes, and the hosts behind them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from replclus.errors import ExecutionFailed, HostError, ReplclusError, ServerError, ServerUnreachable
from replclus.model.record import ClusterRecord
from replclus.model.spec import ClusterSpec, NodeSpec
from replclus.server.hook import run_hook
from replclus.server.line import Audit
from replclus.server.process import LocalProcess
from replclus.server.server import Server
from replclus.store.secrets import Secrets

KILL_S_MAX = 2.0
"""A process that SIGKILL does not end in this time hangs in the kernel, behind its disk; it may do so for ever."""


@dataclass(frozen=True, slots=True)
class Fenced:
    """What became of a fence, in words for the report. `proven`: the server acknowledges nothing from now on, until somebody
    starts it, or lets it follow, or opens it for writes. Without proof only the revocation of its ackers protects."""

    how: str
    proven: bool


class _Spared(Exception):
    """The record does not want this fence any more."""


class Hands:
    """Servers to act on, each used by one thread at a time. `record` reads the record as it stands; from any thread."""

    def __init__(
        self,
        spec: ClusterSpec,
        secrets: Secrets,
        record: Callable[[], ClusterRecord | None],
        clock: Callable[[], float] = time.monotonic,
        audit: Audit | None = None,
    ) -> None:
        self.secrets = secrets
        self._spec = spec
        self._record = record
        self._clock = clock
        self._audit = audit
        timings = spec.timings
        self._servers = {
            node.name: Server(
                node,
                secrets.watchdog,
                clock=clock,
                connect_timeout_s=timings.connect_timeout_s,
                timeout_s=timings.step_timeout_s,
                audit=audit,
            )
            for node in spec.nodes
        }
        self._locks = {node.name: threading.Lock() for node in spec.nodes}

    @contextmanager
    def server(self, name: str) -> Iterator[Server]:
        """The server called `name`, for this thread alone. ExecutionFailed if a straggler holds it beyond the step's bound."""
        if name not in self._locks:
            raise ExecutionFailed("connect", name, "is not in the configuration any more")
        bound_s = self._spec.timings.step_timeout_s
        if not self._locks[name].acquire(timeout=bound_s):
            raise ExecutionFailed("connect", name, f"an earlier step has not ended within {bound_s:g} s")
        try:
            yield self._servers[name]
        finally:
            self._locks[name].release()

    def cold(self, name: str) -> bool:
        """Would the next step there have to log in first? False as well while a step is under way."""
        lock = self._locks.get(name)
        if lock is None or not lock.acquire(blocking=False):
            return False
        try:
            return not self._servers[name].connected
        finally:
            lock.release()

    def warm(self, name: str) -> None:
        """Log in, if nobody is at work there."""
        if self._locks[name].acquire(blocking=False):
            try:
                self._servers[name].connect()
            except ServerError:
                # The probers will say what is wrong with it.
                return
            finally:
                self._locks[name].release()

    def fence(self, name: str) -> Fenced:
        """Make sure that `name` acknowledges nothing any more, by whatever reaches it. Never raises.

        In this order, until something is proof: SIGKILL through the host where it is ours (never a clean stop: that would
        commit what nobody acknowledged); `offline_mode` on MySQL; the user's hook. What is left is a courtesy and proves
        nothing: read-only with a short deadline, and the clients cut off.

        Before each act the record is read again: a fence that comes late must not hit a node that is primary by a decision
        of its own. Bounds, in seconds: KILL_S_MAX for the host; the hook's own; a connection and a statement for the rest.
        Whoever calls this waits for the replicas' revocation beside it, not after it.
        """
        node = self._spec.node(name)
        failed: list[str] = []
        try:
            for way in (self._kill, self._turn_clients_away, self._run_hook, self._close_and_kick):
                try:
                    self._still_wanted(name)
                    proof = way(node)
                except _Spared:
                    raise
                except (ReplclusError, OSError) as error:
                    failed.append(str(error))
                    if isinstance(error, ServerUnreachable) and self._spec.fence_hook is None:
                        break
                    continue
                if proof is not None:
                    return Fenced("; ".join((proof.how, *failed)), proof.proven)
        except _Spared as spared:
            return Fenced("; ".join((str(spared), *failed)), proven=False)
        return Fenced("; ".join(failed) or f"nothing reaches {name}", proven=False)

    def _still_wanted(self, name: str) -> None:
        record = self._record()
        if record is None or (record.primary == name and record.operation is None):
            raise _Spared(f"{name} is the primary by the record now, so it is left alone")

    def _kill(self, node: NodeSpec) -> Fenced | None:
        if node.process_dir is None:
            return None
        death = LocalProcess(node.process_dir).kill(KILL_S_MAX)
        return Fenced("it was dead already" if death.pid is None else f"process {death.pid} was killed", proven=True)

    def _turn_clients_away(self, node: NodeSpec) -> Fenced | None:
        with self._fresh(node) as server:
            return Fenced("offline_mode is on", proven=True) if server.turn_clients_away() else None

    def _run_hook(self, node: NodeSpec) -> Fenced | None:
        hook = self._spec.fence_hook
        if hook is None:
            return None
        about = {"REPLCLUS_NODE": node.name, "REPLCLUS_HOST": node.host, "REPLCLUS_PORT": str(node.port)}
        try:
            run_hook(hook.command, about, hook.timeout_s)
        except HostError as error:
            raise HostError(f"fence.command: {error}") from error
        return Fenced(f"{hook.command[0]} fenced it", proven=True)

    def _close_and_kick(self, node: NodeSpec) -> Fenced:
        with self._fresh(node) as server:
            closed = server.close_for_writes(self._spec.timings.read_only_deadline_s)
            self._still_wanted(node.name)
            if not closed and server.commits_wait():
                # Ending a session whose commit waits makes MariaDB commit it: the server would diverge.
                return Fenced("commits wait there that nobody will acknowledge: restart it, and they are cut off", proven=False)
            server.kick_clients()
        said = "is read-only" if closed else "did not become read-only in time"
        return Fenced(f"it {said}, and its clients were cut off, which proves nothing", proven=False)

    @contextmanager
    def _fresh(self, node: NodeSpec) -> Iterator[Server]:
        """A connection of its own: a fence waits for no earlier step, nor for what a frozen server owes it."""
        timings = self._spec.timings
        server = Server(
            node,
            self.secrets.watchdog,
            clock=self._clock,
            connect_timeout_s=timings.connect_timeout_s,
            timeout_s=timings.probe_timeout_s,
            audit=self._audit,
        )
        try:
            yield server
        finally:
            server.close()

    def close(self) -> None:
        for server in self._servers.values():
            server.close()
