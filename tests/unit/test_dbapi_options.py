"""The keywords of `connect`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pymysql.converters import conversions
from pymysql.cursors import Cursor, DictCursor

from replclus.dbapi import registry
from replclus.dbapi.cursors import RoutedCursor, cursor_class
from replclus.dbapi.options import Bounds, read_options
from replclus.dbapi.pool import Pool
from replclus.errors import ConfigError

URL = "mysql+replclus://u:p@h1,h2:3307/shop"

TOML = """
[cluster]
name = "shop"
[accounts.admin]
user = "root"
password_env = "NOT_SET_FOR_APPLICATIONS"
[[node]]
name = "n1"
host = "198.18.0.11"
[[node]]
name = "n2"
host = "198.18.0.12"
port = 3307
"""


def test_a_url() -> None:
    options = read_options({"cluster": URL + "?consistency=eventual&failover_timeout=2.5&autocommit=true&charset=latin1"})
    assert [(node.name, node.host, node.port) for node in options.seeds] == [("h1:3306", "h1", 3306), ("h2:3307", "h2", 3307)]
    assert options.links == {"user": "u", "password": "p"}
    assert (options.setup.database, options.setup.charset, options.setup.autocommit) == ("shop", "latin1", True)
    assert (options.consistency, options.failover_timeout_s) == ("eventual", 2.5)


def test_a_pool_s_bounds() -> None:
    options = read_options({"cluster": URL + "?pool_size=5&max_connections=20&max_lifetime=60&primary_reads=when_idle"})
    assert options.bounds == Bounds(idle_max=5, open_max=20, lifetime_s_max=60.0)
    assert options.primary_reads == "when_idle"
    assert read_options({"host": "h", "replica_required": True}).replica_required


def test_keywords_win_over_the_url() -> None:
    options = read_options({"cluster": URL, "password": "other", "database": "d", "consistency": "strong"})
    assert options.links == {"user": "u", "password": "other"}
    assert (options.setup.database, options.consistency) == ("d", "strong")


def test_a_file_without_its_administrators_password(tmp_path: Path) -> None:
    file = tmp_path / "replclus.toml"
    file.write_text(TOML)
    assert [node.name for node in read_options({"cluster": str(file)}).seeds] == ["n1", "n2"]
    file.write_text(TOML.replace('"n2"', '"second"'))
    options = read_options({"cluster": file})
    assert [node.name for node in options.seeds] == ["n1", "second"], "read again after a change"
    assert options.state_dir is not None


def test_one_host_is_enough() -> None:
    options = read_options({"host": "h", "port": 3307, "user": "u"})
    assert [node.address for node in options.seeds] == [("h", 3307)]


def test_defaults_are_those_of_pymysql() -> None:
    options = read_options({"host": "h"})
    assert options.setup.autocommit is False
    assert options.setup.charset == "utf8mb4"
    assert (options.consistency, options.failover_timeout_s, options.split_transactions) == ("session", 30.0, True)


def test_deprecated_names() -> None:
    options = read_options({"host": "h", "db": "d", "passwd": "s"})
    assert (options.setup.database, options.links["password"]) == ("d", "s")


@pytest.mark.parametrize(
    ("keywords", "error", "sentence"),
    [
        ({"consistancy": "strong"}, TypeError, "no keyword 'consistancy': did you mean 'consistency'?"),
        ({"zzz": 1}, TypeError, "no keyword 'zzz'$"),
        ({"consistency": "strict"}, ValueError, "consistency='strict' is not one of session, eventual, strong, bounded"),
        ({"balance": "random"}, ValueError, "balance='random' is not one of round_robin"),
        ({"max_lag_ms": 5}, ValueError, "only has a meaning together with"),
        ({"failover_timeout": -1}, ValueError, "failover_timeout=-1 must be"),
        ({"failover_timeout": "soon"}, ValueError, "failover_timeout='soon' must be a number"),
        ({"primary_reads": "sometimes"}, ValueError, "primary_reads='sometimes' is not one of never, when_idle, always"),
        ({"max_connections": 0}, ValueError, "max_connections=0 must be a whole number from 1"),
        ({"pool_size": 2.5}, ValueError, "pool_size=2.5 must be a whole number from 0"),
        ({"max_lifetime": -1}, ValueError, "max_lifetime=-1 must be"),
        ({"replica_required": True, "consistency": "strong"}, ValueError, "contradicts consistency='strong'"),
        ({"replica_required": True, "primary_reads": "when_idle"}, ValueError, "contradicts primary_reads='when_idle'"),
        ({"cluster": URL + "?max_connections=many"}, ConfigError, "max_connections='many'"),
        ({"compress": True}, NotImplementedError, "compress"),
        ({"cluster": URL + "?consistancy=strong"}, ConfigError, "did you mean 'consistency'"),
        ({"cluster": URL + "?autocommit=perhaps"}, ConfigError, "autocommit='perhaps'"),
        ({"cluster": "postgres://h/d"}, ConfigError, "is not a cluster URL"),
        ({"cluster": "/nowhere/replclus.toml"}, ConfigError, "there is no such file"),
    ],
)
def test_bad_input(keywords: dict[str, Any], error: type[Exception], sentence: str) -> None:
    given = keywords if "cluster" in keywords else {"host": "h", **keywords}
    with pytest.raises(error, match=sentence):
        read_options(given)


def test_secrets_do_not_print() -> None:
    assert "s3cret" not in repr(read_options({"host": "h", "password": "s3cret"}))


class Mine(DictCursor):
    """A cursor of the application's."""


def test_cursor_classes() -> None:
    routed = cursor_class(Mine)
    assert issubclass(routed, RoutedCursor)
    assert issubclass(routed, Mine)
    assert routed.__name__ == "Mine"
    assert cursor_class(Mine) is routed
    assert cursor_class(routed) is routed
    assert cursor_class(Cursor) is not routed


def test_converters_that_are_made_anew_each_time_share_a_pool() -> None:
    def pool(**more: Any) -> Pool:
        return registry.pool_for(read_options({"host": "h", "conv": dict(conversions), **more}))

    try:
        assert pool() is pool()
        assert pool() is not pool(user="another")
        assert registry.pool_for(read_options({"host": "h", "conv": {}})) is not pool()
    finally:
        registry.shut_down()
