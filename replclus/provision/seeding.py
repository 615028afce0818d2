"""Seed: make one server's data that of another, by the cheapest way that works here."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from replclus.errors import HostError, ServerError, ServerUnreachable
from replclus.model.spec import Flavour
from replclus.provision.case import Case
from replclus.provision.seed_backup import back_up
from replclus.provision.seed_clone import clone
from replclus.provision.seed_dump import dump
from replclus.provision.settle import wake

# A server that goes down under our hands may do so because an earlier run's clone has just ended.
TRIES = 2

Way = Callable[[Case], None]


def ways(flavour: Flavour) -> dict[str, Way]:
    """Cheapest first."""
    match flavour:
        case Flavour.MYSQL:
            return {"clone": clone, "dump": dump}
        case Flavour.MARIADB:
            return {"mariadb-backup": back_up, "dump": dump}
        case never:
            assert_never(never)


def seed(case: Case) -> str:
    """Overwrite `case.node` with the data of `case.donor`; the name of the way that worked. Within `permission.noted`.

    Afterwards it is read-only, replicates from nobody, and its history is the donor's. If every way fails, the error of
    the last one is raised, and the server's data may be anything.
    """
    last: Exception | None = None
    for name, way in ways(case.flavour).items():
        for _ in range(TRIES):
            wake(case)
            try:
                way(case)
                return name
            except (HostError, ServerError, OSError) as error:
                case.bounds.check("seeding")
                case.say(f"{name} does not work here: {error}")
                last = error
                if not isinstance(error, ServerUnreachable):
                    break
    assert last is not None
    raise last
