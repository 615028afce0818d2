"""What needs a deadline of its own: the pulse, and closing for writes. Both can hang behind a commit nobody acknowledges."""

from __future__ import annotations

import contextlib

from pymysql.constants import ER

from replclus.dialect.base import beat_insert, beat_update
from replclus.errors import ServerError
from replclus.model.observation import Reach
from replclus.model.topology import PulseRow
from replclus.server.line import Line, Open
from replclus.server.session import Failure


def close_for_writes(line: Line, deadline_s: float) -> bool:
    """See `Server.close_for_writes`."""
    with line.errors():
        current = line.open()
        statement = current.dialect.close_for_writes()
        line.audit(statement)
        try:
            current.session.rows(statement, deadline_s)
        except Failure as failure:
            if failure.reach is not Reach.TIMED_OUT and failure.errno != ER.LOCK_WAIT_TIMEOUT:
                raise
            return _break_off(line, current)
        return True


def _break_off(line: Line, blocked: Open) -> bool:
    """End our own statement that hangs in the server, from a second connection. True if it was through after all."""
    thread = blocked.session.server_thread
    line.drop()
    current = line.open()
    with contextlib.suppress(Failure):
        current.session.rows(current.dialect.kill(thread))
    return not current.dialect.writable(current.session.rows(current.dialect.light_probe(pulse=False))[0])


def beat(line: Line, pulse: PulseRow, deadline_s: float) -> None:
    """See `Server.beat`."""
    with line.errors():
        current = line.open()
        _shrink(current)
        changed = current.topology != pulse.topology
        try:
            found = current.session.affected(beat_update(pulse, topology=changed), deadline_s)
        except Failure as failure:
            if failure.errno == ER.LOCK_WAIT_TIMEOUT:
                raise Failure(Reach.TIMED_OUT, "an earlier pulse still waits to be committed", failure.errno) from None
            raise
        if not found and not current.session.affected(beat_insert(pulse), deadline_s):
            raise _not_beaten(line, current, pulse)
        current.topology = pulse.topology


def _not_beaten(line: Line, current: Open, pulse: PulseRow) -> ServerError:
    row = current.session.rows(current.dialect.light_probe(pulse=True))[0]
    if not current.dialect.writable(row):
        return line.error("it is read-only, so it takes no pulse")
    return line.error(f"its pulse is of epoch {row['epoch']}, later than {pulse.epoch}")


def _shrink(current: Open) -> None:
    """Only what changed goes into the binary log, ten times a second. An account that may not ask for it just writes more."""
    if current.small_rows:
        return
    try:
        current.session.rows(current.dialect.small_events())
    except Failure as failure:
        if failure.reach is not Reach.DENIED:
            raise
    current.small_rows = True
