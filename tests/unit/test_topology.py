"""The routing map: there and back through JSON. It arrives from servers, so anything else must be refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replclus.model.topology import FORMAT, Role, Topology, TopologyNode

whole = st.integers(min_value=0, max_value=2**63)
names = st.text(max_size=12)
nodes = st.builds(
    TopologyNode,
    name=names,
    host=names,
    port=whole,
    role=st.sampled_from(Role),
    weight=whole,
    serving=st.booleans(),
)
topologies = st.builds(Topology, cluster_id=names, epoch=whole, primary=names, nodes=st.lists(nodes, max_size=5).map(tuple))
plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)

EXAMPLE = Topology(
    cluster_id="c1",
    epoch=4,
    primary="n1",
    nodes=(
        TopologyNode(name="n1", host="db1", port=3306, role=Role.PRIMARY),
        TopologyNode(name="n2", host="::1", port=3307, role=Role.REPLICA, weight=0, serving=False),
    ),
)


@given(topologies)
def test_there_and_back(topology: Topology) -> None:
    again = Topology.from_json(topology.to_json())
    assert again == topology
    assert again.to_json() == topology.to_json()
    assert all(type(node.role) is Role for node in again.nodes)


@given(st.text() | plain_values.map(json.dumps))
def test_garbage_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        Topology.from_json(text)


@given(data=st.data(), value=plain_values)
def test_a_value_of_another_type_does_not_get_in(data: st.DataObject, value: object) -> None:
    document = json.loads(EXAMPLE.to_json())
    place = data.draw(st.sampled_from([document, document["nodes"][0]]), label="table")
    key = data.draw(st.sampled_from(sorted(place)), label="key")
    place[key] = value
    try:
        topology = Topology.from_json(json.dumps(document))
    except ValueError:
        return
    assert Topology.from_json(topology.to_json()) == topology
    assert type(topology.epoch) is int
    assert all(type(node.port) is int and type(node.weight) is int for node in topology.nodes)
    assert all(type(node.host) is str and type(node.serving) is bool for node in topology.nodes)


def test_another_format_is_refused() -> None:
    document = json.loads(EXAMPLE.to_json()) | {"format": FORMAT + 1}
    with pytest.raises(ValueError, match="topology format 2 is not 1"):
        Topology.from_json(json.dumps(document))


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(ValueError, match="not a topology"):
        Topology.from_json("[" * 200_000)


def test_it_is_small() -> None:
    """It travels in every pulse."""
    assert len(EXAMPLE.to_json()) < 300
