"""Which node this connection reads from, and for how long.

Changing the replica costs a session two questions about positions, so a connection stays for a turn of several reads and
then asks the balancer, which all connections of the process share. Turns are short while a process is young, so that a few
hundred reads are spread evenly too.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Collection, Sequence

from replclus.dbapi.mapping import NEVER, Address, ClusterMap
from replclus.dbapi.options import Options
from replclus.dbapi.pool import Pool
from replclus.dbapi.watcher import NodeState
from replclus.routing import Backend, admitted, eligible, primary_takes

TURN_MIN, TURN_MAX, TURN_IDLE_MAX = 4, 64, 8
# A turn is this part of what the process has read so far, within the bounds.
_PART = 60


class Turns:
    """`left`: reads until another replica may be due. The hot path counts it down."""

    def __init__(self, options: Options, pool: Pool) -> None:
        self._pool = pool
        self._watcher = pool.watcher
        self._balancer = pool.balancer(options.balance)
        self._lag_ms_max = options.max_lag_ms if options.consistency == "bounded" else None
        self._primary_reads = options.primary_reads
        self._wants_load = options.balance in ("least_connections", "weighted_least_connections")
        # Only a session has to ask before it may leave.
        self._turn_max = TURN_MAX if options.consistency == "session" else TURN_MIN
        if options.primary_reads == "when_idle":
            # Whether the primary is idle must be asked anew before it has long ceased to be.
            self._turn_max = min(self._turn_max, TURN_IDLE_MAX)
        self._backends: dict[str, Backend] = {}
        self._helper: NodeState | None = None
        self.left = 0

    @property
    def bounded(self) -> bool:
        """The lag must be looked at before every read, not once per turn."""
        return self._lag_ms_max is not None

    def candidates(self, current: ClusterMap) -> list[NodeState]:
        """The nodes in rotation. Their lag is what it can be at most: it has grown since they were asked."""
        now, watcher = time.monotonic(), self._watcher
        states = [state for node in current.replicas if (state := watcher.state_of(node)) is not None]
        primary = self._reading_primary(current, now)
        if primary is not None and self._primary_reads == "always":
            states.append(primary)
        self._helper = primary if self._primary_reads == "when_idle" and states else None
        held: Counter[Address] = Counter()
        waiting: Counter[Address] = Counter()
        if self.left <= 0 and (self._wants_load or self._helper is not None):
            for link in watcher.links():
                if not link.idle:
                    held[link.node.address] += 1
                    waiting[link.node.address] += link._result is None
        self._backends = {
            state.node.name: Backend(
                name=state.node.name,
                weight=state.node.weight,
                lag_ms=0.0 if state is primary else None if state.as_of == NEVER else (now - state.as_of) * 1000,
                open_connections=held[state.node.address],
                latency_ms=state.latency_ms,
                share=state.fitness.share(now),
                waiting=waiting[state.node.address],
            )
            for state in (*states, *([self._helper] if self._helper is not None else []))
        }
        fit = {one.name for one in eligible(self._backends.values(), lag_ms_max=self._lag_ms_max)}
        return [state for state in states if state.node.name in fit]

    def _reading_primary(self, current: ClusterMap, now: float) -> NodeState | None:
        """The primary, where it may take reads: it has everything, as long as it is certain to be the primary still."""
        if self._primary_reads == "never" or current.primary is None or now >= self._watcher.fresh_until:
            return None
        return self._watcher.state_of(current.primary)

    def choose(self, candidates: Sequence[NodeState], tried: Collection[str], present: NodeState | None) -> NodeState | None:
        """The present node while its turn lasts, else the balancer's choice. `candidates` as returned before."""
        left = {state.node.name: state for state in candidates if state.node.name not in tried}
        if present is not None and self.left > 0 and present.node.name not in tried and self._keeps(present, left):
            return present
        chosen = self._balancer.choose(admitted([self._backends[name] for name in left], random.random))
        if chosen is None:
            # Whoever is held from an earlier turn has none any more.
            self.left = 0
            return None
        self.left = max(TURN_MIN, min(self._turn_max, self._pool.reads // _PART))
        self._pool.reads += self.left
        helper = self._helper
        if helper is not None and helper.node.name not in tried:
            primary = self._backends[helper.node.name]
            if primary.share >= 1 and primary_takes(primary, self._backends[chosen], len(candidates), random.random):
                return helper
        return left[chosen]

    def _keeps(self, present: NodeState, left: dict[str, NodeState]) -> bool:
        return present is self._helper or left.get(present.node.name) is present
