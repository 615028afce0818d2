"""Finding out whether a write was committed, by a row that was written in the same transaction.

Each logical connection has at most one row in `replclus.outcome`: the token of its latest tracked transaction. The token is
put down between the application's statements and COMMIT, so it is there exactly if they are.

When may one look? On a new primary at once: the promotion has drained everything, and what the old primary
has alone is not part of the history. On the same server only after the old session is gone from it, because it may still
be about to read our COMMIT; and a token found there counts only once a later write of ours was acknowledged too,
for acknowledgements come in the order of the commits.
"""

from __future__ import annotations

import os
import time
from typing import Literal

from pymysql import err
from pymysql.constants import COMMAND

from replclus.dbapi.backends import Backends
from replclus.dbapi.errors import OutcomeUnknown, Unavailable
from replclus.dbapi.link import Link

Outcome = Literal["committed", "not_committed", "unknown"]

_POLL_S = 0.02


class Ledger:
    """The tokens of one logical connection."""

    def __init__(self) -> None:
        self._connection = os.urandom(16).hex()
        self._sequence = 0
        self._written: str | None = None
        self._pending: str | None = None

    def commit(self, link: Link) -> None:
        """Put down a new token and commit, in one round trip. Raises what kept the transaction from being committed.

        COMMIT is sent before the token's answer is known. If the token could not be written, the server may have rolled
        back everything before it (a deadlock), and the COMMIT had nothing to do: then it comes without a GTID.
        """
        self._sequence += 1
        self._pending = f"{self._connection}{self._sequence:016x}"
        link.gtid = None
        statements = [f"INSERT INTO replclus.outcome (token) VALUES (X'{self._pending}')", "COMMIT"]  # noqa: S608  # our digits
        if self._written is not None:
            # Never one that is not there: that would lock the gap in which others insert theirs.
            statements.insert(0, f"DELETE FROM replclus.outcome WHERE token = X'{self._written}'")  # noqa: S608
        *tokens, committed = link.exchange([(COMMAND.COM_QUERY, statement) for statement in statements])
        failure = next((answer for answer in tokens if isinstance(answer, err.MySQLError)), None)
        if isinstance(committed, err.MySQLError) or failure is not None:
            self._pending = None
        if isinstance(committed, err.MySQLError):
            raise committed
        if failure is not None and link.gtid is None:
            raise failure
        if failure is None:
            self._done()

    def _done(self) -> None:
        self._written, self._pending = self._pending, None

    @property
    def pending(self) -> bool:
        return self._pending is not None

    def farewell(self) -> str | None:
        """The statement that removes the row, if there is one."""
        token, self._written = self._written, None
        return f"DELETE FROM replclus.outcome WHERE token = X'{token}'" if token else None  # noqa: S608

    def resolve(self, backends: Backends, lost: Link, deadline: float) -> Outcome:
        """What became of the transaction whose COMMIT was sent on `lost`. "unknown" only if nobody could be asked in time."""
        while time.monotonic() < deadline:
            try:
                link = backends.get_writer(deadline)
                same = link.node.address == lost.node.address
                if same and not self._is_gone(link, lost):
                    time.sleep(_POLL_S)
                    continue
                return self._look(link, certain=not same)
            except (Unavailable, OutcomeUnknown):
                break
            except (err.Error, OSError):
                backends.drop_writer()
                backends.watcher.alarm()
                time.sleep(_POLL_S)
        return "unknown"

    def _look(self, link: Link, *, certain: bool) -> Outcome:
        # The ROLLBACK ends the transaction that a SELECT opens where autocommit is off.
        count, _ = link.queries(f"SELECT COUNT(*) FROM replclus.outcome WHERE token = X'{self._pending}'", "ROLLBACK")  # noqa: S608
        found = bool(count.rows[0][0])
        if found and not certain:
            link.queries(
                "BEGIN",
                f"UPDATE replclus.outcome SET written_at = CURRENT_TIMESTAMP(6) WHERE token = X'{self._pending}'",  # noqa: S608
                "COMMIT",
            )
        if found:
            self._done()
            return "committed"
        self._pending = None
        return "not_committed"

    @staticmethod
    def _is_gone(link: Link, lost: Link) -> bool:
        """Has the server of `link` nothing left of the session that `lost` was?"""
        status, sessions = link.queries(
            "SHOW GLOBAL STATUS LIKE 'Uptime'",
            f"SELECT COUNT(*) FROM information_schema.processlist WHERE id = {lost.thread_id():d}",  # noqa: S608
        )
        # A restarted server counts its sessions from the start again. Its uptime is in whole seconds.
        restarted = int(status.rows[0][1]) + 1 < time.monotonic() - lost.connected_at
        return restarted or not sessions.rows[0][0]
