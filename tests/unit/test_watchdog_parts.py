"""The watchdog's parts that need no server: the beat clock, the board, and since when the record stands as it does."""

from __future__ import annotations

import threading
from dataclasses import replace

from replclus.failover.view import NEVER
from replclus.model.gtid import MysqlGtidSet
from replclus.model.observation import Facts, Identity, Observation, Reach, Version
from replclus.model.record import ClusterRecord
from replclus.model.spec import Flavour
from replclus.provision.restorer import Restorer
from replclus.watchdog.board import BACKOFF_S_MAX, Board
from replclus.watchdog.pulse import BeatClock
from replclus.watchdog.restoring import Workers
from replclus.watchdog.tenure import Tenure
from tests.clusters import eventually
from tests.scenarios import language

UUID = "00000000-0000-0000-0000-000000000001"


class Hand:
    """A clock that is moved by hand."""

    def __init__(self, now: float = 100.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def seen(reach: Reach, *, at: float, received: str = "", full: bool = True, syncs: int | None = None) -> Observation:
    gtids = MysqlGtidSet.parse(f"{UUID}:{received}" if received else "")
    identity = Identity(flavour=Flavour.MYSQL, version=Version(9, 7, 4), server_id=1)
    facts = Facts(identity=identity, writable=False, executed=gtids, received=gtids, syncs=syncs)
    return Observation(
        node="n2", at=at, reach=reach, facts=facts if reach is Reach.ANSWERED else None, full_at=at if full else 0.0
    )


def test_beats_grow_with_time_in_milliseconds() -> None:
    clock = Hand()
    beats = BeatClock(wall=lambda: 1000.0, clock=clock)
    first = beats.next()
    clock.now += 0.25
    assert first == 1_000_000
    assert beats.next() == first + 250


def test_beats_grow_even_when_no_time_passes() -> None:
    beats = BeatClock(wall=lambda: 1000.0, clock=Hand())
    assert [beats.next() for _ in range(3)] == [1_000_000, 1_000_001, 1_000_002]


def test_beats_go_on_from_what_an_earlier_watchdog_wrote_when_the_wall_clock_was_set_back() -> None:
    clock = Hand()
    beats = BeatClock(wall=lambda: 1000.0, clock=clock)
    beats.start_after(5_000_000)
    first = beats.next()
    clock.now += 1.0
    assert first > 5_000_000
    assert beats.next() == first - 1 + 1000


def test_silence_is_dated_from_the_first_unanswered_probe() -> None:
    board = Board(Hand())
    board.put(seen(Reach.TIMED_OUT, at=3.0), asked_at=2.0)
    board.put(seen(Reach.TIMED_OUT, at=5.0), asked_at=4.0)
    assert board.snapshot()[1]["n2"].silent_since == 2.0
    board.put(seen(Reach.ANSWERED, at=6.0), asked_at=5.9)
    assert board.snapshot()[1]["n2"].silent_since is None


def test_the_question_is_dated_and_not_the_answer() -> None:
    board = Board(Hand())
    board.put(seen(Reach.ANSWERED, at=3.0), asked_at=2.0)
    assert board.snapshot()[1]["n2"].asked_at == 2.0
    board.put(seen(Reach.TIMED_OUT, at=5.0), asked_at=3.5)
    assert board.snapshot()[1]["n2"].asked_at == 3.5


def test_a_complete_look_is_dated_by_its_question_and_not_by_smaller_ones_after_it() -> None:
    board = Board(Hand())
    board.put(seen(Reach.ANSWERED, at=3.0), asked_at=2.0)
    board.put(replace(seen(Reach.ANSWERED, at=5.0), full_at=3.0), asked_at=4.0)
    board.put(replace(seen(Reach.TIMED_OUT, at=7.0), full_at=3.0), asked_at=6.0)
    history = board.snapshot()[1]["n2"]
    assert (history.asked_at, history.looked_at) == (6.0, 2.0)


def test_the_end_of_a_step_is_dated_whether_it_went_well_or_not() -> None:
    clock = Hand(10.0)
    board = Board(clock)
    for end in (board.note_success, board.note_failure):
        clock.now += 1.0
        board.note_begun("n2", 1.0)
        assert board.snapshot()[1]["n2"].step_ended_at < clock.now
        end("n2")
        assert board.snapshot()[1]["n2"].step_ended_at == clock.now


def test_the_highest_position_is_remembered_when_a_node_goes_back() -> None:
    board = Board(Hand())
    board.put(seen(Reach.ANSWERED, at=1.0, received="1-9"), asked_at=1.0)
    board.put(seen(Reach.ANSWERED, at=2.0, received="1-5"), asked_at=2.0)
    assert str(board.snapshot()[1]["n2"].highest_received) == f"{UUID}:1-9"
    board.forget_positions(["n2"])
    assert board.snapshot()[1]["n2"].highest_received is None


def test_when_it_last_executed_something_and_its_disk_was_at_work() -> None:
    board = Board(Hand())
    for at, received, syncs in ((1.0, "1-5", None), (2.0, "1-5", 7), (3.0, "1-6", 7), (4.0, "1-6", 9), (5.0, "1-6", 9)):
        board.put(seen(Reach.ANSWERED, at=at, received=received, syncs=syncs), asked_at=at)
    board.put(seen(Reach.TIMED_OUT, at=6.0), asked_at=5.5)
    history = board.snapshot()[1]["n2"]
    assert (history.executed_at, history.synced_at) == (3.0, 4.0)


def test_a_node_is_left_alone_longer_after_each_failure() -> None:
    clock = Hand(0.0)
    board = Board(clock)
    pauses = []
    for _ in range(8):
        board.note_failure("n2")
        pauses.append(board.snapshot()[1]["n2"].not_before)
    assert pauses == sorted(pauses)
    assert pauses[0] < 1.0
    assert pauses[-1] == BACKOFF_S_MAX
    board.note_success("n2")
    board.note_failure("n2")
    assert board.snapshot()[1]["n2"].not_before == pauses[0]


def test_a_change_in_reach_wakes_the_loop_and_more_of_the_same_does_not() -> None:
    board = Board()
    board.put(seen(Reach.ANSWERED, at=1.0), asked_at=1.0)
    board.wait_for_alarm(0.0)
    woken = threading.Event()

    def wait() -> None:
        board.wait_for_alarm(5.0)
        woken.set()

    threading.Thread(target=wait, daemon=True).start()
    board.put(seen(Reach.ANSWERED, at=2.0), asked_at=2.0)
    assert not woken.wait(0.1)
    board.put(seen(Reach.REFUSED, at=3.0), asked_at=3.0)
    assert woken.wait(5.0)


def test_news_means_a_complete_look_or_silence_after_the_question() -> None:
    board = Board()
    board.put(seen(Reach.ANSWERED, at=10.0, full=False), asked_at=10.0)
    assert not board._is_newer("n2", 9.0)
    board.put(seen(Reach.ANSWERED, at=11.0), asked_at=11.0)
    assert board._is_newer("n2", 10.5)
    board.put(seen(Reach.TIMED_OUT, at=12.0), asked_at=12.0)
    assert board._is_newer("n2", 11.5)
    assert not board._is_newer("n3", 0.0)


def test_a_rebuild_that_meets_a_mistake_of_ours_ends() -> None:
    """A record of a cluster that does not exist is enough of one: nothing can be done with it."""
    workers = Workers(Restorer(spec=None, secrets=None), Board(Hand()), lambda _: None)  # type: ignore[arg-type]
    workers.begin(None, "n2", "n1", None)  # type: ignore[arg-type]
    eventually(lambda: workers.works(["n2"])["n2"].ended, "it ends")
    work = workers.works(["n2"])["n2"]
    assert not work.ok and "AttributeError" in work.what


def record_of(*given: str) -> ClusterRecord:
    return language.view(language.Scenario("", given, "", 0), Flavour.MYSQL).record


CALM = record_of("record epoch=7", "n1 answered writable received=1")
PROMOTING = record_of("record epoch=8 op=failover/promote old=n1", "n1 answered received=1")


def test_a_cluster_found_at_rest_has_always_been_so() -> None:
    tenure = Tenure()
    for at in (5.0, 6.0):
        tenure.note(CALM, at)
    assert tenure.since == NEVER


def test_a_change_is_dated_once_and_so_is_its_end() -> None:
    tenure = Tenure()
    tenure.note(CALM, 5.0)
    dates = []
    for record, at in ((PROMOTING, 6.0), (PROMOTING, 7.0), (replace(PROMOTING, operation=None), 8.0), (CALM, 9.0)):
        tenure.note(record, at)
        dates.append(tenure.since)
    assert dates == [6.0, 6.0, 8.0, 9.0]


def test_a_change_found_under_way_is_dated_from_when_it_was_found() -> None:
    tenure = Tenure()
    tenure.note(PROMOTING, 6.0)
    assert tenure.since == 6.0
