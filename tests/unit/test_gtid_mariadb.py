"""Texts of MariaDB 10.11.19, and what they mean when servers change roles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replclus.errors import GtidSyntaxError
from replclus.model.gtid import Comparison, MariadbGtidSet, compare

parse = MariadbGtidSet.parse


# @@gtid_binlog_state and @@gtid_binlog_pos of one server, read together. Written in gtid_strict_mode with several
# server ids and domains. Within a domain the server prints the last writer last; we sort by server id.
@pytest.mark.parametrize(
    ("state", "position", "printed"),
    [
        ("", "", ""),
        ("0-1-2", "0-1-2", "0-1-2"),
        ("0-3-3,0-1-4,4-2-1,7-3-1,7-1-2", "0-1-4,4-2-1,7-1-2", "0-1-4,0-3-3,4-2-1,7-1-2,7-3-1"),
        ("0-1-5,0-2-7", "0-2-7", "0-1-5,0-2-7"),
        ("0-1-10,0-3-11", "0-3-11", "0-1-10,0-3-11"),
        ("0-2-3,5-1-1", "0-2-3,5-1-1", "0-2-3,5-1-1"),
    ],
)
def test_binlog_state_gives_the_position(state: str, position: str, printed: str) -> None:
    assert parse(state).position() == position
    assert str(parse(state)) == printed


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        (" 0-1-5 , 1-2-3\n", "0-1-5,1-2-3"),
        ("00-01-007", "0-1-7"),
        ("0-1-0", ""),
        ("0-1-5,0-1-6", "0-1-6"),
        ("0-1-96..100", "0-1-96..100"),
        ("0-1-96..100,0-1-95", "0-1-100"),
        ("0-1-7..7,0-1-5", "0-1-5,0-1-7..7"),
        ("4294967295-4294967295-18446744073709551615", "4294967295-4294967295-18446744073709551615"),
    ],
)
def test_normalised(text: str, printed: str) -> None:
    assert str(parse(text)) == printed


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ("a", 0, "expected domain-server-sequence"),
        ("0-1", 0, "expected domain-server-sequence"),
        ("-1-1-1", 0, "expected domain-server-sequence"),
        ("0 - 1 - 5", 0, "expected domain-server-sequence"),
        (",0-1-5", 0, "expected domain-server-sequence"),
        ("0-1-5,", 6, "expected domain-server-sequence"),
        ("0-1-5, ,0-2-6", 7, "expected domain-server-sequence"),
        ("0-1-\N{ARABIC-INDIC DIGIT FIVE}", 0, "expected domain-server-sequence"),
        ("0-1-5;", 5, "expected ',' or the end"),
        ("0-1-5..", 5, "expected ',' or the end"),
        ("0-1-5 0-2-6", 6, "expected ',' or the end"),
        ("4294967296-1-1", 0, "goes up to 4294967295"),
        ("0-4294967296-1", 2, "goes up to 4294967295"),
        ("0-1-18446744073709551616", 4, "goes up to 18446744073709551615"),
        ("0-1-5,0-1-" + "9" * 5000, 10, "goes up to 18446744073709551615"),
        ("0-1-5..4", 4, "does not end before it starts"),
        ("0-1-0..4", 4, "starts at 1"),
    ],
)
def test_refused(text: str, position: int, problem: str) -> None:
    with pytest.raises(GtidSyntaxError, match="not a MariaDB GTID set") as caught:
        parse(text)
    assert caught.value.position == position
    assert caught.value.text == text
    assert problem in str(caught.value)


@given(st.text(alphabet="0123-,. \n", max_size=24) | st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        value = parse(text)
    except GtidSyntaxError as error:
        assert 0 <= error.position <= len(text)
    else:
        assert parse(str(value)) == value


def test_an_unacknowledged_tail_is_named() -> None:
    old_primary, new_primary = parse("0-1-100"), parse("0-1-95,0-3-105")
    assert compare(old_primary, new_primary) is Comparison.INCOMPARABLE
    assert str(old_primary - new_primary) == "0-1-96..100"
    assert (old_primary - new_primary).count() == 5
    assert compare(parse("0-1-95"), new_primary) is Comparison.BEHIND


def test_received_is_the_union_of_state_and_io_position() -> None:
    executed = parse("0-1-95,0-3-100")
    received = executed | parse("0-3-104")
    assert received.position() == "0-3-104"
    assert str(received.beyond(executed)) == "0-3-101..104"


def test_beyond_counts_only_what_came_after_the_common_point() -> None:
    primary, replica = parse("0-1-95,0-3-105"), parse("0-1-95")
    assert str(primary - replica) == "0-3-105"
    assert str(primary.beyond(replica)) == "0-3-96..105"
    assert primary.beyond(replica).count() == 10
    assert primary.count() == 105


def test_a_seeded_server_looks_behind_and_never_ahead() -> None:
    """Seeded from a dump at 0-3-1000: its state knows nothing of server 1, which wrote before server 3 did."""
    complete, seeded = parse("0-1-500,0-3-1000"), parse("") | parse("0-3-1000")
    assert compare(seeded, complete) is Comparison.BEHIND
    assert complete.beyond(seeded).is_empty
    promoted = seeded | parse("0-4-1001")
    assert compare(promoted, complete) is Comparison.INCOMPARABLE
    assert complete.beyond(promoted).is_empty
    assert str(promoted.beyond(complete)) == "0-4-1001..1001"
    # With the donor's state carried over, as the module's docstring asks, nothing is left in doubt.
    assert compare(promoted | complete, complete) is Comparison.AHEAD


def test_an_errant_transaction_is_seen() -> None:
    primary, replica = parse("0-1-95,0-3-120"), parse("0-1-95,0-3-105,0-2-106")
    assert compare(replica, primary) is Comparison.INCOMPARABLE
    assert str(replica.beyond(primary)) == "0-2-106..106"
    # Buried under later transactions, by skipping or without strict mode: only the pure difference shows it.
    buried = parse("0-1-95,0-2-106,0-3-110")
    assert str(buried - primary) == "0-2-106"
    assert buried.beyond(primary).is_empty


def test_domains_are_judged_one_by_one() -> None:
    assert compare(parse("0-1-5,1-1-7"), parse("0-1-6,1-1-6")) is Comparison.INCOMPARABLE
    assert str(parse("0-1-5,1-1-7").beyond(parse("0-1-6,1-1-6"))) == "1-1-7..7"
    assert parse("0-1-5,1-1-7").count() == 12
