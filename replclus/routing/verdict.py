"""What a statement turned out to be: values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Target(StrEnum):
    """Where a statement may go. These words are what `replclus route` prints."""

    REPLICA = "replica"
    PRIMARY = "primary"
    # The server that ran the previous statement: its warnings, its row count.
    LAST_USED = "last_used"
    # State that both sides of a logical connection share: SET NAMES, USE.
    SESSION = "session"
    # Begins, ends or shapes a transaction: decided by the state of the session.
    TRANSACTION = "transaction"
    # Administration of one server: not through a router.
    REFUSE = "refuse"


class StatementKind(StrEnum):
    READ = "read"
    # FOR UPDATE, LOCK IN SHARE MODE: returns rows, and holds their locks until the transaction ends.
    LOCKING_READ = "locking_read"
    WRITE = "write"
    # CREATE, ALTER, DROP, GRANT ...: a write that also commits an open transaction.
    DDL = "ddl"
    BEGIN = "begin"
    BEGIN_READ_ONLY = "begin_read_only"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    # SAVEPOINT, ROLLBACK TO, RELEASE SAVEPOINT.
    SAVEPOINT = "savepoint"
    # SET TRANSACTION without a scope: for the next transaction only.
    SET_TRANSACTION = "set_transaction"
    SET_AUTOCOMMIT = "set_autocommit"
    SET_SESSION = "set_session"
    SET_USER_VARIABLE = "set_user_variable"
    USE = "use"
    LOCK = "lock"
    UNLOCK = "unlock"
    TEMP_TABLE = "temp_table"
    CALL = "call"
    PREPARE = "prepare"
    XA = "xa"
    HANDLER = "handler"
    KILL = "kill"
    ADMIN = "admin"
    # Several statements in one string that are not all reads.
    SEVERAL = "several"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Hint:
    """What a comment in the statement asks for. `node` is set by `node=` only, `target` by all others.

    `ignored` is a peer's hint that has no meaning here, as it was written, so that somebody can be warned.
    """

    target: Target | None = None
    node: str | None = None
    ignored: str | None = None


class FunctionName(NamedTuple):
    """In lower case and without quotes, as servers compare them. `schema` is empty if none is written."""

    schema: str
    name: str


@dataclass(frozen=True, slots=True)
class Classified:
    """The verdict on one string of SQL.

    `is_select_like`: a pure read, which may be sent again as long as no row of it was handed out.
    `pins`: it makes state that lives on one connection only (a temporary table, a lock, a user variable): see `holds`.
    `schema`: the schema a USE changes to, as written without its quotes.
    `isolation`: the level a SET asks for, in the server's spelling with spaces; "UNKNOWN" if the text does not tell.
    `variables`: lower-case names of what a SET changes: session variables, user variables with their @, "names",
    "transaction", "role".
    `functions`: calls that are not built in, if they are all that speaks against a replica; `if_safe` is the verdict that
    would hold if all of them were known to be safe there.
    """

    target: Target
    reason: str
    kind: StatementKind
    is_select_like: bool = False
    pins: bool = False
    schema: str | None = None
    hint: Hint | None = None
    isolation: str | None = None
    variables: tuple[str, ...] = ()
    functions: tuple[FunctionName, ...] = ()
    if_safe: Classified | None = None


def replica(reason: str) -> Classified:
    """A read without side effects."""
    return Classified(Target.REPLICA, reason, StatementKind.READ, is_select_like=True)


def primary(reason: str, kind: StatementKind = StatementKind.WRITE, *, pins: bool = False) -> Classified:
    return Classified(Target.PRIMARY, reason, kind, pins=pins)


def refuse(reason: str) -> Classified:
    return Classified(Target.REFUSE, reason, StatementKind.ADMIN)


def unknown(reason: str) -> Classified:
    return Classified(Target.PRIMARY, reason, StatementKind.UNKNOWN)
