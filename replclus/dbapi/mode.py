"""The choices a connection is made with, as `connect` spells them."""

from __future__ import annotations

from typing import Literal

# eventual: any replica. bounded: replicas not more than max_lag_ms behind. session: you read your own writes, and never an
# older state than you have seen. strong: the primary.
Consistency = Literal["session", "eventual", "strong", "bounded"]

Balance = Literal["round_robin", "weighted_round_robin", "least_connections", "weighted_least_connections", "latency"]

# Whether the primary takes reads that a replica could take. when_idle: while it answers as quickly as the replicas do.
# always: it is one of the nodes among which reads are spread.
PrimaryReads = Literal["never", "when_idle", "always"]
