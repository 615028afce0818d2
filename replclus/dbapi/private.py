"""The parts of PyMySQL that its type stubs leave out and this room relies on, gathered in one place.

They have been the same since PyMySQL 1.0; the conformance tests would notice a change.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any, BinaryIO

from pymysql import connections
from pymysql.protocol import OKPacketWrapper

if TYPE_CHECKING:

    class Base(connections.Connection[Any]):
        _sock: socket.socket | None
        _rfile: BinaryIO
        _read_timeout: float | None
        _current_timeout: float | None
        _result: Result | None
        _affected_rows: int
        _next_seq_id: int
        _closed: bool
        connect_timeout: float
        protocol_version: int
        server_status: int

        @property
        def _auth_plugin_name(self) -> str: ...
        @property
        def server_version(self) -> str: ...
        @property
        def server_capabilities(self) -> int: ...
        def _create_ssl_ctx(self, sslp: Any) -> ssl.SSLContext: ...
        def _read_ok_packet(self) -> OKPacketWrapper: ...
        def _write_bytes(self, data: bytes) -> None: ...
        def _force_close(self) -> None: ...
        def thread_id(self) -> int: ...
        def kill(self, thread_id: int) -> None: ...
        def show_warnings(self) -> Any: ...

    class Result(connections.MySQLResult):
        # The stubs say str; on the wire it is bytes.
        message: Any

        connection: Any
        field_count: int
        fields: list[Any]
        converters: list[Any]

        def _finish_unbuffered_query(self) -> None: ...
        def _get_descriptions(self) -> None: ...

else:
    Base = connections.Connection
    Result = connections.MySQLResult
