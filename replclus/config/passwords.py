"""Where the password of an account comes from: the file itself, the environment, or a file of its own.

Nothing here puts a password, or a part of one, into a message.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from replclus.config.schema import AccountTable
from replclus.model.spec import Secret

PASSWORD_BYTES_MAX = 1024

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


def resolve(account: AccountTable, base: Path, environ: Mapping[str, str]) -> Secret:
    """The account's password. ValueError says what is wrong with the way it is given; `base` anchors relative paths."""
    match account.password_keys:
        case ("password",):
            return _checked(account.password or "")
        case ("password_env",):
            return _checked(_from_environment(account.password_env or "", environ))
        case ("password_file",):
            return _checked(_from_file(base / (account.password_file or "")))
        case _:
            return Secret("")


def _checked(password: str) -> Secret:
    if "\0" in password or "\n" in password or "\r" in password:
        raise ValueError("the password holds a line end or a NUL: it must be one line of text")
    if len(password.encode()) > PASSWORD_BYTES_MAX:
        raise ValueError(f"the password is longer than {PASSWORD_BYTES_MAX} bytes: choose a shorter one")
    return Secret(password)


def _from_environment(variable: str, environ: Mapping[str, str]) -> str:
    # Echoed only when it looks like a variable: somebody may have written the password itself there.
    shown = f"the environment variable {variable}" if _VARIABLE.fullmatch(variable) else "the environment variable"
    if not environ.get(variable):
        raise ValueError(f"{shown} is {'empty' if variable in environ else 'not set'}: export it with the password")
    return environ[variable]


def _from_file(path: Path) -> str:
    """The one line in `path`. Refuses symbolic links and files that others than their owner may open."""
    text = _read_private(path)
    try:
        password = text.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        password = ""  # the bytes are part of the password, so they stay out of the error and of its context
    if not password:
        raise ValueError(f"{path} holds no password: write it there as one line of UTF-8 text")
    return password


def _read_private(path: Path) -> bytes:
    # O_NONBLOCK: opening a FIFO must not wait for somebody to write into it.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if path.is_symlink():
            raise ValueError(f"{path} is a symbolic link: name the file itself") from error
        raise ValueError(f"{path} cannot be read ({error.strerror}): create it with mode 0600") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path} is not a regular file")
        if status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            raise ValueError(f"{path} has mode {mode:04o}, others may open it: run chmod 600 {path}")
        return os.read(descriptor, PASSWORD_BYTES_MAX + 3)
    finally:
        os.close(descriptor)
