"""Decides what may leave the primary. No clock, no socket, no thread, no disk."""

from __future__ import annotations

from replclus.routing.balance import Backend, Balancer, Fitness, admitted, balancer, eligible, ewma, primary_takes
from replclus.routing.classify import Classifier, classifier, classify, route_json
from replclus.routing.router import Destination, SessionState, decide
from replclus.routing.sqlmode import SqlMode
from replclus.routing.verdict import Classified, Hint, StatementKind, Target

__all__ = [
    "Backend",
    "Balancer",
    "Classified",
    "Classifier",
    "Destination",
    "Fitness",
    "Hint",
    "SessionState",
    "SqlMode",
    "StatementKind",
    "Target",
    "admitted",
    "balancer",
    "classifier",
    "classify",
    "decide",
    "eligible",
    "ewma",
    "primary_takes",
    "route_json",
]
