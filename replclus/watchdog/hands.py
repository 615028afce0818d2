"""The watchdog's hands: one connection per server for acting, apart from the probers' eyes, and the hosts behind them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from replclus.errors import ExecutionFailed
from replclus.model.spec import ClusterSpec
from replclus.server.line import Audit
from replclus.server.process import LocalProcess
from replclus.server.server import Server
from replclus.store.secrets import Secrets


class Hands:
    """Servers to act on, each used by one thread at a time."""

    def __init__(
        self, spec: ClusterSpec, secrets: Secrets, clock: Callable[[], float] = time.monotonic, audit: Audit | None = None
    ) -> None:
        self.secrets = secrets
        self._spec = spec
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

    def fence(self, name: str) -> None:
        """SIGKILL through the host where it is ours, never a clean stop: that would commit what nobody acknowledged.

        Elsewhere read-only, with a short deadline, and the clients are cut off: a courtesy, not a proof.
        """
        node = self._spec.node(name)
        if node.process_dir is not None:
            LocalProcess(node.process_dir).kill()
            return
        with self.server(name) as server:
            server.close_for_writes(self._spec.timings.read_only_deadline_s)
            server.kick_clients()

    def close(self) -> None:
        for server in self._servers.values():
            server.close()
