"""Accounts in replclus.toml: where passwords come from, and that they go nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from replclus.errors import ConfigError
from replclus.events import Event
from replclus.model.spec import ClusterSpec
from tests.unit.test_config import CLUSTER, MINIMAL, TWO_NODES, complaint, load


def admin(line: str) -> str:
    return f'{CLUSTER}[accounts.admin]\nuser = "root"\n{line}\n{TWO_NODES}'


def password(spec: ClusterSpec) -> str:
    assert spec.admin is not None
    return spec.admin.password.reveal()


def secret_file(directory: Path, content: bytes, mode: int = 0o600) -> Path:
    file = directory / "password"
    file.write_bytes(content)
    file.chmod(mode)
    return file


def test_a_password_comes_from_one_of_three_places_or_is_empty(tmp_path: Path) -> None:
    secret_file(tmp_path, b"from file \n")
    assert password(load(tmp_path, admin(""))) == ""
    assert password(load(tmp_path, admin('password = "in line"'))) == "in line"
    assert password(load(tmp_path, admin('password_env = "PW"'), {"PW": "from env"})) == "from env"
    assert password(load(tmp_path, admin('password_file = "password"'))) == "from file "
    assert complaint(tmp_path, admin('password = "a"\npassword_env = "PW"'), {"PW": "x"}) == (
        "accounts.admin: gives the password twice: keep one of password and password_env"
    )


def test_an_unset_variable_is_named_and_matters_only_to_those_who_need_it(tmp_path: Path) -> None:
    text = admin('password_env = "REPLCLUS_ADMIN_PASSWORD"')
    assert complaint(tmp_path, text) == (
        "accounts.admin.password_env: the environment variable REPLCLUS_ADMIN_PASSWORD is not set: export it with the password"
    )
    assert "is empty" in complaint(tmp_path, text, {"REPLCLUS_ADMIN_PASSWORD": ""})
    assert load(tmp_path, text, accounts=False).admin is None
    assert "hunter2" not in complaint(tmp_path, admin('password_env = "hunter2"'))


def test_a_password_file_must_be_private(tmp_path: Path) -> None:
    text = admin('password_file = "password"')
    assert "cannot be read (No such file or directory)" in complaint(tmp_path, text)
    file = secret_file(tmp_path, b"x\n", 0o640)
    assert complaint(tmp_path, text).endswith(f"{file} has mode 0640, others may open it: run chmod 600 {file}")
    secret_file(tmp_path, b"\n")
    assert "holds no password" in complaint(tmp_path, text)
    secret_file(tmp_path, b"two\nlines\n")
    assert "holds a line end" in complaint(tmp_path, text)
    secret_file(tmp_path, b"x" * 5000)
    assert "longer than 1024 bytes" in complaint(tmp_path, text)
    file.rename(tmp_path / "real")
    file.symlink_to(tmp_path / "real")
    assert "is a symbolic link" in complaint(tmp_path, text)
    file.unlink()
    os.mkfifo(file, 0o600)
    assert "is not a regular file" in complaint(tmp_path, text)
    file.unlink()
    file.mkdir(mode=0o700)
    assert "is not a regular file" in complaint(tmp_path, text)


APP = {"user": '"app"', "password": '"app"', "schema": '"app"'}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"password": '""'}, "accounts.app: has no password: add password_env, password_file or password"),
        ({"user": '"root"'}, "accounts.app.user: is the admin's account"),
        ({"user": '"replclus_watchdog"'}, "accounts.app.user: names beginning with 'replclus_' are replclus's own"),
        ({"user": f'"{"u" * 33}"'}, "accounts.app.user: "),
        ({"schema": '"mysql"'}, "accounts.app.schema: 'mysql' belongs to the server or to replclus"),
        ({"schema": '"a`b"'}, "accounts.app.schema: 'a`b' is not a schema name"),
        ({"hosts": '["%"]'}, "accounts.app.hosts[0]: '%' is a pattern: name the exact hosts"),
        ({"hosts": '["10.0.0.0/255.0.0.0"]'}, "accounts.app.hosts[0]: '10.0.0.0/255.0.0.0' is a pattern"),
        ({"hosts": "[]"}, "accounts.app.hosts: is empty: add at least 1 entry"),
        ({"password": "5"}, "accounts.app.password: must be a string: put it in quotes"),
        ({"paswd": '"s3cret"'}, "accounts.app.paswd: unknown key (did you mean 'password'?)"),
    ],
)
def test_the_application_account_is_checked(tmp_path: Path, change: dict[str, str], expected: str) -> None:
    app = "\n".join(f"{key} = {value}" for key, value in (APP | change).items())
    assert complaint(tmp_path, admin("") + f"[accounts.app]\n{app}\n").startswith(expected)


def test_no_password_reaches_an_error_or_its_causes(tmp_path: Path) -> None:
    canary = "c4n4ry-in-a-cage"
    text = admin(f'password = "{canary}"').replace("3312", "0") + f'[accounts.app]\npassword = ["{canary}"]\n'
    for broken in (text, text + "= x"):
        with pytest.raises(ConfigError) as caught:
            load(tmp_path, broken)
        error: BaseException | None = caught.value
        while error is not None:
            assert canary not in repr(error) + str(error) + repr(vars(error))
            error = error.__cause__ or error.__context__
    assert canary not in repr(load(tmp_path, admin(f'password = "{canary}"')))


def test_a_password_that_everybody_can_read_is_worth_a_warning(tmp_path: Path) -> None:
    heard: list[Event] = []
    load(tmp_path, MINIMAL, report=heard.append)
    (tmp_path / "replclus.toml").chmod(0o600)
    load(tmp_path, admin('password = "x"'), report=heard.append)
    assert heard == []
    (tmp_path / "replclus.toml").chmod(0o644)
    load(tmp_path, admin('password = "x"'), report=heard.append)
    assert [event.sentence for event in heard] == [
        f"warning: {tmp_path}/replclus.toml holds a password and every user may read it: run chmod 600 {tmp_path}/replclus.toml"
    ]


def test_app_hosts_default_to_this_machine_when_the_nodes_are_on_it(tmp_path: Path) -> None:
    app = '[accounts.app]\nuser = "app"\npassword = "app"\nschema = "app"\n'
    spec = load(tmp_path, CLUSTER + app + TWO_NODES)
    assert spec.app is not None and spec.app.hosts == ("127.0.0.1", "localhost")
    spec = load(tmp_path, CLUSTER + app + TWO_NODES + '[[node]]\nname = "n3"\nhost = "0:0::1"\n')
    assert spec.app is not None and spec.app.hosts == ("127.0.0.1", "localhost", "::1")
    assert complaint(tmp_path, CLUSTER + app + TWO_NODES + '[[node]]\nname = "n3"\nhost = "db3"\n') == (
        "accounts.app.hosts: is missing: list the exact hosts that the application connects from, as the servers see them"
    )
