"""Time goes in quanta. The timings of the cluster are about a quarter of the real ones, in the same proportions."""

QUANTUM_S = 0.1
PROBE_QUANTA = 3
"""Quanta after which a probe or a connection attempt without an answer is given up."""
FULL_EVERY = 3
BEAT_QUANTA = 6
"""The deadline of a beat."""
NET_TIMEOUT = 5
"""Quanta of silence after which a receiver gives its source up (`replica_net_timeout`)."""
STEP_QUANTA = 12
"""Quanta after which a statement without an answer has failed (`step_timeout_s`)."""
CLOSE_QUANTA = 2
DRAIN_QUANTA_MAX = 30
GRACE_QUANTA = 8
STARVE_QUANTA = 4
"""Quanta without an event or heartbeat after which a replica counts as not fed (`starve_s`)."""
STALL_QUANTA = 7
SLOW_QUANTA = 25
"""For so long the slowest beat is remembered."""
LEASE_QUANTA = 25
REBUILD_QUANTA = 8
RESTART_QUANTA = 10
"""After so many quanta a host's service manager starts a server that the watchdog has killed."""
TTL_QUANTA = 12
