"""The keywords of `connect`: ours, PyMySQL's, and the same two as text behind the `?` of a URL."""

from __future__ import annotations

import difflib
import inspect
import os
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from pymysql.connections import DEFAULT_CHARSET, Connection
from pymysql.cursors import Cursor

from replclus.dbapi.link import Setup
from replclus.dbapi.mapping import Node
from replclus.dbapi.mode import Balance, Consistency, PrimaryReads
from replclus.errors import ConfigError

FAILOVER_TIMEOUT_S = 30.0
DEFAULT_PORT = 3306
# So many different ways of connecting are remembered.
UNDERSTOOD_MAX = 256
# Below the 151 connections that a server takes unless it is told otherwise.
MAX_CONNECTIONS = 150

_OURS = (
    "cluster",
    "consistency",
    "max_lag_ms",
    "balance",
    "primary_reads",
    "replica_required",
    "split_transactions",
    "failover_timeout",
    "track_outcome",
    "causality_token",
    "pool_size",
    "max_connections",
    "max_lifetime",
)
_THEIRS = tuple(name for name in inspect.signature(Connection.__init__).parameters if name != "self")
_UNSUPPORTED = frozenset({"compress", "named_pipe"})
# What belongs to the logical connection, or to the address; everything else is handed to every physical connection.
_LOGICAL = frozenset(
    {"host", "port", "unix_socket", "database", "charset", "collation", "autocommit", "cursorclass", "defer_connect"}
)
_MAX = 86_400_000
_BOUNDS = {"pool_size": "idle_max", "max_connections": "open_max", "max_lifetime": "lifetime_s_max"}
_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})
_FLAGS = frozenset({"split_transactions", "replica_required", "track_outcome", "autocommit", "use_unicode", "local_infile",
                    "ssl_disabled", "ssl_verify_cert", "ssl_verify_identity", "defer_connect"})  # fmt: skip
_NUMBERS = frozenset({"failover_timeout", "max_lag_ms", "max_lifetime", "connect_timeout", "read_timeout", "write_timeout"})
_COUNTS = frozenset({"client_flag", "max_allowed_packet", "pool_size", "max_connections"})
_WORDS = frozenset({"consistency", "balance", "primary_reads", "causality_token", "charset", "collation", "sql_mode",
                    "init_command", "read_default_file", "read_default_group", "program_name", "bind_address", "ssl_ca",
                    "ssl_cert", "ssl_key", "ssl_key_password"})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Of a pool, for each node: connections kept at rest, connections altogether, and seconds that one may live."""

    idle_max: int = 32
    open_max: int = MAX_CONNECTIONS
    lifetime_s_max: float = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Everything that `connect` was told. `links` are the keywords of every physical connection."""

    seeds: tuple[Node, ...]
    links: Mapping[str, Any] = field(repr=False)
    setup: Setup
    cursorclass: type[Cursor] = Cursor
    defer_connect: bool = False
    consistency: Consistency = "session"
    max_lag_ms: float = 1000.0
    balance: Balance = "round_robin"
    primary_reads: PrimaryReads = "never"
    replica_required: bool = False
    split_transactions: bool = True
    failover_timeout_s: float = FAILOVER_TIMEOUT_S
    track_outcome: bool = False
    causality_token: str | None = None
    bounds: Bounds = Bounds()
    # Where the watchdog of a cluster on this host keeps its record; None if we were not given a file.
    state_dir: Path | None = None


def read_options(keywords: Mapping[str, Any]) -> Options:
    """TypeError for a keyword that does not exist, ValueError for a value that cannot be, ConfigError for file or URL.

    Programs connect often and always alike, so what was understood once is remembered.
    """
    place = None if _is_url(keywords.get("cluster")) or not _names_file(keywords) else _from_file(keywords.get("cluster"))
    try:
        key = (frozenset(keywords.items()), place)
        known = _UNDERSTOOD.get(key)
    except TypeError:
        # Converters, say, are a dictionary.
        return _understand(keywords, place)
    if known is None:
        if len(_UNDERSTOOD) >= UNDERSTOOD_MAX:
            _UNDERSTOOD.clear()
        known = _UNDERSTOOD[key] = _understand(keywords, place)
    return known


_UNDERSTOOD: dict[Hashable, Options] = {}


def _is_url(cluster: object) -> bool:
    return isinstance(cluster, str) and ("://" in cluster or cluster.startswith(("mysql+", "mariadb+")))


def _names_file(keywords: Mapping[str, Any]) -> bool:
    """Also by saying nothing of where the cluster is."""
    return keywords.get("cluster") is not None or not (keywords.get("host") or keywords.get("unix_socket"))


def _understand(keywords: Mapping[str, Any], place: tuple[tuple[Node, ...], Path] | None) -> Options:
    """`place` is what the file says that the keywords name, if they do."""
    given = _renamed(keywords)
    cluster = given.pop("cluster", None)
    state_dir: Path | None = None
    if place is not None:
        seeds, state_dir = place
    elif _is_url(cluster):
        given = {**_from_url(cluster), **given}
        seeds = given.pop("seeds")
    else:
        seeds = _from_address(given)
    ours = {name: given[name] for name in _OURS if name in given}
    links = {name: value for name, value in given.items() if name not in _LOGICAL and name not in ours}
    options = Options(
        seeds=seeds,
        links=links,
        setup=_setup(given),
        cursorclass=given.get("cursorclass") or Cursor,
        defer_connect=bool(given.get("defer_connect", False)),
        state_dir=state_dir,
    )
    return _with_ours(options, ours)


def _renamed(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Unknown names refused, deprecated ones replaced, and Nones of ours, which mean the default, left out."""
    known = (*_OURS, *_THEIRS)
    for name in keywords:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f": did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"replclus.connect() has no keyword {name!r}{hint}")
        if name in _UNSUPPORTED and keywords[name]:
            raise NotImplementedError("compress and named_pipe arguments are not supported")
    given = {name: value for name, value in keywords.items() if value is not None or name not in _OURS}
    for old, new in (("db", "database"), ("passwd", "password")):
        if old in given:
            value = given.pop(old)
            if not given.get(new):
                given[new] = value
    for name in _UNSUPPORTED:
        given.pop(name, None)
    return given


def _setup(given: Mapping[str, Any]) -> Setup:
    autocommit = given.get("autocommit", False)
    return Setup(
        database=given.get("database") or None,
        charset=given.get("charset") or DEFAULT_CHARSET,
        collation=given.get("collation"),
        autocommit=None if autocommit is None else bool(autocommit),
    )


def _with_ours(options: Options, ours: Mapping[str, Any]) -> Options:
    choices = {"consistency": get_args(Consistency), "balance": get_args(Balance), "primary_reads": get_args(PrimaryReads)}
    for name, allowed in choices.items():
        if name in ours and ours[name] not in allowed:
            raise ValueError(f"{name}={ours[name]!r} is not one of {', '.join(allowed)}")
    if "max_lag_ms" in ours and ours.get("consistency") != "bounded":
        raise ValueError("max_lag_ms= only has a meaning together with consistency='bounded'")
    for name in ("max_lag_ms", "failover_timeout", "max_lifetime"):
        if name in ours and not 0 <= _number(name, ours[name]) <= _MAX:
            raise ValueError(f"{name}={ours[name]!r} must be a number from 0 to {_MAX}")
    for name, least in (("pool_size", 0), ("max_connections", 1)):
        if name in ours and not (type(ours[name]) is int and least <= ours[name] <= _MAX):
            raise ValueError(f"{name}={ours[name]!r} must be a whole number from {least} to {_MAX}")
    if ours.get("replica_required"):
        _check_replica_required(ours)
    named = dict(ours)
    if "failover_timeout" in named:
        named["failover_timeout_s"] = float(named.pop("failover_timeout"))
    bounds = {field: named.pop(name) for name, field in _BOUNDS.items() if name in named}
    return replace(options, **named, bounds=Bounds(**bounds))


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name}={value!r} must be a number") from None


def _check_replica_required(ours: Mapping[str, Any]) -> None:
    for name, value, why in (
        ("consistency", "strong", "reads the primary"),
        ("primary_reads", "always", "reads the primary too"),
        ("primary_reads", "when_idle", "reads the primary too"),
    ):
        if ours.get(name) == value:
            raise ValueError(f"replica_required=True contradicts {name}={value!r}, which {why}: leave one of them out")


def _from_file(path: str | Path | None) -> tuple[tuple[Node, ...], Path]:
    """Nodes and state directory of a replclus.toml. Read again only when it has changed, because programs connect often."""
    from replclus.config import DEFAULT_FILE, PATH_VARIABLE, load  # brings pydantic, which a URL would not need

    shown = str(path or os.environ.get(PATH_VARIABLE) or DEFAULT_FILE)
    try:
        status = Path(shown).stat()
        stamp = (str(Path.cwd()), status.st_ino, status.st_mtime_ns, status.st_size)
    except OSError:
        stamp = None
    known = _FILES.get(shown)
    if known is not None and known[0] == stamp:
        return known[1]
    # An application must not depend on passwords and programs that it does not use.
    spec = load(path, accounts=False, hooks=False)
    nodes = tuple(
        Node(name=node.name, host=node.host, port=node.port, socket=node.socket, weight=node.weight) for node in spec.nodes
    )
    found = (nodes, spec.state_dir)
    if stamp is not None:
        _FILES[shown] = (stamp, found)
    return found


_FILES: dict[str, tuple[tuple[str, int, int, int], tuple[tuple[Node, ...], Path]]] = {}


def _from_address(given: Mapping[str, Any]) -> tuple[Node, ...]:
    """Where PyMySQL would connect to, as the one node that is asked for the map."""
    host, port = given.get("host") or "localhost", given.get("port") or DEFAULT_PORT
    if type(port) is not int:
        raise ValueError("port should be of type int")
    return (Node(name=f"{host}:{port}", host=host, port=port, socket=given.get("unix_socket")),)


def _from_url(text: str) -> dict[str, Any]:
    from replclus.config import parse_url

    url = parse_url(text)
    found: dict[str, Any] = {name: _value(name, value) for name, value in url.options.items()}
    for name, part in (("user", url.user), ("password", url.password), ("database", url.database)):
        if part is not None:
            found[name] = part
    found["seeds"] = tuple(Node(name=f"{host}:{port}", host=host, port=port) for host, port in url.hosts)
    return found


def _value(name: str, text: str) -> Any:
    """What the text of a URL option means."""
    if name in _WORDS:
        return text
    try:
        if name in _NUMBERS:
            return float(text)
        if name in _COUNTS:
            return int(text)
        if name in _FLAGS and text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
    except ValueError:
        pass
    known = (*_WORDS, *_NUMBERS, *_COUNTS, *_FLAGS)
    if name in known:
        raise ConfigError(f"the option {name}={text!r} has a value that it cannot have", where="cluster URL")
    near = difflib.get_close_matches(name, known, n=1)
    hint = f": did you mean {near[0]!r}?" if near else ""
    raise ConfigError(f"there is no option {name!r}{hint}", where="cluster URL")
