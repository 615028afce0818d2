"""A small language for moments of a cluster and the decision that is expected of them.

    == The title, in prose
    record primary=n1 epoch=7 ackers=n2,n3
    n1 refused process=gone
    n2 answered follows=n1 cut received=100
    n3 answered follows=n1 cut received=98
    pulse failing
    --
    act: what the decision says
      Swap n2 ...

`received=100` stands for transactions 1 to 100 of the old primary, `own=2` for two more that the node made itself. Each
scenario is read for both families. `pytest tests/scenarios --rewrite` writes the decisions of today into the files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from replclus.failover.decision import Act, Action, CatchUp, Decision, Follow, Salvage, Seed, Swap, Together, Wait
from replclus.failover.view import ClusterView, NodeHistory, PulseHealth, Work
from replclus.model.gtid import GtidSet, MariadbGtidSet, MysqlGtidSet
from replclus.model.observation import Applier, Channel, Facts, Identity, Observation, Reach, Receiver, SemiSync, Version
from replclus.model.record import (
    ClusterRecord,
    Member,
    MemberState,
    Operation,
    OperationKind,
    Phase,
    Request,
    RequestKind,
)
from replclus.model.spec import ClusterSpec, Durability, Flavour, NodeSpec, OnDivergence
from replclus.model.topology import PulseRow

NOW = 1000.0
WALL_S = 1_000_000
DETAIL = "      "
BEAT_OF_MARKS = 5500


@dataclass(frozen=True)
class Scenario:
    title: str
    given: tuple[str, ...]
    expected: str
    line: int


def read(path: Path) -> list[Scenario]:
    found: list[Scenario] = []
    for block in path.read_text().split("\n== ")[1:]:
        title, _, body = block.partition("\n")
        given, _, expected = body.partition("--\n")
        lines = tuple(line for line in given.splitlines() if line.strip() and not line.startswith("#"))
        found.append(Scenario(title, lines, expected.strip("\n"), len(found)))
    return found


def write(path: Path, scenarios: list[Scenario], decisions: list[str]) -> None:
    head = path.read_text().split("\n== ")[0]
    blocks = [
        f"\n== {scenario.title}\n" + "\n".join(scenario.given) + f"\n--\n{decision}\n"
        for scenario, decision in zip(scenarios, decisions, strict=True)
    ]
    path.write_text(head + "".join(blocks))


def position(flavour: Flavour, name: str, received: int, own: int = 0) -> GtidSet:
    """1..received from n1, and `own` transactions that `name` originated itself, or as many of a stranger if it is negative."""
    number = int(name[1:]) if own >= 0 else 9
    own = abs(own)
    if flavour is Flavour.MYSQL:
        text = f"{_uuid(1)}:1-{received}" if received else ""
        return MysqlGtidSet.parse(text + (f",{_uuid(number)}:1-{own}" if own else ""))
    text = f"0-1-{received}" if received else ""
    return MariadbGtidSet.parse(text + (f",0-{number}-{received + own}" if own else ""))


def view(scenario: Scenario, flavour: Flavour) -> ClusterView:
    words = {line.split()[0]: _Words(line) for line in scenario.given}
    record_words = words.pop("record")
    pulse_words = words.pop("pulse", _Words("pulse ok"))
    names = list(words)
    primary = record_words.get("primary", "n1")
    record = _record(record_words, names, words, primary, flavour)
    spec = ClusterSpec(
        name="shop",
        nodes=tuple(_node(name, words[name]) for name in names if not words[name].has("unconfigured")),
        on_divergence=OnDivergence(record_words.get("divergence", "quarantine")),
    )
    failing = NOW - float(pulse_words.get("since", "0.2")) if pulse_words.has("failing") else None
    late = NOW - float(pulse_words.get("since", "0.5")) if pulse_words.has("late") else None
    committed = NOW - float(pulse_words.get("age", "0.02"))
    return ClusterView(
        spec=spec,
        record=record,
        observations={name: _observation(name, words[name], flavour) for name in names},
        now=NOW,
        pulse=PulseHealth(
            committed_at=committed,
            sent_at=committed - 0.01,
            pending_since=late,
            failing_since=failing,
            hanging_since=None if pulse_words.has("unsent") else failing,
            error="no commit" if failing else "",
            slowest_s=float(pulse_words.get("slowest", "0")),
        ),
        history={name: _history(name, words[name], flavour) for name in names},
        operation_since=NOW - float(record_words.get("changed", "0.15" if record.operation else "inf")),
        wall_s=WALL_S,
        newest_beat=BEAT_OF_MARKS,
        works={name: work for name in names if (work := _work(words[name]))},
    )


def render(decision: Decision) -> str:
    """The sentence, the steps, and indented below a step what it says; the latter holds positions, in a family's own words."""
    lines = [f"{decision.verdict}: {decision.why}"]
    if isinstance(decision, Wait) and decision.reread:
        lines.append(f"  asking {', '.join(decision.reread)}")
    if isinstance(decision, Act):
        for step in decision.plan.steps:
            if isinstance(step, Together):
                inner = ", ".join(_render(action) for action in step.actions)
                lines.append(f"  together, {step.enough} are enough: {inner}")
            else:
                lines.append(f"  {_render(step)}")
            if isinstance(step, Swap):
                lines.extend(f"{DETAIL}{detail}" for detail in _details(step))
    return "\n".join(lines)


def steps_of(text: str) -> list[str]:
    """The steps alone: the same for both families."""
    return [line for line in text.splitlines()[1:] if not line.startswith(DETAIL)]


def _details(step: Swap) -> Iterator[str]:
    record = step.record
    operation, request = record.operation, record.request
    yield f"because {step.what}"
    if operation is not None:
        extra = (
            f" from {operation.old_primary}, {operation.reason}",
            f", wanted {operation.wanted}" if operation.wanted else "",
            ", fenced" if operation.fenced else "",
            f", with {operation.position}" if operation.position else "",
        )
        yield f"{operation.kind.value}{''.join(extra)}"
    if record.floor is not None:
        yield f"nobody with less than {record.floor} is elected"
    if record.failovers:
        yield f"failovers {', '.join(f'{WALL_S - at} s ago' for at in record.failovers)}"
    for member in record.members:
        if member.why:
            yield f"{member.name}: {member.why}"
    if request is not None and request.done is not None:
        yield f"answer: {'done' if request.done else 'refused'}, {request.answer}"


def _render(action: Action) -> str:
    match action:
        case Swap(record=record):
            operation = record.operation
            doing = f"{operation.kind.value}/{operation.phase.value}" if operation else "nothing in progress"
            ackers = ",".join(sorted(record.ackers)) or "nobody"
            states = "".join(f" {m.state.value}={m.name}" for m in record.members if m.state is not MemberState.ACTIVE)
            marks = "".join(f" doubtful={name}" for name, _ in record.doubtful) + (" paused" if record.paused else "")
            return f"Swap epoch={record.epoch} primary={record.primary} ackers={ackers}{states}{marks} ({doing})"
        case Follow(node, source) | CatchUp(node, source, _):
            return f"{type(action).__name__} {node} -> {source}"
        case Salvage(node, source, _):
            return f"Salvage {node} <- {source}"
        case Seed(node, source, extra):
            return f"Seed {node} <- {source}{f', exporting {extra.count()} transactions' if extra else ''}"
        case _:
            return f"{type(action).__name__} {action.node}"


class _Words:
    def __init__(self, line: str) -> None:
        self.flags = {word for word in line.split()[1:] if "=" not in word}
        self.values = dict(word.split("=", 1) for word in line.split()[1:] if "=" in word)

    def has(self, flag: str) -> bool:
        return flag in self.flags

    def get(self, key: str, default: str = "") -> str:
        return self.values.get(key, default)

    def number(self, key: str, default: int = 0) -> int:
        return int(self.values.get(key, default))


def _uuid(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012d}"


def _node(name: str, words: _Words) -> NodeSpec:
    process = Path("/nowhere") if words.get("process") else None
    return NodeSpec(
        name=name,
        host=f"198.18.0.{name[1:]}",
        process_dir=process,
        candidate=words.get("candidate") != "no",
        priority=words.number("priority"),
    )


def _record(words: _Words, names: list[str], nodes: dict[str, _Words], primary: str, flavour: Flavour) -> ClusterRecord:
    ackers = words.get("ackers", ",".join(name for name in names if name != primary))
    return ClusterRecord(
        version=42,
        cluster_id="c1",
        name="shop",
        flavour=flavour,
        durability=Durability(words.get("durability", "lossless")),
        epoch=words.number("epoch", 7),
        primary=primary,
        members=tuple(_member(name, nodes[name]) for name in names),
        ackers=frozenset(name for name in ackers.split(",") if name and name != "nobody"),
        operation=_operation(words, primary, flavour),
        request=_request(words),
        paused=words.has("paused"),
        doubtful=tuple((name, BEAT_OF_MARKS) for name in words.get("doubtful").split(",") if name),
        failovers=tuple(WALL_S - int(ago) for ago in words.get("failovers").split(",") if ago),
    )


def _member(name: str, words: _Words) -> Member:
    state = MemberState(words.get("state", "active"))
    why = "it diverged" if state in (MemberState.QUARANTINED, MemberState.REBUILDING) else ""
    return Member(name=name, host=f"198.18.0.{name[1:]}", port=3306, server_id=int(name[1:]), state=state, why=why)


def _operation(words: _Words, primary: str, flavour: Flavour) -> Operation | None:
    if not words.get("op"):
        return None
    kind, _, phase = words.get("op").partition("/")
    at = words.get("position")
    return Operation(
        kind=OperationKind(kind),
        phase=Phase(phase),
        old_primary=words.get("old", primary),
        reason="as told",
        wanted=words.get("wanted") or None,
        fenced=words.has("fenced"),
        position=str(position(flavour, "n1", int(at))) if at else None,
    )


def _request(words: _Words) -> Request | None:
    if not words.get("request"):
        return None
    kind, _, to = words.get("request").partition(":")
    return Request(id="r1", kind=RequestKind(kind), to=to or None, force=words.has("force"))


def _observation(name: str, words: _Words, flavour: Flavour) -> Observation:
    reach = next(reach for reach in Reach if reach.value in words.flags)
    process = {"gone": False, "alive": True}.get(words.get("process"))
    full_at = NOW - float(words.get("age", "0.05"))
    facts = _facts(name, words, flavour) if reach is Reach.ANSWERED else None
    error = "" if reach is Reach.ANSWERED else reach.value.replace("_", " ")
    return Observation(
        node=name,
        at=NOW - float(words.get("looked", "0.01")),
        reach=reach,
        error=error,
        facts=facts,
        full_at=full_at,
        process_alive=process,
    )


def _facts(name: str, words: _Words, flavour: Flavour) -> Facts:
    received = words.number("received")
    own = words.number("own") or -words.number("alien")
    version = Version(10, 11, 19) if flavour is Flavour.MARIADB else Version(9, 7, 4)
    beat = words.number("beat", 5000)
    return Facts(
        identity=Identity(
            flavour=flavour,
            version=version,
            server_id=words.number("id", int(name[1:])),
            cluster_id=words.get("cluster", "c1") or None,
            uuid=_uuid(int(name[1:])) if flavour is Flavour.MYSQL else None,
        ),
        writable=words.has("writable"),
        executed=position(flavour, name, words.number("applied", received), own),
        received=position(flavour, name, received, own),
        channel=_channel(words),
        semi_sync=SemiSync(
            source_enabled=words.has("writable"),
            source_active=words.has("writable") and not words.has("careless"),
            waiting=words.number("waiting"),
            clients=words.number("clients"),
        ),
        pulse=PulseRow(beat=beat, epoch=7, primary="n1", routing_ttl_ms=5000, topology="") if beat else None,
        locked=words.has("locked"),
        drift=tuple(name for name in words.get("drift").split(",") if name),
    )


def _channel(words: _Words) -> Channel | None:
    source = words.get("follows")
    if not source:
        return None
    running = not words.has("stopped")
    connected = running and not words.has("cut")
    errno = words.number("applier")
    return Channel(
        source_host=f"198.18.0.{source[1:]}",
        source_port=3306,
        receiver=Receiver(running=running, connected=connected, errno=words.number("receiver")),
        applier=Applier(running=not errno and not words.has("idle"), errno=errno, error="duplicate key" if errno else ""),
    )


def _work(words: _Words) -> Work | None:
    """`work=running`, `work=done` or `work=failed`."""
    state = words.get("work")
    if not state:
        return None
    return Work(ended=state != "running", ok=state == "done", what=f"as told, {state}", server_id=9)


def _history(name: str, words: _Words, flavour: Flavour) -> NodeHistory:
    alive = next(reach for reach in Reach if reach.value in words.flags).alive
    highest = words.number("highest")
    return NodeHistory(
        silent_since=None if alive else NOW - float(words.get("silent", "0.2")),
        highest_received=position(flavour, name, highest) if highest else None,
        not_before=NOW + 1 if words.has("resting") else float("-inf"),
        fed_at=NOW - float(words.get("fed", "inf")),
        receiving_since=NOW - float(words.get("receiving", "inf")),
        answering_since=NOW - float(words.get("answering", "inf")),
        fenced_in=words.number("fenced_in"),
        synced_at=NOW - float(words.get("synced", "inf")),
        executed_at=NOW - float(words.get("executed", "inf")),
        asked_at=NOW - float(words.get("asked", "0.02")),
        looked_at=NOW - float(words.get("looked", "0.02")),
        shut_out="Too many connections" if words.has("shut") else "",
        knocked_at=NOW - float(words.get("knocked", "inf")),
        step_ended_at=NOW - float(words.get("touched", "inf")),
    )
