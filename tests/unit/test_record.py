"""The cluster record: there and back through JSON, and nothing else gets in."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replclus.errors import Damaged, ReplclusError, StoreError
from replclus.model.record import (
    FORMAT,
    ClusterRecord,
    Member,
    MemberState,
    Operation,
    OperationKind,
    Phase,
    Request,
    RequestKind,
)
from replclus.model.spec import Durability, Flavour

whole = st.integers(min_value=0, max_value=2**63)
names = st.text(max_size=12)
members = st.builds(
    Member,
    name=names,
    host=names,
    port=whole,
    server_id=whole,
    uuid=st.none() | names,
    state=st.sampled_from(MemberState),
    why=names,
)
operations = st.builds(
    Operation,
    kind=st.sampled_from(OperationKind),
    phase=st.sampled_from(Phase),
    old_primary=names,
    reason=names,
    wanted=st.none() | names,
    fenced=st.booleans(),
    position=st.none() | names,
)
requests = st.builds(
    Request,
    id=names,
    kind=st.sampled_from(RequestKind),
    to=st.none() | names,
    force=st.booleans(),
    answer=st.none() | names,
    done=st.none() | st.booleans(),
)
records = st.builds(
    ClusterRecord,
    version=whole,
    cluster_id=names,
    name=names,
    flavour=st.sampled_from(Flavour),
    durability=st.sampled_from(Durability),
    epoch=whole,
    primary=names,
    members=st.lists(members, max_size=4).map(tuple),
    ackers=st.frozensets(names, max_size=4),
    operation=st.none() | operations,
    request=st.none() | requests,
    paused=st.booleans(),
)
plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)

EXAMPLE = ClusterRecord(
    version=7,
    cluster_id="c1",
    name="shop",
    flavour=Flavour.MYSQL,
    durability=Durability.LOSSLESS,
    epoch=3,
    primary="n1",
    members=(
        Member(name="n1", host="db1", port=3306, server_id=1, uuid="u1"),
        Member(name="n2", host="db2", port=3306, server_id=2),
    ),
    ackers=frozenset({"n2"}),
    operation=Operation(kind=OperationKind.FAILOVER, phase=Phase.REVOKE, old_primary="n1", reason="it is dead"),
    request=Request(id="r1", kind=RequestKind.SWITCHOVER, to="n2"),
)


@given(records)
def test_there_and_back(record: ClusterRecord) -> None:
    again = ClusterRecord.from_json(record.to_json())
    assert again == record
    assert again.to_json() == record.to_json()


def test_types_come_back_not_only_equal_values() -> None:
    again = ClusterRecord.from_json(EXAMPLE.to_json())
    assert type(again.flavour) is Flavour
    assert type(again.durability) is Durability
    assert type(again.ackers) is frozenset
    assert type(again.members) is tuple
    assert type(again.members[0].state) is MemberState
    assert again.operation is not None and type(again.operation.phase) is Phase
    assert again.request is not None and type(again.request.kind) is RequestKind


@given(st.text() | plain_values.map(json.dumps))
def test_garbage_is_damaged(text: str) -> None:
    with pytest.raises(Damaged, match="the cluster record is damaged"):
        ClusterRecord.from_json(text)


@given(data=st.data(), value=plain_values)
def test_a_value_of_another_type_does_not_get_in(data: st.DataObject, value: object) -> None:
    """Whatever stands in one place of the document: either it is a record that survives, or it is refused."""
    document = json.loads(EXAMPLE.to_json())
    place = data.draw(
        st.sampled_from([document, document["members"][0], document["operation"], document["request"]]), label="table"
    )
    key = data.draw(st.sampled_from(sorted(place)), label="key")
    place[key] = value
    try:
        record = ClusterRecord.from_json(json.dumps(document))
    except ReplclusError:
        return
    assert ClusterRecord.from_json(record.to_json()) == record
    assert hash(record) is not None  # so nothing mutable hides in it


@pytest.mark.parametrize("cut", range(0, len(EXAMPLE.to_json()), 7))
def test_a_cut_off_document_is_damaged(cut: int) -> None:
    with pytest.raises(Damaged):
        ClusterRecord.from_json(EXAMPLE.to_json()[:cut])


@pytest.mark.parametrize("key", sorted(set(json.loads(EXAMPLE.to_json())) - {"failovers", "floor", "doubtful"}))
def test_a_missing_key_is_damaged(key: str) -> None:
    document = json.loads(EXAMPLE.to_json())
    del document[key]
    with pytest.raises(Damaged, match=key):
        ClusterRecord.from_json(json.dumps(document))


def test_deep_nesting_is_damaged() -> None:
    with pytest.raises(Damaged):
        ClusterRecord.from_json("[" * 200_000)


def test_a_newer_format_is_not_damage() -> None:
    document = json.loads(EXAMPLE.to_json()) | {"format": FORMAT + 1}
    with pytest.raises(StoreError, match="use a newer replclus") as caught:
        ClusterRecord.from_json(json.dumps(document))
    assert not isinstance(caught.value, Damaged)


def test_members() -> None:
    assert EXAMPLE.member("n2").host == "db2"
    with pytest.raises(KeyError):
        EXAMPLE.member("n3")
    assert [member.name for member in EXAMPLE.replicas] == ["n2"]


@given(records, members)
def test_with_member_adds_or_replaces(record: ClusterRecord, member: Member) -> None:
    unique = replace(record, members=tuple({other.name: other for other in record.members}.values()))
    after = unique.with_member(member)
    assert after.member(member.name) == member
    assert {other for other in after.members if other.name != member.name} == {
        other for other in unique.members if other.name != member.name
    }
    assert after.with_member(member) == after
