"""A Status as a picture: who replicates from whom, drawn as a tree with aligned columns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.text import Text

from replclus.failover.problems import Problem, Severity
from replclus.failover.status import NodeStatus, Status
from replclus.model.topology import Role

LAG_MS_NOTABLE = 1000
POSITION_CHARS_MAX = 44

_ROLES = {
    Role.PRIMARY: ("◆", "bold green"),
    Role.REPLICA: ("●", "green"),
    Role.DOWN: ("✗", "bold red"),
    Role.QUARANTINED: ("■", "magenta"),
    Role.UNPROVISIONED: ("○", "dim"),
}
_SEVERITIES = {Severity.CRITICAL: ("✗", "bold red"), Severity.WARNING: ("!", "yellow"), Severity.INFO: ("·", "dim")}
_VERDICTS = {"promote": ("✓", "green"), "refuse": ("✗", "red"), "wait": ("…", "yellow")}
_UUID = re.compile(r"([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def render(status: Status) -> RenderableType:
    lines: list[Text] = [_header(status), Text("│", style="dim")]
    rows = tuple(_arranged(status))
    widths = _Widths.of(rows)
    lines.extend(_node_line(row, widths) for row in rows)
    lines.append(Text())
    lines.extend(_problem_line(problem) for problem in status.problems)
    lines.extend(_verdict_lines(status))
    for line in lines:
        line.rstrip()
    return Group(*lines)


def _header(status: Status) -> Text:
    where = f"epoch {status.epoch}" if status.cluster_id else "not initialised"
    identity = f"cluster {status.cluster_id}" if status.cluster_id else ""
    parts = [(status.cluster, "bold"), (where, ""), (status.durability.value, ""), (identity, "dim")]
    return Text("  ·  ").join(Text(text, style=style) for text, style in parts if text)


@dataclass(frozen=True, slots=True)
class _Row:
    """A node and the branches to its left."""

    node: NodeStatus
    branches: str

    @property
    def name(self) -> str:
        return f"{self.branches}{_ROLES[self.node.role][0]} {self.node.name}"


def _arranged(status: Status) -> Iterator[_Row]:
    """Every node once: replicas below their source, those without a known source at the left edge."""
    names = {node.name for node in status.nodes}
    placed: set[str] = set()

    def below(source: str | None) -> list[NodeStatus]:
        found = []
        for node in status.nodes:
            parent = node.source if node.source in names and node.role is not Role.PRIMARY else None
            if parent == source and node.name not in placed:
                found.append(node)
        return sorted(found, key=lambda node: node.role is not Role.PRIMARY)

    def walk(source: str | None, indent: str) -> Iterator[_Row]:
        nodes = below(source)
        placed.update(node.name for node in nodes)
        for index, node in enumerate(nodes):
            last = index == len(nodes) - 1
            yield _Row(node, f"{indent}{'╰─ ' if last else '├─ '}")
            yield from walk(node.name, f"{indent}{'   ' if last else '│  '}")

    yield from walk(None, "")
    # Two servers that replicate from each other hang below nobody.
    yield from (_Row(node, "?─ ") for node in status.nodes if node.name not in placed)


@dataclass(frozen=True, slots=True)
class _Widths:
    name: int
    role: int
    address: int
    state: int

    @staticmethod
    def of(rows: tuple[_Row, ...]) -> _Widths:
        return _Widths(
            name=max((len(row.name) for row in rows), default=0),
            role=max((len(row.node.role.value) for row in rows), default=0),
            address=max((len(_address(row.node)) for row in rows), default=0),
            state=max((len(_state(row.node)[0]) for row in rows), default=0),
        )


def _node_line(row: _Row, widths: _Widths) -> Text:
    node = row.node
    mark, style = _ROLES[node.role]
    state, state_style = _state(node)
    name = f"{mark} {node.name}".ljust(widths.name - len(row.branches))
    return Text.assemble(
        (row.branches, "dim"),
        (name, style),
        (f"   {node.role.value.ljust(widths.role)}", style),
        f"   {_address(node).ljust(widths.address)}   ",
        (state.ljust(widths.state), state_style),
        (f"   {short_position(node.position)}", "dim"),
        (f"   {', '.join(problem.code for problem in node.problems)}", "yellow"),
    )


def _address(node: NodeStatus) -> str:
    return f"[{node.host}]:{node.port}" if ":" in node.host else f"{node.host}:{node.port}"


def _state(node: NodeStatus) -> tuple[str, str]:
    """What it does for applications, in a few words, and how bad that is."""
    match node.role:
        case Role.PRIMARY if node.writable:
            return "accepts writes" if node.lease_armed is not False else "accepts writes, without a lease", "green"
        case Role.PRIMARY if not node.position:
            return "nothing known", "bold red"
        case Role.PRIMARY:
            return "accepts no writes", "bold red"
        case Role.REPLICA if node.writable:
            return "accepts writes!", "bold red"
        case Role.REPLICA if node.lag_ms is None:
            return "lag unknown", "yellow"
        case Role.REPLICA:
            return f"lag {node.lag_ms} ms", "yellow" if (node.lag_ms or 0) >= LAG_MS_NOTABLE else "green"
        case Role.UNPROVISIONED:
            return ("answers", "") if node.position or not node.problems else ("no answer", "red")
        case _:
            return "", ""


def short_position(position: str) -> str:
    """A GTID set that fits on a line: UUIDs by their first eight digits, long sets by their end."""
    text = _UUID.sub(r"\1…", position.replace("\n", ""))
    return text if len(text) <= POSITION_CHARS_MAX else f"…{text[-POSITION_CHARS_MAX:]}"


def _problem_line(problem: Problem) -> Text:
    mark, style = _SEVERITIES[problem.severity]
    return Text.assemble((f"{mark} {problem.code}", style), f"  {problem.sentence}")


def _verdict_lines(status: Status) -> Iterator[Text]:
    """What would happen, and why; several reasons stand below each other."""
    verdict = status.if_primary_failed_now
    mark, style = _VERDICTS.get(verdict.verdict, ("·", ""))
    what = {
        "promote": f"{verdict.candidate} would be promoted",
        "refuse": "nobody would be promoted",
        "wait": "the watchdog would wait",
    }.get(verdict.verdict, verdict.verdict)
    subject = f"if {status.primary} failed now" if status.primary else "if the primary failed now"
    yield Text.assemble((f"{mark} {subject}: ", style), (what, f"bold {style}"))
    yield from (Text(f"    {reason}", style="dim") for reason in verdict.why.split("; "))
