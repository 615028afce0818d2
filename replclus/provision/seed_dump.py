"""A logical copy: the donor's schemas as statements, streamed from its dump program into the family's client.

The way that always works, and the slowest. https://mariadb.com/kb/en/mariadb-dump/,
https://dev.mysql.com/doc/refman/9.7/en/mysqldump.html. Nothing of it enters a binary log.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import assert_never

from replclus.dialect import Statement, quote_identifier
from replclus.errors import HostError
from replclus.model.gtid import GtidSet, parse_gtid_set
from replclus.model.spec import Flavour
from replclus.provision.case import Case, executed
from replclus.provision.metering import Meter
from replclus.provision.people import copy_accounts
from replclus.provision.settle import close, detach, settle
from replclus.server.client_tools import Tool, find_tool, login, run
from replclus.server.server import Server

# The position stands in a comment: MySQL's program writes it first, MariaDB's, by version, first or last.
_END_BYTES_MAX = 1 << 17
_MARIADB_POSITION = re.compile(rb"SET GLOBAL gtid_slave_pos='([^']*)'")
_MYSQL_POSITION = re.compile(rb"GTID_PURGED=\s*(?:/\*!80000 '\+'\*/)?\s*'\+?([^']*)'")
_UNCHECKED = Statement("SET SESSION foreign_key_checks = 0")
_OWN_SCHEMA = "replclus"


def dump(case: Case) -> None:
    """Replace every schema and account of `case.node` by those of `case.donor`."""
    dumper, client = (find_tool(case.flavour, tool) for tool in (Tool.DUMP, Tool.CLIENT))
    with case.server(case.donor) as server:
        schemas, history = (*server.user_schemas(), _OWN_SCHEMA), executed(server)
    with case.server(case.node) as server:
        close(server)
        detach(server)
        server.kick_clients()
        with server.administration():
            _drop_everything(server)
        position = _load(case, server, dumper, client, schemas)
    with case.server(case.donor) as source, case.server(case.node) as server, server.administration():
        copy_accounts(source, server)
    settle(case, history.union(position) if case.flavour is Flavour.MARIADB else position)


def _drop_everything(server: Server) -> None:
    server.run(_UNCHECKED)
    for schema in (*server.user_schemas(), _OWN_SCHEMA):
        server.run(Statement(f"DROP DATABASE IF EXISTS {quote_identifier(schema)}"))


def _load(case: Case, server: Server, dumper: Path, client: Path, schemas: tuple[str, ...]) -> GtidSet:
    """Dump and load; the position of the copy. The client is an administrator of its own, who must be let in."""
    case.say(f"copying {', '.join(schemas)} from {case.donor.name} by dump …")
    ends = _Ends(Meter(case.say, "loaded"))
    for statement in server.dialect.admit_administrators():
        server.run(statement)
    try:
        with login(case.donor, case.admin) as donor_login, login(case.node, case.admin) as node_login:
            give: list[str | Path] = [dumper, donor_login, *_dump_options(case.flavour), "--databases", *schemas]
            take: list[str | Path] = [client, node_login, "--init-command=SET SESSION sql_log_bin=0"]
            run([give, take], f"copying {case.donor.name} to {case.node.name}", case.bounds, tap=ends)
    finally:
        if not case.bounds.stop.is_set():
            close(server)
    return position_in(case.flavour, ends.kept)


class _Ends:
    """Keeps the beginning and the end of what passes."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._head = bytearray()
        self._tail = bytearray()

    def __call__(self, chunk: bytes) -> None:
        if len(self._head) < _END_BYTES_MAX:
            self._head += chunk[:_END_BYTES_MAX]
        self._tail += chunk
        if len(self._tail) > 2 * _END_BYTES_MAX:
            del self._tail[:-_END_BYTES_MAX]
        self._meter(chunk)

    @property
    def kept(self) -> bytes:
        return bytes(self._head + b"\n" + self._tail)


def _dump_options(flavour: Flavour) -> tuple[str, ...]:
    common = (
        "--single-transaction",
        "--quick",
        "--routines",
        "--triggers",
        "--events",
        "--hex-blob",
        "--default-character-set=utf8mb4",
    )
    match flavour:
        case Flavour.MARIADB:
            return (*common, "--master-data=2", "--gtid")
        case Flavour.MYSQL:
            return (*common, "--set-gtid-purged=COMMENTED")
        case never:
            assert_never(never)


def position_in(flavour: Flavour, text: bytes) -> GtidSet:
    """The last transaction in a dump, from its first and last lines. HostError if they do not say."""
    pattern = _MARIADB_POSITION if flavour is Flavour.MARIADB else _MYSQL_POSITION
    found = pattern.search(text)
    if found is None:
        raise HostError("the dump does not say which transaction is its last")
    return parse_gtid_set(flavour, found[1].decode())
