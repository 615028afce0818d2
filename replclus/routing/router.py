"""Puts together what a statement is and what state its session is in: which side of the connection takes it, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

from replclus.routing.scan import SYSTEM_SCHEMAS
from replclus.routing.verdict import Classified, StatementKind, Target

Role = Literal["primary", "replica", "last_used", "node", "refuse"]
Side = Literal["primary", "replica"]

# SERIALIZABLE takes locks with every read, READ UNCOMMITTED wants to see what is not yet committed, and both only make sense
# where the writes are.
_ISOLATION_ON_PRIMARY = frozenset({"SERIALIZABLE", "READ UNCOMMITTED", "UNKNOWN"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionState:
    """What the answer depends on besides the statement. Taken from the servers' status flags, not guessed from text.

    `transaction_on`: the side on which a transaction is open, if any. `transaction_read_only`: it was begun READ ONLY.
    `pinned_to`: the side that holds state which cannot be moved (a temporary table, a lock).
    `isolation`: as in `Classified.isolation`. `schema`: the session's.
    """

    transaction_on: Side | None = None
    transaction_read_only: bool = False
    autocommit: bool = True
    split_transactions: bool = True
    pinned_to: Side | None = None
    consistency: Literal["eventual", "bounded", "session", "strong"] = "session"
    isolation: str | None = None
    schema: str | None = None


@dataclass(frozen=True, slots=True)
class Destination:
    """`role` "replica" leaves the choice to a balancer unless a transaction is open there: then it is that one.

    `node` is set with the role "node" only: a hint named it.
    """

    role: Role
    reason: str
    node: str | None = None


def decide(found: Classified, state: SessionState) -> Destination:
    """Where the statement goes. Total. The rules are in the order in which they win.

    A statement of the session (SET, USE) goes to the primary or to where a transaction is; the caller keeps it and has it
    done on the other side before that is used again. BEGIN inside of a transaction ends that one first, on its side.
    """
    hint = found.hint
    if hint is not None and hint.node is not None and state.transaction_on is None and state.pinned_to is None:
        return Destination("node", f"a hint in the statement names {hint.node}", hint.node)
    if found.target is Target.REFUSE:
        return Destination("refuse", found.reason)
    if state.pinned_to is not None:
        return Destination(state.pinned_to, "the session has state that lives on one connection")
    if state.transaction_on == "primary" or (state.transaction_on is not None and state.transaction_read_only):
        return Destination(state.transaction_on, "a transaction stays where it began")
    if state.transaction_on == "replica":
        return _after_first_read(found)
    return _outside(found, state)


def _after_first_read(found: Classified) -> Destination:
    """With autocommit off, after reads on a replica and before the first write."""
    match found.target:
        case Target.REPLICA | Target.LAST_USED:
            return Destination("replica", "a transaction that has only read stays on its replica")
        case Target.TRANSACTION if found.kind in {StatementKind.COMMIT, StatementKind.ROLLBACK}:
            return Destination("replica", "the transaction has only read: ended where it was")
        case Target.SESSION:
            return Destination("replica", found.reason)
        case _:
            return Destination("primary", f"the transaction moves to the primary: {found.reason}")


def _outside(found: Classified, state: SessionState) -> Destination:
    match found.target:
        case Target.PRIMARY | Target.SESSION:
            return Destination("primary", found.reason)
        case Target.LAST_USED:
            return Destination("last_used", found.reason)
        case Target.TRANSACTION:
            if found.kind is StatementKind.BEGIN_READ_ONLY:
                return _read(found, state)
            return Destination("primary", found.reason)
        case Target.REPLICA:
            return _read(found, state)
        case Target.REFUSE:
            return Destination("refuse", found.reason)
        case _:
            assert_never(found.target)


def _read(found: Classified, state: SessionState) -> Destination:
    """A read, or a transaction of reads, that begins now."""
    if state.consistency == "strong":
        return Destination("primary", "consistency is strong")
    if state.isolation in _ISOLATION_ON_PRIMARY:
        return Destination("primary", f"isolation is {state.isolation}")
    if not state.autocommit and not state.split_transactions and found.target is Target.REPLICA:
        return Destination("primary", "autocommit is off and split_transactions is not wanted")
    if state.schema is not None and state.schema.upper() in SYSTEM_SCHEMAS:
        return Destination("primary", f"{state.schema} tells the state of one server")
    return Destination("replica", found.reason)
