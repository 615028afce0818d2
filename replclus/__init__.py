"""replclus: a handful of MySQL or MariaDB servers as one database that splits reads from writes and survives its primary.

This module is the door for applications (PEP 249): `connect` takes PyMySQL's place. What is listed in `__all__` is promised;
nothing else is. Everything is loaded on first use, so that importing replclus costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymysql import (
        BINARY,
        DATE,
        DATETIME,
        NUMBER,
        ROWID,
        STRING,
        TIME,
        TIMESTAMP,
        Binary,
        DatabaseError,
        DataError,
        Date,
        DateFromTicks,
        Error,
        IntegrityError,
        InterfaceError,
        InternalError,
        NotSupportedError,
        OperationalError,
        ProgrammingError,
        Time,
        TimeFromTicks,
        Timestamp,
        TimestampFromTicks,
        Warning,  # PEP 249 calls it so
    )

    from replclus.dbapi import (
        Connection,
        HintIgnored,
        NoConnectionLeft,
        NoReplica,
        OutcomeUnknown,
        Route,
        SessionLost,
        StatementRefused,
        Statistics,
        TransactionLost,
        Unavailable,
        connect,
        statistics,
    )
    from replclus.dbapi.mysqldb import install_as_MySQLdb

__version__ = "0.1.0"

apilevel = "2.0"
# Threads may share the module, but not connections.
threadsafety = 1
paramstyle = "pyformat"

__all__ = [
    "BINARY",
    "DATE",
    "DATETIME",
    "NUMBER",
    "ROWID",
    "STRING",
    "TIME",
    "TIMESTAMP",
    "Binary",
    "Connection",
    "DataError",
    "DatabaseError",
    "Date",
    "DateFromTicks",
    "Error",
    "HintIgnored",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NoConnectionLeft",
    "NoReplica",
    "NotSupportedError",
    "OperationalError",
    "OutcomeUnknown",
    "ProgrammingError",
    "Route",
    "SessionLost",
    "StatementRefused",
    "Statistics",
    "Time",
    "TimeFromTicks",
    "Timestamp",
    "TimestampFromTicks",
    "TransactionLost",
    "Unavailable",
    "Warning",
    "__version__",
    "apilevel",
    "connect",
    "install_as_MySQLdb",
    "paramstyle",
    "statistics",
    "threadsafety",
]


def __getattr__(name: str) -> Any:
    """Load the door when somebody comes to it."""
    if name not in __all__:
        raise AttributeError(f"module 'replclus' has no attribute {name!r}")
    import pymysql

    from replclus import dbapi
    from replclus.dbapi import mysqldb

    for module in (dbapi, mysqldb, pymysql):
        if hasattr(module, name):
            found = globals()[name] = getattr(module, name)
            return found
    raise AttributeError(f"module 'replclus' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
