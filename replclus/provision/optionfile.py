"""The server's option file: what it says already, and our own section at its end, where the last word is.

Text in, text out, except for `save`. Only what the servers themselves read is understood: groups, `key = value`, bare
keys, comments. `!include` lines are kept and not followed.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

BEGIN = "# begin replclus: written by `replclus init`, put your own settings above"
END = "# end replclus"

_GROUPS = frozenset({"mysqld", "server", "mariadb", "mariadbd"})
_ON = frozenset({"", "1", "on", "true", "yes"})
_OFF = frozenset({"0", "off", "false", "no"})


def missing(text: str, lines: Iterable[str]) -> tuple[str, ...]:
    """Those of `lines` (each `key = value` or a bare key) that a server started with `text` would not obey."""
    said = dict(_settings(text))
    wanted = ((line, *_split(line)) for line in lines)
    return tuple(line for line, key, value in wanted if said.get(key) != value)


def merged(text: str, lines: Iterable[str]) -> str:
    """`text` with our section moved to its end and `lines` in it, over what it said about the same keys before."""
    before, owned, after = _cut(text)
    ours = {_split(line)[0]: line.strip() for line in (*owned, *lines)}
    kept = "\n".join(part for part in (before.rstrip("\n"), after.strip("\n")) if part)
    section = "\n".join((BEGIN, "[mysqld]", *ours.values(), END))
    return f"{kept}\n\n{section}\n" if kept else f"{section}\n"


def save(path: Path, text: str) -> None:
    """Replace the file at once and for good (fsync), keeping its owner and mode. OSError as the system says it."""
    target = path.resolve()
    before = target.stat()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), before.st_mode & 0o7777)
            os.fchown(file.fileno(), before.st_uid, before.st_gid)
            os.fsync(file.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _settings(text: str) -> Iterator[tuple[str, str]]:
    """Every (key, value) the server would read, in order: of two with one key the later counts."""
    ours = False
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("["):
            group = line.strip("[]").strip().lower()
            ours = group in _GROUPS or group.startswith(("mysqld-", "mariadb-", "mariadbd-"))
        elif ours and line and line[0] not in "#;!":
            yield _split(line)


def _split(line: str) -> tuple[str, str]:
    """`Read-Only = On  # why` is ("read_only", "on"), so that two spellings of one thing compare equal."""
    key, _, value = line.partition("#")[0].partition("=")
    key = key.strip().lower().replace("-", "_").removeprefix("loose_")
    value = value.strip().strip("\"'").lower()
    return key, "on" if value in _ON else "off" if value in _OFF else value


def _cut(text: str) -> tuple[str, list[str], str]:
    """What stands before our section, the settings in it, and what stands after it."""
    before, begin, rest = text.partition(BEGIN)
    if not begin:
        return text, [], ""
    section, _, after = rest.partition(END)
    owned = [line for line in section.splitlines() if line.strip() and line.strip()[0] not in "[#;"]
    return before, owned, after
