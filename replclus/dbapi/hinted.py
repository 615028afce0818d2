"""Says, once, that a hint which somebody brought along from another router means nothing here."""

from __future__ import annotations

import sys
import warnings

from replclus.dbapi.errors import HintIgnored

# Hints are few; statements that are made up with a new one each time must not fill the memory.
_SAID_MAX = 256
_said: set[str] = set()


def warn_ignored(hint: str) -> None:
    """Warn about `hint`, as it was written, unless this process was warned before."""
    if hint in _said or len(_said) >= _SAID_MAX:
        return
    _said.add(hint)
    message = f"the hint {hint!r} names something of another router and is ignored; /* replclus: … */ is understood"
    warnings.warn(message, HintIgnored, stacklevel=_outside())


def _outside() -> int:
    """The level of the first caller that is neither this package nor the driver."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in {"replclus", "pymysql"}:
        level, frame = level + 1, frame.f_back
    return level
