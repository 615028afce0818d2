"""Initialised, empty data directories, one per server program, made once and copied from then on.

They live in `$XDG_CACHE_HOME/replclus` (default `~/.cache/replclus`), which belongs to this user alone. A template
appears there by rename, complete or not at all; a lock keeps two runs from making the same one twice. It is safe to
delete the cache at any time.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from replclus.errors import ConfigError, HostError
from replclus.model.spec import Flavour
from replclus.sandbox.options import REDO_LOG
from replclus.server.binaries import ServerBinary

# Raise it when templates made by an older version of this file must not be used any more.
_FORMAT = 1
_INITIALISE_TIMEOUT_S = 180.0
_COPY_TIMEOUT_S = 120.0

# Only what is needed for one root without a password, over the socket: names are not resolved, so that no TCP client
# is ever "localhost".
_MARIADB_ACCOUNTS = (
    "DELETE FROM mysql.global_priv WHERE NOT (User = 'root' AND Host = 'localhost') AND User <> 'mariadb.sys';\n"
    "DELETE FROM mysql.proxies_priv WHERE NOT (User = 'root' AND Host = 'localhost');\n"
)
# A template that a power cut spoils is thrown away with the machine's page cache; it need not reach the disk.
_HASTY = ("--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=OFF")


def cache_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """This user's cache, made if need be. ConfigError if it cannot be made or could be tampered with by others."""
    home = environ.get("XDG_CACHE_HOME") or (f"{environ['HOME']}/.cache" if environ.get("HOME") else "")
    cache = Path(home) / "replclus" if home else Path(tempfile.gettempdir()) / f"replclus-{os.geteuid()}"
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        seen = cache.stat(follow_symlinks=False)
    except OSError as error:
        raise ConfigError(f"{cache} cannot be made ({error.strerror}): set XDG_CACHE_HOME to a directory of yours") from error
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid() or seen.st_mode & 0o022:
        raise ConfigError(f"{cache} must be a directory that only you can write to: remove it or set XDG_CACHE_HOME")
    return cache


def template(binary: ServerBinary) -> Path:
    """The template of this server program, made now if there is none (MariaDB 2 s, MySQL 4 s)."""
    cache = cache_directory()
    ready = cache / _key(binary)
    if ready.is_dir():
        return ready
    with locked(cache / f"{ready.name}.lock"):
        if ready.is_dir():
            return ready
        unfinished = Path(tempfile.mkdtemp(prefix=f"{ready.name}.", dir=cache))
        try:
            _initialise(binary, unfinished / "data", unfinished / "log")
            (unfinished / "data").rename(ready)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return ready


def copy_template(source: Path, target: Path) -> None:
    """Copy a template to the new data directory `target`, sharing blocks where the file system can."""
    _run(["cp", "-a", "--reflink=auto", str(source), str(target)], f"copying {source} to {target}", _COPY_TIMEOUT_S)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for, and hold, the lock on a file made for that purpose. The kernel drops it if we die."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _key(binary: ServerBinary) -> str:
    """Another program, even of the same version, gets another template."""
    program = binary.path.resolve()
    seen = program.stat()
    identity = f"{_FORMAT}|{program}|{seen.st_size}|{seen.st_mtime_ns}|{REDO_LOG}"
    return f"{binary.flavour}-{binary.version}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def _initialise(binary: ServerBinary, data: Path, log: Path) -> None:
    match binary.flavour:
        case Flavour.MARIADB:
            _initialise_mariadb(binary, data)
        case Flavour.MYSQL:
            _initialise_mysql(binary, data, log)


def _initialise_mariadb(binary: ServerBinary, data: Path) -> None:
    installer, base = _mariadb_installer(binary.path)
    common = (f"--datadir={data}", f"--innodb-log-file-size={REDO_LOG}", *_HASTY, *_as_root())
    _run(
        [
            str(installer),
            "--no-defaults",
            *base,
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
            # A machine whose own name cannot be looked up will do: accounts with it in them are dropped below anyway.
            "--force",
            *common,
        ],
        "mariadb-install-db",
    )
    _run([str(binary.path), "--no-defaults", "--bootstrap", *common], "mariadbd --bootstrap", stdin=_MARIADB_ACCOUNTS)


def _initialise_mysql(binary: ServerBinary, data: Path, log: Path) -> None:
    redo = f"--loose-innodb-redo-log-capacity={REDO_LOG}"
    options = ("--performance-schema=OFF", "--skip-log-bin", "--secure-file-priv=NULL", redo, *_HASTY, *_as_root())
    try:
        _run(
            [str(binary.path), "--no-defaults", "--initialize-insecure", f"--datadir={data}", f"--log-error={log}", *options],
            "mysqld --initialize-insecure",
        )
    except HostError as error:
        errors = [line for line in log.read_text().splitlines() if "[ERROR]" in line] if log.exists() else []
        raise HostError(f"{error}: {errors[0].strip()}" if errors else str(error)) from error
    # It holds the server's identity: every copy has to make its own.
    (data / "auto.cnf").unlink(missing_ok=True)


def _mariadb_installer(server: Path) -> tuple[Path, tuple[str, ...]]:
    """`mariadb-install-db` of this server, and the option that ties the two together."""
    base = server.resolve().parent.parent
    for directory in ("bin", "scripts", "sbin"):
        for name in ("mariadb-install-db", "mysql_install_db"):
            installer = base / directory / name
            if os.access(installer, os.X_OK):
                return installer, (f"--basedir={base}",)
    found = shutil.which("mariadb-install-db")
    if found is None:
        raise ConfigError(f"{server} has no mariadb-install-db beside it: `apt-get install mariadb-server-core`")
    return Path(found), ()


def _as_root() -> tuple[str, ...]:
    return ("--user=root",) if os.geteuid() == 0 else ()


def _run(command: Sequence[str], what: str, timeout_s: float = _INITIALISE_TIMEOUT_S, *, stdin: str = "") -> None:
    try:
        done = subprocess.run(  # noqa: S603 - programs found by us, without a shell
            command, input=stdin, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise HostError(f"{what} did not end within {timeout_s:g} s") from error
    except OSError as error:
        raise HostError(f"{what}: {error.strerror}") from error
    if done.returncode != 0:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        telling = [line for line in lines if "ERROR" in line] or lines[-1:] or ["no message"]
        raise HostError(f"{what} failed with exit code {done.returncode}: {telling[0].strip()}")
