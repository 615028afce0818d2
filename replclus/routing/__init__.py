"""Decides what may leave the primary. No clock, no socket, no thread, no disk."""

from __future__ import annotations

from replclus.routing.balance import Backend, Balancer, Fitness, admitted, balancer, eligible, ewma, primary_takes
from replclus.routing.classify import Classifier, classifier, classify, route_json
from replclus.routing.holds import NO_ANSWER, Holds
from replclus.routing.router import Destination, SessionState, decide
from replclus.routing.routines import Routine, objection
from replclus.routing.sqlmode import SqlMode
from replclus.routing.verdict import Classified, FunctionName, Hint, StatementKind, Target

__all__ = [
    "NO_ANSWER",
    "Backend",
    "Balancer",
    "Classified",
    "Classifier",
    "Destination",
    "Fitness",
    "FunctionName",
    "Hint",
    "Holds",
    "Routine",
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
    "objection",
    "primary_takes",
    "route_json",
]
