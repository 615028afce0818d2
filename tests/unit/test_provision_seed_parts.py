"""The small parts of bringing a server back that need no server."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from replclus.errors import HostError
from replclus.model.gtid import MariadbGtidSet, MysqlGtidSet
from replclus.model.observation import Identity, Version
from replclus.model.record import ClusterRecord, Member
from replclus.model.spec import Account, ClusterSpec, Durability, Flavour, NodeSpec, Secret
from replclus.provision import permission
from replclus.provision.case import Case
from replclus.provision.look import connect_with
from replclus.provision.metering import Meter
from replclus.provision.returning import Returned, bring_back
from replclus.provision.salvage import Salvaged, salvage
from replclus.provision.seed_backup import exchange, undo_half_exchange
from replclus.provision.seed_dump import position_in
from replclus.server.client_tools import Bounds, Stopped
from replclus.store.secrets import Secrets

UUID = "e662850a-eac2-11f1-b29e-02fc00000001"
ADMIN = Account("root", Secret(""))
SECRETS = Secrets(replication=ADMIN, watchdog=ADMIN)


def spec(state_dir: Path, *, admin: Account | None = ADMIN) -> ClusterSpec:
    nodes = tuple(NodeSpec(name=name, host="198.18.0.1", port=port) for port, name in enumerate(("n1", "n2", "n3"), start=1))
    return ClusterSpec(name="c", nodes=nodes, state_dir=state_dir, admin=admin)


def record() -> ClusterRecord:
    members = tuple(Member(name=f"n{n}", host="198.18.0.1", port=n, server_id=n) for n in (1, 2, 3))
    return ClusterRecord(
        version=1,
        cluster_id="id",
        name="c",
        flavour=Flavour.MARIADB,
        durability=Durability.LOSSLESS,
        epoch=3,
        primary="n1",
        members=members,
    )


def case(state_dir: Path) -> Case:
    described = spec(state_dir)
    return Case(
        spec=described,
        record=record(),
        secrets=SECRETS,
        admin=ADMIN,
        node=described.node("n3"),
        donor=described.node("n2"),
        report=lambda _: None,
        bounds=Bounds.within(5),
        connect=connect_with(described),
    )


def identity() -> Identity:
    return Identity(flavour=Flavour.MARIADB, version=Version(10, 11, 19), server_id=3)


@pytest.mark.parametrize(
    ("flavour", "head", "position"),
    [
        (Flavour.MARIADB, b"--\n-- SET GLOBAL gtid_slave_pos='0-1-51,2-1-3';\n", MariadbGtidSet.parse("0-1-51,2-1-3")),
        (Flavour.MARIADB, b"-- SET GLOBAL gtid_slave_pos='';", MariadbGtidSet()),
        (
            Flavour.MYSQL,
            f"/* SET @@GLOBAL.GTID_PURGED='+{UUID}:1-51,\n{UUID.replace('e', 'a')}:1'*/;".encode(),
            MysqlGtidSet.parse(f"{UUID}:1-51,{UUID.replace('e', 'a')}:1"),
        ),
        (Flavour.MYSQL, f"SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ '{UUID}:1-5';".encode(), MysqlGtidSet.parse(f"{UUID}:1-5")),
    ],
)
def test_a_dump_says_where_it_ends(flavour: Flavour, head: bytes, position: object) -> None:
    assert position_in(flavour, head) == position


def test_a_dump_that_does_not_say_it_is_useless() -> None:
    with pytest.raises(HostError, match="does not say which transaction is its last"):
        position_in(Flavour.MYSQL, b"-- nothing")


def test_progress_is_told_now_and_then() -> None:
    said: list[str] = []
    now = [0.0]
    meter = Meter(said.append, "copied", clock=lambda: now[0])
    for second in range(12):
        now[0] = float(second)
        meter(bytes(1 << 20))
    assert said == ["copied 6 MiB", "copied 11 MiB"] and meter.count == 12 << 20


def test_old_data_is_there_until_the_new_is(tmp_path: Path) -> None:
    data, fresh = tmp_path / "data", tmp_path / "data.new"
    for directory, content in ((data, "old"), (fresh, "new")):
        directory.mkdir()
        (directory / "file").write_text(content)
    exchange(data)
    assert (data / "file").read_text() == "new" and (tmp_path / "data.old" / "file").read_text() == "old"
    undo_half_exchange(data)
    assert (data / "file").read_text() == "new"
    (data / "file").unlink()
    data.rmdir()
    undo_half_exchange(data)
    assert (data / "file").read_text() == "old"
    undo_half_exchange(tmp_path / "nothing")


def test_the_note_is_there_until_it_ended_well(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    one = case(tmp_path)
    assert not permission.begun_before(one) and permission.saved_before(one) == (None, MariadbGtidSet())
    extra = MariadbGtidSet.parse("0-3-7..9")
    with pytest.raises(Stopped), permission.noted(one, identity(), tmp_path / "saved", extra):
        raise Stopped
    assert permission.begun_before(one) and permission.saved_before(one) == (tmp_path / "saved", extra)
    (note,) = (tmp_path / "rebuilding").iterdir()
    assert note.stat().st_mode & 0o777 == 0o600
    with permission.noted(one, identity()):
        assert permission.begun_before(one)
    assert not permission.begun_before(one)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"saved": 7, "extra": 8}'])
def test_a_spoiled_note_saves_nothing(tmp_path: Path, content: str) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "rebuilding").mkdir(mode=0o700)
    note = tmp_path / "rebuilding" / "n3.json"
    note.touch(mode=0o600)
    note.write_text(content)
    assert permission.saved_before(case(tmp_path)) == (None, MariadbGtidSet())


def test_without_the_administrator_nothing_is_begun(tmp_path: Path) -> None:
    described, stop = spec(tmp_path, admin=None), threading.Event()
    answer = bring_back(described, record(), SECRETS, "n3", None, "n2", lambda _: None, stop)
    assert (
        not answer.ok and "administrator's account is not at hand" in answer.why and (answer.server_id, answer.uuid) == (0, None)
    )
    lost = salvage(described, record(), SECRETS, "n1", "n2", lambda _: None, stop)
    assert lost.sentence == "nothing salvaged: the administrator's account is not at hand"


def test_a_return_says_who_came_back() -> None:
    assert Returned(ok=True, identity=identity()).server_id == 3


def test_what_was_salvaged_in_a_sentence() -> None:
    some, rest = MariadbGtidSet.parse("0-1-7..9"), MariadbGtidSet.parse("0-1-10..10")
    done = Salvaged(gtids=some, lost=rest, transactions=3, why="it was told to stop")
    assert done.sentence == "3 transactions (0-1-7..9) salvaged; not 0-1-10..10: it was told to stop"
