"""The module `replclus` itself: what it promises, and what it does not load."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pymysql
import pytest

import replclus

# What operators need and applications do not.
HEAVY = ("fabric", "paramiko", "typer", "rich", "dns", "sqlparse", "replclus.watchdog", "replclus.provision", "replclus.cli")


def loaded_by(program: str) -> set[str]:
    script = f"import sys\n{program}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_loads_next_to_nothing() -> None:
    assert not loaded_by("import replclus") & {*HEAVY, "pymysql", "pydantic", "replclus.dbapi"}


def test_connecting_by_url_loads_no_operator_s_tools() -> None:
    loaded = loaded_by(
        "import replclus\n"
        "try:\n    replclus.connect(cluster='mysql+replclus://u:p@127.0.0.1:1/d')\n"
        "except replclus.OperationalError as error:\n    assert error.args[0] == 2003, error\n"
    )
    assert "replclus.dbapi" in loaded
    assert not loaded & set(HEAVY)


def test_version() -> None:
    pyproject = tomllib.loads((Path(replclus.__file__).parent.parent / "pyproject.toml").read_text())
    assert replclus.__version__ == pyproject["project"]["version"]


def test_pep_249_module_interface() -> None:
    assert (replclus.apilevel, replclus.threadsafety, replclus.paramstyle) == ("2.0", 1, "pyformat")
    assert all(hasattr(replclus, name) for name in replclus.__all__)
    assert set(replclus.__all__) <= set(dir(replclus))


def test_exceptions_are_pymysql_s() -> None:
    assert replclus.OperationalError is pymysql.err.OperationalError
    for ours in (replclus.OutcomeUnknown, replclus.TransactionLost, replclus.SessionLost, replclus.Unavailable):
        assert issubclass(ours, pymysql.err.OperationalError)
    assert issubclass(replclus.StatementRefused, pymysql.err.NotSupportedError)


def test_unknown_names() -> None:
    with pytest.raises(AttributeError, match="no attribute 'conect'"):
        _ = replclus.conect


def test_nobody_answers() -> None:
    with pytest.raises(replclus.Unavailable, match=r"no node .*127\.0\.0\.1:1: .*refused.*127\.0\.0\.1:2: .*refused"):
        replclus.connect(cluster="mysql+replclus://u:p@127.0.0.1:1,127.0.0.1:2/d")


def test_install_as_mysqldb() -> None:
    program = (
        "import replclus, pymysql\n"
        "replclus.install_as_MySQLdb()\n"
        "import MySQLdb, MySQLdb.cursors\n"
        "from MySQLdb.constants import CLIENT, FIELD_TYPE\n"
        "from MySQLdb.converters import conversions\n"
        "assert MySQLdb.connect is replclus.connect\n"
        "assert MySQLdb.OperationalError is MySQLdb._exceptions.OperationalError is pymysql.err.OperationalError\n"
        "assert MySQLdb.cursors.SSCursor is pymysql.cursors.SSCursor\n"
        "assert MySQLdb.version_info >= (1, 4)\n"
    )
    loaded_by(program)
