"""The final comparison: does every server have every acknowledged write, and are all tables equal?

Each server is asked itself, past the router, with the sandbox's administrator.
"""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from replclus.cli.demo.history import Kind, Write
from replclus.errors import ConfigError, ExecutionFailed
from replclus.model.spec import ClusterSpec, Flavour, NodeSpec
from replclus.server.scripts import script
from replclus.server.server import Server

QUERY_S_MAX = 30.0
CATCH_UP_S_MAX = 20.0
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Placed:
    """An order as one server has it."""

    status: str
    lines: int


@dataclass(frozen=True, slots=True)
class TableSum:
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Contents:
    """What one server holds: the orders that were placed by id, and a checksum of every table by name."""

    node: str
    placed: Mapping[int, Placed]
    sums: Mapping[str, TableSum]


@dataclass(frozen=True, slots=True)
class Comparison:
    contents: tuple[Contents, ...]
    lost: tuple[str, ...]
    """One sentence for every acknowledged write that a server has not."""

    @property
    def checksums_equal(self) -> bool:
        return (
            len({tuple(sorted((name, one.rows, one.sha256) for name, one in each.sums.items())) for each in self.contents}) == 1
        )


def compare(spec: ClusterSpec, flavour: Flavour, primary: str, writes: Iterable[Write]) -> Comparison:
    """Wait until all have applied what the primary has, then look. ExecutionFailed if one does not get there."""
    wait_for_replicas(spec, primary)
    with ThreadPoolExecutor(len(spec.nodes)) as pool:
        contents = tuple(pool.map(lambda node: _contents(spec, node, flavour), spec.nodes))
    return judge(contents, writes)


def judge(contents: tuple[Contents, ...], writes: Iterable[Write]) -> Comparison:
    missing: dict[Write, list[str]] = defaultdict(list)
    for write in writes:
        for each in contents:
            if not _has(each.placed.get(write.order_id), write):
                missing[write].append(each.node)
    sentences = tuple(
        f"{write.kind.value} of order {write.order_id}, acknowledged by {write.node}, is not on {', '.join(nodes)}"
        for write, nodes in missing.items()
    )
    return Comparison(contents, sentences)


def _has(placed: Placed | None, write: Write) -> bool:
    if placed is None:
        return False
    match write.kind:
        case Kind.ORDER:
            return True
        case Kind.LINES:
            return placed.lines == write.lines
        case Kind.PAID:
            return placed.status == "paid"


def wait_for_replicas(spec: ClusterSpec, primary: str) -> None:
    """Until every server has executed all that `primary` had executed when this began."""
    with _server(spec, spec.node(primary)) as server:
        seen = server.observe()
        if seen.facts is None or not seen.answered:
            raise ExecutionFailed("compare", primary, f"the primary does not answer: {seen.error}")
        goal = seen.facts.executed
    deadline = time.monotonic() + CATCH_UP_S_MAX
    for node in spec.nodes:
        with _server(spec, node) as server:
            while True:
                seen = server.observe()
                if seen.answered and seen.facts is not None and seen.facts.executed.contains(goal):
                    break
                if time.monotonic() > deadline:
                    raise ExecutionFailed("compare", node.name, f"has not caught up within {CATCH_UP_S_MAX:g} s")
                time.sleep(_POLL_S)


def _contents(spec: ClusterSpec, node: NodeSpec, flavour: Flavour) -> Contents:
    with _server(spec, node) as server:
        (question,) = script(flavour, "demo/placed_orders", {})
        placed = {int(row["id"]): Placed(str(row["status"]), int(row["order_lines"])) for row in server.run(question)}
        prepare, sums = script(flavour, "demo/checksums", {})
        server.run(prepare)
        return Contents(node.name, placed, _sums(server.run(sums)))


def _sums(rows: Iterable[Mapping[str, object]]) -> dict[str, TableSum]:
    """Chunks, which come in order, put together to one checksum per table."""
    chunks: dict[str, str] = defaultdict(str)
    counts: dict[str, int] = defaultdict(int)
    for row in rows:
        name = str(row["table_name"])
        chunks[name] += f"{row['chunk']}:{row['digest']};"
        counts[name] += int(str(row["row_count"]))
    return {name: TableSum(counts[name], hashlib.sha256(text.encode()).hexdigest()) for name, text in chunks.items()}


@contextmanager
def _server(spec: ClusterSpec, node: NodeSpec) -> Iterator[Server]:
    """A connection to one server as the sandbox's administrator."""
    if spec.admin is None:
        raise ConfigError("the sandbox has no administrator", where="accounts.admin")
    server = Server(node, spec.admin, timeout_s=QUERY_S_MAX)
    try:
        yield server
    finally:
        server.close()
