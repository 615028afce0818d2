"""Waiting for the cluster: until it is known, until there is a primary, until a connection to it is free. Every wait ends.

And what is said when it has ended in vain: what was tried, why each of it failed, and what the watchdog says.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from pymysql import err

from replclus.dbapi.errors import NoConnectionLeft, NoReplica, Unavailable
from replclus.dbapi.failures import NOT_LET_IN, is_sickness, sentence
from replclus.dbapi.link import Link, Setup
from replclus.dbapi.mapping import NEVER, Node
from replclus.dbapi.options import Options
from replclus.dbapi.pool import Pool
from replclus.dbapi.watcher import Watcher
from replclus.errors import ReplclusError
from replclus.events import Decided

# The first connection of a process waits so long for a replica to be known beside the primary.
BOTH_SIDES_S = 0.5
# A read that insists on a replica looks again this often, besides whenever the map changes.
LOOK_AGAIN_S = 0.1
# A watchdog whose newest beat is older than this is worth a word.
BEAT_S_MAX = 1.0
_JOURNAL_ENTRIES = 50


def for_cluster(watcher: Watcher, deadline: float) -> None:
    """Until it is known where statements may go, or every node has failed to tell: then Unavailable, or the refusal of our
    account.
    """

    def found() -> bool:
        return watcher.map.primary is not None or bool(watcher.map.replicas)

    # Who answers first may be the primary alone; a moment later there may be somebody to read from.
    both = min(deadline, time.monotonic() + BOTH_SIDES_S)
    watcher.wait_until(lambda: (watcher.map.primary is not None and bool(watcher.map.replicas)) or watcher.all_asked(), both)
    if not watcher.wait_until(lambda: found() or watcher.all_asked(), deadline) or not found():
        _raise_unreachable(watcher)


def _raise_unreachable(watcher: Watcher) -> None:
    """Say which nodes were tried and why each failed; if all of them refused our account, raise what they said."""
    answers = [state.answer for state in list(watcher.states.values()) if state.answer is not None]
    if any(answer.reached for answer in answers):
        return
    numbers = {answer.errno for answer in answers}
    failures = "; ".join(watcher.failures())
    if len(numbers) == 1 and numbers <= NOT_LET_IN:
        raise err.OperationalError(numbers.pop(), failures)
    raise Unavailable(f"no node of the cluster can be reached: {failures or 'none has answered yet'}")


class ForWriter:
    """How one logical connection gets a link to the primary."""

    def __init__(self, pool: Pool, options: Options) -> None:
        self._pool = pool
        self._watcher = pool.watcher
        self._patience_s = options.failover_timeout_s
        self._state_dir = options.state_dir

    def get(self, setup: Setup, deadline: float, make_room: Callable[[Node], object]) -> Link:
        """A link to the present primary, which may be written to now. At `deadline` Unavailable, or NoConnectionLeft.

        `make_room` gives up what can be spared of links to that node.
        """
        watcher, why, held = self._watcher, "", False
        # The statement may have waited before it came here.
        began = min(time.monotonic(), deadline - self._patience_s)
        since: float | None = None
        while True:
            now = watcher.map
            usable = now.primary is not None and time.monotonic() < watcher.fresh_until
            if not usable or (since is not None and not watcher.confirmed_since(since)):
                held = True
                self._await_primary(setup, began, time.monotonic() if since is None else since, deadline, why)
                since = None
                continue
            assert now.primary is not None
            try:
                link = self._pool.take(now.primary, setup, term=now.term)
            except NoConnectionLeft:
                if time.monotonic() >= deadline:
                    raise
                held = True
                make_room(now.primary)
                self._pool.await_room()
                continue
            except (err.Error, OSError) as error:
                if not is_sickness(error):
                    # About the account, the schema, `init_command`: waiting makes it no better.
                    raise
                why, since = f"{now.primary.name}: {sentence(error)}", time.monotonic()
                if since >= deadline:
                    raise self._no_primary(since - began, why) from error
                continue
            link.writes, link.side = True, "primary"
            if held:
                watcher.tally.add("held", now.primary.name, time.monotonic() - began)
            return link

    def confirmed(self, setup: Setup, since: float, deadline: float) -> bool:
        """Wait until a primary has answered a question that was asked after `since`, or refuses our account. False at `deadline`.

        Where one can foresee which node it will be, a connection to that is made meanwhile.
        """
        watcher = self._watcher

        def known() -> bool:
            return bool(watcher.barred) or watcher.confirmed_since(since)

        watcher.wait_until(lambda: known() or watcher.opening() is not None, deadline)
        if not known() and (opening := watcher.opening()) is not None:
            self._pool.foresee(opening, setup)
        return watcher.wait_until(known, deadline)

    def _await_primary(self, setup: Setup, began: float, since: float, deadline: float, why: str) -> None:
        """Until a primary has answered a question that was asked after `since`. At `deadline` Unavailable."""
        watcher = self._watcher
        watcher.alarm()
        if not self.confirmed(setup, since, deadline):
            _raise_unreachable(watcher)
            raise self._no_primary(time.monotonic() - began, watcher.why_no_primary or why or "the map is older than routing_ttl")
        if watcher.barred:
            raise err.OperationalError(watcher.barred, watcher.why_no_primary)

    def _no_primary(self, waited_s: float, why: str) -> Unavailable:
        strangers = [reason for reason in self._watcher.outside.values() if "another cluster" in reason]
        said = "; ".join([why, *strangers, *_word_of_watchdog(self._watcher, self._state_dir)])
        return Unavailable(f"no primary after {waited_s:.1f} s: {said}")


def for_replica(watcher: Watcher, began: float, deadline: float) -> None:
    """A moment, for a read that must not go to the primary; NoReplica, with what keeps each node from it, at `deadline`."""
    now = time.monotonic()
    if now < deadline:
        present = watcher.map
        watcher.wait_until(lambda: watcher.map is not present, min(deadline, now + LOOK_AGAIN_S))
        return
    behind = [f"{node.name} has not what this session has seen, or no connection left" for node in watcher.map.replicas]
    reasons = [*watcher.outside.values(), *behind] or ["the cluster has none"]
    raise NoReplica("; ".join(reasons), now - began)


def _word_of_watchdog(watcher: Watcher, state_dir: Path | None) -> list[str]:
    """What is known of the watchdog from here: its beats, and on its own host what it is doing or refuses to do."""
    said = []
    if watcher.newest_beat_at == NEVER:
        said.append("no watchdog was seen at work")
    elif (age_s := time.monotonic() - watcher.newest_beat_at) > BEAT_S_MAX:
        said.append(f"the watchdog's newest beat was seen {age_s:.0f} s ago")
    if state_dir is not None:
        # Files that are not for us to read must not hide why we are here.
        with contextlib.suppress(ReplclusError, OSError):
            said += _record_of_watchdog(state_dir)
    return said


def _record_of_watchdog(state_dir: Path) -> list[str]:
    from replclus.store import SqliteStore  # brings sqlite3, which is needed only here

    store = SqliteStore(state_dir, create=False)
    try:
        record, journal = store.load(), store.journal(_JOURNAL_ENTRIES)
    finally:
        store.close()
    said = []
    if record is not None and record.paused:
        said.append("the watchdog is paused")
    if record is not None and record.operation is not None:
        operation = record.operation
        said.append(f"a {operation.kind.value} from {operation.old_primary} is in progress ({operation.reason})")
    word = next((entry for entry in reversed(journal) if entry.code == Decided.code), None)
    if word is not None:
        said.append(f"the watchdog's last word, {time.time() - word.at:.0f} s ago: {word.event['sentence']}")
    return said
