"""For programs that import MySQLdb: the same trick as `pymysql.install_as_MySQLdb`, with our connections in it."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import pymysql

from replclus.dbapi.connection import Connection, connect

# What is imported from behind `MySQLdb.`; the last two are other names for the same thing.
_PARTS = {
    "charset": "charset",
    "connections": "connections",
    "constants": "constants",
    "constants.CLIENT": "constants.CLIENT",
    "constants.CR": "constants.CR",
    "constants.ER": "constants.ER",
    "constants.FIELD_TYPE": "constants.FIELD_TYPE",
    "constants.FLAG": "constants.FLAG",
    "converters": "converters",
    "cursors": "cursors",
    "err": "err",
    "times": "times",
    "_exceptions": "err",
    "_mysql": "connections",
}


def install_as_MySQLdb() -> None:  # noqa: N802  # PyMySQL's name
    """After this, `import MySQLdb` gives PyMySQL with `replclus.connect` in the place of `pymysql.connect`.

    The parts of the package are PyMySQL's own modules, not copies of them, so its exceptions stay the ones that are raised.
    """
    module = ModuleType("MySQLdb", "PyMySQL under MySQLdb's name, with connections to a replclus cluster.")
    module.__dict__.update({name: value for name, value in vars(pymysql).items() if not name.startswith("__")})
    module.__dict__.update(
        __path__=[],
        __version__=pymysql.__version__,
        Connection=Connection,
        Connect=connect,
        connect=connect,
        install_as_MySQLdb=install_as_MySQLdb,
    )
    sys.modules["MySQLdb"] = module
    for name, original in _PARTS.items():
        part = importlib.import_module(f"pymysql.{original}")
        sys.modules[f"MySQLdb.{name}"] = part
        if "." not in name:
            setattr(module, name, part)
