"""What names, hosts, paths and labels may look like. Each function returns the canonical value or raises ValueError.

Everything that later becomes part of an SQL statement, a command line or a file name passes through here, so these are
allow-lists: what is not described is refused.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterable

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,31}")
_LABEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:=/-]{0,63}")
_SCHEMA = re.compile(r"[A-Za-z0-9_$][A-Za-z0-9_$-]{0,63}")
_DNS_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_LOGIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_SERVERS_OWN_SCHEMAS = frozenset({"mysql", "sys", "performance_schema", "information_schema", "replclus"})

HOST_CHARS_MAX = 253
USER_CHARS_MAX = 32  # MySQL's limit for user names
PATH_BYTES_MAX = 4096
SOCKET_BYTES_MAX = 107  # sun_path of sockaddr_un(7), less its final NUL


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` is probably a misspelling of."""
    matches = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean …?)`, or nothing."""
    match = nearest(word, known)
    return f" (did you mean {match!r}?)" if match else ""


def name(value: str) -> str:
    """A cluster or node name: 1 to 32 letters, digits, `_` and `-`, not beginning with `-`."""
    if not _NAME.fullmatch(value):
        raise ValueError(f"{_shown(value)} is not a name: use 1 to 32 letters, digits, '_' and '-', not '-' first")
    return value


def host(value: str) -> str:
    """A host name (RFC 1123) in lower case without its final dot, or an IP address in its shortest form."""
    if value.startswith("[") and value.endswith("]"):
        raise ValueError(f"{_shown(value)} has brackets: write the IPv6 address without them")
    if "%" in value:
        raise ValueError(f"{_shown(value)} has a '%': write a host name or an IP address, without zone or wildcard")
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return _host_name(value)
    if address.is_unspecified or address.is_multicast:
        raise ValueError(f"{value!r} is not an address one can connect to: write the address of the server")
    return address.compressed


def _host_name(value: str) -> str:
    labels = value.removesuffix(".").split(".")
    if len(value) > HOST_CHARS_MAX or not all(_DNS_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"{_shown(value)} is not a host: write a host name (letters, digits, '-' and '.') or an IP address")
    if labels[-1].isdigit():
        raise ValueError(f"{value!r} is neither an IP address nor a host name: correct the address")
    return ".".join(labels).lower()


def same_place(host: str) -> str:
    """What two spellings of one host have in common. `host` is canonical already."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def is_loopback(host: str) -> bool:
    """True for `localhost` and the loopback addresses. `host` is canonical already."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def client_host(value: str) -> str:
    """The host part of an account: one exact host, because a pattern lets in machines nobody thought of."""
    if "%" in value or "_" in value or "/" in value:
        raise ValueError(f"{_shown(value)} is a pattern: name the exact hosts that the application connects from")
    return host(value)


def user(value: str) -> str:
    """A login of a database server."""
    if not value or len(value) > USER_CHARS_MAX or _CONTROL.search(value):
        raise ValueError(f"{_shown(value)} is not a user name: use 1 to {USER_CHARS_MAX} printable characters")
    return value


def schema(value: str) -> str:
    """A schema that an application may own."""
    if value.lower() in _SERVERS_OWN_SCHEMAS:
        raise ValueError(f"{value!r} belongs to the server or to replclus: choose another schema for the application")
    if not _SCHEMA.fullmatch(value):
        raise ValueError(f"{_shown(value)} is not a schema name: use 1 to 64 letters, digits, '_', '$' and '-'")
    return value


def label(value: str) -> str:
    """A zone or a tag."""
    if not _LABEL.fullmatch(value):
        raise ValueError(f"{_shown(value)} is not a label: use 1 to 64 letters, digits and any of _ - . : = /")
    return value


def ssh(value: str) -> str:
    """`host`, `user@host` or `user@host:port`. Never something that ssh could take for an option."""
    login, at, place = value.rpartition("@")
    place, colon, port = place.partition(":")
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0
    if (at and not _LOGIN.fullmatch(login)) or (colon and not 1 <= number <= 65535):
        raise ValueError(f"{_shown(value)} is not an SSH destination: write user@host, with :port if it is not 22")
    return f"{login}{at}{host(place)}{colon}{port}"


def path(value: str) -> str:
    """The text of a path. It may be relative; `~` is not expanded, so it is refused."""
    if not value or len(value.encode(errors="replace")) > PATH_BYTES_MAX or _CONTROL.search(value):
        raise ValueError(f"{_shown(value)} is not a path")
    if value.startswith("~"):
        raise ValueError(f"{value!r}: '~' is not expanded here, write the whole path")
    return value


def word(value: str) -> str:
    """One word of a command line. It may be empty; what it means is the program's business."""
    if "\0" in value or len(value.encode(errors="replace")) > PATH_BYTES_MAX:
        raise ValueError(f"{_shown(value)} is not a word of a command: at most {PATH_BYTES_MAX} bytes, none of them NUL")
    return value


def _shown(value: str) -> str:
    """`value` quoted, and cut where it would flood the message."""
    return repr(value if len(value) <= 60 else value[:57] + "...")
