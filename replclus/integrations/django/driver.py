"""Django's MySQL backend imports MySQLdb at its top. Where mysqlclient is not installed, PyMySQL stands in for that moment.

Nothing is left behind in `sys.modules`: a program that asks later whether MySQLdb is there gets the true answer.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_NAMES = ("", ".constants", ".constants.CLIENT", ".constants.FIELD_TYPE", ".converters")


@contextmanager
def mysqldb() -> Iterator[None]:
    """While this lasts, `import MySQLdb` works."""
    if "MySQLdb" in sys.modules or importlib.util.find_spec("MySQLdb") is not None:
        yield
        return
    stand_in = {f"MySQLdb{name}": importlib.import_module(f"pymysql{name}") for name in _NAMES}
    sys.modules.update(stand_in)
    try:
        yield
    finally:
        for name in stand_in:
            del sys.modules[name]
