"""Which words go to which version, and that no value is ever part of a statement."""

from __future__ import annotations

import pytest

from replclus.dialect import AccountRole, Dialect, Statement
from replclus.dialect.accounts import native_password_hash
from replclus.dialect.base import beat_insert, beat_update
from replclus.dialect.mariadb import MariadbDialect
from replclus.dialect.mysql import MysqlDialect
from replclus.model.gtid import GtidSet, MariadbGtidSet, MysqlGtidSet
from replclus.model.observation import Version
from replclus.model.spec import Account, Durability, Flavour, NodeSpec, Secret, Timings
from replclus.model.topology import PulseRow

CANARY = "hunter'2\\\"%s"
SOURCE = NodeSpec(name="n1", host="db1.example.org", port=3307)
ACCOUNT = Account("repl", Secret(CANARY))
NEW = ("source", "replica")
OLD = ("master", "slave")
DIALECTS: list[Dialect] = [
    MariadbDialect(Version(10, 6, 0)),
    MariadbDialect(Version(11, 8, 3)),
    MysqlDialect(Version(8, 0, 11), OLD),
    MysqlDialect(Version(8, 0, 23), OLD),
    MysqlDialect(Version(8, 0, 26), None),
    MysqlDialect(Version(8, 4, 0), NEW),
    MysqlDialect(Version(9, 7, 4), NEW),
]
every_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: f"{d.flavour}-{d.version}")


def gtids(dialect: Dialect) -> GtidSet:
    if dialect.flavour is Flavour.MARIADB:
        return MariadbGtidSet.parse("0-1-5,0-2-9")
    return MysqlGtidSet.parse("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5")


def statements(dialect: Dialect) -> list[Statement]:
    """Everything it can say."""
    timings, every = Timings(), []
    for durability in Durability:
        every += [*dialect.source_role(durability), *dialect.replica_role(durability, timings)]
        every += [dialect.set_global(s, s.value) for s in dialect.required_settings(durability, timings) if s.dynamic]
    for role in AccountRole:
        schema = "my_shop" if role is AccountRole.APPLICATION else None
        every += dialect.account_statements(role, ACCOUNT, "10.0.0.1", schema=schema)
    for pulse in (True, False):
        every += [dialect.light_probe(pulse=pulse), dialect.full_probe(pulse=pulse)]
    every += [
        dialect.link_status(),
        dialect.progress(),
        dialect.semi_sync_status(),
        dialect.stop_receiving(),
        dialect.start_receiving(),
        dialect.start_applying(),
        dialect.start_until(gtids(dialect)),
        dialect.stop_replicating(),
        dialect.wait_applied(gtids(dialect), 0.25),
        dialect.change_source(SOURCE, ACCOUNT, timings),
        dialect.open_for_writes(),
        dialect.close_for_writes(),
        dialect.small_events(),
        dialect.kill(7),
        *dialect.forget_source(),
        *dialect.leave_source_role(),
        *dialect.install_semi_sync(),
        *dialect.admit_administrators(),
        *dialect.reset_history(),
        *dialect.set_executed(gtids(dialect)),
    ]
    return every


@every_dialect
def test_each_version_hears_only_words_it_knows(dialect: Dialect) -> None:
    text = "\n".join(statement.sql for statement in statements(dialect))
    if dialect.flavour is Flavour.MARIADB:
        assert "SOURCE" not in text and "REPLICA" not in text.replace("REPLICATION", "") and "BINARY LOGS AND" not in text
        return
    semi_sync_words = text.lower().count("rpl_semi_sync_master")
    if dialect.version >= Version(8, 4, 0):
        upper = text.replace("REPLICATION SLAVE", "").replace("REPLICATION_SLAVE", "")
        assert "MASTER" not in upper and "SLAVE" not in upper and not semi_sync_words
        assert "RESET BINARY LOGS AND GTIDS" in text
    else:
        assert "RESET MASTER" in text and "BINARY LOGS AND" not in text
    if dialect.version < Version(8, 0, 23):
        assert "CHANGE MASTER TO MASTER_HOST" in text and "START SLAVE" in text and "SHOW SLAVE STATUS" in text
        assert "GET_MASTER_PUBLIC_KEY" in text and "REPLICA " not in text
    else:
        assert "CHANGE REPLICATION SOURCE TO SOURCE_HOST" in text and "START REPLICA" in text
    assert ("replica_net_timeout" in text) == (dialect.version >= Version(8, 0, 26))


@every_dialect
def test_values_are_bound_and_secrets_do_not_show(dialect: Dialect) -> None:
    for statement in statements(dialect):
        assert "hunter" not in statement.sql + repr(statement) + str(statement)
        assert SOURCE.host not in statement.sql and "10.0.0.1" not in statement.sql
        # The driver formats a statement only if it has values.
        if statement.args:
            statement.sql % tuple("x" for _ in statement.args)
        else:
            assert "%s" not in statement.sql


@every_dialect
def test_a_wrong_host_or_user_never_reaches_a_statement(dialect: Dialect) -> None:
    wrong = NodeSpec(name="n1", host="x',MASTER_USER='root")
    with pytest.raises(ValueError, match="host"):
        dialect.change_source(wrong, ACCOUNT, Timings())
    with pytest.raises(ValueError, match="user"):
        dialect.change_source(SOURCE, Account("a\nb", Secret("")), Timings())
    with pytest.raises(ValueError, match="host"):
        dialect.account_statements(AccountRole.WATCHDOG, ACCOUNT, "%")


@every_dialect
def test_nobody_gets_super(dialect: Dialect) -> None:
    for role in AccountRole:
        for statement in dialect.account_statements(role, ACCOUNT, "10.0.0.1"):
            assert "SUPER" not in statement.sql and "ALL ON" not in statement.sql and "GRANT OPTION" not in statement.sql
    owner = dialect.account_statements(AccountRole.APPLICATION, ACCOUNT, "10.0.0.1", schema="my_shop")
    assert any(r"GRANT ALL ON `my\_shop`.* TO" in statement.sql for statement in owner)


def test_mariadb_gets_a_hash_and_no_password() -> None:
    every = MariadbDialect(Version(10, 11, 0)).account_statements(AccountRole.WATCHDOG, ACCOUNT, "10.0.0.1")
    assert all(CANARY not in statement.args for statement in every)
    # What SELECT PASSWORD('password') says.
    assert native_password_hash("password") == "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"
    assert native_password_hash("") == ""


@every_dialect
def test_lossless_waits_for_ever_and_available_does_not_wait(dialect: Dialect) -> None:
    lossless = " ".join(statement.sql for statement in dialect.source_role(Durability.LOSSLESS))
    available = " ".join(statement.sql for statement in dialect.source_role(Durability.AVAILABLE))
    if not dialect.semi_sync_installed:
        assert "semi_sync" not in lossless + available
        return
    assert "AFTER_SYNC" in lossless and "4294967295" in lossless and lossless.endswith("_enabled = 1")
    assert available.endswith("_enabled = 0")


@every_dialect
def test_the_other_family_s_gtids_are_a_mistake(dialect: Dialect) -> None:
    other = MysqlGtidSet() if dialect.flavour is Flavour.MARIADB else MariadbGtidSet()
    with pytest.raises(TypeError):
        dialect.set_executed(other)
    with pytest.raises(TypeError):
        dialect.wait_applied(other, 1.0)


@every_dialect
def test_settings_explain_themselves(dialect: Dialect) -> None:
    for durability in Durability:
        settings = dialect.required_settings(durability, Timings())
        assert len({setting.name for setting in settings}) == len(settings)
        for setting in settings:
            assert setting.why and "=" in setting.line
            assert setting.line.split("=")[0] == setting.name
            if setting.name != "server_id":
                assert setting.satisfied_by(setting.wanted)


def test_settings_are_judged_as_servers_spell_them() -> None:
    settings = {s.name: s for s in MysqlDialect(Version(9, 7, 4), NEW).required_settings(Durability.LOSSLESS, Timings())}
    assert settings["gtid_mode"].satisfied_by("on") and not settings["gtid_mode"].satisfied_by("ON_PERMISSIVE")
    assert settings["log_bin"].satisfied_by("1") and not settings["log_bin"].satisfied_by("OFF")
    assert settings["server_id"].satisfied_by("17") and not settings["server_id"].satisfied_by("0")
    assert settings["sync_binlog"].satisfied_by("1") and not settings["sync_binlog"].satisfied_by("100")
    assert settings["sync_binlog"].value == 1 and settings["gtid_mode"].value == "ON"
    assert not settings["relay_log_recovery"].satisfied_by("ON")


@pytest.mark.parametrize(
    ("binlog_state", "slave_pos", "adopted"),
    [
        ("", "", None),  # empty
        ("0-1-10", "0-1-10", None),  # somebody's replica
        ("0-1-10,0-2-12", "0-1-10", "0-2-12"),  # a former primary
        ("0-1-10", "", "0-1-10"),  # the first primary of all
        ("", "0-3-105", None),  # seeded: the history is not here
        ("0-1-10,5-1-3", "0-1-10,5-1-3", None),
        ("0-1-10,5-2-4", "0-1-10,5-1-3", "0-1-10,5-2-4"),
        ("0-1-10", "0-2-12", None),  # applied without writing its own binlog
    ],
)
def test_where_a_mariadb_server_goes_on(binlog_state: str, slave_pos: str, adopted: str | None) -> None:
    dialect = MariadbDialect(Version(10, 6, 0))
    statements = dialect.adopt_position({"binlog_state": binlog_state, "slave_pos": slave_pos})
    assert [statement.args for statement in statements] == ([] if adopted is None else [(adopted,)])
    assert MysqlDialect(Version(8, 4, 0)).adopt_position({"executed": ""}) == ()


def test_the_map_is_written_when_it_changes_only() -> None:
    pulse = PulseRow(beat=5, epoch=2, primary="n1", routing_ttl_ms=5000, topology="{}")
    assert "{}" in beat_update(pulse, topology=True).args and "{}" not in beat_update(pulse, topology=False).args
    for statement in (beat_update(pulse, topology=True), beat_update(pulse, topology=False), beat_insert(pulse)):
        assert statement.sql.count("%s") == len(statement.args)
        assert "@@global.read_only = 0" in statement.sql
