"""Has every server what the cluster needs? Pure: what was seen in, findings out, each with its fix in the sentence.

What `init` would complain of, warn of or do is what is wrong; the rest is what only shows once the cluster runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from replclus.failover.problems import Problem, Severity
from replclus.model.record import ClusterRecord
from replclus.model.spec import ClusterSpec, Durability, Flavour
from replclus.provision.bootstrap import Examination
from replclus.provision.inspection import Inspection
from replclus.provision.planning import plan
from replclus.provision.preflight import complaints, lease_ruled_out, warnings

CLOCK_S_MAX = 2.0
"""Nothing here depends on the servers' clocks, but people compare their logs."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`wrong` findings need somebody to act; the others are advice. `check` is a stable word for programs."""

    check: str
    node: str | None
    wrong: bool
    sentence: str

    @property
    def line(self) -> str:
        said = self.sentence if self.node is None or self.sentence.startswith(self.node) else f"{self.node}: {self.sentence}"
        return f"{'wrong ' if self.wrong else 'advice'}  {said}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What this machine can do about a node's process: `trouble` says why not, "" if it can; `hook` likewise of `[fence]`."""

    trouble: Mapping[str, str]
    hook: str = ""


def findings(
    spec: ClusterSpec, record: ClusterRecord | None, found: Examination, problems: tuple[Problem, ...], host: Host
) -> tuple[Finding, ...]:
    """Everything there is to say; nothing of a healthy cluster."""
    fit = tuple(one for one in found.seen if isinstance(one, Inspection))
    admitted = record is not None and not record.forming
    made = [Finding("fit", None, True, sentence) for sentence in complaints(spec, record, found.seen)]
    if not admitted:
        made.append(Finding("init", None, True, "the cluster was never initialised: run `replclus init`"))
    elif not made:
        made += _left_to_do(spec, record, fit, found.hosts)
    made += _warned(spec, record, fit)
    made += [Finding(problem.code, problem.node, problem.severity is not Severity.INFO, problem.sentence) for problem in problems]
    for one in fit:
        made += _about(spec, record if admitted else None, one)
        made += _fencing(spec, one, host)
    if host.hook:
        made.append(Finding("fence", None, True, f"fence.command: {host.hook}: correct it, or it will not fence anything"))
    return tuple(made)


def _left_to_do(
    spec: ClusterSpec, record: ClusterRecord | None, fit: tuple[Inspection, ...], hosts: tuple[str, ...]
) -> Iterator[Finding]:
    """Settings, option files, plugins, accounts and the lease's event: whatever `init` would bring back."""
    for phase in plan(spec, record, fit, hosts):
        for step in phase:
            yield Finding(step.name.replace(" ", "_"), step.node, True, f"{step.sentence}: `replclus init` does it")


def _warned(spec: ClusterSpec, record: ClusterRecord | None, fit: tuple[Inspection, ...]) -> Iterator[Finding]:
    lease = {(one.name, lease_ruled_out(spec, one)) for one in fit}
    for node, sentence in warnings(spec, record, fit):
        ruled_out = (node, sentence) in lease
        yield Finding("lease" if ruled_out else "warning", node, ruled_out, sentence)


def _about(spec: ClusterSpec, record: ClusterRecord | None, one: Inspection) -> Iterator[Finding]:
    if abs(one.clock_ahead_s) > CLOCK_S_MAX:
        where = "ahead of" if one.clock_ahead_s > 0 else "behind"
        yield Finding("clock", one.name, False, f"its clock is {abs(one.clock_ahead_s):.0f} s {where} ours: let NTP set both")
    if record is None:
        return
    if record.durability is Durability.LOSSLESS and (trouble := _semi_sync(record, one)):
        yield Finding("semi_sync", one.name, True, f"{trouble}: a running `replclus watchdog` puts it right")
    if one.name == record.primary and spec.timings.lease_s and lease_ruled_out(spec, one) is None:
        yield from _lease(one)


def _semi_sync(record: ClusterRecord, one: Inspection) -> str:
    state = one.facts.semi_sync
    if one.name != record.primary:
        wanted = one.name in record.ackers and not state.replica_enabled
        return "it acknowledges no commits, although the cluster counts on it" if wanted else ""
    if not (state.source_enabled and state.source_active):
        return "its commits wait for nobody's acknowledgement, although durability is lossless"
    return "" if state.clients else "no replica is attached that could acknowledge its commits"


def _lease(one: Inspection) -> Iterator[Finding]:
    pulse = one.facts.pulse
    if pulse is None or not pulse.lease_ms:
        yield Finding("watchdog", one.name, False, "no watchdog grants it a lease: start `replclus watchdog`")
    elif one.facts.writable and one.facts.lease_armed is False and one.lease is not None:
        said = "its event scheduler does not run the lease: see its error log, and whether its clock was set back"
        yield Finding("lease", one.name, True, said)


def _fencing(spec: ClusterSpec, one: Inspection, host: Host) -> Iterator[Finding]:
    if trouble := host.trouble.get(one.name):
        yield Finding("fence", one.name, True, f"its process cannot be killed from here ({trouble}): correct process_dir")
    elif one.node.process_dir is None and spec.fence_hook is None:
        half = "only while it answers (offline_mode)" if one.identity.flavour is Flavour.MYSQL else "by nothing"
        yield Finding("fence", one.name, False, f"as a failed primary it can be fenced {half}: give it a [fence] command")
