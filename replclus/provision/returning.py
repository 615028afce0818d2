"""Bringing back a server that cannot simply follow: diverged, empty, or with data that nobody trusts.

The ladder, cheapest first: what only this server has is saved as files; then it is undone (MariaDB, flashback) or all data
is replaced (clone, mariadb-backup, dump); then checksums of every table are compared with the donor's. What comes out is
read-only, replicates from nobody, is equal to the cluster and waits for the watchdog. Killed anywhere and run again, it
begins anew; until it has ended well a note in the state directory says that the data may be anything.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from replclus.errors import HostError, Refused, ReplclusError, ServerError, ServerUnreachable
from replclus.events import Report
from replclus.model.gtid import GtidSet
from replclus.model.observation import Identity
from replclus.model.record import ClusterRecord
from replclus.model.spec import ClusterSpec, Flavour
from replclus.provision import permission
from replclus.provision.case import Case, executed
from replclus.provision.export import Exported, export
from replclus.provision.flashback import flashback
from replclus.provision.look import Connect, audit_to, connect_with
from replclus.provision.seed_backup import undo_half_exchange
from replclus.provision.seeding import seed
from replclus.provision.settle import Unsuitable, wake
from replclus.provision.verify import Verified, verify
from replclus.server.client_tools import Bounds, Stopped
from replclus.store.secrets import Secrets

# A terabyte at 50 MB/s.
BRING_BACK_S_MAX = 6 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """How it went. `how` is "flashback", "clone", "mariadb-backup" or "dump", "" if nothing was done.

    `identity` is who the server is now (a clone may have a new uuid), None unless `ok`. `exported_to` holds what only it
    had, also when the rest failed. `why` is the reason where it is not `ok`. `stopped`: somebody told it to.
    """

    ok: bool
    how: str = ""
    exported_to: Path | None = None
    identity: Identity | None = None
    why: str = ""
    stopped: bool = False

    @property
    def server_id(self) -> int:
        return 0 if self.identity is None else self.identity.server_id

    @property
    def uuid(self) -> str | None:
        return None if self.identity is None else self.identity.uuid


@dataclass(slots=True)
class _Course:
    """What has been reached, for whoever has to tell of a failure."""

    exported_to: Path | None = None
    how: str = ""


@dataclass(frozen=True, slots=True)
class _Way:
    case: Case
    extra: GtidSet | None
    course: _Course = field(default_factory=_Course)


def bring_back(
    spec: ClusterSpec,
    record: ClusterRecord,
    secrets: Secrets,
    node: str,
    extra: GtidSet | None,
    donor: str,
    report: Report,
    stop: threading.Event,
    *,
    seconds: float = BRING_BACK_S_MAX,
    connect: Connect | None = None,
) -> Returned:
    """Make `node` equal to `donor` again, at any price but that of its own transactions, which are saved first.

    `extra` is what `node` is known to have executed and the primary has not; it is asked for more. Needs `spec.admin`: a
    login on both with all rights. For a thread of its own: it takes as long as the data takes. Raises nothing of ours:
    what goes wrong is in the answer.
    """
    if spec.admin is None:
        return Returned(ok=False, why="the administrator's account is not at hand: run `replclus rebuild` where it is")
    try:
        described = spec.node(node), spec.node(donor)
    except KeyError as error:
        return Returned(ok=False, why=f"there is no node {error.args[0]} in the configuration")
    audit = audit_to(report, "rebuild", record.epoch)
    case = Case(
        spec=spec,
        record=record,
        secrets=secrets,
        admin=spec.admin,
        node=described[0],
        donor=described[1],
        report=report,
        bounds=Bounds.within(seconds, stop),
        connect=connect or connect_with(spec, audit),
        audit=audit,
    )
    way = _Way(case, extra or None)
    course = way.course
    try:
        identity = _persistently(way)
    except Stopped:
        return Returned(ok=False, how=course.how, exported_to=course.exported_to, why="it was told to stop", stopped=True)
    except (ReplclusError, OSError) as error:
        why = "it was told to stop" if stop.is_set() else str(error)
        return Returned(ok=False, how=course.how, exported_to=course.exported_to, why=why, stopped=stop.is_set())
    return Returned(ok=True, how=course.how, exported_to=course.exported_to, identity=identity)


def _persistently(way: _Way) -> Identity:
    """The clone of a run that was killed goes on without it, and takes the server down under us when it ends: once."""
    begun = permission.begun_before(way.case)
    try:
        return _along(way)
    except ServerUnreachable as error:
        if not begun or way.case.bounds.stop.is_set():
            raise
        way.case.say(f"it went away ({error.message}), as it does when the clone of an earlier run ends: again")
        return _along(way)


def _along(way: _Way) -> Identity:
    case, course = way.case, way.course
    begun = permission.begun_before(case)
    if begun:
        _wake(case)
    who = permission.check(case)
    # What an earlier run saved need not be found again: it may be gone by now.
    course.exported_to, saved = permission.saved_before(case)
    exported = None
    extra = _extra(way)
    if not saved.contains(extra):
        exported = _save(way, extra)
        saved = saved.union(extra)
    if begun:
        case.say("an earlier run did not end, so all of its data is replaced")
    with permission.noted(case, who, course.exported_to, saved):
        if begun or exported is None or not _undo(way, extra, exported):
            course.how = seed(case)
            _demand(case, verify(case, whole_floats=course.how != "dump"))
    with case.server(case.node) as server:
        return server.identity()


def _extra(way: _Way) -> GtidSet:
    """What only this server has, asked anew: whoever gave the order may not have been able to ask."""
    case = way.case
    with case.server(case.node) as server:
        own = executed(server)
    for name in dict.fromkeys((case.donor.name, case.record.primary)):
        try:
            with case.server(case.spec.node(name)) as server:
                own = own.subtract(executed(server))
        except ServerError as error:
            if name == case.donor.name:
                raise
            case.say(f"{name} does not answer ({error.message}), so what it has counts as not there")
    return own if way.extra is None else own.union(way.extra)


def _wake(case: Case) -> None:
    """Start what an earlier run left stopped, where its host is ours. Its data counts for nothing any more."""
    process = case.process(case.node)
    if process is not None:
        undo_half_exchange(process.data)
        wake(case)


def _save(way: _Way, extra: GtidSet) -> Exported:
    exported = export(way.case, extra)
    way.course.exported_to = exported.directory
    count = len(exported.transactions)
    way.case.say(f"{count} transactions that only it has are saved in {exported.directory}")
    if exported.missing:
        name = way.case.node.name
        raise Refused(
            f"what only {name} has could not all be saved ({exported.missing}): save its data yourself, let it forget its history"
            f" (RESET MASTER, or RESET BINARY LOGS AND GTIDS), then `replclus rebuild {name}`"
        )
    return exported


def _undo(way: _Way, extra: GtidSet, exported: Exported) -> bool:
    """By flashback, if that works and leaves it equal to the donor."""
    case = way.case
    if case.flavour is not Flavour.MARIADB:
        return False
    try:
        flashback(case, extra, exported)
        way.course.how = "flashback"
        _demand(case, verify(case))
    except Unsuitable as error:
        case.say(f"no flashback: {error}")
        return False
    except (ReplclusError, OSError) as error:
        case.bounds.check("undoing")
        case.say(f"flashback did not bring it back ({error}), so all of its data is replaced")
        return False
    return True


def _demand(case: Case, verified: Verified) -> None:
    """HostError unless it is equal to its donor."""
    if not verified.equal:
        tables = ", ".join(verified.different[:10])
        raise HostError(f"{case.node.name} is not equal to {case.donor.name} afterwards: {tables} differ")
    case.say(f"equal to {case.donor.name} in {verified.tables} tables with {verified.rows} rows")
