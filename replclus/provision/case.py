"""What every step of bringing one server back has in common: which server, from whom, as whom, and for how long."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from replclus.events import Progress, Report
from replclus.model.gtid import GtidSet
from replclus.model.record import ClusterRecord
from replclus.model.spec import Account, ClusterSpec, Flavour, NodeSpec
from replclus.provision.look import Connect
from replclus.server.client_tools import Bounds
from replclus.server.line import Audit, Line
from replclus.server.process import LocalProcess
from replclus.server.server import Server
from replclus.store.secrets import Secrets

# One statement of an administrator: dropping a large schema takes its time.
STATEMENT_S_MAX = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`node` is to be made equal to `donor`. `admin` logs in on both. `record` is as it was when this began."""

    spec: ClusterSpec
    record: ClusterRecord
    secrets: Secrets
    admin: Account
    node: NodeSpec
    donor: NodeSpec
    report: Report
    bounds: Bounds
    connect: Connect
    audit: Audit | None = None

    @property
    def flavour(self) -> Flavour:
        return self.record.flavour

    def say(self, what: str) -> None:
        self.report(Progress(node=self.node.name, what=what))

    @contextmanager
    def server(self, node: NodeSpec, *, timeout_s: float = STATEMENT_S_MAX) -> Iterator[Server]:
        """A line to `node` as the administrator, cut when we are told to stop."""
        server = Server(
            node,
            self.admin,
            connect_timeout_s=self.spec.timings.connect_timeout_s,
            timeout_s=min(timeout_s, max(1.0, self.bounds.left_s)),
            audit=self.audit,
        )
        with aborting(self.bounds.stop, server):
            try:
                yield server
            finally:
                server.close()

    @contextmanager
    def watchdog(self, node: NodeSpec) -> Iterator[Server]:
        """A line to `node` as the watchdog's account."""
        server = self.connect(node, self.secrets.watchdog)
        try:
            yield server
        finally:
            server.close()

    def process(self, node: NodeSpec) -> LocalProcess | None:
        """The server process of `node`, if this machine runs it."""
        return None if node.process_dir is None else LocalProcess(node.process_dir)


def executed(server: Server) -> GtidSet:
    """All that it has executed."""
    return server.dialect.executed(server.run(server.dialect.progress())[0])


@contextmanager
def aborting(stop: threading.Event, server: Server | Line) -> Iterator[None]:
    """While inside, `stop` makes a call of `server` that is blocked fail at once."""
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            if stop.wait(0.1):
                server.abort()
                # Whatever it connects to again is cut as well, until somebody notices that it has to stop.
                over.wait(0.1)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
