"""Plays one fault: a lab, a healthy cluster under load, the fault, the healing, the check, the verdict."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from replclus.model.spec import Flavour
from tests.clusters import REPOSITORY
from tests.faults.catalogue import Expect, Fault
from tests.faults.checker import Violation, check
from tests.faults.evidence import Evidence, Reign, write_evidence
from tests.faults.history import History, Outcome, outage_s
from tests.faults.lab import Lab, make_lab
from tests.faults.scene import Scene

KEPT = REPOSITORY / "build" / "faults"
HOSTS_OURS = os.environ.get("HOSTS") == "ours"
"""Every watchdog has access to the hosts of the servers."""
KEEP = bool(os.environ.get("FAULTS_KEEP"))
"""Keep the history of what ended well too."""
SHOWN_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What came of one fault. `kept` is where its history lies, None if all was well."""

    name: str
    outage_s: float
    epochs: int
    history: History
    violations: tuple[Violation, ...]
    complaint: str
    restarted: tuple[str, ...]
    quarantined: tuple[str, ...]
    seconds: float
    kept: Path | None

    @property
    def ok(self) -> bool:
        return not self.violations and not self.complaint

    def __str__(self) -> str:
        counted = ", ".join(f"{sum(op.outcome is one for op in self.history)} {one.value}" for one in Outcome)
        verdict = "kept" if self.ok else f"BROKEN: {self.complaint or ''} {len(self.violations)} violations, see {self.kept}"
        text = f"{self.name}: outage {self.outage_s * 1000:.0f} ms, {self.epochs} changes of the primary, {counted}"
        text += "".join(f", {name} restarted by hand" for name in self.restarted)
        text += "".join(f", {name} quarantined" for name in self.quarantined)
        lines = [f"{text}, {self.seconds:.0f} s: {verdict}", *map(str, self.violations[:SHOWN_MAX])]
        return "\n  ".join(lines)


class Labs:
    """Labs of one run. One in which a fault ended well is used again: its next primary is whoever is primary now."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._free: dict[tuple[Flavour, int, bool], Lab] = {}
        self._numbers = count(1)

    def play(self, fault: Fault, flavour: Flavour) -> Played:
        with self._lab(fault, flavour) as (lab, give_back):
            played = play(fault, lab, self._root / f"h{next(self._numbers)}")
            if played.ok and not fault.before_load and not played.quarantined:
                give_back()
        return played

    def destroy(self) -> None:
        for lab in self._free.values():
            lab.destroy()
        self._free.clear()

    @contextmanager
    def _lab(self, fault: Fault, flavour: Flavour) -> Iterator[tuple[Lab, Callable[[], None]]]:
        hosts_ours = fault.hosts_ours or HOSTS_OURS
        key = (flavour, fault.replicas, hosts_ours)
        lab = None if fault.before_load else self._free.pop(key, None)
        if lab is None:
            # Two families at a time would be too many servers for a small machine.
            self.destroy()
            directory = self._root / f"l{next(self._numbers)}"
            lab = make_lab(directory, flavour, replicas=fault.replicas, hosts_ours=hosts_ours)
        kept = False

        def give_back() -> None:
            nonlocal kept
            kept = True
            self._free[key] = lab

        try:
            if fault.before_load:
                fault.before_load(lab)
            yield lab, give_back
        finally:
            if not kept:
                lab.destroy()


def play(fault: Fault, lab: Lab, directory: Path) -> Played:
    """Play `fault` in `lab`. Its evidence is in `directory`, and is moved to `KEPT` if something was broken."""
    directory.mkdir()
    name, began = f"{fault.code}-{lab.flavour.value}", time.monotonic()
    scene = Scene(lab, directory)
    complaint = ""
    violations: tuple[Violation, ...] = ()
    reigns: list[Reign] = []
    try:
        with scene.played(direct=fault.direct) as sampler:
            reigns = sampler.reigns
            fault.inject(scene)
            expect = (fault.expect_ours or fault.expect) if lab.hosts_ours else fault.expect
            _as_expected(expect, scene)
            scene.heal(quarantine=fault.quarantine)
            if expect is Expect.NONE:
                assert not scene.failed_over, f"{scene.primary} was made primary while the fault was undone"
    except AssertionError as error:
        complaint = str(error)
    history = scene.load.history() if hasattr(scene, "load") else ()
    if scene.healed_at:
        evidence = _evidence(scene, history, reigns)
        violations = check(evidence)
        write_evidence(evidence, directory / "evidence.json.gz")
    played = Played(
        name=name,
        outage_s=outage_s(history, scene.began_at),
        epochs=len({epoch for epoch, _ in reigns}) - 1,
        history=history,
        violations=violations,
        complaint=complaint,
        restarted=tuple(scene.restarted),
        quarantined=tuple(name for name in scene.names if name not in scene.serving()),
        seconds=time.monotonic() - began,
        kept=_keep(scene, name, reigns) if complaint or violations or KEEP else None,
    )
    shutil.rmtree(directory, ignore_errors=True)
    return played


def _as_expected(expect: Expect, scene: Scene) -> None:
    if expect is Expect.FAILOVER:
        assert scene.failed_over, "nobody else was made primary"
    if expect is Expect.NONE:
        assert not scene.failed_over, f"{scene.primary} was made primary"


def _evidence(scene: Scene, history: History, reigns: list[Reign]) -> Evidence:
    servers = {place.server_id: place.name for place in scene.cluster.sandbox.places}
    return Evidence(history=history, finals=scene.finals(), primary=scene.primary, reigns=tuple(reigns), servers=servers)


def _keep(scene: Scene, name: str, reigns: list[Reign]) -> Path:
    """Histories, samples, what the watchdog said, and every server's log, in a directory of their own."""
    place = KEPT / f"{name}-{time.strftime('%H%M%S')}"
    shutil.copytree(scene.directory, place, dirs_exist_ok=True)
    if hasattr(scene, "watchdog"):
        (place / "watchdog.jsonl").write_text("".join(json.dumps(event) + "\n" for event in scene.watchdog.events))
    (place / "reigns.json").write_text(json.dumps(reigns))
    for log in [scene.lab.directory / "watchdog.log", *(scene.server_directory(node) / "error.log" for node in scene.names)]:
        if log.exists():
            shutil.copy(log, place / (log.name if log.name == "watchdog.log" else f"{log.parent.name}.log"))
    return place
