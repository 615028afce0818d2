"""What a session would do with a statement, without doing it."""

from __future__ import annotations

from replclus.dbapi.catalogue import settled
from replclus.dbapi.route import Routed
from replclus.dbapi.session import Session
from replclus.routing import Classified, decide


def explain(session: Session, verdict: Classified) -> Routed:
    """Node, role and reason, if nothing fails on the way. The node is empty where a balancer would choose one."""
    backends = session.backends
    if session.free:
        verdict = settled(verdict, backends, asks=False)
    to = decide(verdict, session.state())
    primary, reader = backends.watcher.map.primary, backends.reader
    on_primary = primary.name if primary is not None else ""
    match to.role:
        case "node" | "refuse":
            return to.node or "", to.role, to.reason
        case "last_used" if session.last is not None and session.last in backends.held():
            return session.last.node.name, to.role, to.reason
        case "replica" if reader is not None and (backends.turns.left > 0 or session.replica.in_transaction):
            return reader.node.name, to.role, to.reason
        case "replica" if backends.watcher.map.replicas:
            return "", to.role, to.reason
        case "replica":
            return on_primary, "primary", "no replica serves this read now"
        case _:
            return on_primary, to.role, to.reason
