"""Reading one server: what a probe asks, on a connection that is already there."""

from __future__ import annotations

from dataclasses import replace

from pymysql.constants import ER

from replclus.dialect import Dialect, Row, Statement
from replclus.dialect.base import BEATS_UNDERWAY, READ_CLUSTER_ID, READ_LEASE, READ_PULSE, Rows, lease_runs, read_pulse
from replclus.model.observation import Facts, Identity, Reach
from replclus.model.topology import PulseRow
from replclus.server.session import Failure, Session

# The schema `replclus`, or a table of it, is not there: a server that was not admitted yet.
_NOT_THERE = frozenset({ER.NO_SUCH_TABLE, ER.BAD_DB_ERROR})


def optional_row(session: Session, statement: Statement) -> Row | None:
    """The row of one of our own tables; None if it, the table or the schema does not exist."""
    try:
        rows = session.rows(statement)
    except Failure as failure:
        if failure.errno in _NOT_THERE:
            return None
        raise
    return rows[0] if rows else None


def cluster_id(session: Session) -> str | None:
    row = optional_row(session, READ_CLUSTER_ID)
    return None if row is None else str(row["cluster_id"])


def pulse(session: Session) -> PulseRow | None:
    row = optional_row(session, READ_PULSE)
    return None if row is None else read_pulse(row)


def light(session: Session, dialect: Dialect, known: Facts) -> Facts:
    """`known` with what changes from tick to tick: one statement, two where the pulse table does not exist."""
    row = optional_row(session, dialect.light_probe(pulse=True))
    if row is None:
        row = session.rows(dialect.light_probe(pulse=False))[0]
    seen = replace(known, writable=dialect.writable(row), pulse=read_pulse(row))
    return seen if _has_lease(seen) else replace(seen, lease_armed=False)


def full(session: Session, dialect: Dialect, identity: Identity) -> Facts:
    """Everything: two statements, and those about a source alone or a replica alone.

    The link is read first, so what it received cannot be newer than `executed`.
    """
    link_rows = session.rows(dialect.link_status())
    replicates = dialect.link(link_rows) is not None
    facts = _positions(session, dialect, identity, link_rows, as_source=not replicates)
    if replicates and facts.semi_sync.source_enabled:
        # A former primary half-way to its new role.
        facts = _positions(session, dialect, identity, link_rows, as_source=True)
    if facts.channel is not None and facts.channel.receiver.running and (statement := dialect.heartbeats()) is not None:
        receiver = replace(facts.channel.receiver, heartbeats=_heartbeats(session, statement))
        facts = replace(facts, channel=replace(facts.channel, receiver=receiver))
    if facts.writable:
        facts = replace(facts, locked=_locked(session))
    return replace(facts, lease_armed=_has_lease(facts) and _lease_runs(session))


def _positions(session: Session, dialect: Dialect, identity: Identity, link_rows: Rows, *, as_source: bool) -> Facts:
    """What a commit waits for is asked before what is executed: a commit that ends in between is in one of the two."""
    semi_sync_rows = session.rows(dialect.semi_sync_status()) if as_source else []
    row = optional_row(session, dialect.full_probe(pulse=True))
    if row is None:
        row = {**session.rows(dialect.full_probe(pulse=False))[0], "cluster_id": cluster_id(session)}
    return dialect.facts(identity, link_rows, semi_sync_rows, row)


def _heartbeats(session: Session, statement: Statement) -> int:
    """0 where our account may not ask, as in clusters made before it was needed: then only events show that it is fed."""
    try:
        return int(session.rows(statement)[0]["heartbeats"])
    except Failure as failure:
        if failure.reach is not Reach.DENIED:
            raise
        return 0


def _locked(session: Session) -> bool:
    """Does every beat that is under way wait for a lock? One that hangs in its commit may be what others wait for.

    False where the server cannot say: it needs a temporary file for the answer, and its disk may be full.
    """
    try:
        row = session.rows(BEATS_UNDERWAY)[0]
    except Failure as failure:
        if failure.reach is not Reach.FAILED:
            raise
        return False
    return int(row["beats"]) > 0 and int(row["beats"]) == int(row["locked"])


def _has_lease(facts: Facts) -> bool:
    return facts.writable and facts.pulse is not None and facts.pulse.lease_ms > 0


def _lease_runs(session: Session) -> bool | None:
    """None where the server will not say: an account from before the lease, system tables of events that are damaged."""
    try:
        return lease_runs(session.rows(READ_LEASE))
    except Failure as failure:
        if failure.reach in {Reach.DENIED, Reach.FAILED}:
            return None
        raise
