"""What is left to be done, from values alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from replclus.dialect.base import LEASE_VERSION
from replclus.model.record import ClusterRecord, MemberState
from replclus.model.spec import Account, AppAccount, Durability, Secret, Timings
from replclus.provision.inspection import Inspection
from replclus.provision.planning import OWN_USERS, plan
from replclus.provision.steps import CreateAccounts, CreateApplication, InstallLease, Phase
from tests.unit.provision_values import ID, LOG, ROW, SAME, link, record, server, spec

HOSTS = ("127.0.0.1", "localhost")
APP = AppAccount(Account("app", Secret("x")), "app", ("localhost",))
EMPTY = (server(1), server(2), server(3))
EVERY_ACCOUNT = frozenset({(user, host) for user in OWN_USERS for host in HOSTS} | {("app", "localhost")})


def names(phases: tuple[Phase, ...]) -> list[str]:
    """`step:n1,n2` for each phase."""
    return [f"{phase[0].name}:{','.join(step.node or '' for step in phase)}" for phase in phases]


def step_names(phases: tuple[Phase, ...]) -> list[str]:
    return [phase[0].name for phase in phases]


def forming(**more: object) -> ClusterRecord:
    return replace(record(MemberState.JOINING), **more)  # type: ignore[arg-type]


def member(number: int) -> Inspection:
    return server(number, cluster_id=ID, accounts=EVERY_ACCOUNT, ours=True, lease=LEASE_VERSION)


def test_from_nothing_the_record_comes_first_and_admission_last() -> None:
    assert names(plan(spec(), None, EMPTY, HOSTS)) == [
        "describe:",
        "create accounts:n1,n2,n3",
        "become source:n1",
        "follow:n2,n3",
        "open:n1",
        "verify:n1,n2,n3",
        "install lease:n1,n2,n3",
        "admit:",
    ]


def test_the_steps_of_one_phase_are_of_one_kind() -> None:
    wants = tuple(replace(one, settings=(ROW,), plugins_missing=True) for one in EMPTY)
    for phase in plan(spec(app=APP), None, wants, HOSTS):
        assert len({type(step) for step in phase}) == 1


def test_the_application_gets_in_after_everything_was_verified_and_before_admission() -> None:
    order = step_names(plan(spec(app=APP), None, EMPTY, HOSTS))
    assert order[-4:] == ["verify", "create application account", "install lease", "admit"]


def test_semi_sync_is_on_before_anybody_follows_and_they_follow_before_anything_is_written() -> None:
    order = step_names(plan(spec(), None, EMPTY, HOSTS))
    assert order.index("become source") < order.index("follow") < order.index("open")


def test_plugins_come_before_the_settings_that_they_bring() -> None:
    seen = tuple(replace(one, plugins_missing=True) for one in EMPTY)
    order = step_names(plan(spec(), None, seen, HOSTS))
    assert order[:3] == ["describe", "install plugins", "configure"]


def test_a_history_of_the_installation_is_forgotten_on_replicas_and_primary() -> None:
    seen = tuple(server(i, executed=f"0000000{i}-0000-0000-0000-000000000000:1-4") for i in (1, 2, 3))
    assert "forget history:n1,n2,n3" in names(plan(spec(), None, seen, HOSTS))


def test_what_an_interrupted_run_left_on_a_primary_without_identity_begins_anew() -> None:
    seen = (server(1, own_schema=True), server(2, channel=link(3307)), server(3))
    phases = names(plan(spec(), forming(), seen, HOSTS))
    assert "detach:n2" in phases and "forget history:n1,n2" in phases
    assert phases.index("detach:n2") < phases.index("forget history:n1,n2") < phases.index("become source:n1")


def test_once_the_primary_has_its_identity_its_history_stays() -> None:
    mine = "00000001-0000-0000-0000-000000000000:1-7"
    primary = server(1, cluster_id=ID, executed=mine, own_schema=True)
    arrived = server(2, cluster_id=ID, executed=mine, own_schema=True, channel=link(3307))
    other = server(3, executed="00000003-0000-0000-0000-000000000000:1-2")
    phases = names(plan(spec(), forming(), (primary, arrived, other), HOSTS))
    assert "forget history:n3" in phases and not any(phase.startswith("detach") for phase in phases)


def test_the_record_of_an_interrupted_run_is_not_written_twice() -> None:
    assert "describe" not in step_names(plan(spec(), forming(), EMPTY, HOSTS))


@pytest.mark.parametrize("change", [{"name": "other"}, {"durability": Durability.AVAILABLE}, {"primary": "n2"}])
def test_a_configuration_that_changed_meanwhile_is_described_again(change: dict[str, object]) -> None:
    assert step_names(plan(spec(), forming(**change), EMPTY, HOSTS))[0] == "describe"


def test_an_admitted_cluster_has_nothing_left_to_do() -> None:
    assert plan(spec(app=APP), record(MemberState.ACTIVE), tuple(member(i) for i in (1, 2, 3)), HOSTS) == ()


def test_after_a_failover_it_still_has_not() -> None:
    moved = replace(record(MemberState.ACTIVE), primary="n3", epoch=7)
    seen = (replace(member(1), facts=replace(member(1).facts, channel=link(3309))), member(2), member(3))
    assert plan(spec(app=APP), moved, seen, HOSTS) == ()


def test_accounts_that_are_gone_or_locked_us_out_are_made_again_and_nothing_else() -> None:
    lost = replace(member(2), accounts=EVERY_ACCOUNT - {("app", "localhost")})
    strange = replace(member(3), ours=False)
    (accounts,), (application,) = plan(spec(app=APP), record(MemberState.ACTIVE), (member(1), lost, strange), HOSTS)
    assert isinstance(accounts, CreateAccounts) and accounts.node == "n3"
    assert isinstance(application, CreateApplication) and application.node == "n2"


def test_settings_and_files_that_drifted_are_put_right() -> None:
    drifted = replace(member(2), settings=(ROW, LOG), variables={**SAME, "binlog_format": "MIXED", "log_bin": "ON"})
    forgotten = replace(member(3), option_file="[mysqld]\n", lines=("read_only=ON",))
    ((first, second),) = plan(spec(app=APP), record(MemberState.ACTIVE), (member(1), drifted, forgotten), HOSTS)
    assert first.sentence == "n2: set binlog_format"
    assert second.sentence == "n3: write into its option file: read_only=ON"


def test_a_remote_server_that_can_remember_is_told_how_to_start_once() -> None:
    seen = tuple(replace(one, persists=True) for one in EMPTY)
    (configure,) = (phase for phase in plan(spec(), None, seen, HOSTS) if phase[0].name == "configure")
    assert configure[0].sentence == "n1: have it start read-only and replicating from nobody"
    admitted = tuple(replace(member(i), persists=True) for i in (1, 2, 3))
    assert plan(spec(app=APP), record(MemberState.ACTIVE), admitted, HOSTS) == ()


@pytest.mark.parametrize("found", [None, "replclus lease 0"])
def test_a_lease_that_is_missing_or_old_is_installed_unless_it_is_off_or_ruled_out(found: str | None) -> None:
    seen = (member(1), replace(member(2), lease=found), member(3))
    (phase,) = plan(spec(app=APP), record(MemberState.ACTIVE), seen, HOSTS)
    assert phase == (InstallLease(node="n2"),)
    assert plan(spec(app=APP, timings=Timings(lease_s=0)), record(MemberState.ACTIVE), seen, HOSTS) == ()
    ruled_out = replace(seen[1], variables={**SAME, "event_scheduler": "DISABLED"})
    assert plan(spec(app=APP), record(MemberState.ACTIVE), (seen[0], ruled_out, seen[2]), HOSTS) == ()


def test_every_step_says_what_it_does_and_where() -> None:
    seen = tuple(replace(one, settings=(ROW,), plugins_missing=True, own_schema=True) for one in EMPTY)
    for phase in plan(spec(app=APP), None, seen, HOSTS):
        for step in phase:
            assert step.sentence.startswith(f"{step.node}: " if step.node else ("write the", "admit"))
