"""Changing what a server replicates, without losing what it received and has not applied.

MariaDB throws its relay logs away when replication starts while neither of its two threads runs, even if only the applier
is started, and both families do so when the source is changed. What was in them may be the only copy of an acknowledged
commit. Hence the order everywhere in this module: the receiver stops first, the applier keeps running until it has
nothing left to do, and only then is anything changed.
"""

from __future__ import annotations

from dataclasses import dataclass

from pymysql.constants import ER

from replclus.dialect import Link, Row
from replclus.dialect.base import NEW_BINARY_LOG
from replclus.model.gtid import GtidSet
from replclus.model.observation import SemiSync
from replclus.model.spec import Account, Durability, NodeSpec, Timings
from replclus.server.line import Line

# A long wait is cut into slices, so that an applier that fails is noticed, and a server that hangs costs one slice.
WAIT_SLICE_S = 0.5

# MySQL waits up to a second for the thread that collects acknowledgements.
LEAVE_SOURCE_TIMEOUT_S = 3.0

# The source does not let our account in: the password in the configuration may be an old one.
_LOCKED_OUT = frozenset({ER.ACCESS_DENIED_ERROR, 1698, 1862, 3118})


@dataclass(frozen=True, slots=True)
class _State:
    """What a change of the source depends on, in two statements. The link was read first: what it received cannot be newer."""

    link: Link | None
    row: Row
    executed: GtidSet
    semi_sync: SemiSync

    @property
    def drained(self) -> bool:
        """It receives nothing more, and has applied all that it received."""
        return self.link is None or not (self.link.channel.receiver.running or not self.executed.contains(self.link.received))


def _look(line: Line) -> _State:
    dialect = line.dialect
    link_rows = line.read(dialect.link_status())
    row = line.read(dialect.full_probe(pulse=False))[0]
    with line.errors():
        identity = line.open().identity
    # Whether commits wait is not asked here: that takes longer than everything else, and concerns former primaries only.
    facts = dialect.facts(identity, link_rows, [], row)
    return _State(dialect.link(link_rows), row, facts.executed, facts.semi_sync)


def stop_receiving(line: Line) -> None:
    """Stop the receiver; leave an applier running behind it, where starting one later would be too late."""
    link, dialect = line.link(), line.dialect
    if link is None or not link.channel.receiver.running:
        return
    applier = link.channel.applier
    if not (applier.running or applier.errno or dialect.keeps_unapplied):
        line.do(dialect.start_applying())
    line.do(dialect.stop_receiving())


def reconnect(line: Line) -> None:
    """See `Server.reconnect`."""
    link = line.link()
    if link is None or not link.channel.receiver.running:
        return
    stop_receiving(line)
    line.do(line.dialect.start_receiving())


def wait_applied(line: Line, timeout_s: float) -> bool:
    """See `Server.wait_applied`."""
    dialect, deadline = line.dialect, line.clock() + timeout_s
    started = False
    while True:
        link = line.link()
        if link is None or line.executed().contains(link.received):
            return True
        if not link.channel.applier.running:
            _start_applying(line, link, again=started)
            started = True
        left = deadline - line.clock()
        if left <= 0:
            return False
        slice_s = min(left, WAIT_SLICE_S)
        rows = line.read(dialect.wait_applied(link.received, slice_s), slice_s + line.timeout_s)
        if rows[0]["waited"] == 0:
            return True


def _start_applying(line: Line, link: Link, *, again: bool) -> None:
    """Start an applier that has something to do. ServerError if that is of no use, or would do harm."""
    applier = link.channel.applier
    if applier.errno or again:
        raise line.error(f"its applier stopped: {applier.error or 'without an error'}", errno=applier.errno)
    if not (link.channel.receiver.running or line.dialect.keeps_unapplied):
        raise line.error(
            f"it received up to {link.received} and has not applied all of it, and starting replication would throw that away"
            " (MariaDB): save its relay logs if the primary is lost, else rebuild it"
        )
    line.do(line.dialect.start_applying())


def detach(line: Line) -> None:
    """Stop both, the applier last, and not before it has had its time to finish."""
    if line.link() is None:
        return
    stop_receiving(line)
    link = line.link()
    if link is not None and link.channel.applier.running:
        line.read(line.dialect.wait_applied(link.received, line.timeout_s), 2 * line.timeout_s)
    line.do(line.dialect.stop_replicating())


def forget_source(line: Line) -> None:
    """See `Server.forget_source`."""
    if _drain(line, _look(line)).link is not None:
        # For whoever attaches to it the place to begin at is searched from the start of a binary log on, which takes MySQL 0.4 s
        # for 300 MB, and the first commit waits for that. In a new one it is at the start. Not later: it would wait for commits.
        line.do(*line.dialect.forget_source(), NEW_BINARY_LOG)


def follow(
    line: Line, source: NodeSpec, account: Account, timings: Timings, durability: Durability, covered: GtidSet | None = None
) -> None:
    """See `Server.follow`. The server is read-only already."""
    dialect, state = line.dialect, _look(line)
    link, semi_sync = state.link, state.semi_sync
    if semi_sync.source_enabled:
        refuse_waiters(line)
    if link is not None and _settled(line, link, semi_sync, source, account, timings, durability):
        line.do(*dialect.replica_role(durability, timings))
        _start(line, link, semi_sync)
        return
    if not _may_forget(line, state, covered):
        state = _drain(line, state)
    link = state.link
    move = dialect.move_receiver(link, source, account, timings) if link is not None and link.channel.applier.running else None
    if link is not None and move is None:
        line.do(dialect.stop_replicating())
    line.do(
        *dialect.adopt_position(state.row),
        *dialect.replica_role(durability, timings),
        move or dialect.change_source(source, account, timings),
        # The receiver first: the new primary's commits wait for what it acknowledges, and leaving the source role takes
        # MySQL a second. The applier last: until then its own commits would wait for an acknowledgement.
        dialect.start_receiving(),
    )
    if semi_sync.source_enabled:
        line.do(*dialect.leave_source_role(), timeout_s=LEAVE_SOURCE_TIMEOUT_S)
    if move is None:
        line.do(dialect.start_applying())


def refuse_waiters(line: Line) -> None:
    """Switching semi-sync off answers OK to every commit that waits, although no replica has it."""
    waiting = line.dialect.waiting(line.read(line.dialect.semi_sync_status()))
    if waiting:
        raise line.error(f"{waiting} commits wait for an acknowledgement: fence it (kill it) first")


def _settled(
    line: Line,
    link: Link,
    semi_sync: SemiSync,
    source: NodeSpec,
    account: Account,
    timings: Timings,
    durability: Durability,
) -> bool:
    """Is nothing to be configured? The receiver looks at the semi-sync switch only when it connects, so that counts."""
    return (
        line.dialect.same_source(link, source, account, timings)
        and semi_sync.replica_enabled == (durability is Durability.LOSSLESS)
        and link.channel.receiver.errno not in _LOCKED_OUT
    )


def _start(line: Line, link: Link, semi_sync: SemiSync) -> None:
    """Start what is stopped. With both stopped on MariaDB the relay logs go, and are fetched again from the same source."""
    dialect = line.dialect
    if not link.channel.receiver.running:
        line.do(dialect.start_receiving())
    if semi_sync.source_enabled:
        line.do(*dialect.leave_source_role(), timeout_s=LEAVE_SOURCE_TIMEOUT_S)
    if not link.channel.applier.running:
        line.do(dialect.start_applying())


def _may_forget(line: Line, state: _State, covered: GtidSet | None) -> bool:
    """Is what it has received and not applied lost to it anyhow (MariaDB, both threads stopped), and there at its new source?"""
    link = state.link
    if link is None or covered is None or line.dialect.keeps_unapplied or not covered.contains(link.received):
        return False
    applier = link.channel.applier
    return not (link.channel.receiver.running or applier.running or applier.errno)


def _drain(line: Line, state: _State) -> _State:
    """Stop the receiver and wait until all is applied; the state as it is then. ServerError if that takes too long."""
    if state.drained:
        return state
    stop_receiving(line)
    if not wait_applied(line, line.timeout_s):
        raise line.error("it has received transactions that it has not applied yet: wait for them first")
    return _look(line)
