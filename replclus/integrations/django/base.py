"""Django's MySQL backend with connections to a cluster in it."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError
from django.db.backends.utils import typecast_time
from django.utils.asyncio import async_unsafe
from pymysql.constants import FIELD_TYPE
from pymysql.converters import conversions

import replclus
from replclus.dbapi import Connection
from replclus.integrations.django.driver import mysqldb

with mysqldb():
    from django.db.backends.mysql import base as mysql

# Django wants a TIME as a time of the day.
_CONVERSIONS = {**conversions, FIELD_TYPE.TIME: typecast_time}


class CursorWrapper(mysql.CursorWrapper):
    """Raises Django's IntegrityError where MySQL's number says so, whichever driver Django's own wrapper knows."""

    def execute(self, query: Any, args: Any = None) -> Any:
        try:
            return self.cursor.execute(query, args)
        except replclus.OperationalError as error:
            raise self._as_django_has_it(error) from error

    def executemany(self, query: Any, args: Any) -> Any:
        try:
            return self.cursor.executemany(query, args)
        except replclus.OperationalError as error:
            raise self._as_django_has_it(error) from error

    def _as_django_has_it(self, error: replclus.OperationalError) -> Exception:
        return IntegrityError(*error.args) if error.args[0] in self.codes_for_integrityerror else error


class DatabaseWrapper(mysql.DatabaseWrapper):
    """OPTIONS takes every keyword of `replclus.connect`. HOST may name several servers: `h1,h2:3307`."""

    Database = replclus
    connection: Connection | None

    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        if params["conv"] is mysql.django_conversions:
            params["conv"] = _CONVERSIONS
        if "cluster" not in params and "," in params.get("host", ""):
            params["cluster"] = _cluster(params.pop("host"), params.pop("port", None))
        return params

    @async_unsafe
    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection:
        return replclus.connect(**conn_params)

    @async_unsafe
    def create_cursor(self, name: str | None = None) -> CursorWrapper:
        assert self.connection is not None, "Django connects before it asks for a cursor"
        return CursorWrapper(self.connection.cursor())

    def _set_autocommit(self, autocommit: bool) -> None:
        """Where `atomic()` begins, so does what this process has written by then."""
        if not autocommit and self.connection is not None:
            self.connection.catch_up()
        super()._set_autocommit(autocommit)

    def is_usable(self) -> bool:
        assert self.connection is not None, "Django asks only what it has opened"
        try:
            self.connection.ping()
        except replclus.Error:
            return False
        return True

    def close_if_unusable_or_obsolete(self) -> None:
        """At the start of a request: what this process has written in other threads is seen from here on."""
        super().close_if_unusable_or_obsolete()
        if self.connection is not None:
            self.connection.catch_up()


def _cluster(hosts: str, port: int | None) -> str:
    """The URL that `connect(cluster=…)` takes. PORT is for every host that has none of its own."""
    tail = "" if port is None else f":{port}"
    return "mysql+replclus://" + ",".join(host if ":" in host else host + tail for host in hosts.split(","))
