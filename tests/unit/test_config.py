"""replclus.toml into a ClusterSpec, and every way in which it can be wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from replclus import config
from replclus.config.schema import TimingsTable
from replclus.errors import ConfigError
from replclus.model.spec import ClusterSpec, Durability, FenceHook, Timings

CLUSTER = '[cluster]\nname = "shop"\n'
TWO_NODES = """
[[node]]
name = "n1"
host = "127.0.0.1"
port = 3311

[[node]]
name = "n2"
host = "127.0.0.1"
port = 3312
"""
MINIMAL = CLUSTER + TWO_NODES
LEASED = CLUSTER + "lease_s = {}\n" + TWO_NODES


def load(directory: Path, text: str, environ: Mapping[str, str] | None = None, **more: Any) -> ClusterSpec:
    file = directory / "replclus.toml"
    file.write_text(text)
    return config.load(file, environ=environ or {}, **more)


def complaints(directory: Path, text: str, environ: Mapping[str, str] | None = None, **more: Any) -> list[str]:
    """The problems found in `text`, one per line, without the name of the file."""
    with pytest.raises(ConfigError) as caught:
        load(directory, text, environ, **more)
    lines = str(caught.value).splitlines()
    prefix = f"{directory / 'replclus.toml'}: "
    assert all(line.startswith((prefix, "override: ")) for line in lines), lines
    assert caught.value.exit_code == 2
    return [line.removeprefix(prefix) for line in lines]


def complaint(directory: Path, text: str, environ: Mapping[str, str] | None = None, **more: Any) -> str:
    (only,) = complaints(directory, text, environ, **more)
    return only


# ---- what a good file means ------------------------------------------------------------------------------------------


def test_the_smallest_file_gets_the_defaults(tmp_path: Path) -> None:
    spec = load(tmp_path, MINIMAL)
    assert [node.address for node in spec.nodes] == ["127.0.0.1:3311", "127.0.0.1:3312"]
    assert spec.durability is Durability.LOSSLESS
    assert spec.timings == Timings()
    assert spec.state_dir == tmp_path.resolve() / ".replclus"
    assert spec.admin is None
    assert spec.app is None
    assert spec.first_primary.name == "n1"


def test_every_key_arrives(tmp_path: Path) -> None:
    text = """
    [cluster]
    name = "shop"
    durability = "available"
    state_dir = "state"
    lease_s = 20
    [accounts.admin]
    user = "root"
    password = "geheim"
    [accounts.app]
    user = "app"
    password = "app"
    schema = "app"
    hosts = ["198.18.0.21", "Web1.Example."]
    [timings]
    tick_s = 1
    connect_retry_s = 3
    [fence]
    command = ["bin/cut-power", "--now"]
    timeout_s = 2.5
    [[node]]
    name = "n1"
    host = "DB1.example"
    port = 3307
    socket = "n1/mysqld.sock"
    process_dir = "n1"
    ssh = "dba@db1.example:2222"
    weight = 0
    priority = -3
    candidate = false
    primary = true
    zone = "rack-1"
    tags = ["ssd", "big"]
    """
    spec = load(tmp_path, text)
    base = tmp_path.resolve()
    (node,) = spec.nodes
    assert (node.host, node.port, node.socket) == ("db1.example", 3307, str(base / "n1/mysqld.sock"))
    assert (node.process_dir, node.ssh) == (base / "n1", "dba@db1.example:2222")
    assert (node.weight, node.priority, node.candidate, node.primary) == (0, -3, False, True)
    assert (node.zone, node.tags) == ("rack-1", ("ssd", "big"))
    assert spec.state_dir == base / "state"
    assert spec.durability is Durability.AVAILABLE
    assert (spec.timings.tick_s, spec.timings.connect_retry_s, spec.timings.lease_s) == (1.0, 3, 20)
    assert spec.fence_hook == FenceHook((str(base / "bin/cut-power"), "--now"), 2.5)
    assert spec.admin is not None and spec.admin.password.reveal() == "geheim"
    assert spec.app is not None
    assert (spec.app.account.user, spec.app.schema) == ("app", "app")
    assert spec.app.hosts == ("198.18.0.21", "web1.example")


def test_relative_paths_are_relative_to_the_file_also_through_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, elsewhere = tmp_path / "cluster", tmp_path / "elsewhere"
    cluster.mkdir()
    elsewhere.mkdir()
    load(cluster, MINIMAL)
    (elsewhere / "replclus.toml").symlink_to(cluster / "replclus.toml")
    monkeypatch.chdir(elsewhere)
    assert config.load(environ={}).state_dir == cluster.resolve() / ".replclus"


def test_the_environment_names_the_file_unless_the_caller_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(tmp_path, MINIMAL)
    monkeypatch.chdir(tmp_path)
    named = {"REPLCLUS_CONFIG": "replclus.toml"}
    assert config.load(environ=named).name == "shop"
    with pytest.raises(ConfigError, match=r"^other\.toml: there is no such file"):
        config.load("other.toml", environ=named)


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "replclus.toml").write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())
    assert config.load(tmp_path / "replclus.toml", environ={}).name == "shop"


def test_overrides_replace_values_and_are_named_when_they_are_wrong(tmp_path: Path) -> None:
    spec = load(tmp_path, MINIMAL, overrides={"cluster.durability": "available", "timings.tick_s": 0.5})
    assert (spec.durability, spec.timings.tick_s) == (Durability.AVAILABLE, 0.5)
    assert complaint(tmp_path, MINIMAL, overrides={"timings.tick_s": 9}) == (
        "override: timings.tick_s: 9 is too large: use 5 or less"
    )
    assert complaint(tmp_path, MINIMAL, overrides={"cluster.durabilty": "available"}).startswith(
        "override: cluster.durabilty: unknown key (did you mean 'durability'?)"
    )
    assert "only keys of plain tables" in complaint(tmp_path, MINIMAL, overrides={"node.port": 1})


# ---- files that are no configuration ---------------------------------------------------------------------------------


def test_a_missing_file_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        config.load(environ={})
    assert str(caught.value) == (
        "replclus.toml: there is no such file: create a cluster to try with `replclus sandbox create DIR`, "
        "or name your file with -c FILE"
    )
    with pytest.raises(ConfigError, match=r"^REPLCLUS_CONFIG=gone\.toml: there is no such file"):
        config.load(environ={"REPLCLUS_CONFIG": "gone.toml"})


def test_a_syntax_error_has_line_and_column(tmp_path: Path) -> None:
    assert complaint(tmp_path, '[cluster]\nname = "shop\n') == (
        "is not valid TOML: Illegal character '\\n' (at line 2, column 13)"
    )
    assert "line 4" in complaint(tmp_path, MINIMAL.replace("[[node]]", "[[node]", 1))


def test_what_is_not_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "replclus.toml"
    file.write_bytes(b'[cluster]\nname = "\xff"\n')
    with pytest.raises(ConfigError, match=r"is not UTF-8 text \(line 2\)"):
        config.load(file, environ={})
    file.write_bytes(b"#" * (1 << 21))
    with pytest.raises(ConfigError, match="larger than"):
        config.load(file, environ={})
    with pytest.raises(ConfigError, match="is a directory"):
        config.load(tmp_path, environ={})
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load("x" * 5000, environ={})
    assert "is not valid TOML" in complaint(tmp_path, "x = " + "[" * 100_000)


# ---- one wrong key each ----------------------------------------------------------------------------------------------

WRONG = [
    (CLUSTER, "node: there are no nodes: add one [[node]] per server, with name and host"),
    (TWO_NODES, 'cluster: the table is missing: begin the file with [cluster] and name = "…"'),
    (MINIMAL + "prot = 1\n", "node[1] (n2).prot: unknown key (did you mean 'port'?)"),
    (MINIMAL + "[timings]\nqqq = 1\n", "timings.qqq: unknown key: known here are acker_grace_s, connect_retry_count, "),
    (MINIMAL.replace("3312", "0"), "node[1] (n2).port: 0 is too small: use 1 or more"),
    (MINIMAL.replace("3312", "65536"), "node[1] (n2).port: 65536 is too large: use 65535 or less"),
    (MINIMAL.replace("3312", '"3312"'), 'node[1] (n2).port: must be a whole number, found "3312": write it without quotes'),
    (MINIMAL.replace("3312", "33.5"), "node[1] (n2).port: must be a whole number, found 33.5"),
    (MINIMAL.replace("3312", "true"), "node[1] (n2).port: must be a whole number, found true"),
    (MINIMAL.replace('"n2"', '"n1"'), "node[1] (n1).name: 'n1' is the name of node[0] (n1) already: choose another"),
    (MINIMAL.replace('"n2"', '"N1"'), "node[1] (N1).name: 'N1' is the name of node[0] (n1) already: choose another"),
    (MINIMAL.replace('"n2"', '"n 2"'), "node[1] (n 2).name: 'n 2' is not a name: use 1 to 32 letters"),
    (MINIMAL.replace('"n2"', f'"{"n" * 33}"'), "node[1].name: 'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn' is not a name"),
    (MINIMAL.replace('name = "n2"\n', ""), "node[1].name: is missing: name of the node, unique"),
    (MINIMAL.replace("3312", "3311"), "node[1] (n2): 127.0.0.1:3311 is the address of node[0] (n1) already: every node"),
    (MINIMAL + 'host = ""\n', "is not valid TOML: Cannot overwrite a value (at line "),
    (MINIMAL + "weight = -1\n", "node[1] (n2).weight: -1 is too small: use 0 or more"),
    (MINIMAL + "tags = [1]\n", "node[1] (n2).tags[0]: must be a string, found 1: put it in quotes"),
    (MINIMAL + 'candidate = "no"\n', 'node[1] (n2).candidate: must be true or false, found "no": write it without quotes'),
    (MINIMAL + 'socket = "~/s"\n', "node[1] (n2).socket: '~/s': '~' is not expanded here, write the whole path"),
    (MINIMAL + f'socket = "/{"x" * 107}"\n', f"node[1] (n2).socket: /{'x' * 107} is longer than a Unix socket's 107"),
    (MINIMAL + 'ssh = "-oProxyCommand=x"\n', "node[1] (n2).ssh: '-oProxyCommand=x' is not a host: write a host name"),
    (MINIMAL + '[node.extra]\nx = "y"\n', "node[1] (n2).extra: unknown key"),
    (MINIMAL + "[timings]\ntick_s = inf\n", "timings.tick_s: must be a finite number, found inf"),
    (MINIMAL + "[timings]\ntick_s = nan\n", "timings.tick_s: must be a finite number, found nan"),
    (MINIMAL + "[timings]\ntick_s = 0.001\n", "timings.tick_s: 0.001 is too small: use 0.01 or more"),
    (MINIMAL + "[timings]\nheartbeat_period_s = 2.0\n", "timings: heartbeat_period_s (2) must be less than"),
    (LEASED.format(5), "cluster.lease_s: 5 is not more than timings.routing_ttl_s (5)"),
    (LEASED.format(8) + "[timings]\nrouting_ttl_s = 8.5\n", "cluster.lease_s: 8 is not more than timings.routing_ttl_s (8.5)"),
    (MINIMAL + "[timings]\nrouting_ttl_s = 60\n", "cluster.lease_s: 10 is not more than timings.routing_ttl_s (60)"),
    (LEASED.format(-1), "cluster.lease_s: -1 is too small: use 0 or more"),
    (LEASED.format(3601), "cluster.lease_s: 3601 is too large: use 3600 or less"),
    (LEASED.format('"10"'), "cluster.lease_s: must be a whole number"),
    (MINIMAL + "[fence]\n", "fence.command: is missing: the program and its arguments"),
    (MINIMAL + '[fence]\ncommand = "reboot"\n', "fence.command: must be a list"),
    (MINIMAL + "[fence]\ncommand = []\n", "fence.command: is empty: add at least 1"),
    (MINIMAL + '[fence]\ncommand = [" "]\n', "fence: command begins with an empty word"),
    (MINIMAL + '[fence]\ncommand = ["a\\u0000b"]\n', "fence.command[0]: 'a\\x00b' is not a word of a command"),
    (MINIMAL + '[fence]\ncommand = ["x"]\ntimeout_s = 0\n', "fence.timeout_s: 0 is too small: use 0.1 or more"),
    (MINIMAL + "[timings]\nrouting_ttl_s = 1.5\n", "timings: routing_ttl_s (1.5) must be more than pulse_deadline_s"),
    (CLUSTER + '[node]\nname = "n1"\n', "node: must be a list of tables: begin each server with [[node]], in double"),
    ("cluster = 1\n" + TWO_NODES, "cluster: must be a table, found 1"),
    (CLUSTER + "accounts = 1\n" + TWO_NODES, "cluster.accounts: unknown key"),
    (
        CLUSTER + 'durability = "losless"\n' + TWO_NODES,
        "cluster.durability: 'losless' is not a durability (did you mean 'lossless'?): use \"lossless\" or \"available\"",
    ),
]


@pytest.mark.parametrize(("text", "expected"), WRONG, ids=[expected.split(":")[0] for _, expected in WRONG])
def test_each_mistake_names_the_key_and_the_fix(tmp_path: Path, text: str, expected: str) -> None:
    found = complaint(tmp_path, text)
    assert found.startswith(expected), found


@pytest.mark.parametrize(("right", "wrong"), [("cluster", "clutser"), ("node", "nodes")])
def test_a_misspelt_table_is_missing_and_unknown(tmp_path: Path, right: str, wrong: str) -> None:
    missing, unknown = complaints(tmp_path, MINIMAL.replace(f"[{right}]", f"[{wrong}]"))
    assert missing.startswith(f"{right}: ")
    assert unknown == f"{wrong}: unknown key (did you mean {right!r}?)"


def test_all_problems_are_told_at_once_in_one_line_each(tmp_path: Path) -> None:
    text = """
    [cluster]
    name = "no good"
    durability = "safe"
    [accounts.admin]
    user = "root"
    password_env = "REPLCLUS_ADMIN_PASSWORD"
    [[node]]
    name = "n1"
    host = "db_1"
    port = 70000
    primary = true
    [[node]]
    name = "n1"
    host = "db2"
    prt = 1
    primary = true
    [[node]]
    name = "n3"
    host = "DB2."
    """
    places = [line.split(": ")[0] for line in complaints(tmp_path, text)]
    assert places == [
        "cluster.name",
        "cluster.durability",
        "node[0] (n1).host",
        "node[0] (n1).port",
        "node[1] (n1).prt",
        "node[1] (n1).name",
        "node[2] (n3)",
        "node[1] (n1).primary",
        "accounts.admin.password_env",
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("db1", "DB1"),
        ("db1.example", "db1.example."),
        ("::1", "0:0:0:0:0:0:0:1"),
        ("2001:DB8::1", "2001:db8:0::1"),
        ("localhost", "127.0.0.1"),
        ("::ffff:198.18.0.11", "198.18.0.11"),
    ],
)
def test_two_spellings_of_one_address_are_a_duplicate(tmp_path: Path, first: str, second: str) -> None:
    text = CLUSTER + f'[[node]]\nname = "a"\nhost = "{first}"\n[[node]]\nname = "b"\nhost = "{second}"\nport = 3306\n'
    assert f"{second}:3306 is the address of node[0] (a) already" in complaint(tmp_path, text)


def test_sockets_and_process_directories_are_unique(tmp_path: Path) -> None:
    text = MINIMAL.replace("port = 3311", 'port = 3311\nsocket = "s/../x"\nprocess_dir = "d"')
    text += 'socket = "x"\nprocess_dir = "./d"\n'
    assert [line.split(": ")[0] for line in complaints(tmp_path, text)] == [
        "node[1] (n2).socket",
        "node[1] (n2).process_dir",
    ]


# ---- the list of keys ------------------------------------------------------------------------------------------------


def test_the_timings_table_is_the_timings_of_the_model() -> None:
    # The lease stands in [cluster]: it is a promise of the cluster, not a wait of the watchdog.
    assert [field.name for field in fields(Timings)] == [*TimingsTable.model_fields, "lease_s"]
    assert Timings(**TimingsTable().model_dump()) == Timings()


def test_the_documentation_is_up_to_date() -> None:
    file = Path(__file__).parents[2] / "docs" / "configuration.md"
    rewrite = f"{sys.executable} -c 'from replclus import config; print(config.document(), end=\"\")' > docs/configuration.md"
    assert file.exists() and file.read_text() == config.document(), f"run: {rewrite}"


def test_every_key_is_documented() -> None:
    text = config.document()
    assert "| None |" not in text
    for key in ("state_dir", "password_file", "schema", "process_dir", *TimingsTable.model_fields):
        assert f"| `{key}` |" in text


def test_importing_it_is_light() -> None:
    code = "import sys, replclus.config; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pymysql", "sqlite3", "typer", "rich", "sqlparse", "fabric", "asyncio"} & set(loaded)
