"""The door for applications: `connect`, which gives a PyMySQL connection to a whole cluster."""

from __future__ import annotations

from replclus.dbapi.connection import Connection, connect
from replclus.dbapi.counting import Statistics
from replclus.dbapi.errors import (
    HintIgnored,
    NoConnectionLeft,
    NoReplica,
    OutcomeUnknown,
    SessionLost,
    StatementRefused,
    TransactionLost,
    Unavailable,
)
from replclus.dbapi.registry import statistics
from replclus.dbapi.route import Route

__all__ = [
    "Connection",
    "HintIgnored",
    "NoConnectionLeft",
    "NoReplica",
    "OutcomeUnknown",
    "Route",
    "SessionLost",
    "StatementRefused",
    "Statistics",
    "TransactionLost",
    "Unavailable",
    "connect",
    "statistics",
]
