"""What the doctor says, from values alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from replclus.dialect.base import LEASE_VERSION
from replclus.failover.problems import Problem, Severity
from replclus.model.observation import SemiSync
from replclus.model.record import ClusterRecord, MemberState
from replclus.model.spec import ClusterSpec, FenceHook, Flavour, Timings
from replclus.model.topology import PulseRow
from replclus.provision.bootstrap import Examination
from replclus.provision.checkup import Finding, Host, findings
from replclus.provision.inspection import Inspection, Unfit
from replclus.provision.planning import OWN_USERS
from tests.unit.provision_values import ID, ROW, SAME, node, record, server, spec

HOSTS = ("127.0.0.1", "localhost")
ACCOUNTS = frozenset((user, host) for user in OWN_USERS for host in HOSTS)
PULSE = PulseRow(beat=1, epoch=1, primary="n1", routing_ttl_ms=5000, topology="{}", lease_ms=10_000)
SOURCE = SemiSync(source_enabled=True, source_active=True, clients=2)
REPLICA = SemiSync(replica_enabled=True)
FENCED = spec(fence_hook=FenceHook(("cut-power",)))
NOTHING = Host(trouble={})
ADMITTED = replace(record(MemberState.ACTIVE), ackers=frozenset({"n2", "n3"}))


def member(number: int, **more: Any) -> Inspection:
    """A healthy one; `more` changes its facts."""
    one = server(number, cluster_id=ID, accounts=ACCOUNTS, ours=True, lease=LEASE_VERSION)
    primary = number == 1
    facts = replace(one.facts, writable=primary, pulse=PULSE, lease_armed=primary, semi_sync=SOURCE if primary else REPLICA)
    return replace(one, facts=replace(facts, **more))


HEALTHY = (member(1), member(2), member(3))


def judged(
    *seen: Inspection | Unfit,
    described: ClusterSpec = FENCED,
    known: ClusterRecord | None = ADMITTED,
    problems: tuple[Problem, ...] = (),
    host: Host = NOTHING,
) -> tuple[Finding, ...]:
    every = {one.node.name: one for one in (*HEALTHY, *seen)}
    return findings(described, known, Examination(tuple(every.values()), HOSTS), problems, host)


def only(*seen: Inspection | Unfit, **more: Any) -> Finding:
    (finding,) = judged(*seen, **more)
    return finding


def test_of_a_healthy_cluster_there_is_nothing_to_say() -> None:
    assert judged() == ()


def test_what_init_would_bring_back_is_wrong() -> None:
    drifted = replace(member(2), settings=(ROW,), variables={**SAME, "binlog_format": "MIXED"})
    finding = only(drifted)
    assert (finding.check, finding.node, finding.wrong) == ("configure", "n2", True)
    assert finding.line == "wrong   n2: set binlog_format: `replclus init` does it"
    assert only(replace(member(3), ours=False)).check == "create_accounts"
    assert only(replace(member(3), lease=None)).check == "install_lease"


def test_a_server_that_cannot_be_seen_is_wrong_and_nothing_is_planned_for_the_others() -> None:
    gone = Unfit(node(2), "n2 (198.18.0.1:3308): does not answer (refused): start it, or correct its host, port or socket")
    finding = only(gone, replace(member(3), lease=None))
    assert finding.wrong and finding.sentence.startswith("n2 (")


def test_before_init_it_says_so() -> None:
    found = judged(known=None)
    assert "the cluster was never initialised: run `replclus init`" in [finding.sentence for finding in found]


def test_what_status_shows_is_wrong_unless_it_is_meant() -> None:
    broken = Problem("ReplicaSqlBroken", Severity.CRITICAL, "n3 cannot apply", "n3")
    drained = Problem("Draining", Severity.INFO, "n2 takes no reads", "n2")
    first, second = judged(problems=(broken, drained))
    assert first == Finding("ReplicaSqlBroken", "n3", True, "n3 cannot apply") and first.line == "wrong   n3 cannot apply"
    assert second.line == "advice  n2 takes no reads"


@pytest.mark.parametrize("flavour", list(Flavour))
def test_events_that_are_ruled_out_are_wrong_unless_no_lease_is_wanted(flavour: Flavour) -> None:
    ruled_out = replace(member(1, lease_armed=False), variables={**SAME, "event_scheduler": "DISABLED"}, lease=None)
    finding = only(ruled_out)
    assert (finding.check, finding.node, finding.wrong) == ("lease", "n1", True)
    assert "lease_s = 0" in finding.sentence
    assert judged(ruled_out, described=replace(FENCED, timings=Timings(lease_s=0))) == ()


def test_a_lease_that_nobody_grants_or_no_scheduler_runs() -> None:
    finding = only(member(1, pulse=replace(PULSE, lease_ms=0), lease_armed=False))
    assert (finding.check, finding.wrong) == ("watchdog", False)
    finding = only(member(1, lease_armed=False))
    assert (finding.check, finding.wrong) == ("lease", True)
    assert judged(member(1, lease_armed=None)) == (), "the server did not say"


@pytest.mark.parametrize(
    ("number", "state", "says"),
    [
        (1, replace(SOURCE, source_active=False), "wait for nobody's"),
        (1, replace(SOURCE, clients=0), "no replica is attached"),
        (2, SemiSync(), "acknowledges no commits"),
    ],
)
def test_semi_sync(number: int, state: SemiSync, says: str) -> None:
    finding = only(member(number, semi_sync=state))
    assert (finding.check, finding.node, finding.wrong) == ("semi_sync", f"n{number}", True)
    assert says in finding.sentence


def test_who_is_no_acker_need_not_acknowledge() -> None:
    assert judged(member(3, semi_sync=SemiSync()), known=replace(ADMITTED, ackers=frozenset({"n2"}))) == ()


def test_ways_to_fence() -> None:
    found = judged(described=spec())
    assert [(finding.check, finding.node, finding.wrong) for finding in found] == [("fence", f"n{i}", False) for i in (1, 2, 3)]
    assert all("offline_mode" in finding.sentence for finding in found)
    finding = only(host=Host(trouble={"n2": "no server process of /x runs"}))
    assert (finding.node, finding.wrong) == ("n2", True) and "process_dir" in finding.sentence
    finding = only(host=Host(trouble={}, hook="cut-power is no program that can be run"))
    assert finding.wrong and finding.sentence.startswith("fence.command: ")


@pytest.mark.parametrize(("ahead_s", "says"), [(3600.4, "3600 s ahead of ours"), (-5.0, "5 s behind ours")])
def test_clocks_are_advice(ahead_s: float, says: str) -> None:
    finding = only(replace(member(2), clock_ahead_s=ahead_s))
    assert not finding.wrong and says in finding.sentence
    assert judged(replace(member(2), clock_ahead_s=1.5)) == ()
