"""What a session does on its replica: reads, transactions of reads, and what becomes of them when the replica fails.

A read of which the application has seen no row is sent to another replica, or to the primary. Not so in a transaction that
has shown rows: another server would continue another snapshot. And not for ever: a read that ends every server that it
runs on, or that somebody kills wherever it turns up, must stop being sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from pymysql import err

from replclus.dbapi.backends import Backends
from replclus.dbapi.errors import TransactionLost
from replclus.dbapi.failures import REDEFINED, Fate, fate_of, sentence
from replclus.dbapi.link import Link
from replclus.dbapi.waiting import for_replica

# A read that was under way when its connection broke is sent again this often.
RESENDS_MAX = 2
# What a replica does to a table is asked about again and again for so long, and so often.
REDEFINED_S_MAX = 1.0
REDEFINED_PAUSE_S = 0.01

Send = Callable[[Link], object]


class Replica:
    """One per session."""

    def __init__(self, backends: Backends) -> None:
        self.backends = backends
        # A transaction is open on the reader: an explicit READ ONLY one, or an implicit one that has shown rows.
        self.read_only = False
        self.shown = False
        # The statement that began the READ ONLY one.
        self.begun: str | bytes = ""

    @property
    def in_transaction(self) -> bool:
        reader = self.backends.reader
        return self.read_only or self.shown or (reader is not None and reader.in_transaction)

    def read(self, send: Send, failed: tuple[Link, err.Error] | None = None, *, patient: bool = True) -> Link | None:
        """Have a read done on a replica, trying others where that is safe; `failed` is a first try that was made already,
        and not to be `patient` means that it has waited for one in vain.

        None: no replica can do it now, or this one refused it as a write: the primary must.
        """
        began, deadline, cut = time.monotonic(), self.backends.deadline(), 0
        while True:
            if failed is not None:
                link, error = failed
                fate = fate_of(error, broken=link._sock is None)
                if fate is Fate.REFUSED and not link.in_transaction:
                    return None
                if fate is Fate.TIMED_OUT:
                    self.backends.drop_reader()
                    self.shown = self.read_only = False
                if fate is Fate.ANSWERED and error.args[0] in REDEFINED and time.monotonic() < began + REDEFINED_S_MAX:
                    time.sleep(REDEFINED_PAUSE_S)
                elif fate not in (Fate.NOT_RUN, Fate.UNKNOWN):
                    self.backends.complained = link
                    raise error
                else:
                    self.forget(link, sentence(error))
                    cut += fate is Fate.UNKNOWN
                    if link.killed or cut > RESENDS_MAX or time.monotonic() >= deadline:
                        raise error
                    self.backends.watcher.tally.add("retried", link.node.name)
                failed = None
            reader = self.backends.get_reader(patient=patient)
            if reader is None and self.backends.options.replica_required:
                for_replica(self.backends.watcher, began, deadline)
                continue
            if reader is None:
                return None
            try:
                send(reader)
            except err.Error as error:
                failed = (reader, error)
                continue
            self.note(reader)
            return reader

    def note(self, link: Link) -> None:
        """Rows were read on `link`."""
        self.backends.unplaced = link
        self.shown = self.shown or link.in_transaction

    def forget(self, link: Link, why: str) -> None:
        """The reader broke. TransactionLost if the session had begun something there."""
        began = self.shown or self.read_only
        link.discard()
        self.backends.drop_reader()
        self.backends.watcher.alarm()
        self.shown = self.read_only = False
        if began:
            raise TransactionLost(link.node.name, link.broken_off or why)

    def begin(self, sql: str | bytes) -> Link | None:
        """START TRANSACTION READ ONLY. None if no replica serves it now."""
        link = self.read(lambda link: link.query(sql))
        if link is not None:
            self.read_only, self.shown, self.begun = True, False, sql
        return link

    def end(self) -> None:
        """End the transaction, in which nothing can have been written."""
        reader = self.backends.reader
        self.shown = self.read_only = False
        if reader is None or not reader.in_transaction:
            return
        if reader.streaming:
            # The rows still to come are of this transaction, and the next read must not be.
            self.backends.abandon_reader()
            return
        try:
            reader.queries("ROLLBACK")
        except (err.Error, OSError):
            self.backends.drop_reader()
