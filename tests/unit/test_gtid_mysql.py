"""Texts of MySQL: what a 9.7.4 server prints, what it accepts, and what we refuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replclus.errors import GtidSyntaxError, ReplclusError
from replclus.model.gtid import MysqlGtidSet

U = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
V = "11111111-2222-3333-4444-555555555555"
W = "c95436f4-e773-11f1-a9cf-02fc00000001"

# @@gtid_executed of a 9.7.4 server after SET gtid_next = 'AUTOMATIC:Tag', 'AUTOMATIC:backup_1', explicit ones and none.
EXECUTED = f"{V}:4:aa:3:zz:3,\n{U}:1-2:7,\n{W}:1-3:backup_1:1:tag:1-2"


def test_what_a_server_prints_is_printed_the_same() -> None:
    executed = MysqlGtidSet.parse(EXECUTED)
    assert str(executed) == EXECUTED
    assert executed.count() == 12


# Left: given to GTID_SUBTRACT(text, '') on 9.7.4. Right: its answer.
@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("", ""),
        (" \n", ""),
        (f"{U.upper()}:1-5", f"{U}:1-5"),
        (f"{U}:5-5", f"{U}:5"),
        (f"{U}:1-3:4-5:9:9", f"{U}:1-5:9"),
        (f"{U}:9:1-3", f"{U}:1-3:9"),
        (f"{U}:1-3:5:tag:1-2", f"{U}:1-3:5:tag:1-2"),
        (f"{U}:TAG:1-2:b:5:1", f"{U}:b:1:5:tag:1-2"),
        (f"{U}:1,{V}:2", f"{V}:2,\n{U}:1"),
        (f" {U} : 1 - 3 : 7 , \n{V}:2:tag:4 ", f"{V}:2:tag:4,\n{U}:1-3:7"),
        (f"{U}:1\n,{V}:1", f"{V}:1,\n{U}:1"),
        (f"{U}:1-\n3", f"{U}:1-3"),
        (f"{U}: tag : 1", f"{U}:tag:1"),
        (f"{U}:01-03", f"{U}:1-3"),
        (f"{U}:tag:1,{U}:4", f"{U}:4:tag:1"),
        (f"{U}:1:a:3:4-6:b:7,{U}:c:1", f"{U}:1:a:3-6:b:7:c:1"),
        (f"{U}:b:1:a:2:3,{V}:z:1,{U}:a:9,{V}:7", f"{V}:7:z:1,\n{U}:a:2-3:9:b:1"),
        (f"{U}:a1:1:a_:2:a:3:_a:4:aa:5:1", f"{U}:_a:4:a:3:a1:1:a_:2:aa:1:5"),
        (f"{U}:{'a' * 32}:1", f"{U}:{'a' * 32}:1"),
        (f"{U}:9223372036854775805-9223372036854775806", f"{U}:9223372036854775805-9223372036854775806"),
    ],
)
def test_normalised_as_the_server_does(text: str, printed: str) -> None:
    assert str(MysqlGtidSet.parse(text)) == printed


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ("x:1", 0, "expected a server UUID"),
        (f"{U[:-1]}:1", 0, "expected a server UUID"),
        (f"{U.replace('-', '')}:1", 0, "expected a server UUID"),
        (f"{U}:1,", 39, "expected a server UUID"),
        (f"{U}:1, ,{U}:2", 40, "expected a server UUID"),
        (f",{U}:1", 0, "expected a server UUID"),
        (U, 36, "expected ':' and a sequence number or tag"),
        (f"{U},{V}:1", 36, "expected ':' and a sequence number or tag"),
        (f"{U}:", 36, "expected ':' and a sequence number or tag"),
        (f"{U}:+1", 36, "expected ':' and a sequence number or tag"),
        (f"{U}:\N{FULLWIDTH DIGIT ONE}", 36, "expected ':' and a sequence number or tag"),
        (f"{U}:\N{KELVIN SIGN}:1", 36, "expected ':' and a sequence number or tag"),
        (f"{U}:tag", 40, "expected ':' and a sequence number"),
        (f"{U}:tag:other:1", 40, "expected ':' and a sequence number"),
        (f"{U}:1:tag,{V}:1", 42, "expected ':' and a sequence number"),
        (f"{U}:{'a' * 33}:1", 69, "expected ':' and a sequence number"),
        (f"{U}:1a:1", 38, "expected ':', ',' or the end"),
        (f"{U}:1-", 38, "expected ':', ',' or the end"),
        (f"{U}:1-2-3", 40, "expected ':', ',' or the end"),
        (f"{U}:1 {U}:2", 39, "expected ':', ',' or the end"),
        (f"{U}:1\N{NO-BREAK SPACE}", 38, "expected ':', ',' or the end"),
        (f"{U}:5-3", 37, "the interval ends before it starts"),
        (f"{U}:0", 37, "sequence numbers go from 1 to"),
        (f"{U}:1:1-0", 41, "sequence numbers go from 1 to"),
        (f"{U}:9223372036854775807", 37, "sequence numbers go from 1 to"),
        (f"{U}:1-{'9' * 5000}", 39, "sequence numbers go from 1 to"),
    ],
)
def test_refused(text: str, position: int, problem: str) -> None:
    with pytest.raises(GtidSyntaxError) as caught:
        MysqlGtidSet.parse(text)
    assert caught.value.position == position
    assert caught.value.text == text
    assert problem in str(caught.value)
    assert len(str(caught.value)) < 200


def test_the_message_shows_the_place() -> None:
    with pytest.raises(GtidSyntaxError) as caught:
        MysqlGtidSet.parse(f"{U}:1;2")
    assert str(caught.value) == (
        "not a MySQL GTID set: expected ':', ',' or the end at character 38, after '-9E33-C80AA9429562:1', found ';2'"
    ).replace("-9E33-C80AA9429562", "-9e33-c80aa9429562")
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, ReplclusError)


@given(st.text(alphabet=f"{U[:3]}:-,aB_ \n019", max_size=20).map(lambda tail: f"{U}{tail}") | st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        value = MysqlGtidSet.parse(text)
    except GtidSyntaxError as error:
        assert 0 <= error.position <= len(text)
    else:
        assert MysqlGtidSet.parse(str(value)) == value
