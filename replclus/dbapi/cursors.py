"""PyMySQL's cursors, and any that an application derives from them, with a memory of where each statement went.

Statements are classified as they were passed to `execute`, before the arguments are put in: that text repeats, so the
answer is found in a cache, and what a value contains can never change where a statement goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymysql.cursors import Cursor

from replclus.dbapi.route import Route, Routed

if TYPE_CHECKING:
    from replclus.dbapi.connection import Connection

    _Base = Cursor
else:
    _Base = object


class RoutedCursor(_Base):
    """To be placed before a PyMySQL cursor class; `cursor_class` does it."""

    connection: Connection
    _template: str | bytes | bytearray | None = None
    _many: str | None = None
    _routed: Routed | None = None

    @property
    def route(self) -> Route | None:
        """Where the last statement of this cursor went, and why. None before the first."""
        return None if self._routed is None else Route.of(self._routed)

    def execute(self, query: str, args: Any = None) -> int:
        # executemany() joins rows into one long statement, as bytes: classify what it was made from.
        self._template = self._many if isinstance(query, (bytes, bytearray)) and self._many is not None else query
        try:
            return super().execute(query, args)
        finally:
            self._template = None

    def executemany(self, query: str, args: Any) -> int | None:
        self._many = query
        try:
            return super().executemany(query, args)
        finally:
            self._many = None

    def _query(self, q: str | bytes) -> int:
        connection: Connection = self._get_db()  # type: ignore[attr-defined]
        connection._template = self._template if self._template is not None else q
        try:
            return super()._query(q)  # type: ignore[misc,no-any-return]
        finally:
            connection._template = None
            self._routed = connection._routed


def cursor_class(cls: type[Cursor]) -> type[Cursor]:
    """`cls` itself if it routes already, else a subclass of the same name that does."""
    made = _MADE.get(cls)
    if made is None:
        routes = issubclass(cls, RoutedCursor)
        body = {"__module__": cls.__module__, "__doc__": cls.__doc__}
        _MADE[cls] = made = cls if routes else type(cls.__name__, (RoutedCursor, cls), body)
    return made


# Grows with the cursor classes of the program, which are few.
_MADE: dict[type[Cursor], type[Cursor]] = {}
