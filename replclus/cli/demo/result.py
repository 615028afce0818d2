"""What a demo found out, measured against its promises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from replclus.model.spec import Flavour

OUTAGE_MS_MAX = 1000.0
_EXAMPLES_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """`lost` are sentences, one per acknowledged write that a server has not; `errors` what the applications caught.

    `outage_from_ms` is when the longest time without an acknowledged write began, counted from the kill. `not_rejoined`
    is empty, or says what keeps the old primary from being a healthy replica.
    """

    flavour: Flavour
    acknowledged: int
    lost: tuple[str, ...]
    errors: tuple[str, ...]
    stale_reads: int
    outage_ms: float
    outage_from_ms: float
    not_rejoined: str
    checksums_equal: bool
    reads_by_node: Mapping[str, int]
    writes_by_node: Mapping[str, int]
    seconds: float

    @property
    def ok(self) -> bool:
        return not self.broken_promises()

    def broken_promises(self) -> tuple[str, ...]:
        return tuple(self._broken())

    def _broken(self) -> Iterator[str]:
        if self.lost:
            yield f"{len(self.lost)} acknowledged writes were lost: {_some(self.lost)}"
        if self.errors:
            yield f"the applications saw {len(self.errors)} errors: {_some(self.errors)}"
        if self.stale_reads:
            yield f"{self.stale_reads} times an application did not see what it had just written"
        if self.outage_ms > OUTAGE_MS_MAX:
            yield f"for {self.outage_ms:.0f} ms no write was acknowledged, more than {OUTAGE_MS_MAX:.0f} ms"
        if self.not_rejoined:
            yield f"the old primary is not back: {self.not_rejoined}"
        if not self.checksums_equal:
            yield "the tables are not equal on all servers"

    def to_dict(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "flavour": self.flavour.value,
            "acknowledged": self.acknowledged,
            "lost": len(self.lost),
            "errors_seen_by_application": len(self.errors),
            "write_outage_ms": round(self.outage_ms, 1),
            "write_outage_from_ms": round(self.outage_from_ms, 1),
            "rejoined": not self.not_rejoined,
            "checksums_equal": self.checksums_equal,
            "seconds": round(self.seconds, 1),
            "stale_reads": self.stale_reads,
            "reads_by_node": dict(self.reads_by_node),
            "writes_by_node": dict(self.writes_by_node),
            "broken_promises": list(self.broken_promises()),
        }


def _some(sentences: tuple[str, ...]) -> str:
    shown = "; ".join(sentences[:_EXAMPLES_MAX])
    return shown if len(sentences) <= _EXAMPLES_MAX else f"{shown}; … and {len(sentences) - _EXAMPLES_MAX} more"
