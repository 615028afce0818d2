"""Accounts: those of one server made those of another. For copies that hold no system tables."""

from __future__ import annotations

import re

from replclus.dialect import Statement
from replclus.errors import ServerError
from replclus.model.spec import Flavour
from replclus.server.server import Server

# The servers' own, which every server makes itself.
_RESERVED = ("mariadb.sys", "mysql.sys", "mysql.session", "mysql.infoschema", "PUBLIC")

_MARIADB_ACCOUNTS = Statement(
    "SELECT user AS name, host AS host, is_role = 'Y' AS role FROM mysql.user WHERE user NOT IN %s", (_RESERVED,)
)
_MYSQL_ACCOUNTS = Statement("SELECT user AS name, host AS host, 0 AS role FROM mysql.user WHERE user NOT IN %s", (_RESERVED,))
_HEXADECIMAL = Statement("SET SESSION print_identified_with_as_hex = 1")
_CREATE = re.compile(r"CREATE (USER|ROLE)\b")
# MySQL's; a role cannot be a default one before it is granted.
_DEFAULT_ROLES = re.compile(r" DEFAULT ROLE (.+?)(?= REQUIRE )")
# Without a hash the plugins with passwords would take the password for expired.
_NO_PASSWORD = re.compile(r"(IDENTIFIED WITH '(?:caching_sha2|mysql_native|sha256)_password')(?! AS )")

Account = tuple[str, str, bool]


def copy_accounts(source: Server, target: Server) -> None:
    """Drop what `source` lacks, make the rest like its. Within `administration` of `target`.

    The account that we are logged in with is changed like the others, but never dropped.
    """
    wanted, there = _accounts(source), _accounts(target)
    for name, host, role in sorted(there - wanted):
        _drop(target, name, host, role)
    if source.dialect.flavour is Flavour.MYSQL:
        source.run(_HEXADECIMAL)
    ordered = sorted(wanted, key=lambda account: (not account[2], account))
    grants: list[str] = []
    later: list[Statement] = []
    for name, host, role in ordered:
        if role:
            target.run(Statement("CREATE ROLE IF NOT EXISTS %s", (name,)))
            grants += _first_column(source, Statement("SHOW GRANTS FOR %s", (name,)))
            continue
        (created,) = _first_column(source, Statement("SHOW CREATE USER %s@%s", (name, host)))
        created = _NO_PASSWORD.sub(r"\1 BY ''", created, count=1)
        if roles := _DEFAULT_ROLES.search(created):
            created = created.replace(roles[0], "")
            later.append(Statement(f"SET DEFAULT ROLE {roles[1]} TO %s@%s", (name, host)))
        target.run(Statement(_CREATE.sub(r"CREATE \1 IF NOT EXISTS", created, count=1)))
        # An account that is there already keeps nothing of its own. Grants must not survive either.
        target.run(Statement(_CREATE.sub(r"ALTER \1", created, count=1)))
        if (name, host, role) in there and (name, host) != _ourselves(target):
            target.run(Statement("REVOKE ALL PRIVILEGES, GRANT OPTION FROM %s@%s", (name, host)))
        grants += _first_column(source, Statement("SHOW GRANTS FOR %s@%s", (name, host)))
    for statement in (*map(Statement, grants), *later):
        target.run(statement)


def _accounts(server: Server) -> set[Account]:
    listed = _MARIADB_ACCOUNTS if server.dialect.flavour is Flavour.MARIADB else _MYSQL_ACCOUNTS
    return {(str(row["name"]), str(row["host"]), bool(row["role"])) for row in server.run(listed)}


def _first_column(server: Server, statement: Statement) -> list[str]:
    return [str(next(iter(row.values()))) for row in server.run(statement)]


def _ourselves(server: Server) -> tuple[str, str]:
    (row,) = server.run(Statement("SELECT CURRENT_USER() AS who"))
    name, _, host = str(row["who"]).rpartition("@")
    return name, host


def _drop(server: Server, name: str, host: str, role: bool) -> None:
    if (name, host) == _ourselves(server):
        raise ServerError(server.node.name, f"the account {name}@{host}, which we use, does not exist on the donor")
    server.run(Statement("DROP ROLE %s", (name,)) if role else Statement("DROP USER %s@%s", (name, host)))
