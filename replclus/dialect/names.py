"""What may become part of a statement without being bound: identifiers, and the grammar of hosts, ports and users.

Values are always bound. Identifiers cannot be, so they all pass through `quote_identifier`. Hosts, ports and users are
bound too; checking them here keeps a wrong one from ever reaching a server's replication configuration.
"""

from __future__ import annotations

import ipaddress
import re

IDENTIFIER_CHARS_MAX = 64
HOST_CHARS_MAX = 255  # what both families store; MariaDB 10.6 cuts off nothing below this
USER_CHARS_MAX = 32  # MySQL's limit; MariaDB allows 128
SOURCE_PASSWORD_BYTES_MAX = 32  # of MySQL's receiver; accounts may have longer ones

_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def quote_identifier(name: str) -> str:
    """`name` between backticks, for any name a server can hold. ValueError for one it cannot hold.

    https://dev.mysql.com/doc/refman/9.7/en/identifiers.html: no NUL, nothing outside the basic plane, no space at the
    end (nor a tab or line break there: error 1102).
    """
    if not 1 <= len(name) <= IDENTIFIER_CHARS_MAX:
        raise ValueError(f"an identifier has 1 to {IDENTIFIER_CHARS_MAX} characters, not {len(name)}")
    if "\0" in name or name[-1].isspace() or any(char > "\uffff" or "\ud800" <= char <= "\udfff" for char in name):
        raise ValueError(f"{name!r} cannot be an identifier: NUL, white space at its end, or a character beyond U+FFFF")
    return "`" + name.replace("`", "``") + "`"


def quote_schema(name: str) -> str:
    r"""`name` as the schema of a GRANT, where `_` and `%` would be wildcards: `my\_shop`."""
    quote_identifier(name)
    return "`" + re.sub(r"([\\_%])", r"\\\1", name).replace("`", "``") + "`"


def check_host(host: str) -> str:
    """`host` if it is an IP literal or a host name (RFC 1123), else ValueError."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        labels = host.removesuffix(".").split(".")
        if not 1 <= len(host) <= HOST_CHARS_MAX or not all(_LABEL.fullmatch(label) for label in labels):
            raise ValueError(f"{host[:80]!r} is neither a host name nor an IP address") from None
    if "%" in host:
        raise ValueError(f"{host[:80]!r} carries an IPv6 zone, which servers do not understand")
    return host


def check_port(port: int) -> int:
    """`port` if it is one, else ValueError."""
    if not 1 <= port <= 65535:
        raise ValueError(f"{port} is not a port: use 1 to 65535")
    return port


def check_user(user: str) -> str:
    """`user` if every server can store it and no log is confused by it, else ValueError."""
    if not 1 <= len(user) <= USER_CHARS_MAX or not user.isprintable():
        raise ValueError(f"{user[:80]!r} is not a user: use 1 to {USER_CHARS_MAX} printable characters")
    return user


def check_source_password(password: str) -> str:
    """`password` if MySQL's receiver can log in with it, else ValueError. The message does not show it."""
    if len(password.encode()) > SOURCE_PASSWORD_BYTES_MAX or "\n" in password:
        raise ValueError(f"the replication password must have at most {SOURCE_PASSWORD_BYTES_MAX} bytes and no line break")
    return password
