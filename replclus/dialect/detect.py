"""Which family and version answers, and so which dialect to speak."""

from __future__ import annotations

import re

from replclus.dialect.base import Dialect, Row, Rows
from replclus.dialect.mariadb import MariadbDialect
from replclus.dialect.mysql import MysqlDialect
from replclus.dialect.statement import Statement
from replclus.errors import UnsupportedServer
from replclus.model.observation import Identity, Version
from replclus.model.spec import Flavour

SUPPORTED = "replclus speaks to MySQL 8.0 to 9.x and MariaDB 10.6 to 11.x"

# `SHOW` and not `SELECT @@…`: server_uuid exists on MySQL only, semi-sync variables only with their plugin.
IDENTIFY = Statement(
    "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version', 'version_comment', 'server_id', 'server_uuid')"
    " OR Variable_name LIKE 'rpl\\_semi\\_sync\\_%\\_enabled'"
)

# They speak the protocol and claim a version of MySQL, but replicate in ways of their own.
_IMITATORS = ("tidb", "vitess", "oceanbase", "proxysql", "singlestore")

_NUMBERS = re.compile(r"(?:5\.5\.5-)?(\d+)\.(\d+)\.(\d+)", re.ASCII)


def detect(node: str, rows: Rows) -> Dialect:
    """From the rows of `IDENTIFY`. UnsupportedServer, naming `node`, for anything replclus was not made for."""
    variables = _variables(rows)
    flavour, version = _flavour(variables), _version(node, variables)
    if any(name in _description(variables) for name in _IMITATORS):
        raise UnsupportedServer(node, f"this is {_description(variables)}: {SUPPORTED}")
    match flavour:
        case Flavour.MARIADB if Version(10, 6, 0) <= version < Version(12, 0, 0):
            return MariadbDialect(version)
        case Flavour.MYSQL if Version(8, 0, 0) <= version < Version(10, 0, 0):
            return MysqlDialect(version, semi_sync=_semi_sync(variables))
        case _:
            raise UnsupportedServer(node, f"this is {flavour.value} {variables['version']}: {SUPPORTED}")


def read_identity(node: str, rows: Rows, cluster: Row | None = None) -> Identity:
    """From the rows of `IDENTIFY`, and the row of the identity table where there is one."""
    variables = _variables(rows)
    return Identity(
        flavour=_flavour(variables),
        version=_version(node, variables),
        server_id=int(variables["server_id"]),
        uuid=variables.get("server_uuid") or None,
        cluster_id=None if cluster is None else str(cluster["cluster_id"]),
    )


def _variables(rows: Rows) -> dict[str, str]:
    return {str(row["Variable_name"]).lower(): str(row["Value"]) for row in rows}


def _flavour(variables: dict[str, str]) -> Flavour:
    """Packagers change one or the other, so both are read. A distribution's MariaDB may only say `Debian 12` in its comment."""
    return Flavour.MARIADB if "mariadb" in _description(variables) else Flavour.MYSQL


def _description(variables: dict[str, str]) -> str:
    return f"{variables.get('version', '')} {variables.get('version_comment', '')}".lower()


def _version(node: str, variables: dict[str, str]) -> Version:
    text = variables.get("version", "")
    numbers = _NUMBERS.match(text)
    if numbers is None:
        raise UnsupportedServer(node, f"its version is {text!r}: {SUPPORTED}")
    return Version(*(int(number) for number in numbers.groups()))


def _semi_sync(variables: dict[str, str]) -> tuple[str, str] | None:
    for words in (("source", "replica"), ("master", "slave")):
        if all(f"rpl_semi_sync_{word}_enabled" in variables for word in words):
            return words
    return None
