"""Where a statement went, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

# Kept per statement instead of a Route, which nobody may ever ask for: node, target, reason.
Routed = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Route:
    """`target` is `replica` or `primary`: the role for which `node` was chosen."""

    node: str
    target: str
    reason: str

    @classmethod
    def of(cls, routed: Routed) -> Self:
        return cls(*routed)
