"""What every way of seeding ends with: the server is what a member must be, and waits for the watchdog."""

from __future__ import annotations

import time

from replclus.errors import HostError, ServerError
from replclus.model.gtid import GtidSet
from replclus.provision.case import Case
from replclus.server.client_tools import Bounds
from replclus.server.server import Server

RETURN_S_MAX = 120.0
READ_ONLY_S_MAX = 10.0
_AGAIN_S = 0.1


def settle(case: Case, executed: GtidSet | None) -> None:
    """Read-only, replicating from nobody, with semi-sync plugins; `executed` becomes its history, if it is not right yet."""
    with case.server(case.node) as server:
        close(server)
        detach(server)
        with server.administration():
            server.install_semi_sync()
            if executed is not None:
                server.reset_history()
                server.set_executed(executed)


def close(server: Server) -> None:
    """Read-only for everybody. ServerError if that does not happen."""
    if not server.close_for_writes(READ_ONLY_S_MAX):
        raise ServerError(server.node.name, "it cannot be made read-only")


def detach(server: Server) -> None:
    """Forget its source, and what was received from it: its data is being replaced."""
    for statement in server.dialect.forget_source():
        server.run(statement)


def start(case: Case) -> None:
    """Start the server process where its host is ours. Nothing happens to one that runs."""
    process = case.process(case.node)
    if process is not None:
        process.start(timeout_s=min(RETURN_S_MAX, max(1.0, case.bounds.left_s)))


def wait_back(case: Case, bounds: Bounds) -> None:
    """Wait until it answers again. HostError if it does not: then its host has to start it.

    Where that is us, it is started, also if it was still on its way down when this began.
    """
    process = case.process(case.node)
    while True:
        if process is not None and not process.is_running():
            start(case)
        with case.server(case.node, timeout_s=5.0) as server:
            seen = server.observe()
        if seen.answered:
            return
        bounds.check(f"waiting for {case.node.name} to be started again by its host ({seen.error})")
        time.sleep(_AGAIN_S)


def wake(case: Case) -> None:
    """Make sure that it answers, by starting it if need be and possible."""
    wait_back(case, case.bounds.at_most(RETURN_S_MAX))


def left(case: Case, what: str) -> Bounds:
    """A bound for the server's return, or HostError if there is no time at all."""
    case.bounds.check(what)
    return case.bounds.at_most(RETURN_S_MAX)


class Unsuitable(HostError):
    """This way cannot be taken here. Nothing was touched."""
