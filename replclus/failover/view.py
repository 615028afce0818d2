"""Everything a decision may know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from replclus.model.gtid import GtidSet
from replclus.model.observation import Facts, Observation, Reach
from replclus.model.record import ClusterRecord, Member, RequestKind
from replclus.model.spec import ClusterSpec

NEVER = float("-inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class PulseHealth:
    """How the watchdog's own writes on the primary fare. Times are seconds of the observer's monotonic clock.

    `committed_at` is when the latest beat was acknowledged, `sent_at` when that one was sent. `failing_since` is when the
    first beat of an unbroken row of failures was sent, None while all is well; `hanging_since` the same of those that reached
    the server: one that could not even be sent says nothing about commits. `pending_since` is when the one was sent that is
    on its way, None while none is. `slowest_s` is how long the slowest beat that came through of late took.
    While the primary is being changed no beats are sent, and all of this is unknown.
    """

    committed_at: float = NEVER
    sent_at: float = NEVER
    pending_since: float | None = None
    failing_since: float | None = None
    hanging_since: float | None = None
    error: str = ""
    slowest_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeHistory:
    """What the observer remembers about one node beyond its latest observation.

    `silent_since`: when the first of an unbroken row of failed probes was sent, None if the last one succeeded.
    `answering_since`: the same of probes that found it alive. A row is broken too when nobody probed, because we slept.
    `highest_received`: the union of every position it ever reported. `not_before`: no remedy for this node before then,
    because the last one failed. `fed_at`: when it last showed that its receiver had got something, an event or a heartbeat.
    `fenced_in`: the epoch in which it was last fenced for certain. `receiving_since`: when its receiver was first seen
    switched on, in an unbroken row. `synced_at`: when it last showed that its disk had made something durable.
    `executed_at`: when what it has executed was last seen to have grown. `asked_at`: when the question was sent that its latest
    observation answers, or leaves unanswered; `looked_at`: the same of its latest complete answer. `step_ended_at`: when we last
    had done something there, well or not. `shut_out`: why nobody new could log in when that was tried last, at `knocked_at`;
    empty if somebody could.
    """

    silent_since: float | None = None
    answering_since: float | None = None
    highest_received: GtidSet | None = None
    not_before: float = NEVER
    fed_at: float = NEVER
    fenced_in: int = 0
    receiving_since: float = NEVER
    synced_at: float = NEVER
    executed_at: float = NEVER
    asked_at: float = NEVER
    looked_at: float = NEVER
    step_ended_at: float = NEVER
    shut_out: str = ""
    knocked_at: float = NEVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A rebuild that this watchdog runs in the background. `ok` and `what` mean something once it has ended.

    `server_id` and `uuid` are the server's identity afterwards.
    """

    ended: bool = False
    ok: bool = False
    what: str = ""
    server_id: int = 0
    uuid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """One moment of a cluster. `operation_since` is when this watchdog first saw the record's present operation, or none in the
    present epoch; what it had asked before says nothing about a primary that was not one yet.

    `wall_s` is the time of day in seconds, for `record.failovers` only. Every beat sent so far is `newest_beat` or less.
    `works` are the rebuilds in the background.
    """

    spec: ClusterSpec
    record: ClusterRecord
    observations: Mapping[str, Observation]
    now: float
    pulse: PulseHealth = field(default_factory=PulseHealth)
    history: Mapping[str, NodeHistory] = field(default_factory=dict)
    operation_since: float = NEVER
    wall_s: int = 0
    newest_beat: int = 0
    works: Mapping[str, Work] = field(default_factory=dict)

    def seen(self, name: str) -> Observation:
        """The latest news of `name`; an eternally silent node if there never was any."""
        return self.observations.get(name) or Observation(node=name, at=NEVER, reach=Reach.TIMED_OUT, error="not asked yet")

    def remembered(self, name: str) -> NodeHistory:
        return self.history.get(name) or NodeHistory()

    def asked_since_change(self, name: str) -> bool:
        """Was the latest question to `name` sent after the last change of the primary?"""
        return self.remembered(name).asked_at >= self.operation_since

    def facts(self, name: str) -> Facts | None:
        """What `name` says now: None unless it answered the latest probe."""
        seen = self.seen(name)
        return seen.facts if seen.answered else None

    @property
    def primary(self) -> Observation:
        return self.seen(self.record.primary)

    @property
    def forced(self) -> bool:
        """A person has asked for a failover and accepted the loss."""
        request = self.record.request
        return request is not None and request.done is None and request.kind is RequestKind.FAILOVER and request.force

    def answering_replicas(self) -> Iterator[tuple[Member, Facts]]:
        """Members other than the primary that answered the latest probe, in record order, quarantined ones included."""
        for member in self.record.replicas:
            facts = self.facts(member.name)
            if facts is not None:
                yield member, facts

    def serving_replicas(self) -> Iterator[tuple[Member, Facts]]:
        """Like `answering_replicas`, of those that take part: admitted, and still the cluster's own."""
        return ((member, facts) for member, facts in self.answering_replicas() if member.admitted and not self.stranger(facts))

    def stranger(self, facts: Facts) -> bool:
        """Does this server carry another cluster's identity row, or none? Then it is not the one that was admitted."""
        return facts.identity.cluster_id != self.record.cluster_id

    def follows(self, facts: Facts, source: str) -> bool:
        """Is this replica configured to replicate from the member called `source`?"""
        member = self.record.member(source)
        channel = facts.channel
        return channel is not None and (channel.source_host, channel.source_port) == (member.host, member.port)


def lag_ms(view: ClusterView, node: str) -> int | None:
    """Newest beat seen anywhere minus the beat that `node` has applied; None if it has none, or no longer answers."""
    facts = view.facts(node)
    if facts is None or facts.pulse is None:
        return None
    everyone = (view.seen(member.name).facts for member in view.record.members)
    beats = [seen.pulse.beat for seen in everyone if seen is not None and seen.pulse is not None]
    return max(0, max(beats) - facts.pulse.beat)
