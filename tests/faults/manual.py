"""docs/faults.md: the catalogue as a page, made from the table itself."""

from __future__ import annotations

from collections.abc import Iterator

from replclus.model.spec import Flavour
from tests.faults.catalogue import NOT_SHOWN, Expect, Fault, load_table

_PARTS = {
    "P": "Processes",
    "W": "Watchdog and router",
    "N": "Network",
    "D": "Disks and resources",
    "T": "Time",
    "R": "Replication and people",
}
_EXPECTED = {
    Expect.FAILOVER: "another server takes over",
    Expect.NONE: "nobody is promoted",
    Expect.EITHER: "either; nothing is lost, and no two accept",
}
_HEAD = """\
# The fault lab

Written by `make docs` from `tests/faults/table/`. Each fault is played on real servers of both families, each server in a network
namespace of its own, with the watchdog on another host and two client processes on two more; the clients record a history of
some hundred operations per second through `replclus.connect`. When the fault is over the cluster must become whole again, and
a checker compares what every client was told with what is in the tables: no acknowledged write lost, none invented, none executed
twice, unknown ones everywhere or nowhere, no two servers accept in the same period, equal checksums, own writes read, reads that
never go back, no torn transaction. The checker is tested on seeded violations (`tests/faults/test_checker.py`).

    make faults                          all of them (an hour)
    make faults FAULT=N5 FLAVOUR=mysql   one
    make campaign-partitions             100 random partitions of each family
    make campaign-noise                  a quarter of an hour of noise for each family: nobody is promoted

Faults marked with a dot are part of `make test`. Where the watchdog has no access to the hosts of the servers, which is how most
faults are played, a former primary that lives on with writes that nobody acknowledged may end in quarantine; that is a good end.
"""


def document() -> str:
    table = load_table()
    parts = [_HEAD]
    for letter, title in _PARTS.items():
        rows = [_row(one) for code, one in table.items() if code.startswith(letter)]
        parts.append(f"## {title}\n\n| | fault | expected | in `make test` |\n|---|---|---|---|\n" + "".join(rows))
    parts.append("## Not shown\n\n| | why |\n|---|---|\n" + "".join(_not_shown()))
    return "\n".join(parts)


def _row(one: Fault) -> str:
    only = "" if one.families == tuple(Flavour) else f" ({', '.join(family.value for family in one.families)})"
    end = ", or quarantine" if one.quarantine and one.expect is Expect.NONE else ""
    return f"| {one.code} | {one.sentence}{only} | {_EXPECTED[one.expect]}{end} | {'•' if one.ci else ''} |\n"


def _not_shown() -> Iterator[str]:
    for code, why in sorted(NOT_SHOWN.items()):
        yield f"| {code} | {why} |\n"
