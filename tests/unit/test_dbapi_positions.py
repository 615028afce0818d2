"""What a session has seen, as positions."""

from __future__ import annotations

import pytest

from replclus.dbapi.causality import Latest, Seen, check_token
from replclus.model.gtid import MysqlGtidSet
from replclus.model.spec import Flavour

A = "aaaaaaaa-0000-0000-0000-000000000001"
B = "bbbbbbbb-0000-0000-0000-000000000002"


def test_nothing_seen_is_within_everything() -> None:
    assert Seen(Flavour.MARIADB).within("")
    assert Seen(Flavour.MYSQL).within("")


class TestMariadb:
    def test_own_writes_replace_each_other(self) -> None:
        seen = Seen(Flavour.MARIADB)
        seen.wrote("0-1-5")
        seen.wrote("0-1-6")
        assert seen.text == "0-1-6"

    def test_after_a_failover_another_server_writes_on(self) -> None:
        seen = Seen(Flavour.MARIADB)
        seen.wrote("0-1-5")
        seen.wrote("0-3-6")
        assert seen.text == "0-3-6"

    def test_domains_are_kept_apart(self) -> None:
        seen = Seen(Flavour.MARIADB)
        seen.wrote("0-1-5")
        seen.reached("1-2-7,0-1-4")
        seen.wrote("0-1-6")
        assert sorted(seen.text.split(",")) == ["0-1-6", "1-2-7"]

    def test_reached_never_goes_back(self) -> None:
        seen = Seen(Flavour.MARIADB)
        seen.wrote("0-1-5")
        seen.reached("0-1-4")
        assert seen.text == "0-1-5"
        seen.reached("0-2-9,0-1-8")
        assert seen.text == "0-2-9"

    @pytest.mark.parametrize(
        ("applied", "within"), [("0-1-5", True), ("0-2-6", True), ("0-1-4", False), ("", False), ("1-1-9", False)]
    )
    def test_within(self, applied: str, within: bool) -> None:
        seen = Seen(Flavour.MARIADB)
        seen.wrote("0-1-5")
        assert seen.within(applied) is within


class TestMysql:
    @pytest.mark.parametrize(
        ("applied", "within"),
        [
            (f"{A}:1-10", True),
            (f"{A}:10", True),
            (f"{B}:1-3,{A}:1-4:9-12", True),
            (f"{A}:1-4:9-12,{B}:1-3", True),
            (f"{A}:1-9", False),
            (f"{A}:1-9:11-12", False),
            (f"{A}:1-9,{B}:10", False),
            (f"{B}:1-10", False),
            (f"{A}:1-9:tag:1-20", False),
            (f"{A}:tag:1-20", False),
            (f"{A}:1-9:tag:1-20,{B}:10", False),
            (f"{A}:1-3:10:tag:1-2", True),
            ("", False),
        ],
    )
    def test_one_write_within(self, applied: str, within: bool) -> None:
        seen = Seen(Flavour.MYSQL)
        seen.wrote(f"{A}:10")
        assert seen.within(applied) is within
        assert MysqlGtidSet.parse(applied).contains(MysqlGtidSet.parse(seen.text)) is within

    def test_a_write_stands_for_what_came_before(self) -> None:
        seen = Seen(Flavour.MYSQL)
        seen.reached(f"{A}:1-9")
        seen.wrote(f"{A}:10")
        assert seen.text == f"{A}:10"

    def test_positions_add_up_and_lose_their_line_ends(self) -> None:
        seen = Seen(Flavour.MYSQL)
        seen.wrote(f"{A}:3")
        seen.reached(f"{A}:1-2,\n{B}:1-7")
        assert seen.text == f"{A}:1-3,{B}:1-7"

    @pytest.mark.parametrize(
        ("applied", "within"), [(f"{A}:1-5", True), (f"{A}:5", True), (f"{A}:1-4", False), (f"{B}:1-9", False)]
    )
    def test_within(self, applied: str, within: bool) -> None:
        seen = Seen(Flavour.MYSQL)
        seen.wrote(f"{A}:5")
        assert seen.within(applied) is within


@pytest.mark.parametrize(
    ("flavour", "token"), [(Flavour.MARIADB, "0-1-7"), (Flavour.MYSQL, f"{A}:1-7,{B}:2"), (Flavour.MARIADB, "0-1-7,1-1-2")]
)
def test_tokens(flavour: Flavour, token: str) -> None:
    assert check_token(flavour, token) == token


@pytest.mark.parametrize("token", ["x", f"{A}:1", "0-1-1') OR SLEEP(9) -- ", "0-1"])
def test_bad_tokens_never_reach_a_statement(token: str) -> None:
    with pytest.raises(ValueError, match="causality_token"):
        check_token(Flavour.MARIADB, token)


class TestLatest:
    """What a process wrote last, over whichever of its connections."""

    def test_threads_may_come_in_any_order(self) -> None:
        latest = Latest()
        for gtid in ("0-1-5", "0-1-7", "0-1-6"):
            latest.wrote(gtid)
        assert latest.text == "0-1-7"

    def test_domains_are_kept_apart(self) -> None:
        latest = Latest()
        for gtid in ("0-1-5", "1-1-2", "0-2-6"):
            latest.wrote(gtid)
        assert sorted(latest.text.split(",")) == ["0-2-6", "1-1-2"]

    def test_a_statement_may_be_several_transactions(self) -> None:
        latest = Latest()
        for gtid in (f"{A}:5-7", f"{A}:6", f"{A}:tag:2"):
            latest.wrote(gtid)
        assert latest.text == f"{A}:tag:2"

    def test_a_new_primary_has_what_the_old_one_had(self) -> None:
        latest = Latest()
        for gtid in (f"{A}:500", f"{B}:3"):
            latest.wrote(gtid)
        assert latest.text == f"{B}:3"

    def test_following_replaces_what_was_followed(self) -> None:
        seen = Seen(Flavour.MYSQL)
        seen.reached(f"{A}:1-4")
        for number in (7, 9):
            seen.follow(f"{A}:{number}")
        assert seen.position == f"{A}:1-4,{A}:9"
        assert not seen.within(f"{A}:1-8")
        assert seen.within(f"{A}:1-9")
        seen.wrote(f"{A}:12")
        assert seen.position == f"{A}:12"

    def test_following_on_mariadb(self) -> None:
        seen = Seen(Flavour.MARIADB)
        seen.wrote("0-1-5")
        seen.follow("0-1-8")
        assert seen.position == "0-1-8"
