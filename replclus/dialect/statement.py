"""One SQL statement and the values bound to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Statement:
    """`sql` with the driver's placeholders (`%s`, or `%(name)s`) and their values.

    With no `args` the driver does not interpret `%`. Values may be passwords, so `repr` and logs show `sql` alone.
    """

    sql: str
    args: tuple[Any, ...] | dict[str, Any] = ()

    def __repr__(self) -> str:
        return f"Statement({self.sql!r})"

    def __str__(self) -> str:
        return self.sql
