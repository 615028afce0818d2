"""What `init` demands exists on real servers, can be set where we say so, and not where we say not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from replclus.dialect import Check, Setting, Statement
from replclus.errors import ServerError, ServerUnreachable
from replclus.model.spec import Account, Durability, Flavour, NodeSpec, Secret, Timings
from replclus.model.topology import PulseRow
from replclus.server.server import Server
from tests.conftest import MakeSandbox, RunningServer, running

# Dynamic on MySQL too, in four steps and not on the way; we ask for the option file.
STEPWISE = {"gtid_mode", "enforce_gtid_consistency"}


@pytest.fixture
def alone(make_sandbox: MakeSandbox, flavour: Flavour) -> RunningServer:
    return running(make_sandbox(flavour, replicas=0))


@pytest.fixture
def server(alone: RunningServer) -> Iterator[Server]:
    place = alone.place
    node = NodeSpec(name="n1", host=place.host, port=place.port, socket=str(place.socket))
    made = Server(node, Account("root", Secret("")), timeout_s=5.0)
    with made.administration():
        made.install_semi_sync()
        made.install_semi_sync()
    yield made
    made.close()


def wanted(server: Server) -> tuple[Setting, ...]:
    return server.dialect.required_settings(Durability.LOSSLESS, Timings())


def spoil(setting: Setting) -> str | int:
    """Another value than the wanted one."""
    words: dict[str, str | int] = {"ROW": "MIXED", "FULL": "MINIMAL", "AFTER_SYNC": "AFTER_COMMIT", "ON": "OFF", "1": 2}
    return words.get(setting.wanted, 33)


def test_dynamic_settings_can_be_set(alone: RunningServer, server: Server) -> None:
    for setting in wanted(server):
        if setting.dynamic:
            server.run(Statement(f"SET GLOBAL {setting.name} = %s", (spoil(setting),)))
            assert not setting.satisfied_by(server.variables()[setting.name]), setting
            server.set_global(setting, setting.value)
        assert setting.satisfied_by(server.variables()[setting.name]), setting
    if alone.flavour is Flavour.MYSQL:
        server.close()
        alone.process.stop()
        alone.process.start()
        after = server.variables()
        assert all(setting.satisfied_by(after[setting.name]) for setting in wanted(server)), "and they are remembered"


def test_the_rest_needs_an_option_file(server: Server) -> None:
    for setting in wanted(server):
        if not setting.dynamic and setting.check is Check.EQUAL and setting.name not in STEPWISE:
            with pytest.raises(ServerError) as caught:
                server.run(Statement(f"SET GLOBAL {setting.name} = %s", ("OFF",)))
            assert caught.value.errno == 1238, setting


def test_the_lines_start_a_server_that_satisfies(alone: RunningServer, server: Server) -> None:
    settings = wanted(server)
    server.close()
    alone.process.stop()
    lines = [f"--{setting.line}" for setting in settings if setting.name not in {"server_id", "log_bin"}]
    alone.process.start(options=lines)
    variables = server.variables()
    assert [setting.name for setting in settings if not setting.satisfied_by(variables[setting.name])] == []


def test_the_semi_sync_switches_are_seen(server: Server) -> None:
    assert server.dialect.semi_sync_installed
    for durability in Durability:
        server.become_source(durability)
        seen = server.observe().facts
        assert seen is not None and seen.semi_sync.source_enabled == (durability is Durability.LOSSLESS)
        assert seen.writable, "switching roles does not touch read_only"


def test_closing_and_opening(server: Server) -> None:
    for _ in range(2):
        assert server.close_for_writes(2.0)
        assert server.close_for_writes(2.0)
        seen = server.observe().facts
        assert seen is not None and not seen.writable
        server.open_for_writes()
        server.open_for_writes()
        seen = server.observe().facts
        assert seen is not None and seen.writable
    if server.dialect.flavour is Flavour.MYSQL:
        assert server.close_for_writes(2.0) and server.variables()["super_read_only"] == "ON"


def test_a_primary_that_never_had_a_replica_acknowledges_nothing(alone: RunningServer, server: Server) -> None:
    server.run_script("pulse")
    server.become_source(Durability.LOSSLESS)
    with pytest.raises(ServerUnreachable):
        server.beat(PulseRow(beat=1, epoch=1, primary="n1", routing_ttl_ms=5000, topology=""), 0.7)
    seen = server.observe().facts
    assert seen is not None and seen.semi_sync.waiting == 1 and seen.semi_sync.source_active and seen.pulse is None
    alone.process.kill()
