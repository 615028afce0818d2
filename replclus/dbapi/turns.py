"""Which replica this connection reads from, and for how long.

Changing the replica costs a session two questions about positions, so a connection stays for a turn of several reads and
then asks the balancer, which all connections of the process share. Turns are short while a process is young, so that a few
hundred reads are spread evenly too.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from replclus.dbapi.mapping import NEVER, ClusterMap
from replclus.dbapi.options import Options
from replclus.dbapi.pool import Pool
from replclus.dbapi.watcher import NodeState
from replclus.routing import Backend, eligible

TURN_MIN, TURN_MAX = 4, 64
# A turn is this part of what the process has read so far, within the bounds.
_PART = 60


class Turns:
    """`left`: reads until another replica may be due. The hot path counts it down."""

    def __init__(self, options: Options, pool: Pool) -> None:
        self._pool = pool
        self._balancer = pool.balancer(options.balance)
        self._lag_ms_max = options.max_lag_ms if options.consistency == "bounded" else None
        self._wants_load = options.balance in ("least_connections", "weighted_least_connections")
        # Only a session has to ask before it may leave.
        self._turn_max = TURN_MAX if options.consistency == "session" else TURN_MIN
        self.left = 0

    @property
    def bounded(self) -> bool:
        """The lag must be looked at before every read, not once per turn."""
        return self._lag_ms_max is not None

    def candidates(self, current: ClusterMap) -> list[NodeState]:
        """The replicas in rotation. Their lag is what it can be at most: it has grown since they were asked."""
        now = time.monotonic()
        watcher = self._pool.watcher
        states = {node.name: watcher.state_of(node) for node in current.replicas}
        backends = [
            Backend(
                name=name,
                weight=state.node.weight,
                lag_ms=None if state.as_of == NEVER else (now - state.as_of) * 1000,
                open_connections=self._pool.in_use(state.node) if self._wants_load else 0,
                latency_ms=state.latency_ms,
            )
            for name, state in states.items()
        ]
        self._backends = eligible(backends, lag_ms_max=self._lag_ms_max)
        return [states[backend.name] for backend in self._backends]

    def choose(self, candidates: Sequence[NodeState], tried: Collection[str], present: NodeState | None) -> NodeState | None:
        """The present replica while its turn lasts, else the balancer's choice. `candidates` as returned before."""
        left = [state for state in candidates if state.node.name not in tried]
        if present is not None and present in left and self.left > 0:
            return present
        names = {state.node.name for state in left}
        chosen = self._balancer.choose([backend for backend in self._backends if backend.name in names])
        self.left = max(TURN_MIN, min(self._turn_max, self._pool.reads // _PART))
        self._pool.reads += self.left
        return next((state for state in left if state.node.name == chosen), None)

    _backends: Sequence[Backend] = ()
