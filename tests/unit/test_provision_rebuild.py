"""The record that facts amount to, and the facts that amount to none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from replclus.errors import Refused
from replclus.model.observation import Facts
from replclus.model.record import MemberState
from replclus.model.topology import PulseRow
from replclus.provision.rebuild import judged
from tests.unit.provision_values import ID, OTHER, server, spec


def pulse(epoch: int, primary: str, beat: int = 1) -> PulseRow:
    return PulseRow(beat=beat, epoch=epoch, primary=primary, routing_ttl_ms=5000, topology="")


def facts(number: int, *, writable: bool = False, said: PulseRow | None, cluster_id: str | None = ID) -> Facts:
    return replace(server(number, cluster_id=cluster_id).facts, writable=writable, pulse=said)


def cluster() -> dict[str, Facts]:
    """After a failover to n2: n3 has not heard of it yet."""
    return {
        "n1": facts(1, said=pulse(2, "n2", 70)),
        "n2": facts(2, writable=True, said=pulse(2, "n2", 71)),
        "n3": facts(3, said=pulse(1, "n1", 99)),
    }


def test_the_newest_pulse_names_epoch_and_primary() -> None:
    record = judged(spec(), cluster())
    assert (record.version, record.cluster_id, record.epoch, record.primary) == (1, ID, 2, "n2")
    assert record.ackers == {"n1", "n3"}
    assert [(m.name, m.port, m.server_id, m.state) for m in record.members] == [
        ("n1", 3307, 1, MemberState.ACTIVE),
        ("n2", 3308, 2, MemberState.ACTIVE),
        ("n3", 3309, 3, MemberState.ACTIVE),
    ]
    assert record.operation is None and not record.forming


def test_nobody_writable_is_what_a_restarted_primary_looks_like() -> None:
    seen = cluster() | {"n2": facts(2, said=pulse(2, "n2"))}
    assert judged(spec(), seen).primary == "n2"


def refusal(seen: dict[str, Facts]) -> str:
    with pytest.raises(Refused) as caught:
        judged(spec(), seen)
    return str(caught.value)


def test_two_writable_servers_are_refused() -> None:
    assert "n1 and n2 accept writes" in refusal(cluster() | {"n1": facts(1, writable=True, said=pulse(2, "n2"))})


def test_a_writable_server_that_no_pulse_names_is_refused() -> None:
    seen = {**cluster(), "n2": facts(2, said=pulse(2, "n2")), "n3": facts(3, writable=True, said=pulse(1, "n1"))}
    assert "n3 accepts writes, and the primary of epoch 2 is n2" in refusal(seen)


def test_two_primaries_of_one_epoch_are_refused() -> None:
    assert "two primaries (n2 and n3)" in refusal(cluster() | {"n3": facts(3, said=pulse(2, "n3"))})


@pytest.mark.parametrize("foreign", [OTHER, None])
def test_servers_of_different_clusters_are_refused(foreign: str | None) -> None:
    assert "do not belong to one cluster" in refusal(cluster() | {"n3": facts(3, said=None, cluster_id=foreign)})


def test_a_primary_that_is_not_described_is_refused() -> None:
    assert "n9, which is not in the configuration" in refusal(cluster() | {"n1": facts(1, said=pulse(3, "n9"))})


def test_a_missing_server_is_refused() -> None:
    seen = cluster()
    del seen["n3"]
    assert "n3 does not answer" in refusal(seen)


def test_servers_without_a_pulse_are_refused() -> None:
    assert "pulse" in refusal({f"n{i}": facts(i, said=None) for i in (1, 2, 3)})


def test_every_contradiction_is_named_at_once() -> None:
    seen = cluster() | {"n1": facts(1, writable=True, said=pulse(2, "n3"), cluster_id=OTHER)}
    text = refusal(seen)
    assert "accept writes" in text and "one cluster" in text and "two primaries" in text
