"""Every complaint, from values alone."""

from __future__ import annotations

from typing import Any

import pytest

from replclus.model.observation import Version
from replclus.model.record import ClusterRecord, MemberState
from replclus.model.spec import Account, AppAccount, ClusterSpec, Durability, Flavour, Secret
from replclus.provision.inspection import Inspection, Unfit
from replclus.provision.preflight import complaints, warnings
from tests.unit.provision_values import GTID, ID, LOG, OTHER, ROW, SAME, link, node, record, server, spec

EMPTY = (server(1), server(2), server(3))


def one_complaint(*seen: Inspection | Unfit, of: ClusterSpec | None = None, known: ClusterRecord | None = None) -> str:
    found = complaints(of or spec(), known, seen)
    assert len(found) == 1, found
    return found[0]


def test_empty_servers_with_the_right_settings_pass() -> None:
    assert complaints(spec(), None, EMPTY) == ()


def test_every_complaint_of_every_server_comes_at_once_in_the_order_of_the_file() -> None:
    broken = Unfit(node(1), "n1 (198.18.0.1:3307): does not answer (refused): start it")
    found = complaints(spec(), None, (broken, server(2, schemas=("shop",), settings=(LOG,)), server(3, schemas=("crm",))))
    assert found[0] == broken.sentence
    assert [sentence[:2] for sentence in found] == ["n1", "n2", "n2", "n3"]


def test_a_server_with_data_names_its_schemas_also_on_the_primary() -> None:
    sentence = one_complaint(server(1, schemas=("crm", "shop")), server(2), server(3))
    assert sentence.startswith("n1 (198.18.0.1:3307): holds data (schemas crm, shop)")


def test_every_wrong_setting_and_every_line_is_listed_at_once() -> None:
    bad = server(2, settings=(ROW, LOG, GTID), variables={**SAME, "binlog_format": "MIXED", "log_bin": "OFF"})
    sentence = one_complaint(server(1), bad, server(3))
    assert "binlog_format=MIXED, log_bin=OFF, gtid_mode=(not known)" in sentence
    assert "binlog_format=ROW; log_bin=binlog; gtid_mode=ON" in sentence


def test_what_can_be_set_on_the_running_server_is_no_complaint() -> None:
    bad = server(2, settings=(ROW, LOG), variables={**SAME, "binlog_format": "MIXED", "log_bin": "ON"})
    assert complaints(spec(), None, (server(1), bad, server(3))) == ()


def test_two_servers_with_one_server_id() -> None:
    assert "n1 and n3 have one server_id (1)" in one_complaint(server(1), server(2), server(3, server_id=1))


def test_two_servers_with_one_server_uuid() -> None:
    sentence = one_complaint(server(1, uuid="u"), server(2), server(3, uuid="u"))
    assert "n1 and n3 have one server_uuid (u)" in sentence
    assert "auto.cnf" in sentence


def test_mariadb_has_no_uuid_to_compare() -> None:
    seen = tuple(server(i, uuid=None, flavour=Flavour.MARIADB, version=Version(10, 11, 19)) for i in (1, 2, 3))
    assert complaints(spec(), None, seen) == ()


def test_mixed_flavours() -> None:
    stranger = server(3, flavour=Flavour.MARIADB, version=Version(10, 11, 19), uuid=None)
    assert "n1 is mysql and n3 mariadb" in one_complaint(server(1), server(2), stranger)


def test_a_replica_older_than_its_source() -> None:
    sentence = one_complaint(server(1), server(2, version=Version(8, 4, 1)), server(3, version=Version(9, 7, 0)))
    assert sentence.startswith("n2") and "8.4.1" in sentence


@pytest.mark.parametrize("name", sorted(SAME))
def test_what_must_be_the_same_everywhere(name: str) -> None:
    sentence = one_complaint(server(1), server(2, variables={**SAME, name: "other"}), server(3))
    assert sentence.startswith("n2") and f"{name}=other" in sentence


def test_a_replica_of_something_else() -> None:
    sentence = one_complaint(server(1), server(2, channel=link(3306, "198.18.7.7")), server(3))
    assert "n2 (198.18.0.1:3308): replicates from 198.18.7.7:3306 already" in sentence


def test_a_link_that_an_interrupted_init_left_is_ours() -> None:
    seen = (server(1), server(2, channel=link(3307)), server(3))
    assert complaints(spec(), record(MemberState.JOINING), seen) == ()
    assert "replicates from" in one_complaint(*seen)


def test_a_server_of_another_cluster() -> None:
    seen = (server(1), server(2, cluster_id=OTHER, schemas=("shop",)), server(3))
    assert f"belongs to cluster {OTHER} already" in one_complaint(*seen)
    assert f"belongs to another cluster ({OTHER}, ours is {ID})" in one_complaint(*seen, known=record(MemberState.JOINING))


def test_a_cluster_of_one_cannot_be_lossless() -> None:
    assert "cannot be lossless" in one_complaint(server(1), of=spec(1))
    assert complaints(spec(1, durability=Durability.AVAILABLE), None, (server(1),)) == ()


@pytest.mark.parametrize("right", ["SUPER", "READ_ONLY ADMIN"])
def test_an_application_that_could_write_to_a_replica(right: str) -> None:
    app = AppAccount(Account("app", Secret("x")), "app", ("198.18.0.9",))
    seen = (server(1), server(2, privileged=(("app", "%", right),)), server(3))
    assert right in one_complaint(*seen, of=spec(app=app))


def test_a_client_that_no_account_can_be_made_for() -> None:
    assert "'my_host'" in one_complaint(server(1), server(2, seen_from="my_host"), server(3))


def test_an_interrupted_init_goes_on_with_its_own_servers() -> None:
    primary = server(1, cluster_id=ID, executed="a:1-7".replace("a", "00000001-0000-0000-0000-000000000000"))
    seen = (primary, server(2, cluster_id=ID, schemas=("app",), channel=link(3307)), server(3))
    assert complaints(spec(), record(MemberState.JOINING), seen) == ()


def test_a_joining_server_with_transactions_of_its_own() -> None:
    mine, its = (f"0000000{i}-0000-0000-0000-000000000000:1-7" for i in (1, 2))
    seen = (server(1, cluster_id=ID, executed=mine), server(2, cluster_id=ID, executed=its), server(3))
    assert "n2 (198.18.0.1:3308): has transactions that n1 has not" in one_complaint(*seen, known=record(MemberState.JOINING))


def test_an_admitted_cluster_has_data_and_passes() -> None:
    seen = tuple(server(i, cluster_id=ID, schemas=("app",)) for i in (1, 2, 3))
    assert complaints(spec(), record(MemberState.ACTIVE), seen) == ()


def test_a_member_replaced_by_another_server() -> None:
    seen = (server(1, cluster_id=ID), server(2, cluster_id=ID, server_id=9), server(3, cluster_id=ID))
    assert "is not the server that was admitted" in one_complaint(*seen, known=record(MemberState.ACTIVE))


def test_a_member_that_was_emptied() -> None:
    seen = (server(1, cluster_id=ID), server(2), server(3, cluster_id=ID))
    assert "rebuild" in one_complaint(*seen, known=record(MemberState.ACTIVE))


def test_configuration_and_members_that_differ() -> None:
    seen = tuple(server(i, cluster_id=ID) for i in (1, 2, 3))
    assert "`replclus add n4`" in complaints(spec(4), record(MemberState.ACTIVE), seen)[0]
    assert "`replclus remove n3`" in complaints(spec(2), record(MemberState.ACTIVE), seen[:2])[0]


def test_accounts_that_pass_read_only_are_warned_of_on_mariadb() -> None:
    more: dict[str, Any] = {"flavour": Flavour.MARIADB, "version": Version(10, 11, 19), "option_file": ""}
    accounts = (("dba", "%", "READ_ONLY ADMIN"), ("root", "localhost", "SUPER"), ("replclus_watchdog", "h", "READ_ONLY ADMIN"))
    found = warnings(spec(), None, (server(1, privileged=accounts, **more),))
    assert [name for name, _ in found] == ["n1"]
    assert "dba@% (READ_ONLY ADMIN)" in found[0][1] and "root" not in found[0][1] and "replclus" not in found[0][1]


def test_where_nothing_remembers_the_settings_the_lines_are_told() -> None:
    found = warnings(spec(), None, (server(1, lines=("read_only=ON", "binlog_format=ROW")),))
    assert "read_only=ON; binlog_format=ROW" in found[0][1]
    assert warnings(spec(), None, (server(1, lines=("read_only=ON",), persists=True),)) == ()
    assert warnings(spec(), None, (server(1, lines=("read_only=ON",), option_file=""),)) == ()
    assert warnings(spec(), record(MemberState.ACTIVE), (server(1, lines=("read_only=ON",)),)) == ()
