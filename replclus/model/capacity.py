"""How much a cluster can take, compared with one of its servers: arithmetic, with no server asked.

The unit is what one read costs. A round is one write and the reads that come with it; without writes, one read. A server that
can do T reads in a second does T / cost rounds in a second, where `cost` is what a round costs the server that has most to do:

* one server does it all: w + r;
* a primary that is not read from has w, and each of N replicas has a + r / N: the reads are shared, applying the write is not.

With a = w, which is where one starts, the replicas decide, and the cost is w + r / N. So 10 % writes that cost 2 reads each make
T/11 for one server, T/5 with three replicas, and T/2 with as many as you like.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Load:
    """What one round costs, in reads: `write` on the primary, `apply` on every replica, `reads` wherever they are done."""

    write: Fraction
    apply: Fraction
    reads: Fraction

    @staticmethod
    def of(writes: Fraction, write_cost: Fraction, apply_cost: Fraction) -> Load:
        """`writes` is their part of all statements, from 0 to 1."""
        if not writes:
            return Load(Fraction(0), Fraction(0), Fraction(1))
        return Load(write_cost, apply_cost, (1 - writes) / writes)

    @property
    def one_server(self) -> Fraction:
        return self.write + self.reads


@dataclass(frozen=True, slots=True)
class Capacity:
    """`cost`: what a round costs the busiest server. `gain`: times the throughput of one server.

    `primary_reads` is the part of the reads that the primary does, `primary_busy` and `replicas_busy` how busy they are when the
    busiest of all is fully so.
    """

    replicas: int
    cost: Fraction
    gain: Fraction
    primary_reads: Fraction
    primary_busy: Fraction
    replicas_busy: Fraction


def capacity(load: Load, replicas: int, *, idle_primary_reads: bool = False) -> Capacity:
    """Of a primary and `replicas` replicas that are all alike. ZeroDivisionError if a round costs nothing at all."""
    if not replicas:
        return Capacity(0, load.one_server, Fraction(1), Fraction(1), Fraction(1), Fraction(0))
    taken = _reads_of_idle_primary(load, replicas) if idle_primary_reads else Fraction(0)
    primary, each = load.write + taken, load.apply + (load.reads - taken) / replicas
    cost = max(primary, each)
    share = taken / load.reads if load.reads else Fraction(0)
    return Capacity(replicas, cost, load.one_server / cost, share, primary / cost, each / cost)


def limit(load: Load) -> Fraction | None:
    """What a round costs with any number of replicas, whoever reads. None if writes cost nothing: then there is no limit."""
    return max(load.write, load.apply) or None


def _reads_of_idle_primary(load: Load, replicas: int) -> Fraction:
    """As many of the reads as make it as busy as a replica, none if it is busier without any."""
    level = (load.apply + load.reads / replicas - load.write) * replicas / (replicas + 1)
    return min(max(level, Fraction(0)), load.reads)
