"""Decides, purely: no clock, socket, thread, disk or driver may be imported here.

`machine.tick(view)` is a total function of a `ClusterView`. Situations are rows of `problems.TABLE`; the order of steps is
in `plan`; what an acknowledged write is worth is in `durability`; the laws are in `invariants`.
"""
