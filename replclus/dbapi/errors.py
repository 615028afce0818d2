"""Errors that an application can meet. Each is also the PyMySQL exception that existing `except` clauses expect.

    pymysql.err.OperationalError
    ├── OutcomeUnknown      2013, 08007: a write was sent and may or may not have been executed. Never repeat it blindly
    ├── TransactionLost     1213, 40001: the transaction was rolled back by a failure: run it again from its start
    ├── SessionLost         2013: what the session kept on one server is gone. The statement was not executed
    ├── NoConnectionLeft    1040: no connection to a node is free, and none became free in time. Nothing was executed
    └── Unavailable         2003: no server could be asked in time. Nothing was executed
        └── NoReplica       2003: no replica serves this read, and replica_required=True forbids the primary
    pymysql.err.NotSupportedError
    └── StatementRefused    1235: administration of one server, which does not go through a router
    UserWarning
    └── HintIgnored         a hint of another router, which means nothing here

1213 is what servers answer to a deadlock victim, and says the same: all of the transaction is undone, the connection is
fine, try again. Code that repeats deadlocked transactions therefore survives failovers without a change.
"""

from __future__ import annotations

from pymysql import err

from replclus.errors import ReplclusError


class OutcomeUnknown(err.OperationalError, ReplclusError):
    """The connection broke after a write, or a COMMIT, was sent and before it was answered.

    Ask `connection.outcome()`; with `track_outcome=True` this error is not raised where the truth can be found out.
    """

    def __init__(self, node: str, why: str, *, what: str = "the statement") -> None:
        super().__init__(
            2013,
            f"lost {node} while {what} was under way ({why}): it may or may not have been executed, "
            "so it was not repeated; connect(track_outcome=True) finds out",
            sqlstate="08007",
        )


class TransactionLost(err.OperationalError, ReplclusError):
    """A transaction was cut before its COMMIT was sent, so none of it was executed. It may be run again."""

    def __init__(self, node: str, why: str) -> None:
        super().__init__(
            1213,
            f"lost {node} in the middle of a transaction ({why}): it was rolled back, run it again from its start",
            sqlstate="40001",
        )


class SessionLost(err.OperationalError, ReplclusError):
    """A temporary table, a lock or a variable was lost with its connection. The statement was not executed."""

    def __init__(self, node: str, why: str, pinned: str) -> None:
        super().__init__(
            2013,
            f"lost {node} ({why}), and with it what this session kept there ({pinned}): the statement was not executed",
            sqlstate="08003",
        )


class Unavailable(err.OperationalError, ReplclusError):
    """No node could be reached, or no primary appeared, within the time allowed. The statement was not executed."""

    def __init__(self, message: str) -> None:
        super().__init__(2003, message, sqlstate="08001")


class NoReplica(Unavailable):
    """No replica could take a read that must not go to the primary."""

    def __init__(self, why: str, waited_s: float) -> None:
        super().__init__(
            f"no replica serves this read after {waited_s:.1f} s, and replica_required=True keeps it off the primary: {why}"
        )


class NoConnectionLeft(err.OperationalError, ReplclusError):
    """Every connection that the pool (`here`), or the server, allows is in use. The statement was not executed."""

    def __init__(self, node: str, why: str, *, here: bool) -> None:
        super().__init__(1040, f"no connection to {node} is left: {why}", sqlstate="08004")
        self.here = here


class StatementRefused(err.NotSupportedError, ReplclusError):
    """The statement administers one server. It was not sent."""

    def __init__(self, reason: str) -> None:
        super().__init__(1235, reason, sqlstate="0A000")


class HintIgnored(UserWarning):
    """A comment in a statement says what another router understands and this one does not. Given once per hint."""
