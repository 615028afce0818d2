"""All faults by name. The modules of `table/` put them here; `NOT_SHOWN` has those that cannot be shown, and why."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from replclus.model.spec import Flavour
from tests.faults import table

if TYPE_CHECKING:
    from tests.faults.lab import Lab
    from tests.faults.scene import Scene

Inject = Callable[["Scene"], None]


class Expect(StrEnum):
    """FAILOVER: somebody else is primary in the end. NONE: the epoch stays. EITHER: both are right, if nothing is lost."""

    FAILOVER = "failover"
    NONE = "none"
    EITHER = "either"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`code` is that of the catalogue. `expect_ours` is for a watchdog with access to the hosts, where that makes a difference.
    See `tests/faults/__init__.py` for the rest."""

    code: str
    sentence: str
    expect: Expect
    inject: Inject
    ci: bool = False
    replicas: int = 2
    hosts_ours: bool = False
    expect_ours: Expect | None = None
    quarantine: bool = False
    direct: bool = False
    families: tuple[Flavour, ...] = tuple(Flavour)
    before_load: Callable[[Lab], None] | None = None


FAULTS: dict[str, Fault] = {}

NOT_SHOWN: dict[str, str] = {}
"""Code → why it cannot be shown on an ordinary Linux machine, or where else it is shown."""


def fault(code: str, sentence: str, expect: Expect, **options: object) -> Callable[[Inject], Inject]:
    """Puts a function into the catalogue. The sentence says what is broken."""

    def enter(inject: Inject) -> Inject:
        if code in FAULTS:
            raise ValueError(f"fault {code} is there twice")
        FAULTS[code] = Fault(code=code, sentence=sentence, expect=expect, inject=inject, **options)  # type: ignore[arg-type]
        return inject

    return enter


def load_table() -> dict[str, Fault]:
    """Every fault of every module of `table/`, in the order of their codes: letter, then number."""
    for module in pkgutil.iter_modules(table.__path__, f"{table.__name__}."):
        importlib.import_module(module.name)
    return dict(sorted(FAULTS.items(), key=lambda item: (item[0][0], int("".join(filter(str.isdigit, item[0]))), item[0])))
