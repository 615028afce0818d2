"""What a logical connection has seen, as a position that a replica can be asked to have reached.

Transactions are applied in the order in which the primary committed them (MariaDB by domain; MySQL because every
member runs with `replica_preserve_commit_order`). So the GTID of our own last write stands for everything that had been
committed before it, and replaces whatever was known in its domain.
"""

from __future__ import annotations

import re
import threading
from functools import lru_cache

from replclus.errors import GtidSyntaxError
from replclus.model.gtid import MariadbGtidSet, MysqlGtidSet, parse_gtid_set
from replclus.model.spec import Flavour

_MARIADB_GTID = re.compile(r"(\d+)-(\d+)-(\d+)")
# One statement can be several transactions: `uuid:5-6`, `uuid:tag:5:7`.
_MYSQL_GTID = re.compile(r"(.+?):[\d:-]+")
_ONE_MYSQL_WRITE = re.compile(r"[0-9a-f-]{36}:\d+")
_LAST_NUMBER = re.compile(r"\d+")


class Seen:
    """Mutable, one per logical connection. `text` is what it has seen itself, `floor` what others have written before it."""

    __slots__ = ("_domains", "flavour", "floor", "text")

    def __init__(self, flavour: Flavour) -> None:
        self.flavour = flavour
        self.text = ""
        # MySQL only, where merging one write after another would grow a set full of holes.
        self.floor = ""
        # MariaDB: domain -> (sequence, the GTID).
        self._domains: dict[str, tuple[int, str]] = {}

    def wrote(self, gtid: str) -> None:
        """Our own transaction `gtid` was committed."""
        if self.flavour is Flavour.MYSQL:
            self.text, self.floor = gtid, ""
        elif len(self._domains) <= 1 and self.text.partition("-")[0] in ("", gtid.partition("-")[0]):
            # The usual case, one domain, is worth a short way: it is passed after every write.
            self._domains = {}
            self.text = gtid
        else:
            self.reached(gtid)

    def reached(self, position: str) -> None:
        """We have seen a server that was at `position`. Nothing already seen is forgotten. GtidSyntaxError if it is none."""
        if self.flavour is Flavour.MYSQL:
            merged = MysqlGtidSet.parse(position) | MysqlGtidSet.parse(self.text)
            self.text = str(merged).replace("\n", "")
            return
        MariadbGtidSet.parse(position)
        for domain, server, sequence in _MARIADB_GTID.findall(f"{self.text},{position}"):
            if int(sequence) > self._domains.get(domain, (0, ""))[0]:
                self._domains[domain] = (int(sequence), f"{domain}-{server}-{sequence}")
        self.text = ",".join(gtid for _, gtid in self._domains.values())

    def follow(self, latest: str) -> None:
        """`latest` is the last write of this process. It stands for those before it, so it replaces what was followed before."""
        if self.flavour is Flavour.MYSQL:
            self.floor = latest if latest != self.text else ""
        else:
            self.reached(latest)

    @property
    def position(self) -> str:
        """What the server's wait function takes. Empty: nothing to wait for."""
        return f"{self.text},{self.floor}" if self.text and self.floor else self.text or self.floor

    def within(self, applied: str) -> bool:
        """Has a replica that reported `applied` everything that we have seen? False also where that is not certain."""
        position = self.position
        if not position or position == applied:
            return True
        if not applied:
            return False
        return _contains(self.flavour, applied, position)


class Latest:
    """The last write of this process to a cluster, whichever connection made it. Thread-safe."""

    def __init__(self) -> None:
        self.text = ""
        self._lock = threading.Lock()
        # Who numbered (MariaDB: the domain; MySQL: the server's UUID, and tag) -> (number, GTID).
        self._last: dict[str, tuple[int, str]] = {}

    def wrote(self, gtid: str) -> None:
        """Threads come here in any order; what one server has numbered is in the order of its commits."""
        mysql = _MYSQL_GTID.fullmatch(gtid)
        origin = mysql[1] if mysql else gtid.partition("-")[0]
        number = int(_LAST_NUMBER.findall(gtid)[-1])
        with self._lock:
            if number <= self._last.get(origin, (0, ""))[0]:
                return
            if mysql and origin not in self._last:
                # Another server is the primary now. It has everything that the one before it had acknowledged.
                self._last.clear()
            self._last[origin] = (number, gtid)
            self.text = ",".join(text for _, text in self._last.values())


@lru_cache(maxsize=512)
def _contains(flavour: Flavour, applied: str, text: str) -> bool:
    """Remembered, because the sessions of a process ask the same of the same few replicas, at every read after a write."""
    if flavour is Flavour.MYSQL:
        if _ONE_MYSQL_WRITE.fullmatch(text):
            return _includes(applied, *text.split(":"))
        return MysqlGtidSet.parse(applied).contains(MysqlGtidSet.parse(text))
    if "," not in text and "," not in applied:
        domain, _, sequence = text.split("-")
        only, _, reached = applied.split("-")
        return only == domain and int(reached) >= int(sequence)
    there = _domains(applied)
    return all(there.get(domain, 0) >= sequence for domain, sequence in _domains(text).items())


def _includes(applied: str, uuid: str, number: str) -> bool:
    """Whether a canonical MySQL set holds one untagged transaction. The usual question, answered without parsing all of it."""
    _, found, behind = applied.partition(f"{uuid}:")
    if not found:
        return False
    for interval in behind.partition(",")[0].split(":"):
        first, _, last = interval.partition("-")
        if not first.isdigit():
            # A tag: what follows are its numbers.
            return False
        if int(first) <= int(number) <= int(last or first):
            return True
    return False


def _domains(position: str) -> dict[str, int]:
    """MariaDB: the last sequence number of each domain. The server that wrote it does not matter in strict mode."""
    last: dict[str, int] = {}
    for domain, _, sequence in _MARIADB_GTID.findall(position):
        last[domain] = max(int(sequence), last.get(domain, 0))
    return last


def check_token(flavour: Flavour, token: str) -> str:
    """The token, canonical. ValueError if it is not a position of this family: it goes into a statement."""
    try:
        return str(parse_gtid_set(flavour, token)).replace("\n", "")
    except GtidSyntaxError as error:
        raise ValueError(f"causality_token {token!r} is not one of this cluster: {error}") from error
