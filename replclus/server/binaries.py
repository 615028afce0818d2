"""Find a database server program on this machine, and learn what it is by asking it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from replclus.errors import ConfigError
from replclus.model.observation import Version
from replclus.model.spec import Flavour

VARIABLES = {Flavour.MARIADB: "REPLCLUS_MARIADBD", Flavour.MYSQL: "REPLCLUS_MYSQLD"}
OLDEST = {Flavour.MARIADB: Version(10, 6, 0), Flavour.MYSQL: Version(8, 0, 0)}

# Debian calls MariaDB's program mysqld too, so a name proves nothing.
_PROGRAMS = {Flavour.MARIADB: ("mariadbd", "mysqld"), Flavour.MYSQL: ("mysqld",)}
# Servers live in directories that an ordinary user's PATH does not name.
_SYSTEM_DIRECTORIES = ("/usr/sbin", "/usr/local/sbin", "/usr/libexec")
_NAMES = {Flavour.MARIADB: "MariaDB", Flavour.MYSQL: "MySQL"}
_REMEDIES = {
    Flavour.MARIADB: "`apt-get install mariadb-server-core`, set REPLCLUS_MARIADBD, or pass --server-binary",
    Flavour.MYSQL: "`make mysql`, set REPLCLUS_MYSQLD, or pass --server-binary",
}
_VERSION = re.compile(r"\bVer (\d+)\.(\d+)\.(\d+)(\S*)")
_ANSWER_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A server program that was asked for its version. `path` is absolute; symbolic links in it are kept."""

    path: Path
    flavour: Flavour
    version: Version


def find_server_binary(flavour: Flavour, explicit: Path | None = None, environ: Mapping[str, str] = os.environ) -> ServerBinary:
    """`explicit`, else what the family's environment variable names, else the first of that family on this machine.

    Looked at: PATH and the system directories, then `.servers/mysql/bin/` (`make mysql`) here and next to the package.
    ConfigError if there is none, or if the one that was named is no server, of the other family, or too old.
    """
    variable = VARIABLES[flavour]
    if explicit is not None:
        return _named(explicit, flavour, where="--server-binary")
    if environ.get(variable):
        return _named(Path(environ[variable]), flavour, where=variable)
    outdated: ServerBinary | None = None
    for candidate in _candidates(flavour, environ):
        binary = identify(candidate)
        if binary is not None and binary.flavour is flavour:
            if binary.version >= OLDEST[flavour]:
                return binary
            outdated = outdated or binary
    if outdated is not None:
        raise ConfigError(_too_old(outdated))
    raise ConfigError(f"no {_NAMES[flavour]} server program was found on this machine: {_REMEDIES[flavour]}")


def identify(path: Path) -> ServerBinary | None:
    """What the program at `path` says it is; None if it is not a database server, or does not run."""
    try:
        answer = subprocess.run(  # noqa: S603 - a program the user named or installed, without a shell
            [path, "--version"], capture_output=True, text=True, timeout=_ANSWER_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(answer)
    if match is None:
        return None
    flavour = Flavour.MARIADB if "MariaDB" in answer else Flavour.MYSQL
    return ServerBinary(path, flavour, Version(int(match[1]), int(match[2]), int(match[3])))


def _named(path: Path, flavour: Flavour, *, where: str) -> ServerBinary:
    """The program a person pointed at: nothing else will do, so everything wrong with it is said."""
    absolute = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 - resolve() would follow the link of a wrapper
    if not os.access(absolute, os.X_OK) or absolute.is_dir():
        raise ConfigError(f"{absolute} is not a program that can be run", where=where)
    binary = identify(absolute)
    if binary is None:
        raise ConfigError(f"{absolute} did not answer --version like a MySQL or MariaDB server", where=where)
    if binary.flavour is not flavour:
        raise ConfigError(
            f"{absolute} is {_NAMES[binary.flavour]} {binary.version}, and flavour {flavour} was asked for", where=where
        )
    if binary.version < OLDEST[flavour]:
        raise ConfigError(_too_old(binary), where=where)
    return binary


def _candidates(flavour: Flavour, environ: Mapping[str, str]) -> Iterator[Path]:
    path = os.pathsep.join((environ.get("PATH", os.defpath), *_SYSTEM_DIRECTORIES))
    for program in _PROGRAMS[flavour]:
        found = shutil.which(program, path=path)
        if found is not None:
            yield Path(found).absolute()
    if flavour is Flavour.MYSQL:
        for root in (Path.cwd(), Path(__file__).resolve().parents[2]):
            candidate = root / ".servers" / "mysql" / "bin" / "mysqld"
            if candidate.exists():
                yield candidate


def _too_old(binary: ServerBinary) -> str:
    name = _NAMES[binary.flavour]
    oldest = OLDEST[binary.flavour]
    return f"{binary.path} is {name} {binary.version}; replclus needs {name} {oldest.major}.{oldest.minor} or newer"
