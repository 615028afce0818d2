"""May this server be overwritten? Asked before the first step, and again by every run: the answer can have changed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from replclus.errors import Refused, ServerUnreachable, StoreError
from replclus.model.gtid import GtidSet, empty_gtid_set, parse_gtid_set
from replclus.model.observation import Facts, Identity
from replclus.provision.case import Case
from replclus.server.server import Server
from replclus.store import files

_MARK_BYTES_MAX = 1 << 20


def check(case: Case) -> Identity:
    """Who is about to be overwritten. Refused with the reason if it must not be."""
    name, record = case.node.name, case.record
    if name == record.primary:
        raise Refused(f"{name} is the primary: switch over to another node first")
    if name == case.donor.name:
        raise Refused(f"{name} cannot be rebuilt from itself")
    if name in record.ackers:
        raise Refused(f"{name} may still acknowledge commits: the watchdog must take it out of the ackers first")
    with case.server(case.node) as server:
        facts, schemas = _facts(server, name), server.user_schemas()
    if facts.identity.flavour is not record.flavour:
        raise Refused(f"{name} is {facts.identity.flavour.value}, the cluster is {record.flavour.value}")
    if facts.writable:
        raise Refused(f"{name} accepts writes: close it first (read_only=1), for whoever writes there believes that it is kept")
    _ours(case, facts, schemas)
    _donor(case)
    return facts.identity


def _ours(case: Case, facts: Facts, schemas: tuple[str, ...]) -> None:
    """Ours by its identity row; empty; or left without that row by an earlier run of ours, which made a note of it."""
    name, who = case.node.name, facts.identity
    if who.cluster_id == case.record.cluster_id:
        return
    if who.cluster_id is not None:
        raise Refused(f"{name} belongs to another cluster ({who.cluster_id}): it is never touched")
    if schemas and _mark_of(case).get("server_id") != who.server_id:
        raise Refused(f"{name} has data ({', '.join(schemas[:5])}) and belongs to no cluster: empty it yourself if that can go")


def _donor(case: Case) -> None:
    with case.server(case.donor) as server:
        facts = _facts(server, case.donor.name)
    if facts.identity.cluster_id != case.record.cluster_id:
        raise Refused(f"{case.donor.name} does not belong to this cluster, so nothing can be copied from it")


def _facts(server: Server, name: str) -> Facts:
    seen = server.observe()
    if seen.facts is None or not seen.answered:
        raise ServerUnreachable(name, f"it does not answer ({seen.error or seen.reach.value}): start it first")
    return seen.facts


# ---- the note that its data is going --------------------------------------------------------------------------------


def _mark(case: Case) -> Path:
    return case.spec.state_dir / "rebuilding" / f"{case.node.name}.json"


def _mark_of(case: Case) -> dict[str, Any]:
    """What an earlier run noted when it began to overwrite the server of this name; empty if none is unfinished."""
    content = files.read_private(_mark(case), _MARK_BYTES_MAX) if _mark(case).parent.is_dir() else None
    try:
        found = {} if content is None else json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def begun_before(case: Case) -> bool:
    """Did an earlier run begin to change this server's data, and not end?"""
    return bool(_mark_of(case))


def saved_before(case: Case) -> tuple[Path | None, GtidSet]:
    """Where that run, or one before it, had saved transactions that only this server had; and which."""
    note = _mark_of(case)
    saved, extra = note.get("saved"), note.get("extra")
    gtids = parse_gtid_set(case.flavour, extra) if isinstance(extra, str) else empty_gtid_set(case.flavour)
    return (Path(saved) if isinstance(saved, str) and saved else None), gtids


@contextmanager
def noted(case: Case, who: Identity, saved: Path | None = None, extra: GtidSet | None = None) -> Iterator[None]:
    """Inside, its data may be anything: a note on disk says so until the block ends well.

    `saved` is where `extra`, what only this server had, is kept; see `saved_before`.
    """
    path = _mark(case)
    files.make_state_dir(path.parent)
    note = {"server_id": who.server_id, "saved": str(saved or ""), "extra": str(extra or "")}
    draft = path.with_suffix(".new")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), "w") as file:
            json.dump(note, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        files.sync_directory(path.parent)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error
    yield
    path.unlink(missing_ok=True)
