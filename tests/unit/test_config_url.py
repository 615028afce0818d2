"""The URL form, taken apart and put together."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replclus.config import ClusterUrl, is_url, parse_url
from replclus.errors import ConfigError


def test_everything() -> None:
    url = parse_url("mysql+replclus://shop:p%40ss%2Fw%3A@h1,H2.:3307,[0::1]:3308/shop%20db?consistency=session&balance=a+b&x=")
    assert url == ClusterUrl(
        user="shop",
        password="p@ss/w:",  # noqa: S106
        hosts=(("h1", 3306), ("h2", 3307), ("::1", 3308)),
        database="shop db",
        options={"consistency": "session", "balance": "a b", "x": ""},
    )
    assert "p@ss" not in repr(url)


def test_only_hosts_are_needed() -> None:
    assert parse_url("mysql+replclus://h1") == ClusterUrl(hosts=(("h1", 3306),))
    assert parse_url("MYSQL+replclus://h1/?") == ClusterUrl(hosts=(("h1", 3306),))
    assert parse_url("mysql+replclus://@h1").user is None
    assert parse_url("mysql+replclus://u@h1") == ClusterUrl(user="u", hosts=(("h1", 3306),))
    assert parse_url("mysql+replclus://u:@h1").password == ""


def test_a_url_is_told_from_a_path() -> None:
    assert is_url("mysql+replclus://h1")
    assert is_url("mysql://h1")
    assert not is_url("/etc/replclus.toml")


@pytest.mark.parametrize(
    ("rest", "sentence"),
    [
        ("", "names no host"),
        ("/db", "names no host"),
        ("u:canary@", "names no host"),
        ("u:canary@h1,,h2", "comma too many"),
        ("u:canary@h1:0", "the port must be a number"),
        ("u:canary@h1:99999", "the port must be a number"),
        ("u:canary@h1:", "the port must be a number"),
        ("u:canary@h1:٣", "the port must be a number"),
        ("u:canary@::1", "write an IPv6 address in brackets"),
        ("u:canary@[::1]x", "write an IPv6 address in brackets"),
        ("u:canary@[h1]", "brackets are for IPv6"),
        ("u:canary@h_1", "is not a host"),
        ("u:canary@h1,H1", "twice"),
        ("u:can/ary@h1/db", "in the wrong place"),
        ("u:can?ary@h1/db", "in the wrong place"),
        ("u:can#ary@h1/db", "'#'"),
        ("u:can ary@h1/db", "blanks"),
        ("u:canary@h1/db/x", "in the wrong place"),
        ("u:canary%ff@h1", "the password is not percent-encoded"),
        ("u:canary%00@h1", "the password is not percent-encoded"),
        ("u:canary@h1/db?consistency", "option=value"),
        ("u:canary@h1/db?a=1&a=2", "'a' is given twice"),
        ("u:canary@h1/db?a=%ff", "option=value"),
        ("u:canary@" + ",".join(f"h{n}" for n in range(65)), "64 is the most"),
        ("u:canary@" + "h" * 9000, "8192"),
    ],
)
def test_mistakes_are_explained_without_the_password(rest: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url(f"mysql+replclus://{rest}")
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("cluster URL: ")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "h1", "mysql://h1", "mysql+replclus:h1", "mysql+pymysql://u:canary@h1/db"])
def test_other_schemes(url: str) -> None:
    with pytest.raises(ConfigError, match=r"is not a cluster URL: write mysql\+replclus://user:password@host1"):
        parse_url(url)


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(user=texts, password=texts, database=texts, options=st.dictionaries(texts, texts, max_size=3))
def test_whatever_is_encoded_comes_back(user: str, password: str, database: str, options: dict[str, str]) -> None:
    def encoded(text: str) -> str:
        return quote(text, safe="")

    query = "&".join(f"{encoded(key)}={encoded(value)}" for key, value in options.items())
    url = parse_url(f"mysql+replclus://{encoded(user)}:{encoded(password)}@h1/{encoded(database)}?{query}")
    assert (url.user, url.password, url.database, dict(url.options)) == (user, password, database, options)


@given(st.text())
def test_nothing_but_a_config_error_comes_out(rest: str) -> None:
    try:
        parse_url(f"mysql+replclus://{rest}")
    except ConfigError as error:
        assert len(str(error)) < 9000
