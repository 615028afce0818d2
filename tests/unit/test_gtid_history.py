"""MariaDB sets against simulated servers: real logs on one side, what their variables would show on the other."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from replclus.model.gtid import Comparison, MariadbGtidSet, compare

Gtid = tuple[int, int]  # server id, sequence; one domain


@dataclass
class Server:
    """`log` is the truth. `visible` is how much of its end the binlog state knows: a seed hides what came before."""

    server_id: int
    log: list[Gtid] = field(default_factory=list)
    seeded_at: int = 0

    def write(self) -> None:
        self.log.append((self.server_id, self.log[-1][1] + 1 if self.log else 1))

    def follow(self, source: Server, most: int) -> None:
        """In strict mode a replica goes on only where its own log is the beginning of its source's."""
        if source.log[: len(self.log)] == self.log and source.seeded_at <= len(self.log):
            self.log = source.log[: len(self.log) + most]

    def gtids(self) -> MariadbGtidSet:
        """gtid_binlog_state and gtid_slave_pos, merged."""
        state, slave_pos = dict(self.log[self.seeded_at :]), dict(self.log[self.seeded_at - 1 : self.seeded_at])
        return listed(state) | listed(slave_pos)


def listed(last: dict[int, int]) -> MariadbGtidSet:
    return MariadbGtidSet.parse(",".join(f"0-{server}-{sequence}" for server, sequence in last.items()))


def exactly(gtid: Gtid) -> MariadbGtidSet:
    server, sequence = gtid
    return MariadbGtidSet.of({(0, server): [(sequence, sequence)]})


SEED = st.tuples(st.just("seed"), st.integers(0, 9), st.just(0))
WRITE = st.tuples(st.just("write"), st.integers(0, 9), st.just(0))
FOLLOW = st.tuples(st.just("follow"), st.integers(0, 9), st.integers(0, 39))


def play(steps: list[tuple[str, int, int]]) -> list[Server]:
    servers = [Server(1), Server(2), Server(3)]
    for verb, who, how in steps:
        server = servers[who % len(servers)]
        match verb:
            case "write":
                server.write()
            case "follow":
                server.follow(servers[how % len(servers)], how // 4)
            case _:
                # A new server id: a rebuilt server that writes under its old one may use numbers twice.
                servers.append(Server(len(servers) + 1, list(server.log), len(server.log)))
    return servers


@given(st.lists(WRITE | FOLLOW, max_size=40))
def test_servers_that_followed_from_the_start_compare_as_their_logs_do(steps: list[tuple[str, int, int]]) -> None:
    for a in (servers := play(steps)):
        for b in servers:
            ours, theirs = set(a.log), set(b.log)
            answer = compare(a.gtids(), b.gtids())
            assert (answer in {Comparison.EQUAL, Comparison.AHEAD}) == (ours >= theirs)
            assert (answer in {Comparison.EQUAL, Comparison.BEHIND}) == (ours <= theirs)
            extra = a.gtids().beyond(b.gtids())
            assert {gtid for gtid in a.log if extra >= exactly(gtid)} == ours - theirs
            assert extra.count() == len(ours - theirs)


@given(st.lists(WRITE | FOLLOW | SEED, max_size=40))
def test_seeds_are_never_taken_to_have_what_they_lack(steps: list[tuple[str, int, int]]) -> None:
    for a in (servers := play(steps)):
        for b in servers:
            lacks = not set(a.log) >= set(b.log)
            if lacks:
                assert not a.gtids() >= b.gtids()
                assert b.gtids().beyond(a.gtids())
            elif not a.seeded_at:
                assert b.gtids().beyond(a.gtids()).is_empty


@given(st.lists(WRITE | FOLLOW | SEED, max_size=40))
def test_the_position_is_the_last_gtid_of_the_log(steps: list[tuple[str, int, int]]) -> None:
    for server in play(steps):
        expected = f"0-{server.log[-1][0]}-{server.log[-1][1]}" if server.log else ""
        assert server.gtids().position() == expected
