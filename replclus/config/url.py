"""`mysql+replclus://user:password@h1,h2:3307,[::1]:3308/schema?consistency=session`, taken apart.

Only the shape is checked here: which options there are is known to whoever opens the connection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NoReturn
from urllib.parse import parse_qsl, unquote

from replclus.config import grammar
from replclus.errors import ConfigError

SCHEME = "mysql+replclus"
DEFAULT_PORT = 3306
HOSTS_MAX = 64
URL_CHARS_MAX = 8192

_SHAPE = f"write {SCHEME}://user:password@host1,host2:3307/schema?option=value"
_HOST = re.compile(r"(?:\[(?P<bracketed>[^\[\]]*)\]|(?P<plain>[^\[\]:]*))(?::(?P<port>[^:]*))?")
_PORT = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterUrl:
    """What the URL says. Absent parts are None; `hosts` are canonical and never empty; options keep their text."""

    hosts: tuple[tuple[str, int], ...]
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str | None = None
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def is_url(text: str) -> bool:
    """True when `cluster=text` means a URL rather than the path of a file."""
    return "://" in text


def parse_url(url: str) -> ClusterUrl:
    """ConfigError says what is wrong; it never repeats the user's name or password."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() != SCHEME:
        _refuse(f"is not a cluster URL: {_SHAPE}")
    if len(url) > URL_CHARS_MAX or not url.isprintable() or " " in url:
        _refuse(f"holds blanks or control characters, or more than {URL_CHARS_MAX} characters: {_SHAPE}")
    if "#" in rest:
        _refuse("has a '#': write it as %23 where it is part of a user, password or option")
    before_query, _, query = rest.partition("?")
    authority, _, database = before_query.partition("/")
    login, at, hosts = authority.rpartition("@")
    if "/" in database or "@" in database or "@" in query:
        _refuse("has a '/', '?' or '@' in the wrong place: write %2F, %3F or %40 where it is part of a password or schema")
    user, colon, password = login.partition(":")
    return ClusterUrl(
        hosts=_hosts(hosts),
        user=_text(user, "user") if at and user else None,
        password=_text(password, "password") if colon else None,
        database=_text(database, "schema") or None,
        options=MappingProxyType(_options(query)),
    )


def _refuse(sentence: str) -> NoReturn:
    raise ConfigError(sentence, where="cluster URL")


def _text(encoded: str, what: str) -> str:
    """Percent-decoded text. The error has no context, which would carry the text."""
    try:
        text = unquote(encoded, errors="strict")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        _refuse(f"the {what} is not percent-encoded UTF-8 text: encode it as urllib.parse.quote(…, safe='') does")
    return text


def _hosts(text: str) -> tuple[tuple[str, int], ...]:
    parts = text.split(",")
    if not text or "" in parts:
        _refuse(f"names no host, or has a comma too many: {_SHAPE}")
    if len(parts) > HOSTS_MAX:
        _refuse(f"names {len(parts)} hosts: {HOSTS_MAX} is the most")
    hosts = tuple(_host(part) for part in parts)
    if len(set(hosts)) < len(hosts):
        _refuse("names one host and port twice: name each server once")
    return hosts


def _host(text: str) -> tuple[str, int]:
    match = _HOST.fullmatch(text)
    if not match:
        _refuse(f"{text!r} is not host or host:port: write an IPv6 address in brackets, [::1]:3306")
    bracketed, plain, port = match["bracketed"], match["plain"], match["port"]
    if bracketed is not None and ":" not in bracketed:
        _refuse(f"{text!r}: brackets are for IPv6 addresses only")
    number = DEFAULT_PORT if port is None else int(port) if _PORT.fullmatch(port) else 0
    if not 1 <= number <= 65535:
        _refuse(f"{text!r}: the port must be a number from 1 to 65535")
    try:
        return grammar.host(plain if bracketed is None else bracketed), number
    except ValueError as error:
        _refuse(str(error))


def _options(query: str) -> dict[str, str]:
    pairs: list[tuple[str, str]] = []
    with suppress(ValueError):
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=100)
    if query and not pairs:
        _refuse("the options after '?' are not option=value pairs joined by '&'")
    options = dict(pairs)
    if len(options) < len(pairs):
        _refuse(f"the option {_first_twice([key for key, _ in pairs])!r} is given twice: keep one")
    return options


def _first_twice(words: list[str]) -> str:
    return next(word for word in words if words.count(word) > 1)
