"""What a decision can be, and the steps a plan is made of. Values only: `replclus.watchdog.executor` carries them out."""

from __future__ import annotations

from dataclasses import dataclass

from replclus.model.gtid import GtidSet
from replclus.model.record import ClusterRecord

# ---- steps ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Swap:
    """Make `record` the cluster's record, by compare-and-swap. Nothing after it happens unless it succeeds."""

    record: ClusterRecord
    what: str
    essential = True
    node = None


@dataclass(frozen=True, slots=True)
class Fence:
    """Make sure that `node` accepts no more writes, by whatever reaches it. Proof shows in the next observation."""

    node: str
    essential = False


@dataclass(frozen=True, slots=True)
class StopReceiving:
    """Revocation: `node` acknowledges nothing more. What it received it keeps, and goes on applying."""

    node: str
    essential = False


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Have its receiver connect anew: whether the source lets it in tells more than a connection that lives on."""

    node: str
    essential = False


@dataclass(frozen=True, slots=True)
class WaitApplied:
    """Wait until `node` has applied everything it received, at most `timeout_s`."""

    node: str
    timeout_s: float
    essential = True


@dataclass(frozen=True, slots=True)
class CatchUp:
    """Wait until `node` has received everything that `source` (read-only by now) has executed, at most `timeout_s`. Then it
    stops receiving."""

    node: str
    source: str
    timeout_s: float
    essential = True


@dataclass(frozen=True, slots=True)
class Promote:
    """Forget the source and take on the source side of semi-sync. Not writable yet."""

    node: str
    essential = True


@dataclass(frozen=True, slots=True)
class OpenForWrites:
    """The last step that turns `node` into a primary."""

    node: str
    essential = True


@dataclass(frozen=True, slots=True)
class CloseForWrites:
    """Make `node` read-only; gives up after `deadline_s`, because read-only blocks behind a waiting commit."""

    node: str
    deadline_s: float
    essential = True


@dataclass(frozen=True, slots=True)
class Publish:
    """Write the record's epoch into the first pulse of `node`.

    Not essential: while nobody is attached to acknowledge it, it cannot be committed, and attaching somebody is the next
    tick's work. Every later beat carries the epoch too.
    """

    node: str
    essential = False


@dataclass(frozen=True, slots=True)
class Follow:
    """Let `node` replicate from `source` by GTID, read-only. Waits for its applier first when the source changes.

    `source` is known to have `covered`: of that, what `node` has received and cannot apply any more may go, and is fetched again.
    """

    node: str
    source: str
    covered: GtidSet | None = None
    essential = False


@dataclass(frozen=True, slots=True)
class Detach:
    """Stop replication on `node` and leave it alone."""

    node: str
    essential = False


@dataclass(frozen=True, slots=True)
class Configure:
    """Give `node` back the settings that it must have and has lost."""

    node: str
    essential = False


@dataclass(frozen=True, slots=True)
class Salvage:
    """Fetch what `source`, which is dead, committed and nobody received, from its files, and apply it to `node`.

    At most `timeout_s`; whatever is not there by then stays lost, and is said.
    """

    node: str
    source: str
    timeout_s: float
    essential = False


@dataclass(frozen=True, slots=True)
class Seed:
    """Begin to replace the data of `node` by that of `source`, in the background. `extra`, what only `node` has, is
    exported first; None where there is nothing, or it cannot be asked."""

    node: str
    source: str
    extra: GtidSet | None = None
    essential = False


@dataclass(frozen=True, slots=True)
class FreeSenders:
    """End the threads of `source` that still send to a connection which `node` has long lost: a new one waits for them."""

    node: str
    source: str
    essential = False


Action = (
    Swap
    | Fence
    | StopReceiving
    | Reconnect
    | WaitApplied
    | CatchUp
    | Promote
    | OpenForWrites
    | CloseForWrites
    | Publish
    | Follow
    | Detach
    | Configure
    | Salvage
    | Seed
    | FreeSenders
)


@dataclass(frozen=True, slots=True)
class Together:
    """Actions on different nodes, at the same time.

    Done as soon as the essential ones succeeded and `enough` of the others did, or all have ended; stragglers finish on
    their own. One hung replica must not hold up a promotion.
    """

    actions: tuple[Action, ...]
    enough: int


Step = Action | Together


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in order. If an essential one fails the rest is dropped, and the next tick decides anew."""

    reason: str
    steps: tuple[Step, ...]

    def actions(self) -> tuple[Action, ...]:
        """Every action, in the order in which it may begin."""
        found: list[Action] = []
        for step in self.steps:
            found.extend(step.actions if isinstance(step, Together) else (step,))
        return tuple(found)

    @property
    def holds_pulse(self) -> bool:
        """Must nobody else beat meanwhile? Not while the primary is changed, nor when a new map is given out with a beat."""
        swaps = [action.record.operation is not None for action in self.actions() if isinstance(action, Swap)]
        return any(swaps) or any(isinstance(action, Promote | Publish) for action in self.actions())


# ---- decisions -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stay:
    """All is well, or it is not ours to change. `why` is one sentence."""

    why: str
    verdict = "stay"


@dataclass(frozen=True, slots=True)
class Wait:
    """Better evidence is needed before anything may be done. `reread` names the nodes to ask again now."""

    why: str
    reread: tuple[str, ...] = ()
    verdict = "wait"


@dataclass(frozen=True, slots=True)
class Refuse:
    """Something should be done and it would not be safe. `reasons` are sentences a person can act on."""

    reasons: tuple[str, ...]
    verdict = "refuse"

    @property
    def why(self) -> str:
        return "; ".join(self.reasons)


@dataclass(frozen=True, slots=True)
class Act:
    plan: Plan
    verdict = "act"

    @property
    def why(self) -> str:
        return self.plan.reason


Decision = Stay | Wait | Refuse | Act
