"""One database server, by verbs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pymysql.constants import ER

from replclus.dialect import Dialect, Link, Setting, Statement
from replclus.dialect.base import LOGGED, SENDING, SESSIONS, UNLOGGED, USER_SCHEMAS, VARIABLES, clients, purge_outcomes
from replclus.errors import AccessDenied, ServerError, UnsupportedServer
from replclus.model.gtid import GtidSet
from replclus.model.observation import Identity, Observation, Reach
from replclus.model.spec import Account, Durability, NodeSpec, Timings
from replclus.model.topology import PulseRow
from replclus.server import observing, replicating, settings, writing
from replclus.server.line import Audit, Line
from replclus.server.session import Failure

# Their connections are never ended by `kick_clients`.
OWN_ACCOUNTS = frozenset({"replclus_repl", "replclus_watchdog", "replclus_lease"})
# Pauses before a cut connection is tried again: a dying process may close its connections before its listening socket.
AFTER_CUT_S = (0.0, 0.01, 0.02)


class Server:
    """One database server, by verbs.

    Verbs are idempotent, take at most `timeout_s` per statement (or the bound they are given), and raise
    ServerUnreachable, AccessDenied, UnsupportedServer or ServerError. One instance belongs to one thread; only `abort`
    may be called from others. `audit` gets (node, statement without its values) before each statement that changes
    something, except the pulse.
    """

    def __init__(
        self,
        node: NodeSpec,
        account: Account,
        *,
        clock: Callable[[], float] = time.monotonic,
        connect_timeout_s: float = 1.0,
        timeout_s: float = 1.0,
        audit: Audit | None = None,
    ) -> None:
        self.node = node
        self._line = Line(node, account, clock=clock, connect_timeout_s=connect_timeout_s, timeout_s=timeout_s, audit=audit)

    def close(self) -> None:
        """Hang up. The next verb connects anew."""
        self._line.drop()

    def abort(self) -> None:
        """From any thread: a call that is blocked in another one fails at once."""
        self._line.abort()

    @property
    def connected(self) -> bool:
        """Is there a connection that the server has not closed? Costs no round trip."""
        current = self._line.current
        return current is not None and not current.session.stale()

    def connect(self) -> None:
        """Be connected; every verb is, when it begins."""
        with self._line.errors():
            self._line.open()

    @property
    def dialect(self) -> Dialect:
        """What this server speaks, detected when the connection is made."""
        return self._line.dialect

    # ---- seeing ----------------------------------------------------------------------------------------------------
    def identity(self) -> Identity:
        """Who answers here, and to which cluster it belongs."""
        with self._line.errors():
            current = self._line.open()
            return replace(current.identity, cluster_id=observing.cluster_id(current.session))

    def observe(self, previous: Observation | None = None, *, full: bool = True) -> Observation:
        """Look once. Failing to is an observation too: it keeps what was known.

        Light probes (`full=False`) read whether it is writable, and the pulse; after a new connection, or if nothing is
        known, the probe is full all the same. Where a server that takes writes answers only the light one, `full_at` stays what
        it was. A cut connection is retried at once, so that a process that died shows as REFUSED.
        """
        for pause_s in AFTER_CUT_S:
            try:
                return self._observe_once(previous, full=full)
            except Failure as failure:
                if failure.reach is not Reach.CLOSED or self._line.pinned:
                    return self._not_seen(previous, failure)
            self._line.drop()
            time.sleep(pause_s)
        try:
            return self._observe_once(previous, full=True)
        except Failure as failure:
            return self._not_seen(previous, failure)

    def _observe_once(self, previous: Observation | None, *, full: bool) -> Observation:
        line = self._line
        was = line.current
        try:
            current = line.open()
        except UnsupportedServer as error:
            raise Failure(Reach.FAILED, error.message) from None
        known = None if previous is None else previous.facts
        again = current is not was
        if known is not None and again and replace(current.identity, cluster_id=known.identity.cluster_id) != known.identity:
            known = None
        small = None if known is None else observing.light(current.session, current.dialect, known)
        if previous is not None and small is not None and not full and not again:
            return Observation(node=self.node.name, at=line.clock(), reach=Reach.ANSWERED, facts=small, full_at=previous.full_at)
        try:
            facts = observing.full(current.session, current.dialect, current.identity)
        except Failure as failure:
            if previous is None or small is None or not small.writable or failure.reach is not Reach.TIMED_OUT:
                raise
            # A primary whose disk hangs answers small questions for ever, and some of the others never. It is not silent, it
            # is stalled. Of a replica the answers that are missing are the ones that count.
            line.drop()
            return Observation(node=self.node.name, at=line.clock(), reach=Reach.ANSWERED, facts=small, full_at=previous.full_at)
        now = line.clock()
        return Observation(node=self.node.name, at=now, reach=Reach.ANSWERED, facts=facts, full_at=now)

    def _not_seen(self, previous: Observation | None, failure: Failure) -> Observation:
        # Whatever went wrong, the next probe starts from a new connection and learns anew whom it talks to.
        self._line.drop()
        return Observation(
            node=self.node.name,
            at=self._line.clock(),
            reach=failure.reach,
            error=failure.message,
            facts=None if previous is None else previous.facts,
            full_at=float("-inf") if previous is None else previous.full_at,
        )

    def drift(self, durability: Durability, timings: Timings) -> tuple[str, ...]:
        """Names of the settings that can be changed while the server runs, and are not as they must be."""
        return settings.drift(self._line, durability, timings)

    def variables(self) -> dict[str, str]:
        """SHOW GLOBAL VARIABLES, names in lower case."""
        return {str(row["Variable_name"]).lower(): str(row["Value"]) for row in self._line.read(VARIABLES)}

    def user_schemas(self) -> tuple[str, ...]:
        """Schemas that are neither the server's own nor `replclus`."""
        return tuple(str(row["name"]) for row in self._line.read(USER_SCHEMAS))

    def pulse(self) -> PulseRow | None:
        """The pulse with its topology; None where there is none."""
        with self._line.errors():
            return observing.pulse(self._line.open().session)

    def link(self) -> Link | None:
        """The replication link, None where no source is configured."""
        return self._line.link()

    def executed(self) -> GtidSet:
        """Every transaction that was committed here."""
        return self._line.executed()

    def received(self) -> GtidSet:
        """Every transaction that is here, applied or not."""
        link = self._line.link()
        executed = self._line.executed()
        return executed if link is None else executed.union(link.received)

    # ---- replicating -----------------------------------------------------------------------------------------------
    def stop_receiving(self) -> None:
        """Revocation: acknowledge nothing more. What was received stays, and goes on being applied."""
        replicating.stop_receiving(self._line)

    def reconnect(self) -> None:
        """If it receives: stop that, and begin again on a new connection. What was received stays."""
        replicating.reconnect(self._line)

    def wait_applied(self, timeout_s: float) -> bool:
        """Has everything that was received been applied? Leaves the applier running; False after `timeout_s`.

        ServerError with the applier's errno as soon as it has stopped on an error.
        """
        return replicating.wait_applied(self._line, timeout_s)

    def detach(self) -> None:
        """Stop receiving and applying. The configuration stays.

        A running applier gets `timeout_s` to finish first: MariaDB throws away what is left when it starts again.
        """
        replicating.detach(self._line)

    def forget_source(self) -> None:
        """Stop, drop the configuration with all relay logs, and begin a new binary log.

        ServerError if something in the relay logs is not applied yet.
        """
        replicating.forget_source(self._line)

    def follow(
        self,
        source: NodeSpec,
        account: Account,
        timings: Timings,
        durability: Durability,
        covered: GtidSet | None = None,
    ) -> None:
        """Replicate from `source` by GTID, read-only, with our timings. If it does already, only start what is stopped.

        ServerError if it would have to change its source while something received is not applied (relay logs are thrown
        away then), unless that is in `covered`, which the new source is known to have; and if it is a former primary where a
        commit still waits for an acknowledgement.
        """
        if not self.close_for_writes(timings.read_only_deadline_s):
            raise self._line.error("it cannot be made read-only: a statement or commit is in the way")
        self._line.do(*self.dialect.admit_clients())
        replicating.follow(self._line, source, account, timings, durability, covered)

    # ---- roles -----------------------------------------------------------------------------------------------------
    def become_source(self, durability: Durability) -> None:
        """Everything a primary needs except being writable. ServerError if semi-sync is needed and not installed."""
        dialect = self.dialect
        if durability is Durability.LOSSLESS and not dialect.semi_sync_installed:
            raise self._line.error("it has no semi-sync plugins: run `replclus init`, which installs them")
        if durability is Durability.AVAILABLE:
            replicating.refuse_waiters(self._line)
        self._line.do(*dialect.source_role(durability))

    def restore_settings(self, durability: Durability, timings: Timings) -> None:
        """Give it back what `drift` names, and the semi-sync side that a primary must have if it is open for writes.

        Never anything that makes a waiting commit answer OK: semi-sync is only switched on.
        """
        settings.restore(self._line, durability, timings)

    def open_for_writes(self) -> None:
        """Clients may write from here on, also those that were turned away."""
        self._line.do(self.dialect.open_for_writes(), *self.dialect.admit_clients())

    def close_for_writes(self, deadline_s: float) -> bool:
        """Read-only for everybody. False if it did not happen within the deadline: a commit that waits is in the way."""
        return writing.close_for_writes(self._line, deadline_s)

    def turn_clients_away(self) -> bool:
        """Nobody but administrators gets in or stays, until it follows, or is opened for writes. False where it cannot."""
        statement = self.dialect.turn_clients_away()
        if statement is not None:
            self._line.do(statement)
        return statement is not None

    def commits_wait(self) -> bool:
        """Does a commit wait for an acknowledgement?"""
        return self.dialect.waiting(self._line.read(self.dialect.semi_sync_status())) > 0

    def kick_clients(self) -> None:
        """End the clients' connections, so that they look for the primary anew. Replication and replclus are left alone."""
        dialect = self.dialect
        for session_id in clients(self._line.read(SESSIONS), OWN_ACCOUNTS | {self._line.account.user}):
            try:
                self._line.do(dialect.kill(session_id))
            except AccessDenied:
                # An administrator with more rights than ours.
                continue
            except ServerError as error:
                if error.errno not in {ER.NO_SUCH_THREAD, ER.KILL_DENIED_ERROR}:
                    raise

    def free_senders(self) -> None:
        """End the threads that are in the middle of sending to a replica. One that was alive connects again at once."""
        for row in self._line.read(SENDING):
            with contextlib.suppress(ServerError):
                self._line.do(self.dialect.kill(int(row["id"])))

    def beat(self, pulse: PulseRow, deadline_s: float) -> None:
        """Commit `pulse` within the deadline, or ServerUnreachable: the primary cannot commit, whatever else it can do.

        ServerError if it is read-only, or if its row is of a later epoch: then somebody else is in charge.
        """
        writing.beat(self._line, pulse, deadline_s)

    def purge_outcomes(self, age_s: int, rows_max: int) -> None:
        """Drop up to `rows_max` tokens of tracked writes that are older than `age_s` seconds.

        Nothing on a read-only MariaDB, ServerError on a read-only MySQL: it would be a transaction of its own.
        """
        self._line.do(purge_outcomes(age_s, rows_max))

    # ---- bringing in -----------------------------------------------------------------------------------------------
    @contextlib.contextmanager
    def administration(self) -> Iterator[None]:
        """For an administrator's changes to this server alone: not in the binary log, and possible although read-only.

        Clients stay locked out. Inside, a lost connection is not replaced: its successor would log what it does.
        """
        dialect, line = self.dialect, self._line
        shut = not dialect.writable(line.read(dialect.light_probe(pulse=False))[0])
        if shut:
            line.do(*dialect.admit_administrators())
        line.do(UNLOGGED)
        line.pinned = True
        try:
            yield
        finally:
            line.pinned = False
            line.do(LOGGED)
            if shut and not self.close_for_writes(line.timeout_s):
                raise line.error("it cannot be made read-only again")

    def install_semi_sync(self) -> None:
        """Load the plugins where the family has any; an interrupted call may have loaded some. Within `administration`."""
        for statement in self.dialect.install_semi_sync():
            try:
                self._line.do(statement)
            except ServerError as error:
                if error.errno != ER.UDF_EXISTS:
                    raise
        self._line.detect_again()

    def install_lease(self) -> None:
        """The event of the lease, and the account it runs as. The table of the pulse is there. Within `administration`."""
        self.run_script("lease")

    def run(self, statement: Statement) -> list[dict[str, Any]]:
        """One statement of the caller's choice."""
        self._line.audit(statement)
        return self._line.read(statement)

    def run_script(self, name: str, values: Mapping[str, Any] | None = None) -> None:
        """Every statement of `sql/<name>.sql`, or of `sql/<flavour>/<name>.sql` where there is one; see `scripts`."""
        # Applications open Servers too, and do not have what it takes to split scripts.
        from replclus.server.scripts import script

        self._line.do(*script(self.dialect.flavour, name, values or {}))

    def set_global(self, setting: Setting, value: str | int | float) -> None:
        """Set it now, and for the next start where the server can remember it (MySQL)."""
        self._line.do(self.dialect.set_global(setting, value))

    def reset_history(self) -> None:
        """Forget every transaction ever executed. For empty servers only."""
        self._line.do(*self.dialect.reset_history())

    def set_executed(self, gtids: GtidSet) -> None:
        """Declare `gtids` executed, on a server whose history is empty and whose data was seeded to that point."""
        self._line.do(*self.dialect.set_executed(gtids))
