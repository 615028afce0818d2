"""Asks one node what it is: writable or not, how far it has applied, and what its pulse says."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pymysql import err

from replclus.dbapi.failures import sentence
from replclus.dbapi.link import Link, Setup
from replclus.dbapi.mapping import NEVER, Answer, Node
from replclus.model.spec import Flavour
from replclus.model.topology import PulseRow, Topology

# An account that may not read the pulse is not asked about it again for this long.
BARE_FOR_S = 5.0
# The pulse cannot be read: access denied (1044, 1142, 1143), no such database or table (1049, 1146), no such column (1054).
_NO_PULSE = frozenset({1044, 1049, 1054, 1142, 1143, 1146})


class Prober:
    """Asks one node, over a connection of its own. Never raises for what a server does."""

    def __init__(self, node: Node, options: Mapping[str, Any]) -> None:
        self._node = node
        self._options = options
        self._link: Link | None = None
        self._bare_until = NEVER
        self._map_text = ""
        self._map: Topology | None = None
        self.flavour: Flavour | None = None

    def ask(self) -> tuple[Answer, str]:
        """The answer, and the position that the node has applied."""
        asked_at = time.monotonic()
        try:
            if self._link is None:
                self._link = Link.to(self._node, (0, 0), self._options, Setup(autocommit=True))
                self.flavour = self._link.speech.flavour
                asked_at = time.monotonic()
            return self._read(self._link, asked_at)
        except Exception as error:
            # Whatever is wrong with one node, even with what it says, must not end the watch over it.
            self.close()
            number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
            return Answer(asked_at=asked_at, error=sentence(error), errno=number), ""

    def _read(self, link: Link, asked_at: float) -> tuple[Answer, str]:
        if asked_at >= self._bare_until:
            try:
                (result,) = link.queries(link.speech.probe)
                return self._understand(result.rows[0], asked_at)
            except err.Error as error:
                if not error.args or error.args[0] not in _NO_PULSE:
                    raise
                self._bare_until = asked_at + BARE_FOR_S
        (result,) = link.queries(link.speech.bare_probe)
        return self._understand((*result.rows[0], None, None, None, None, None), asked_at)

    def _understand(self, row: Sequence[Any], asked_at: float) -> tuple[Answer, str]:
        read_only, applied, beat, epoch, primary, ttl_ms, topology = row
        pulse = None
        if beat is not None:
            pulse = PulseRow(beat=beat, epoch=epoch, primary=primary, routing_ttl_ms=ttl_ms, topology=topology or "")
            if pulse.topology != self._map_text:
                # A map of a newer format is no map: the node it names primary is still believed.
                with contextlib.suppress(ValueError):
                    self._map = Topology.from_json(pulse.topology)
                self._map_text = pulse.topology
        # MariaDB 12 answers with words, of which only OFF means writable.
        writable = str(read_only).upper() in ("0", "OFF")
        answer = Answer(asked_at=asked_at, writable=writable, pulse=pulse, topology=self._map if pulse else None)
        return answer, applied.replace("\n", "")

    def close(self) -> None:
        if self._link is not None:
            self._link.quit()
            self._link = None
