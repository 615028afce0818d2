"""From a file, the environment and overrides to a ClusterSpec."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from replclus.config import checks, passwords
from replclus.config import hooks as programs
from replclus.config.problems import Location, Problems
from replclus.config.schema import AccountTable, AdminTable, AppTable, Document, FenceTable, NodeTable
from replclus.errors import ConfigError
from replclus.events import Report, Warned
from replclus.model.spec import (
    Account,
    AppAccount,
    ClusterSpec,
    Durability,
    FenceHook,
    Hooks,
    NodeSpec,
    OnDivergence,
    Timings,
)

PATH_VARIABLE = "REPLCLUS_CONFIG"
DEFAULT_FILE = "replclus.toml"
FILE_BYTES_MAX = 1 << 20

_ACCOUNT_TABLES: Mapping[str, type[AccountTable]] = {"admin": AdminTable, "app": AppTable}


def load(
    path: Path | str | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    overrides: Mapping[str, object] | None = None,
    accounts: bool = True,
    hooks: bool = True,
    report: Report | None = None,
) -> ClusterSpec:
    """The cluster that the file describes. Default path: the variable REPLCLUS_CONFIG, else ./replclus.toml.

    `overrides` replace values by dotted key (`{"cluster.durability": "available"}`), in tables that are not lists. With
    `accounts=False` the passwords of `[accounts]` are not looked for, and `admin` and `app` are None: for the watchdog
    and for applications, which must not depend on a secret they do not use. With `hooks=False` the programs of `[hooks]`
    are not looked for, and there are none: they are on the watchdog's host. `report` hears warnings.

    Raises ConfigError with one line for every problem: file, key, what is wrong and the fix.
    """
    file, shown = _locate(path, environ)
    document = _parse(_read(file, shown), shown)
    overridden = _override(document, overrides or {})
    problems = Problems(file=shown, overridden=overridden, document=document)
    base = file.parent
    try:
        tables = Document.model_validate(document)
    except ValidationError as error:
        problems.add_invalid(error)
        tables = None
    checks.check_document(document, base, problems)
    logins = _logins(document, base, environ, problems) if accounts else {}
    found = programs.resolve(document, base, environ, problems) if hooks else Hooks()
    problems.raise_if_any()
    if tables is None:
        raise AssertionError("a refused document has problems")
    if report and _shows_passwords(file, document):
        report(Warned(what=f"{shown} holds a password and every user may read it: run chmod 600 {shown}"))
    return replace(_spec(tables, base, logins), hooks=found)


def _locate(path: Path | str | None, environ: Mapping[str, str]) -> tuple[Path, str]:
    """The file, links resolved (all its readers must find one state directory), and its name for messages."""
    named = path or environ.get(PATH_VARIABLE)
    shown = str(named or DEFAULT_FILE)
    source = f"{PATH_VARIABLE}={shown}" if not path and named else shown
    file = Path(shown)
    try:
        missing = not file.exists()
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror}): check the path and its modes", where=source) from error
    if missing:
        remedy = "create a cluster to try with `replclus sandbox create DIR`, or name your file with -c FILE"
        raise ConfigError(f"there is no such file: {remedy}", where=source)
    if file.is_dir():
        raise ConfigError(f"is a directory: name the file in it, {file / DEFAULT_FILE}", where=source)
    return file.resolve(), shown


def _read(file: Path, shown: str) -> bytes:
    try:
        with file.open("rb") as stream:
            content = stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror}): check its owner and mode", where=shown) from error
    if len(content) > FILE_BYTES_MAX:
        raise ConfigError(f"is larger than {FILE_BYTES_MAX} bytes, so it is not a configuration", where=shown)
    return content


def _parse(content: bytes, shown: str) -> dict[str, Any]:
    """The TOML document. Raises outside of `except`, because the error's context would carry the whole text."""
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        complaint = f"is not UTF-8 text (line {line}): save it as UTF-8"
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        complaint = f"is not valid TOML: {error}"
    raise ConfigError(complaint, where=shown)


def _override(document: dict[str, Any], overrides: Mapping[str, object]) -> frozenset[Location]:
    """Put the overrides into the document. A key that does not exist is refused later, like one in the file."""
    places: set[Location] = set()
    for dotted, value in overrides.items():
        *parents, key = dotted.split(".")
        table = document
        for parent in parents:
            table = table.setdefault(parent, {})
            if not isinstance(table, dict):
                raise ConfigError("only keys of plain tables can be overridden", where=f"override: {dotted}")
        table[key] = deepcopy(value)
        places.add((*parents, key))
    return frozenset(places)


def _logins(
    document: Mapping[str, Any], base: Path, environ: Mapping[str, str], problems: Problems
) -> dict[str, tuple[AccountTable, Account]]:
    """The well-formed accounts with their passwords, by the name of their table."""
    found: dict[str, tuple[AccountTable, Account]] = {}
    section = document.get("accounts")
    for name, raw in section.items() if isinstance(section, dict) else ():
        model = _ACCOUNT_TABLES.get(name)
        if model is None:
            continue
        try:
            table = model.model_validate(raw)
        except ValidationError:
            continue  # Document complained about it already
        try:
            found[name] = (table, Account(user=table.user, password=passwords.resolve(table, base, environ)))
        except ValueError as error:
            problems.add(("accounts", name, *table.password_keys), str(error))
    return found


def _shows_passwords(file: Path, document: Mapping[str, Any]) -> bool:
    accounts = document.get("accounts", {})
    return any("password" in account for account in accounts.values()) and bool(file.stat().st_mode & stat.S_IROTH)


def _spec(tables: Document, base: Path, logins: Mapping[str, tuple[AccountTable, Account]]) -> ClusterSpec:
    nodes = tuple(_node(node, base) for node in tables.node)
    admin = logins.get("admin")
    app = logins.get("app")
    return ClusterSpec(
        name=tables.cluster.name,
        nodes=nodes,
        durability=Durability(tables.cluster.durability),
        admin=admin[1] if admin else None,
        app=_app(*app, nodes) if app else None,
        state_dir=_path(tables.cluster.state_dir, base),
        on_divergence=OnDivergence(tables.failover.on_divergence),
        failovers_max=tables.failover.failovers_max,
        failovers_window_s=tables.failover.failovers_window_s,
        timings=Timings(**tables.timings.model_dump(), lease_s=tables.cluster.lease_s),
        fence_hook=_fence_hook(tables.fence, base) if tables.fence else None,
    )


def _fence_hook(table: FenceTable, base: Path) -> FenceHook:
    program, *arguments = table.command
    # Without a slash it is looked for on PATH, when it is needed.
    return FenceHook((str(_path(program, base)) if "/" in program else program, *arguments), table.timeout_s)


def _node(table: NodeTable, base: Path) -> NodeSpec:
    return NodeSpec(
        name=table.name,
        host=table.host,
        port=table.port,
        socket=str(_path(table.socket, base)) if table.socket else None,
        process_dir=_path(table.process_dir, base) if table.process_dir else None,
        ssh=table.ssh,
        weight=table.weight,
        priority=table.priority,
        candidate=table.candidate,
        primary=table.primary,
        zone=table.zone,
        tags=tuple(table.tags),
    )


def _app(table: AccountTable, account: Account, nodes: tuple[NodeSpec, ...]) -> AppAccount:
    if not isinstance(table, AppTable):
        raise AssertionError("the table [accounts.app] is an AppTable")
    return AppAccount(account=account, schema=table.schema_, hosts=tuple(table.hosts or _local_hosts(nodes)))


def _local_hosts(nodes: tuple[NodeSpec, ...]) -> list[str]:
    """Where connections to servers on this machine come from, as those servers name it."""
    ipv6 = ["::1"] if any(node.host == "::1" for node in nodes) else []
    return ["127.0.0.1", "localhost", *ipv6]


def _path(text: str, base: Path) -> Path:
    return Path(os.path.normpath(base / text))
