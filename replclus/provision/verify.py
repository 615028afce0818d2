"""Is a rebuilt server really equal to its donor? Both compute checksums of all their tables at one and the same position."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from replclus.errors import HostError
from replclus.model.gtid import GtidSet, MariadbGtidSet
from replclus.model.spec import Durability, NodeSpec
from replclus.provision.case import Case, aborting, executed
from replclus.provision.settle import close, detach
from replclus.server import checksums
from replclus.server.client_tools import Bounds
from replclus.server.line import Line
from replclus.server.server import Server

VERIFY_S_MAX = 3600.0
CATCH_UP_S_MAX = 600.0
# A server that is busy enough can make a comparison fail that would hold: then it is made again.
TRIES = 3
_AGAIN_S = 0.05


@dataclass(frozen=True, slots=True)
class Verified:
    """`different` are the tables that are not equal, `schema.table` each; empty if all `tables` are. `at`: the position."""

    tables: int
    rows: int
    different: tuple[str, ...]
    at: GtidSet

    @property
    def equal(self) -> bool:
        return not self.different


def verify(case: Case, *, whole_floats: bool = True) -> Verified:
    """Compare `case.node`, which is read-only and detached and has nothing that the cluster lacks, with `case.donor`.

    It follows the donor up to the position of a snapshot there, without acknowledging anything, and is detached again.
    `whole_floats` is False after a dump, which carries six digits of a FLOAT. HostError when it cannot follow or time runs
    out, Stopped.
    """
    bounds = case.bounds.at_most(VERIFY_S_MAX)
    for attempt in range(1, TRIES + 1):
        result = _compare(case, bounds, whole_floats)
        if result.equal:
            return result
        case.say(f"differs from {case.donor.name} in {', '.join(result.different[:5])} (attempt {attempt} of {TRIES})")
    return result


def _compare(case: Case, bounds: Bounds, whole_floats: bool) -> Verified:
    _wait_for_donor(case, bounds.at_most(CATCH_UP_S_MAX))
    with _line(case, case.donor, bounds) as donor, checksums.session(donor, bounds.left_s):
        position = checksums.freeze(donor)
        _catch_up(case, position, bounds.at_most(CATCH_UP_S_MAX))
        with _line(case, case.node, bounds) as node, checksums.session(node, bounds.left_s):
            return _judge(donor, node, position, bounds, whole_floats)


def _judge(donor: Line, node: Line, position: GtidSet, bounds: Bounds, whole_floats: bool) -> Verified:
    wanted, found = checksums.tables(donor), checksums.tables(node)
    # Of tables that do not even look the same nothing is read.
    different = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
    rows = 0

    def sums(line: Line, table: checksums.Table) -> checksums.Checksum:
        return checksums.checksum(line, table, wanted[table], bounds.left_s, whole_floats=whole_floats)

    with ThreadPoolExecutor(1) as beside:
        for table in [name for name in wanted if name not in different]:
            bounds.check("comparing")
            other = beside.submit(sums, donor, table)
            mine = sums(node, table)
            rows += mine.rows
            if mine != other.result():
                different.append(table)
    return Verified(len(wanted), rows, tuple(sorted(".".join(name) for name in different)), position)


def _wait_for_donor(case: Case, bounds: Bounds) -> None:
    """A donor that lags may still lack something that the node has."""
    with case.server(case.node) as server, case.server(case.donor) as donor:
        have = executed(server)
        while not executed(donor).contains(have):
            bounds.check(f"waiting until {case.donor.name} has what {case.node.name} has")
            time.sleep(_AGAIN_S)


def _catch_up(case: Case, position: GtidSet, bounds: Bounds) -> None:
    """Bring the node exactly to `position`, and detach it there."""
    with case.server(case.node) as server:
        close(server)
        detach(server)
        if not _reached(executed(server), position):
            _follow_until(case, server, position)
            try:
                _wait(case, server, position, bounds)
            finally:
                if not bounds.stop.is_set():
                    detach(server)
        if not _reached(executed(server), position):
            raise HostError(f"{case.node.name} did not stop at the position of {case.donor.name}")


def _follow_until(case: Case, server: Server, position: GtidSet) -> None:
    """Without acknowledging: what it receives may be lost again, and the record does not count on it."""
    timings, dialect = case.spec.timings, server.dialect
    statements = (
        *dialect.adopt_position(server.run(dialect.progress())[0]),
        *dialect.replica_role(Durability.AVAILABLE, timings),
        dialect.change_source(case.donor, case.secrets.replication, timings),
        dialect.start_until(position),
    )
    for statement in statements:
        server.run(statement)


def _wait(case: Case, server: Server, position: GtidSet, bounds: Bounds) -> None:
    while not _reached(executed(server), position):
        link = server.link()
        if link is None or link.channel.applier.errno:
            why = "it replicates from nobody" if link is None else link.channel.applier.error
            raise HostError(f"{case.node.name} cannot follow {case.donor.name}: {why}")
        bounds.check(f"following {case.donor.name} to the position of the comparison ({link.channel.receiver.error})")
        time.sleep(_AGAIN_S)


def _reached(have: GtidSet, position: GtidSet) -> bool:
    """Is it exactly there? MariaDB's positions name the last transaction of each domain only."""
    if isinstance(have, MariadbGtidSet) and isinstance(position, MariadbGtidSet):
        return have.position() == position.position()
    return have == position


@contextmanager
def _line(case: Case, node: NodeSpec, bounds: Bounds) -> Iterator[Line]:
    line = Line(
        node,
        case.admin,
        clock=time.monotonic,
        connect_timeout_s=case.spec.timings.connect_timeout_s,
        timeout_s=30.0,
        audit=None,
    )
    with aborting(bounds.stop, line):
        try:
            yield line
        finally:
            line.drop()
