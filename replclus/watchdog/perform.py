"""What a person asks for goes through the record, like everything else."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from replclus.errors import ConfigError, Conflict, Locked, Refused
from replclus.events import Report
from replclus.model.record import ClusterRecord, Member, MemberState, Request, RequestKind
from replclus.model.spec import ClusterSpec
from replclus.store import Store
from replclus.store.secrets import Secrets
from replclus.watchdog.loop import Watchdog
from replclus.watchdog.restoring import Restorer

POLL_S = 0.02
ANSWER_S_MAX = 60.0
"""How long a person waits for the answer. The request stays in the record: the watchdog may still carry it out."""
REBUILD_S_MAX = 12 * 3600.0
"""How long a rebuild may take that no watchdog does: it takes as long as the data takes."""
ATTEMPTS_MAX = 20


def perform(
    spec: ClusterSpec,
    store: Store,
    secrets: Secrets,
    request: Request,
    report: Report,
    restorer: Restorer | None = None,
) -> Request:
    """Hand `request` to the watchdog, or do its work for once if none runs. Returns the request with its answer.

    A rebuild that is handed over goes on in the background; one that we do ourselves, with `restorer`, is waited for.
    Raises Refused when the answer is no, or does not come within ANSWER_S_MAX, or the rebuild failed.
    """
    _submit(store, request)
    deadline = time.monotonic() + ANSWER_S_MAX
    stop = threading.Event()
    alarm = threading.Timer(REBUILD_S_MAX if request.kind is RequestKind.REBUILD else ANSWER_S_MAX, stop.set)
    alarm.daemon = True
    alarm.start()
    try:
        alone = Watchdog(spec, store, secrets, report, restorer=restorer)
        alone.run(stop, until=lambda record: _settled(record, request) and _back(record, request))
        return _rebuilt(store, request, _verdict(store, request))
    except Locked:
        _wait_for_answer(store, request, deadline)
    finally:
        alarm.cancel()
    return _verdict(store, request)


def _submit(store: Store, request: Request) -> None:
    for _ in range(ATTEMPTS_MAX):
        record = store.load()
        if record is None:
            raise ConfigError("this cluster has no record yet: run `replclus init` first")
        if record.request is not None and record.request.done is None:
            raise Refused(f"a {record.request.kind.value} is being worked on already")
        try:
            store.cas(record.version, replace(record, request=request))
        except Conflict:
            continue
        return
    raise Refused("the record keeps changing; try again in a moment")


def _settled(record: ClusterRecord, request: Request) -> bool:
    """Answered, and nothing left half-way."""
    mine = record.request
    return record.operation is None and (mine is None or mine.id != request.id or mine.done is not None)


def _back(record: ClusterRecord, request: Request) -> bool:
    """Has the rebuild that was asked for come to an end, one way or the other?"""
    member = _rebuilding(record, request)
    if member is None or member.state is MemberState.QUARANTINED:
        return True
    return member.state is not MemberState.REBUILDING and member.name in record.ackers


def _rebuilding(record: ClusterRecord, request: Request) -> Member | None:
    mine = record.request
    if request.kind is not RequestKind.REBUILD or mine is None or mine.id != request.id or not mine.done:
        return None
    return next((member for member in record.members if member.name == request.to), None)


def _rebuilt(store: Store, request: Request, answered: Request) -> Request:
    """What the request says is that the rebuild began. Refused if it ended badly."""
    record = store.load()
    member = None if record is None else _rebuilding(record, request)
    if member is None:
        return answered
    if member.state is MemberState.QUARANTINED:
        raise Refused(f"{member.name} could not be rebuilt: {member.why}")
    if member.state is MemberState.REBUILDING:
        raise Refused(f"{member.name} is not rebuilt yet: the watchdog begins anew when it runs")
    return replace(answered, answer=f"{member.name} is rebuilt and follows {record.primary if record else ''}")


def _wait_for_answer(store: Store, request: Request, deadline: float) -> None:
    while time.monotonic() < deadline:
        record = store.load()
        if record is None or _settled(record, request):
            return
        time.sleep(POLL_S)


def _verdict(store: Store, request: Request) -> Request:
    record = store.load()
    mine = record.request if record is not None else None
    if mine is None or mine.id != request.id:
        raise Refused("another request took the place of this one")
    if mine.done is None:
        raise Refused(
            f"no answer within {ANSWER_S_MAX:g} s; the request is withdrawn" if _withdraw(store, request) else "no answer"
        )
    if not mine.done:
        raise Refused(mine.answer or "refused")
    return mine


def _withdraw(store: Store, request: Request) -> bool:
    """Take back a request that nobody began to work on."""
    record = store.load()
    if record is None or record.request is None or record.request.id != request.id or record.operation is not None:
        return False
    try:
        store.cas(record.version, replace(record, request=None))
    except Conflict:
        return False
    return True
