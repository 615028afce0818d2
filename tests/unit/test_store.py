"""The SQLite store: one record by compare-and-swap, a bounded journal, and damage that is noticed."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from replclus.errors import ConfigError, Conflict, Damaged, StoreError
from replclus.events import Progress
from replclus.model.record import ClusterRecord, Member
from replclus.model.spec import Durability, Flavour
from replclus.store import SqliteStore, Store
from replclus.store import sqlite as sqlite_module

RECORD = ClusterRecord(
    version=1,
    cluster_id="c1",
    name="shop",
    flavour=Flavour.MARIADB,
    durability=Durability.LOSSLESS,
    epoch=1,
    primary="n1",
    members=(Member(name="n1", host="db1", port=3306, server_id=1),),
)


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def store(state_dir: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(state_dir)
    yield store
    store.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_is_a_store(store: SqliteStore) -> None:
    as_protocol: Store = store
    assert as_protocol.load() is None


def test_a_record_is_created_once(store: SqliteStore, state_dir: Path) -> None:
    store.create(RECORD)
    assert store.load() == RECORD
    with pytest.raises(Conflict, match="has a record already"):
        SqliteStore(state_dir).create(RECORD)


def test_compare_and_swap(store: SqliteStore, state_dir: Path) -> None:
    store.create(RECORD)
    written = store.cas(1, replace(RECORD, epoch=2, primary="n2", version=99))
    assert written == replace(RECORD, epoch=2, primary="n2", version=2)
    assert SqliteStore(state_dir).load() == written
    with pytest.raises(Conflict, match="from version 1, but it has version 2"):
        store.cas(1, RECORD)
    assert store.load() == written


def test_there_is_nothing_to_swap_without_a_record(store: SqliteStore) -> None:
    with pytest.raises(Conflict, match="there is none"):
        store.cas(1, RECORD)


@pytest.mark.parametrize("wrong", [replace(RECORD, epoch=0), replace(RECORD, cluster_id="c2")])
def test_epochs_only_grow_and_clusters_do_not_change(store: SqliteStore, wrong: ClusterRecord) -> None:
    store.create(RECORD)
    with pytest.raises(StoreError, match="only grow") as caught:
        store.cas(1, wrong)
    assert not isinstance(caught.value, Conflict | Damaged)
    assert store.load() == RECORD


def test_another_connection_sees_a_change_at_once(store: SqliteStore, state_dir: Path) -> None:
    store.create(RECORD)
    other = SqliteStore(state_dir)
    assert other.load() == RECORD
    assert store.cas(1, RECORD) == other.load()
    assert other.cas(2, RECORD) == store.load()


def test_one_store_may_be_used_by_many_threads(store: SqliteStore) -> None:
    store.create(RECORD)
    wins: list[int] = []

    def work() -> None:
        for _ in range(20):
            record = store.load()
            assert record is not None
            try:
                wins.append(store.cas(record.version, record).version)
            except Conflict:
                store.append((0.0, Progress(what="lost")))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(wins) == list(range(2, 2 + len(wins)))
    assert len(wins) + len(store.journal(1000)) == 80


def test_files_are_private_whatever_the_umask(state_dir: Path) -> None:
    before = os.umask(0)
    try:
        store = SqliteStore(state_dir)
        store.create(RECORD)
        with store.lock("watchdog"):
            assert {path.name: mode(path) for path in state_dir.iterdir()} == {
                "record.db": 0o600,
                "record.db-journal": 0o600,
                "watchdog.lock": 0o600,
            }
        assert mode(state_dir) == 0o700
    finally:
        os.umask(before)


def test_nothing_is_created_when_that_is_not_wanted(state_dir: Path) -> None:
    looking = SqliteStore(state_dir, create=False)
    assert looking.load() is None
    assert looking.journal(10) == ()
    for change in (lambda: looking.create(RECORD), lambda: looking.cas(1, RECORD), lambda: looking.lock("x")):
        with pytest.raises(StoreError, match="run `replclus init` first"):
            change()
    assert not state_dir.exists()
    SqliteStore(state_dir).create(RECORD)
    assert looking.load() == RECORD


# ---- the journal -----------------------------------------------------------------------------------------------------


def test_the_journal_keeps_events_in_order(store: SqliteStore) -> None:
    for number in range(5):
        store.append((1000.5 + number, Progress(what=f"step {number}", node="n1")))
    entries = store.journal(3)
    assert [entry.event["what"] for entry in entries] == ["step 2", "step 3", "step 4"]
    assert [entry.seq for entry in entries] == [3, 4, 5]
    assert (entries[0].at, entries[0].code, entries[0].event["node"]) == (1002.5, "Progress", "n1")


def test_the_journal_forgets_its_oldest_rows(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_module, "JOURNAL_ROWS_MAX", 10)
    for number in range(25):
        store.append((0.0, Progress(what=str(number))))
    assert [entry.event["what"] for entry in store.journal(100)] == [str(number) for number in range(15, 25)]


def test_the_journal_is_append_only(store: SqliteStore) -> None:
    store.append((0.0, Progress(what="it happened")))
    with (
        sqlite3.connect(store.path) as connection,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        connection.execute("UPDATE journal SET event = 'it did not'")


# ---- damage ----------------------------------------------------------------------------------------------------------


def truncate(size: int) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, size)


def overwrite(at: int, content: bytes) -> Callable[[Path], None]:
    def act(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(at)
            file.write(content)

    return act


def text(path: Path) -> None:
    path.write_text("not a database\n")


def change_document(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TRIGGER record_only_grows")
        connection.execute("UPDATE record SET document = replace(document, 'n1', 'n2')")


def another_database(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE record (version INTEGER)")


DAMAGE: dict[str, Callable[[Path], None]] = {
    "empty": truncate(0),
    "cut in the header": truncate(50),
    "cut in the first page": truncate(3000),
    "cut after the first page": truncate(4096),
    "cut in the middle": truncate(10_000),
    "text": text,
    "garbage at the start": overwrite(0, os.urandom(4096)),
    "garbage behind the header": overwrite(4096, b"\xff" * 4096),
    "a changed document": change_document,
    "another database": another_database,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("in_use", [False, True], ids=["at rest", "in use"])
def test_damage_is_noticed_and_can_be_set_aside(state_dir: Path, damage: Callable[[Path], None], in_use: bool) -> None:
    store = SqliteStore(state_dir)
    store.create(RECORD)
    if not in_use:
        store.close()
    damage(store.path)
    if in_use:
        with suppress(Damaged):
            assert store.load() == RECORD  # from memory, which still has what the file has lost
            store.close()
    with pytest.raises(Damaged, match=r"record\.db.* is damaged"):
        store.load()
    with pytest.raises(Damaged):
        SqliteStore(state_dir, create=False).load()

    aside = store.set_aside()
    assert aside == state_dir / "record.db.damaged-1"
    assert aside.exists()
    assert store.load() is None
    store.create(replace(RECORD, version=5))
    assert SqliteStore(state_dir).load() == replace(RECORD, version=5)


def test_only_what_is_damaged_is_set_aside(store: SqliteStore) -> None:
    with pytest.raises(StoreError, match="there is no cluster record"):
        store.set_aside()
    store.create(RECORD)
    with pytest.raises(Conflict, match="not damaged any more"):
        store.set_aside()
    assert store.load() == RECORD


def test_every_damaged_file_is_kept(store: SqliteStore) -> None:
    for number in (1, 2, 3):
        store.create(RECORD)
        store.path.write_text(f"damage {number}")
        assert store.set_aside().name == f"record.db.damaged-{number}"


def test_a_left_over_rollback_journal_does_not_reach_the_new_record(store: SqliteStore, state_dir: Path) -> None:
    """As if the process was killed in a transaction, and somebody then removed record.db alone."""
    store.create(RECORD)
    connection = sqlite3.connect(store.path, isolation_level=None)
    connection.execute("PRAGMA cache_spill = 1")
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO journal (at, code, event) VALUES (0, 'x', ?)", [("x" * 4000,)] * 50)
    hot = (state_dir / "record.db-journal").read_bytes()
    assert len(hot) > 1000
    connection.close()
    store.close()
    store.path.unlink()
    (state_dir / "record.db-journal").write_bytes(hot)
    store.create(replace(RECORD, version=8))
    store.close()
    assert store.load() == replace(RECORD, version=8)


def test_a_file_that_was_taken_away_or_replaced_is_noticed(store: SqliteStore, tmp_path: Path) -> None:
    store.create(RECORD)
    store.path.unlink()
    assert store.load() is None
    other = SqliteStore(tmp_path / "other")
    other.create(replace(RECORD, cluster_id="c2"))
    other.close()
    other.path.rename(store.path)
    assert store.load() == replace(RECORD, cluster_id="c2")


def test_a_newer_schema_is_not_damage(store: SqliteStore) -> None:
    store.create(RECORD)
    store.close()
    with sqlite3.connect(store.path) as connection:
        connection.execute("PRAGMA user_version = 2")
    for use in (store.load, store.set_aside):
        with pytest.raises(StoreError, match=r"newer replclus \(schema 2\)") as caught:
            use()
        assert not isinstance(caught.value, Damaged)


# ---- bounds and places -----------------------------------------------------------------------------------------------


def test_waiting_for_another_process_is_bounded(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.create(RECORD)
    store.close()
    monkeypatch.setattr(sqlite_module, "BUSY_TIMEOUT_S", 0.1)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match=r"is locked by another process for more than 0\.1 s"):
        store.cas(1, RECORD)
    other.execute("ROLLBACK")
    assert store.cas(1, RECORD).version == 2


def test_a_reader_that_never_ends_does_not_leave_a_transaction_open(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.create(RECORD)
    store.close()
    monkeypatch.setattr(sqlite_module, "BUSY_TIMEOUT_S", 0.1)
    reader = sqlite3.connect(store.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM record").fetchone()
    with pytest.raises(StoreError, match="is locked"):
        store.cas(1, RECORD)
    assert store.load() == RECORD
    reader.execute("COMMIT")
    assert store.cas(1, RECORD).version == 2


def test_a_full_disk_is_one_sentence(store: SqliteStore) -> None:
    store.create(RECORD)
    connection = store._open()
    assert connection is not None
    connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(StoreError, match=r"record\.db cannot be used: database or disk is full"):
        store.append((0.0, Progress(what="x" * 100_000)))
    assert store.load() == RECORD


def test_a_state_directory_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    link = tmp_path / "link"
    (tmp_path / "real").mkdir(mode=0o700)
    link.symlink_to(tmp_path / "real")
    wide = tmp_path / "wide"
    wide.mkdir()
    wide.chmod(0o755)
    for path, sentence in (
        (file, "is not a directory: move it away"),
        (file / "below", "cannot be created"),
        (link, "is a symbolic link: name the directory itself"),
        (wide, f"is open to others (mode 0755): run chmod 700 {wide}"),
        (tmp_path / "no" / "parent", f"cannot be created: create {tmp_path / 'no'} first"),
        (Path("/proc/replclus"), "cannot be created"),
        (Path("/dev/null"), "is not a directory"),
        (tmp_path / ("x" * 300), "cannot be created (File name too long)"),
    ):
        with pytest.raises(ConfigError) as caught:
            SqliteStore(path)
        assert str(caught.value).startswith(f"state_dir {path}: {sentence}")
        assert "\n" not in str(caught.value)


def test_a_record_that_is_no_file_is_refused(store: SqliteStore, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_text("precious")
    store.path.symlink_to(target)
    with pytest.raises(StoreError, match="is not a regular file"):
        store.load()
    assert target.read_text() == "precious"
    store.path.unlink()
    store.path.mkdir()
    with pytest.raises(StoreError, match="is not a regular file"):
        store.load()
