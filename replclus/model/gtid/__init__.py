"""GTID sets of both families: what a server has executed or received, and how two servers compare.

Values are immutable, hashable and pure. `union`, `subtract`, `intersection`, `contains` (`|`, `-`, `&`, `>=`), `count`
and `beyond` mean the same in both families; see each class for what its server's lists can and cannot say.
"""

from __future__ import annotations

from enum import StrEnum
from typing import assert_never

from replclus.errors import GtidSyntaxError
from replclus.model.gtid.mariadb import MariadbGtidSet
from replclus.model.gtid.mysql import MysqlGtidSet
from replclus.model.spec import Flavour

__all__ = [
    "Comparison",
    "GtidSet",
    "GtidSyntaxError",
    "MariadbGtidSet",
    "MysqlGtidSet",
    "compare",
    "empty_gtid_set",
    "parse_gtid_set",
]

GtidSet = MysqlGtidSet | MariadbGtidSet


class Comparison(StrEnum):
    """How the first set stands to the second. INCOMPARABLE: each has transactions that the other lacks."""

    EQUAL = "equal"
    AHEAD = "ahead"
    BEHIND = "behind"
    INCOMPARABLE = "incomparable"


def compare(a: GtidSet, b: GtidSet) -> Comparison:
    """Where `a` stands relative to `b`. TypeError when they belong to different families."""
    match a.contains(b), b.contains(a):
        case True, True:
            return Comparison.EQUAL
        case True, False:
            return Comparison.AHEAD
        case False, True:
            return Comparison.BEHIND
        case _:
            return Comparison.INCOMPARABLE


def parse_gtid_set(flavour: Flavour, text: str) -> GtidSet:
    """Read a list as a server of this flavour prints it; empty text is the empty set. GtidSyntaxError if it is none."""
    match flavour:
        case Flavour.MYSQL:
            return MysqlGtidSet.parse(text)
        case Flavour.MARIADB:
            return MariadbGtidSet.parse(text)
        case _:
            assert_never(flavour)


def empty_gtid_set(flavour: Flavour) -> GtidSet:
    """No transactions at all: what a fresh server of this flavour has."""
    match flavour:
        case Flavour.MYSQL:
            return MysqlGtidSet()
        case Flavour.MARIADB:
            return MariadbGtidSet()
        case _:
            assert_never(flavour)
