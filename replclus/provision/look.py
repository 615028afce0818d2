"""Looking at every server at once. Reads only."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from replclus.dialect import Statement
from replclus.dialect.base import READ_LEASE
from replclus.errors import AccessDenied, ServerError, ServerUnreachable, UnsupportedServer
from replclus.events import Mutated, Report
from replclus.model.spec import Account, ClusterSpec, Durability, Flavour, NodeSpec
from replclus.provision.inspection import Inspection, Unfit
from replclus.provision.startup import option_file_lines
from replclus.server.line import Audit
from replclus.server.server import Server
from replclus.store.secrets import REPLICATION_USER, WATCHDOG_USER, Secrets

WORKERS_MAX = 16
OPTION_FILE = "my.cnf"
EVENTS_NOT_READABLE = 1577  # MariaDB: "Cannot proceed, because event scheduler is disabled"

Connect = Callable[[NodeSpec, Account], Server]

T = TypeVar("T")
R = TypeVar("R")

_SEEN_FROM = Statement("SELECT SUBSTRING_INDEX(USER(), '@', -1) AS host")
_ACCOUNTS = Statement("SELECT user AS name, host AS host FROM mysql.user")
_PRIVILEGED = Statement(
    "SELECT grantee AS grantee, privilege_type AS privilege FROM information_schema.user_privileges"
    " WHERE privilege_type IN ('SUPER', 'READ_ONLY ADMIN', 'CONNECTION_ADMIN')"
)
_CLOCK = Statement("SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1000000 AS now_s")
_OWN_SCHEMA = Statement("SELECT 1 AS one FROM information_schema.schemata WHERE schema_name = 'replclus'")
_GRANTEE = re.compile(r"'(?P<user>.*)'@'(?P<host>.*)'", re.DOTALL)


def connect_with(spec: ClusterSpec, audit: Audit | None = None) -> Connect:
    """Servers with this cluster's bounds: `step_timeout_s` for a statement, because a step may wait for a slow disk."""
    timings = spec.timings
    return partial(Server, connect_timeout_s=timings.connect_timeout_s, timeout_s=timings.step_timeout_s, audit=audit)


def audit_to(report: Report, step: str, epoch: int) -> Audit:
    """Every statement that changes a server becomes a Mutated event."""
    return lambda node, statement: report(Mutated(node=node, statement=statement, epoch=epoch, step=step))


def side_by_side(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """`work` on every item, at most WORKERS_MAX at a time; answers in order. Raises the first error after all have ended."""
    if not items:
        return []
    with ThreadPoolExecutor(min(len(items), WORKERS_MAX)) as pool:
        return list(pool.map(work, items))


@dataclass(frozen=True, slots=True)
class Access:
    """The cluster as described, and the ways in. `secrets` is None before they were made up."""

    spec: ClusterSpec
    admin: Account
    secrets: Secrets | None
    connect: Connect


def inspect(server: Server, access: Access) -> Inspection | Unfit:
    """Everything about one server, or why it cannot be had. Never raises for a failing server."""
    node = server.node
    who = f"{node.name} ({node.address})"
    try:
        return _inspect(server, access)
    except AccessDenied as error:
        sentence = f"refuses accounts.admin, user {access.admin.user!r} ({error.message}): correct its user, password or rights"
    except UnsupportedServer as error:
        sentence = error.message
    except ServerUnreachable as error:
        sentence = f"does not answer ({error.message}): start it, or correct its host, port or socket"
    except ServerError as error:
        sentence = f"cannot be examined ({error.message}): see its error log"
    except OSError as error:
        sentence = f"its option file {error.filename} cannot be read ({error.strerror}): correct process_dir"
    return Unfit(node, f"{who}: {sentence}")


def _inspect(server: Server, access: Access) -> Inspection:
    dialect, durability = server.dialect, access.spec.durability
    # Before the identity: a replica that is just receiving both must not look like one that has only data.
    schemas = server.user_schemas()
    identity = server.identity()
    seen = server.observe()
    if seen.facts is None:
        raise ServerError(server.node.name, seen.error)
    variables = server.variables()
    required = dialect.required_settings(durability, access.spec.timings)
    settings = tuple(wish for wish in required if variables.get(wish.name, "") != wish.left_alone)
    accounts = frozenset((str(row["name"]), str(row["host"])) for row in server.run(_ACCOUNTS))
    return Inspection(
        node=server.node,
        facts=replace(seen.facts, identity=identity),
        variables=variables,
        settings=settings,
        lines=option_file_lines(dialect, settings, durability),
        schemas=schemas,
        own_schema=bool(server.run(_OWN_SCHEMA)),
        seen_from=str(server.run(_SEEN_FROM)[0]["host"]),
        accounts=accounts,
        privileged=_privileged(server),
        ours=access.secrets is not None and _log_in(server.node, accounts, access.secrets, access.connect),
        plugins_missing=durability is Durability.LOSSLESS and not dialect.semi_sync_installed,
        option_file=_option_file(server.node),
        persists=dialect.flavour is Flavour.MYSQL,
        lease=_lease(server),
        clock_ahead_s=_clock_ahead_s(server),
        forget_source=dialect.forget_source(),
    )


def _clock_ahead_s(server: Server) -> float:
    """As if the answer had been made halfway between the question and its arrival."""
    before = time.time()
    theirs = float(server.run(_CLOCK)[0]["now_s"])
    return theirs - (before + time.time()) / 2


def _lease(server: Server) -> str | None:
    try:
        rows = server.run(READ_LEASE)
    except ServerError as error:
        # Its system tables of events are damaged, or were not read at the start: then there is no lease.
        if error.errno == EVENTS_NOT_READABLE:
            return None
        raise
    return next((str(row["comment"]) for row in rows if row["status"] == "ENABLED"), None)


def _privileged(server: Server) -> tuple[tuple[str, str, str], ...]:
    found = ((_GRANTEE.fullmatch(str(row["grantee"])), str(row["privilege"])) for row in server.run(_PRIVILEGED))
    return tuple((who["user"], who["host"], privilege) for who, privilege in found if who is not None)


def _log_in(node: NodeSpec, accounts: frozenset[tuple[str, str]], secrets: Secrets, connect: Connect) -> bool:
    """Do our own accounts let us in? Not tried where they do not exist: a refusal leaves a line in the server's log."""
    if not {REPLICATION_USER, WATCHDOG_USER} <= {user for user, _ in accounts}:
        return False
    for account in (secrets.replication, secrets.watchdog):
        server = connect(node, account)
        try:
            _ = server.dialect  # connects
        except AccessDenied:
            return False
        finally:
            server.close()
    return True


def _option_file(node: NodeSpec) -> str | None:
    return None if node.process_dir is None else (node.process_dir / OPTION_FILE).read_text(encoding="utf-8")
