"""Time goes in quanta. The timings of the cluster are about a quarter of the real ones, in the same proportions."""

QUANTUM_S = 0.1
PROBE_QUANTA = 3
"""Quanta after which a probe or a connection attempt without an answer is given up."""
FULL_EVERY = 5
BEAT_QUANTA = 4
"""The deadline of a beat."""
NET_TIMEOUT = 5
"""Quanta of silence after which a receiver gives its source up (`replica_net_timeout`)."""
STEP_QUANTA = 12
"""Quanta after which a statement without an answer has failed (`step_timeout_s`)."""
CLOSE_QUANTA = 2
DRAIN_QUANTA_MAX = 30
GRACE_QUANTA = 8
TTL_QUANTA = 12
