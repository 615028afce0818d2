"""Transactions that a dead primary had committed and no replica received, fetched from its files for whoever takes over.

For `available` clusters. In `lossless` ones what no replica has was acknowledged to nobody, and is cut off instead. The
transactions keep their own GTIDs, so the dead server finds them with the others when it comes back.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory

from replclus.errors import HostError, Refused, ReplclusError
from replclus.events import Report
from replclus.model.gtid import GtidSet, empty_gtid_set
from replclus.model.record import ClusterRecord
from replclus.model.spec import ClusterSpec
from replclus.provision.case import Case, executed
from replclus.provision.export import one_line
from replclus.provision.look import Connect, connect_with
from replclus.provision.settle import close
from replclus.server import binlog_history
from replclus.server.binlog_file import BinlogUnreadable
from replclus.server.binlog_history import Logged
from replclus.server.client_tools import Bounds, Stopped, Tool, find_tool, login, run
from replclus.server.process_options import read_options
from replclus.store.secrets import Secrets

SALVAGE_S_MAX = 3.0
SALVAGE_BYTES_MAX = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Salvaged:
    """`gtids` are on the candidate now, `lost` were found and are not. `why` says why something, or all, stayed behind."""

    gtids: GtidSet
    lost: GtidSet
    transactions: int = 0
    why: str = ""

    @property
    def sentence(self) -> str:
        said = f"{self.transactions} transactions ({one_line(self.gtids)}) salvaged" if self.transactions else "nothing salvaged"
        left = f"; not {one_line(self.lost)}" if self.lost else ""
        return f"{said}{left}{f': {self.why}' if self.why else ''}"


def salvage(
    spec: ClusterSpec,
    record: ClusterRecord,
    secrets: Secrets,
    dead: str,
    candidate: str,
    report: Report,
    stop: threading.Event,
    *,
    seconds: float = SALVAGE_S_MAX,
    connect: Connect | None = None,
) -> Salvaged:
    """Apply to `candidate` what the files of `dead` have beyond it, in order, as far as it goes within `seconds`.

    `candidate` must be read-only and have applied all that it received; `dead` must be dead. Needs `spec.admin`. Raises
    nothing of ours: a reason not to is in the answer.
    """
    nothing = empty_gtid_set(record.flavour)
    if spec.admin is None:
        return Salvaged(gtids=nothing, lost=nothing, why="the administrator's account is not at hand")
    case = Case(
        spec=spec,
        record=record,
        secrets=secrets,
        admin=spec.admin,
        node=spec.node(dead),
        donor=spec.node(candidate),
        report=report,
        bounds=Bounds.within(seconds, stop),
        connect=connect or connect_with(spec),
    )
    try:
        known = _known(case)
        found = _beyond(case, known)
    except Stopped:
        return Salvaged(gtids=nothing, lost=nothing, why="it was told to stop")
    except (ReplclusError, BinlogUnreadable, OSError) as error:
        return Salvaged(gtids=nothing, lost=nothing, why=str(error))
    if not found:
        return Salvaged(gtids=nothing, lost=nothing)
    why = _apply(case, found)
    return _outcome(case, found, why)


def _known(case: Case) -> GtidSet:
    """What the candidate has. Refused if this is not the moment."""
    process = case.process(case.node)
    if process is None:
        raise Refused(f"the files of {case.node.name} are not on this machine")
    if process.is_running():
        raise Refused(f"{case.node.name} is still running: it must be fenced first")
    with case.server(case.donor, timeout_s=case.bounds.left_s) as server:
        seen = server.observe()
    if seen.facts is None or not seen.answered:
        raise Refused(f"{case.donor.name} does not answer ({seen.error})")
    if seen.facts.identity.cluster_id != case.record.cluster_id:
        raise Refused(f"{case.donor.name} does not belong to this cluster")
    if seen.facts.writable:
        raise Refused(f"{case.donor.name} accepts writes already")
    if not seen.facts.executed.contains(seen.facts.received):
        raise Refused(f"{case.donor.name} has not applied all that it received")
    return seen.facts.executed


def _beyond(case: Case, known: GtidSet) -> list[Logged]:
    """Every transaction in the files that the candidate lacks, in order."""
    assert case.node.process_dir is not None
    listed = binlog_history.log_files(read_options(case.node.process_dir).binlog_index)
    paths = binlog_history.newest_until(listed, case.flavour, known.contains)
    if paths and not known.contains(binlog_history.earlier(paths[0], case.flavour)):
        raise HostError(f"{case.donor.name} is so far behind that files of {case.node.name} which it would need are gone")
    found = []
    for path in paths:
        for one in binlog_history.transactions(path, case.flavour):
            case.bounds.check("reading the binary log")
            if not known.contains(one.gtids):
                found.append(one)
    return found


def _apply(case: Case, found: list[Logged]) -> str:
    """Why not everything was applied; "" if it was."""
    whole = list(takewhile(lambda one: one.complete, found))
    chosen = _that_fit(whole)
    why = "the last one is only half written" if len(whole) < len(found) else ""
    if len(chosen) < len(whole):
        why = f"more than {SALVAGE_BYTES_MAX} bytes"
    if not chosen:
        return why
    try:
        with TemporaryDirectory(prefix=".salvage-", dir=case.spec.state_dir) as directory:
            copied = binlog_history.copy_out(chosen, Path(directory), SALVAGE_BYTES_MAX)
            _load(case, binlog_history.files_of(copied))
    except Stopped:
        return "it was told to stop"
    except (ReplclusError, OSError) as error:
        return str(error)
    return why


def _that_fit(whole: list[Logged]) -> list[Logged]:
    size, chosen = 0, []
    for one in whole:
        size += one.end - one.start
        if size > SALVAGE_BYTES_MAX:
            break
        chosen.append(one)
    return chosen


def _load(case: Case, files: list[Path]) -> None:
    binlog, client = find_tool(case.flavour, Tool.BINLOG), find_tool(case.flavour, Tool.CLIENT)
    with case.server(case.donor) as server:
        # An administrator of its own, who must be let in; clients stay locked out.
        for statement in server.dialect.admit_administrators():
            server.run(statement)
        try:
            with login(case.donor, case.admin) as way_in:
                commands: list[list[str | Path]] = [[binlog, "--no-defaults", *files], [client, way_in, "--binary-mode"]]
                run(commands, f"applying to {case.donor.name}", case.bounds)
        finally:
            close(server)


def _outcome(case: Case, found: list[Logged], why: str) -> Salvaged:
    """What is there is asked of the candidate, not concluded."""
    try:
        # Whatever the time: the answer is what the report is made of.
        with case.watchdog(case.donor) as server:
            have = executed(server)
    except ReplclusError as error:
        union = binlog_history.union(found, case.flavour)
        return Salvaged(gtids=empty_gtid_set(case.flavour), lost=union, why=f"{why}; {error}" if why else str(error))
    there = [one for one in found if have.contains(one.gtids)]
    lost = [one for one in found if not have.contains(one.gtids)]
    gtids, missing = (binlog_history.union(some, case.flavour) for some in (there, lost))
    return Salvaged(gtids=gtids, lost=missing, transactions=len(there), why=why)
