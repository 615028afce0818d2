"""The door for applications: `connect`, which gives a PyMySQL connection to a whole cluster."""

from __future__ import annotations

from replclus.dbapi.connection import Connection, connect
from replclus.dbapi.errors import HintIgnored, OutcomeUnknown, SessionLost, StatementRefused, TransactionLost, Unavailable
from replclus.dbapi.route import Route

__all__ = [
    "Connection",
    "HintIgnored",
    "OutcomeUnknown",
    "Route",
    "SessionLost",
    "StatementRefused",
    "TransactionLost",
    "Unavailable",
    "connect",
]
