"""The passwords that replclus made up for itself: `secrets.toml` in the state directory."""

from __future__ import annotations

import os
import secrets
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replclus.errors import Conflict, Damaged, StoreError
from replclus.model.spec import Account, Secret
from replclus.store import files

REPLICATION_USER = "replclus_repl"
WATCHDOG_USER = "replclus_watchdog"

PASSWORD_CHARS_MAX = 32  # of SOURCE_PASSWORD in CHANGE REPLICATION SOURCE

_RANDOM_BYTES = 18
_FILE_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The accounts that `init` creates on every node: for the replicas' receivers, and for the watchdog."""

    replication: Account
    watchdog: Account


def load_secrets(state_dir: Path) -> Secrets | None:
    """None if there are none yet. Damaged if the file is not what we wrote, StoreError if others may open it."""
    if not files.check_state_dir(state_dir):
        return None
    path = _path(state_dir)
    content = files.read_private(path, _FILE_BYTES_MAX)
    if content is None:
        return None
    found = _parse(content)
    if found is None:  # raised out here, where no context carries the passwords
        raise Damaged(f"{path} is damaged: restore it, or remove it and run `replclus init`, which makes new passwords")
    return found


def create_secrets(state_dir: Path, token: Callable[[int], str] = secrets.token_urlsafe) -> Secrets:
    """Make up passwords and write them down, all or nothing. Conflict if there are some: they are never replaced."""
    files.make_state_dir(state_dir)
    path = _path(state_dir)
    made = Secrets(replication=Account(REPLICATION_USER, _password(token)), watchdog=Account(WATCHDOG_USER, _password(token)))
    try:
        with files.new_file(path) as draft, draft.open("w") as file:
            file.write(_toml(made))
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as error:
        raise Conflict(f"{path} exists already") from error
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error
    return made


def _path(state_dir: Path) -> Path:
    return state_dir / "secrets.toml"


def _password(token: Callable[[int], str]) -> Secret:
    """144 random bits; the end adds each kind of character that password policies of the servers ask for."""
    password = f"{token(_RANDOM_BYTES)}-Aa1"
    if len(password) > PASSWORD_CHARS_MAX:
        raise AssertionError(f"a password of {len(password)} characters does not fit into CHANGE REPLICATION SOURCE")
    return Secret(password)


def _toml(made: Secrets) -> str:
    lines = ["# Written by `replclus init`: the passwords of its own accounts. Keep it private, do not change it."]
    for table, account in (("replication", made.replication), ("watchdog", made.watchdog)):
        lines += [f"[{table}]", f'user = "{account.user}"', f'password = "{account.password.reveal()}"']
    return "\n".join(lines) + "\n"


def _parse(content: bytes) -> Secrets | None:
    try:
        document = tomllib.loads(content.decode())
        return Secrets(replication=_account(document["replication"]), watchdog=_account(document["watchdog"]))
    except (ValueError, KeyError, TypeError):
        return None


def _account(table: Any) -> Account:
    user, password = table["user"], table["password"]
    if not (isinstance(user, str) and isinstance(password, str) and user and password):
        raise TypeError("user and password are texts")
    return Account(user, Secret(password))
