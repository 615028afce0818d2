"""The map that applications route by, and the pulse row that carries it through replication."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum

from replclus.model import plain

FORMAT = 1


class Role(StrEnum):
    PRIMARY = "primary"
    REPLICA = "replica"
    DOWN = "down"
    QUARANTINED = "quarantined"
    UNPROVISIONED = "unprovisioned"


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyNode:
    """One server as a router sees it. `serving` is False for a replica that must not take reads (draining, lagging, broken)."""

    name: str
    host: str
    port: int
    role: Role
    weight: int = 1
    serving: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Who is primary in `epoch`, and who else there is. Of two maps of one cluster the one with the higher epoch is right."""

    cluster_id: str
    epoch: int
    primary: str
    nodes: tuple[TopologyNode, ...]

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, **asdict(self)}, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> Topology:
        """Raises ValueError on anything that is not a map this version understands."""
        try:
            doc = plain.table(json.loads(text))
            if doc["format"] != FORMAT:
                raise ValueError(f"topology format {doc['format']!r:.80} is not {FORMAT}")
            return Topology(
                cluster_id=plain.text(doc, "cluster_id"),
                epoch=plain.whole(doc, "epoch"),
                primary=plain.text(doc, "primary"),
                nodes=tuple(_node(node) for node in plain.tables(doc, "nodes")),
            )
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"not a topology: {error!r}") from error


def _node(doc: plain.Doc) -> TopologyNode:
    return TopologyNode(
        name=plain.text(doc, "name"),
        host=plain.text(doc, "host"),
        port=plain.whole(doc, "port"),
        role=Role(plain.text(doc, "role")),
        weight=plain.whole(doc, "weight"),
        serving=plain.flag(doc, "serving"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PulseRow:
    """The one row of `replclus.pulse`.

    `beat` counts milliseconds and only grows, so that the newest beat seen anywhere minus a replica's beat is that
    replica's lag in milliseconds, with no two clocks compared. `routing_ttl_ms` is how long a router may go on writing
    after it last saw a new beat. `lease_ms` is how long the primary may go on without one before it turns itself read-only;
    0 while nobody will replace it: before a watchdog drives the cluster, and after one has taken its leave.
    """

    beat: int
    epoch: int
    primary: str
    routing_ttl_ms: int
    topology: str
    lease_ms: int = 0
