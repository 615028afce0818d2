"""Decides what may leave the primary. No clock, no socket, no thread, no disk."""

from __future__ import annotations

from replclus.routing.classify import Classifier, classifier, classify, route_json
from replclus.routing.sqlmode import SqlMode
from replclus.routing.verdict import Classified, Hint, StatementKind, Target

__all__ = [
    "Classified",
    "Classifier",
    "Hint",
    "SqlMode",
    "StatementKind",
    "Target",
    "classifier",
    "classify",
    "route_json",
]
