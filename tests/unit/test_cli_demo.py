"""The demo's judge is itself judged here: on seeded losses, gaps and differences."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from replclus.cli.demo.compare import Contents, Placed, TableSum, judge
from replclus.cli.demo.data import CUSTOMERS, FIRST_PLACED_ID, PRODUCTS, tables
from replclus.cli.demo.history import Follower, History, Kind, Recorder, Write
from replclus.cli.demo.result import Result
from replclus.cli.demo.show import Show
from replclus.model.spec import Flavour

ORDER = FIRST_PLACED_ID + 5


def write(at: float = 1.0, kind: Kind = Kind.ORDER, order_id: int = ORDER, lines: int = 0) -> Write:
    return Write(at=at, took_ms=2.5, node="n1", kind=kind, order_id=order_id, lines=lines)


def contents(node: str, placed: dict[int, Placed], digest: str = "aa") -> Contents:
    return Contents(node, placed, {"orders": TableSum(len(placed), digest)})


# ---- data ------------------------------------------------------------------------------------------------------------


def test_the_shop_has_more_than_50_000_rows_and_is_the_same_every_time() -> None:
    first, second, other = (tuple(tables(seed)) for seed in (1, 1, 2))
    assert sum(len(table.rows) for table in first) >= 50_000
    assert first == second
    assert first != other


def test_the_shop_satisfies_its_foreign_keys_and_leaves_the_applications_their_ids() -> None:
    customers, products, orders, lines = tables(7)
    ids = {table.name: {row[0] for row in table.rows} for table in (customers, products, orders)}
    assert {len(found) for found in (ids["customers"], ids["products"])} == {CUSTOMERS, PRODUCTS}
    assert {row[1] for row in orders.rows} <= ids["customers"]
    assert {row[0] for row in lines.rows} == ids["orders"]
    assert {row[2] for row in lines.rows} <= ids["products"]
    assert max(ids["orders"]) < FIRST_PLACED_ID
    assert len({row[:2] for row in lines.rows}) == len(lines.rows)


# ---- history ---------------------------------------------------------------------------------------------------------


def test_a_history_is_read_back_while_it_is_written(tmp_path: Path) -> None:
    path, absent = tmp_path / "app1.jsonl", tmp_path / "app2.jsonl"
    follower = Follower([path, absent])
    written = write(kind=Kind.LINES, lines=3)
    with path.open("w") as file:
        recorder = Recorder(file)
        recorder.write(written)
        file.write('["write", 2.0, 1.0, "n1", "or')
        file.flush()
        assert follower.read().writes == [written]
        file.write('der", 7, 0]\n')
        recorder.error(3.0, "OperationalError: gone")
        recorder.end(Counter({"n2": 4}), 1)
        found = follower.read()
    assert [each.order_id for each in found.writes] == [ORDER, 7]
    assert found.errors == ["OperationalError: gone"]
    assert (found.reads["n2"], found.stale_reads, found.ended) == (4, 1, 1)


def test_a_foreign_line_is_not_taken_for_a_history() -> None:
    with pytest.raises(ValueError, match="not a line of a history"):
        History().add('["written", 1]')


@pytest.mark.parametrize(
    ("moments", "ended_at", "expected_ms"),
    [
        ([1.0, 1.1, 1.9, 2.0], 2.0, 800.0),  # between two writes of any two processes
        ([2.0, 1.0, 1.1], 2.0, 900.0),  # files are read one after the other
        ([1.0, 1.1], 5.0, 3900.0),  # no write after the kill at all
        ([1.0, 1.1, 9.0], 1.2, 100.0),  # held statements that ended after the load count for nothing
    ],
)
def test_the_outage_is_the_longest_time_without_an_acknowledged_write(
    moments: list[float], ended_at: float, expected_ms: float
) -> None:
    history = History(writes=[write(at=at) for at in moments])
    assert history.outage(ended_at).ms == pytest.approx(expected_ms)


def test_a_history_without_writes_has_no_outage_but_an_error() -> None:
    with pytest.raises(ValueError, match="empty"):
        History().outage(2.0)


# ---- comparison ------------------------------------------------------------------------------------------------------

WRITES = (write(), write(kind=Kind.LINES, lines=3), write(kind=Kind.PAID))
WHOLE = {ORDER: Placed("paid", 3)}


def test_nothing_is_lost_where_every_server_has_everything() -> None:
    found = judge((contents("n1", WHOLE), contents("n2", WHOLE)), WRITES)
    assert (found.lost, found.checksums_equal) == ((), True)


@pytest.mark.parametrize(
    ("placed", "kinds"),
    [
        ({}, ["order", "lines", "paid"]),
        ({ORDER: Placed("placed", 3)}, ["paid"]),
        ({ORDER: Placed("paid", 2)}, ["lines"]),
        ({ORDER: Placed("placed", 0)}, ["lines", "paid"]),
    ],
)
def test_a_write_that_one_server_lacks_is_lost_and_named(placed: dict[int, Placed], kinds: list[str]) -> None:
    found = judge((contents("n1", WHOLE), contents("n2", placed)), WRITES)
    assert [sentence.split()[0] for sentence in found.lost] == kinds
    assert all("not on n2" in sentence for sentence in found.lost)


def test_a_write_missing_on_several_servers_is_lost_once() -> None:
    found = judge((contents("n1", {}), contents("n2", {})), WRITES[:1])
    assert len(found.lost) == 1
    assert "n1, n2" in found.lost[0]


def test_different_or_missing_tables_are_not_equal() -> None:
    assert not judge((contents("n1", WHOLE), contents("n2", WHOLE, "bb")), ()).checksums_equal
    without = Contents("n2", WHOLE, {})
    assert not judge((contents("n1", WHOLE), without), ()).checksums_equal
    fewer = Contents("n2", WHOLE, {"orders": TableSum(0, "aa")})
    assert not judge((contents("n1", WHOLE), fewer), ()).checksums_equal


# ---- verdict ---------------------------------------------------------------------------------------------------------

GOOD = Result(
    flavour=Flavour.MARIADB,
    acknowledged=3120,
    lost=(),
    errors=(),
    stale_reads=0,
    outage_ms=412.34,
    outage_from_ms=-3.0,
    not_rejoined="",
    checksums_equal=True,
    reads_by_node={"n2": 10},
    writes_by_node={"n1": 10},
    seconds=24.26,
)


def test_a_good_result_is_what_the_contract_says() -> None:
    assert GOOD.ok
    document = GOOD.to_dict()
    expected = {
        "ok": True, "flavour": "mariadb", "acknowledged": 3120, "lost": 0, "errors_seen_by_application": 0,
        "write_outage_ms": 412.3, "rejoined": True, "checksums_equal": True, "seconds": 24.3,
    }  # fmt: skip
    assert {key: document[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (replace(GOOD, lost=("order 5 is not on n2",)), "order 5 is not on n2"),
        (replace(GOOD, errors=("OperationalError: gone",)), "OperationalError: gone"),
        (replace(GOOD, stale_reads=2), "2 times"),
        (replace(GOOD, outage_ms=1000.1), "1000 ms"),
        (replace(GOOD, not_rejoined="n1 is down"), "n1 is down"),
        (replace(GOOD, checksums_equal=False), "not equal"),
    ],
)
def test_each_broken_promise_is_named(broken: Result, words: str) -> None:
    assert not broken.ok
    assert not broken.to_dict()["ok"]
    (sentence,) = broken.broken_promises()
    assert words in sentence


def test_many_losses_are_counted_and_some_shown() -> None:
    (sentence,) = replace(GOOD, lost=tuple(f"write {number}" for number in range(50))).broken_promises()
    assert sentence.startswith("50 acknowledged writes were lost")
    assert "45 more" in sentence


def test_only_a_good_result_ends_with_nothing_was_lost() -> None:
    for result, said in ((GOOD, True), (replace(GOOD, stale_reads=1), False)):
        console = Console(width=200)
        with console.capture() as captured:
            Show(console).verdict(result)
        assert ("Nothing was lost" in captured.get()) is said
