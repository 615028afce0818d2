"""The generated passwords: strong enough for every server, private, never replaced."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from replclus.errors import ConfigError, Conflict, Damaged, StoreError
from replclus.store.secrets import PASSWORD_CHARS_MAX, create_secrets, load_secrets


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


def test_made_once_and_read_again(state_dir: Path) -> None:
    assert load_secrets(state_dir) is None
    assert not state_dir.exists()
    made = create_secrets(state_dir)
    assert load_secrets(state_dir) == made
    assert (made.replication.user, made.watchdog.user) == ("replclus_repl", "replclus_watchdog")
    assert made.replication.password != made.watchdog.password
    with pytest.raises(Conflict, match="exists already"):
        create_secrets(state_dir)
    assert load_secrets(state_dir) == made
    assert [path.name for path in state_dir.iterdir()] == ["secrets.toml"]


def test_they_are_private(state_dir: Path) -> None:
    made = create_secrets(state_dir)
    file = state_dir / "secrets.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(state_dir.stat().st_mode) == 0o700
    assert made.watchdog.password.reveal() not in repr(made) + str(made)


@pytest.mark.parametrize("token", ["A" * 24, "a" * 24, "-" * 24, "_" * 24, "0" * 24])
def test_every_password_meets_the_servers_policies(state_dir: Path, token: str) -> None:
    made = create_secrets(state_dir, lambda _: token)
    for account in (made.replication, made.watchdog):
        password = account.password.reveal()
        assert len(password) <= PASSWORD_CHARS_MAX
        assert all(re.search(kind, password) for kind in (r"[a-z]", r"[A-Z]", r"[0-9]", r"[^a-zA-Z0-9]"))
        assert re.fullmatch(r"[A-Za-z0-9_-]+", password)  # nothing that needs quoting anywhere
        assert account.user not in password


def test_real_passwords_differ_and_fit(tmp_path: Path) -> None:
    passwords = set()
    for number in range(20):
        made = create_secrets(tmp_path / str(number))
        passwords |= {made.replication.password.reveal(), made.watchdog.password.reveal()}
    assert len(passwords) == 40
    assert {len(password) for password in passwords} == {28}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[replication]\n",
        b'[replication]\nuser = "canary"\npassword = 5\n[watchdog]\n',
        b'replication = "canary"\nwatchdog = 1\n',
        b'[replication]\nuser = "u"\npassword = "canary"\n[watchdog]\nuser = "u"\npassw',
    ],
)
def test_damage_is_noticed_and_not_printed(state_dir: Path, content: bytes) -> None:
    create_secrets(state_dir)
    file = state_dir / "secrets.toml"
    file.write_bytes(content)
    with pytest.raises(Damaged, match=r"secrets\.toml is damaged: restore it") as caught:
        load_secrets(state_dir)
    assert "canary" not in repr(caught.value)
    assert caught.value.__context__ is None


def test_files_that_others_could_read_or_place_are_refused(state_dir: Path, tmp_path: Path) -> None:
    create_secrets(state_dir)
    file = state_dir / "secrets.toml"
    file.chmod(0o640)
    with pytest.raises(StoreError, match=r"has mode 0640, others may open it: run chmod 600"):
        load_secrets(state_dir)
    file.chmod(0o600)
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="symbolic link"):
        load_secrets(state_dir)
    with pytest.raises(Conflict):
        create_secrets(state_dir)
    file.unlink()
    file.mkdir()
    with pytest.raises(StoreError, match="not a regular file"):
        load_secrets(state_dir)
    state_dir.chmod(0o750)
    with pytest.raises(ConfigError, match="is open to others"):
        load_secrets(state_dir)


def test_a_dangling_link_is_not_followed(state_dir: Path, tmp_path: Path) -> None:
    state_dir.mkdir(mode=0o700)
    (state_dir / "secrets.toml").symlink_to(tmp_path / "planted")
    with pytest.raises(Conflict):
        create_secrets(state_dir)
    assert not (tmp_path / "planted").exists()
