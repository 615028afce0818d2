"""Everything that is said to a server about replication, and how its answers are read. Strings out, rows in; no I/O.

The only room that spells MASTER, SLAVE or SOURCE. `detect` picks the dialect; the rest of replclus speaks through the
`Dialect` protocol and never asks which family or version it talks to.
"""

from __future__ import annotations

from replclus.dialect.accounts import AccountRole
from replclus.dialect.base import (
    Check,
    Dialect,
    Link,
    Row,
    Rows,
    Setting,
)
from replclus.dialect.detect import IDENTIFY, detect, read_identity
from replclus.dialect.names import check_host, check_port, check_user, quote_identifier, quote_schema
from replclus.dialect.statement import Statement

__all__ = [
    "IDENTIFY",
    "AccountRole",
    "Check",
    "Dialect",
    "Link",
    "Row",
    "Rows",
    "Setting",
    "Statement",
    "check_host",
    "check_port",
    "check_user",
    "detect",
    "quote_identifier",
    "quote_schema",
    "read_identity",
]
