"""The record, read back from the servers, after its file was lost or damaged.

The servers know nearly all of it: the identity row says which cluster they are, the pulse which epoch it is and who is
primary. What they contradict each other in, a person must decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from replclus.errors import Refused
from replclus.model.observation import Facts, Observation
from replclus.model.record import ClusterRecord, Member
from replclus.model.spec import Account, ClusterSpec, NodeSpec
from replclus.model.topology import PulseRow
from replclus.provision.look import WORKERS_MAX, Connect, connect_with
from replclus.store.secrets import Secrets


def rebuild_record(spec: ClusterSpec, secrets: Secrets, *, connect: Connect | None = None) -> ClusterRecord:
    """A record that says what the servers say, not stored yet. Reads only.

    Refused, with every reason, when a server does not answer, belongs elsewhere, when two accept writes, or when the one
    that does is not the one that the newest pulse names.
    """
    open_ = connect or connect_with(spec)
    with ThreadPoolExecutor(min(len(spec.nodes), WORKERS_MAX)) as pool:
        seen = list(pool.map(lambda node: _observe(node, secrets.watchdog, open_), spec.nodes))
    silent = [f"{one.node} does not answer ({one.error or one.reach.value}): start it" for one in seen if not one.answered]
    if silent:
        raise Refused(*silent)
    return judged(spec, {one.node: one.facts for one in seen if one.facts is not None})


def judged(spec: ClusterSpec, facts: Mapping[str, Facts]) -> ClusterRecord:
    """The record these facts amount to; pure.

    Every replica is a member in good standing and an acker: a quarantine cannot be read back, and the watchdog judges each
    replica anew anyway. An acker too many is safe, it only means that one more must be asked before a promotion.
    """
    if against := tuple(_contradictions(spec, facts)):
        raise Refused(*against)
    pulse = _newest_pulse(facts)
    cluster_id = facts[pulse.primary].identity.cluster_id
    assert cluster_id is not None
    return ClusterRecord(
        version=1,
        cluster_id=cluster_id,
        name=spec.name,
        flavour=facts[pulse.primary].identity.flavour,
        durability=spec.durability,
        epoch=pulse.epoch,
        primary=pulse.primary,
        members=tuple(_member(node, facts[node.name]) for node in spec.nodes),
        ackers=frozenset(node.name for node in spec.nodes if node.name != pulse.primary),
    )


def _observe(node: NodeSpec, account: Account, connect: Connect) -> Observation:
    server = connect(node, account)
    try:
        return server.observe()
    finally:
        server.close()


def _newest_pulse(facts: Mapping[str, Facts]) -> PulseRow:
    pulses = [one.pulse for one in facts.values() if one.pulse is not None]
    if not pulses:
        raise Refused("no server has a pulse row, so none of them says who is primary: run `replclus init` on empty servers")
    return max(pulses, key=lambda pulse: (pulse.epoch, pulse.beat))


def _contradictions(spec: ClusterSpec, facts: Mapping[str, Facts]) -> list[str]:
    found = [f"{node.name} does not answer: start it" for node in spec.nodes if node.name not in facts]
    ids = sorted({one.identity.cluster_id or "none" for one in facts.values()})
    if len(ids) != 1 or ids == ["none"]:
        each = ", ".join(f"{name}: {one.identity.cluster_id or 'none'}" for name, one in sorted(facts.items()))
        found.append(f"the servers do not belong to one cluster ({each}): correct the configuration")
    writable = sorted(name for name, one in facts.items() if one.writable)
    if len(writable) > 1:
        found.append(f"{' and '.join(writable)} accept writes: set read_only on those that are not the primary")
    pulse = _newest_pulse(facts)
    named = {one.pulse.primary for one in facts.values() if one.pulse is not None and one.pulse.epoch == pulse.epoch}
    if len(named) > 1:
        found.append(f"epoch {pulse.epoch} has two primaries ({' and '.join(sorted(named))}): decide which one is right")
    if pulse.primary not in facts:
        found.append(f"the primary of epoch {pulse.epoch} is {pulse.primary}, which is not in the configuration")
    elif writable and writable != [pulse.primary]:
        said = f"{writable[0]} accepts writes, and the primary of epoch {pulse.epoch} is {pulse.primary}"
        found.append(f"{said}: make {writable[0]} read-only")
    return found


def _member(node: NodeSpec, facts: Facts) -> Member:
    who = facts.identity
    return Member(name=node.name, host=node.host, port=node.port, server_id=who.server_id, uuid=who.uuid)
