"""Is what the clients were told true? Every contradiction between a history and the tables that are left is a violation.

Pure: evidence in, violations out. The checker itself is tested on seeded violations (`test_checker.py`). A kept history is
checked again by `python -m tests.faults.checker build/faults/…/evidence.json.gz`.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults.evidence import Evidence, Rows, read_evidence
from tests.faults.history import Op, Outcome
from tests.faults.workloads import INSERTS, TOTAL


@dataclass(frozen=True, slots=True)
class Violation:
    """`law` is the name of the broken promise."""

    law: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.law}: {self.sentence}"


def check(evidence: Evidence) -> tuple[Violation, ...]:
    """Every violation there is; empty if all promises were kept."""
    return tuple(violation for law in LAWS for violation in law(evidence))


# ---- rows with an id of their own ----------------------------------------------------------------------------------


def inserts_are_kept(evidence: Evidence) -> Iterator[Violation]:
    """No acknowledged write lost, none invented, none of which it was said that it was not executed, none executed twice."""
    inserted = {op.value: op for op in evidence.history if op.what in INSERTS}
    for node, tables in evidence.finals.items():
        there = Counter(row[0] for row in tables["entries"])
        for name, op in inserted.items():
            if op.outcome is Outcome.OK and name not in there:
                yield Violation("lost", f"{name!r} was acknowledged by {op.node} in epoch {op.epoch} and is not on {node}")
            if op.outcome is Outcome.FAIL and name in there:
                yield Violation("invented", f"{name!r} was said not to be executed ({op.error}) and is on {node}")
        for name, times in there.items():
            if name not in inserted:
                yield Violation("invented", f"{name!r} is on {node} and nobody wrote it")
            if times > 1:
                yield Violation("executed twice", f"{name!r} is {times} times on {node}")


def unknown_ones_share_a_fate(evidence: Evidence) -> Iterator[Violation]:
    """What nobody could answer for is everywhere or nowhere."""
    present = {node: {row[0] for row in tables["entries"]} for node, tables in evidence.finals.items()}
    for op in evidence.history:
        if op.what in INSERTS and op.outcome is Outcome.INFO:
            on = sorted(node for node, there in present.items() if op.value in there)
            if on and len(on) != len(present):
                yield Violation("divided", f"the outcome of {op.value!r} was unknown, and it is on {', '.join(on)} only")


def nodes_are_equal(evidence: Evidence) -> Iterator[Violation]:
    """After healing every table is the same everywhere: SHA-256 over its ordered rows."""
    for table in evidence.finals[evidence.primary]:
        sums = {node: checksum(tables[table]) for node, tables in evidence.finals.items()}
        for node, found in sums.items():
            if found != sums[evidence.primary]:
                yield Violation("different", f"{table} on {node} is not as on {evidence.primary}")


def checksum(rows: Rows) -> str:
    return hashlib.sha256("\n".join(sorted(json.dumps(row) for row in rows)).encode()).hexdigest()


# ---- one writer ----------------------------------------------------------------------------------------------------


def one_writer_at_a_time(evidence: Evidence) -> Iterator[Violation]:
    """The acknowledged writes can be laid out along the reigns: whatever was begun after another's acknowledgement was
    accepted in the same reign or a later one. A server that acknowledges after its successor has done so finds no place."""
    origins = {row[0]: evidence.servers.get(row[1], "?") for row in evidence.finals[evidence.primary]["entries"]}
    taken = ((op, origins.get(op.value) or op.node) for op in evidence.history if op.what in INSERTS and op.outcome is Outcome.OK)
    latest = 0
    ending: list[tuple[int, int]] = []
    for op, origin in taken:
        while ending and ending[0][0] < op.began:
            latest = max(latest, heapq.heappop(ending)[1])
        reign = next((n for n in range(latest, len(evidence.reigns)) if evidence.reigns[n][1] == origin), None)
        if reign is None:
            epoch, holder = evidence.reigns[latest]
            yield Violation(
                "double accept", f"{op.value!r} was begun and accepted by {origin} after {holder} of epoch {epoch} accepted"
            )
        else:
            heapq.heappush(ending, (op.ended, reign))


def claims_have_one_winner(evidence: Evidence) -> Iterator[Violation]:
    """Of those who wanted the same key, one was told that it got it, and it has it."""
    for node, tables in evidence.finals.items():
        owners = {row[0]: row[1] for row in tables["claims"]}
        for op in evidence.history:
            key, who = op.value if op.what == "claim" else (None, None)
            if _acknowledged(op, "claim") and owners.get(key) != who:
                yield Violation(
                    "double accept", f"{who} was told that it got claim {key}, and on {node} {owners.get(key)} has it"
                )
            if op.what == "claim" and op.outcome is Outcome.FAIL and owners.get(key) == who:
                yield Violation("invented", f"{who} was told that it did not get claim {key} ({op.error}), and has it on {node}")
    won = Counter(op.value[0] for op in evidence.history if _acknowledged(op, "claim"))
    for key, times in won.items():
        if times > 1:
            yield Violation("double accept", f"claim {key} was acknowledged {times} times")


# ---- lists ---------------------------------------------------------------------------------------------------------


def lists_only_grow(evidence: Evidence) -> Iterator[Violation]:
    """Elements are there as they were acknowledged, once, and every list that was ever read is the beginning of the last."""
    final = {row[0]: tuple(row[1].split()) for row in evidence.finals[evidence.primary]["lists"]}
    attempted = {tuple(op.value): op for op in evidence.history if op.what == "append"}
    for key, elements in final.items():
        for element, times in Counter(elements).items():
            if times > 1:
                yield Violation("executed twice", f"{element} is {times} times in list {key}")
            if (key, element) not in attempted:
                yield Violation("invented", f"{element} is in list {key} and nobody put it there")
    for (key, element), op in attempted.items():
        there = element in final.get(key, ())
        if op.outcome is Outcome.OK and not there:
            yield Violation("lost", f"{element} was acknowledged for list {key} by {op.node} and is not in it")
        if op.outcome is Outcome.FAIL and there:
            yield Violation("invented", f"{element} was said not to be executed ({op.error}) and is in list {key}")
    for op in evidence.history:
        if op.what == "list" and op.outcome is Outcome.OK:
            read = _elements(op)
            if final.get(op.value, ())[: len(read)] != read:
                yield Violation(
                    "dirty read", f"{op.session} read on {op.node} a list {op.value} that is no beginning of the last one"
                )


def _elements(op: Op) -> tuple[str, ...]:
    return tuple((op.result or "").split())


# ---- sessions ------------------------------------------------------------------------------------------------------


def own_writes_are_read(evidence: Evidence) -> Iterator[Violation]:
    """A session reads what it has written, or something newer that it tried to write."""
    acknowledged: dict[str, int] = {}
    tried: dict[str, int] = {}
    for op in evidence.history:
        if op.what == "set":
            session, value = op.value
            tried[session] = value
            if op.outcome is Outcome.OK:
                acknowledged[session] = value
        elif op.what == "own" and op.outcome is Outcome.OK:
            read, least = op.result or 0, acknowledged.get(op.session, 0)
            if read < least:
                yield Violation("stale read", f"{op.session} wrote {least} and read {read} on {op.node}")
            if read > tried.get(op.session, 0):
                yield Violation("invented", f"{op.session} read {read} on {op.node} and never wrote it")


def reads_never_go_back(evidence: Evidence) -> Iterator[Violation]:
    """What a session has seen of a register or of a list it sees again, or more of it."""
    registers: dict[tuple[str, str], int] = {}
    lists: dict[tuple[str, int], tuple[str, ...]] = {}
    for op in evidence.history:
        key = (op.session, op.value)
        if op.what == "list" and op.outcome is Outcome.OK:
            before, now = lists.get(key, ()), _elements(op)
            if now[: len(before)] != before:
                yield Violation("went back", f"{op.session} read list {op.value} on {op.node}, without what it had seen in it")
            lists[key] = now
        elif op.what in ("own", "other") and op.outcome is Outcome.OK:
            had, value = registers.get(key, 0), op.result or 0
            if value < had:
                yield Violation("went back", f"{op.session} read {value} of {op.value} on {op.node} after {had}")
            registers[key] = value


def registers_are_kept(evidence: Evidence) -> Iterator[Violation]:
    """Each register holds the last acknowledged value, or one of unknown outcome that was written after it."""
    final = {row[0]: row[1] for row in evidence.finals[evidence.primary]["registers"]}
    least: Counter[str] = Counter()
    unknown: dict[str, set[int]] = {}
    for op in evidence.history:
        if op.what == "set":
            session, value = op.value
            if op.outcome is Outcome.OK:
                least[session] = value
            elif op.outcome is Outcome.INFO:
                unknown.setdefault(session, set()).add(value)
    for session, value in least.items():
        possible = {value} | {other for other in unknown.get(session, ()) if other > value}
        if final.get(session, 0) not in possible:
            yield Violation(
                "lost", f"register {session} is {final.get(session)}, by what was acknowledged it is {sorted(possible)}"
            )


def no_money_is_made(evidence: Evidence) -> Iterator[Violation]:
    """The sum of all accounts is the same in every snapshot and at the end."""
    for op in evidence.history:
        if _acknowledged(op, "sum") and op.result != TOTAL:
            yield Violation("torn transaction", f"{op.session} read a sum of {op.result} on {op.node}")
    for node, tables in evidence.finals.items():
        if (total := sum(row[1] for row in tables["bank"])) != TOTAL:
            yield Violation("torn transaction", f"the accounts on {node} add up to {total}")


def errors_are_expected(evidence: Evidence) -> Iterator[Violation]:
    """Clients meet the errors of a database, never those of a program."""
    for op in evidence.history:
        kind = op.error.partition(":")[0]
        if kind and not kind.endswith(_EXPECTED):
            yield Violation("unexpected error", f"{op.session} {op.what}: {op.error}")


_EXPECTED = (
    "OperationalError",
    "OutcomeUnknown",
    "TransactionLost",
    "SessionLost",
    "Unavailable",
    "NoConnectionLeft",
    "IntegrityError",
    "InternalError",
    "OSError",
    "never ended",
)


def _acknowledged(op: Op, what: str) -> bool:
    return op.what == what and op.outcome is Outcome.OK


LAWS = (
    inserts_are_kept,
    unknown_ones_share_a_fate,
    nodes_are_equal,
    one_writer_at_a_time,
    claims_have_one_winner,
    lists_only_grow,
    own_writes_are_read,
    reads_never_go_back,
    registers_are_kept,
    no_money_is_made,
    errors_are_expected,
)


def main() -> None:
    violations = check(read_evidence(Path(sys.argv[1])))
    for violation in violations:
        print(violation)
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
