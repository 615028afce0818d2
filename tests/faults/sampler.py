"""Asks every server every 20 ms, over its unix socket, how it is: evidence that does not depend on network or router."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from pathlib import Path

import pymysql

from replclus.errors import ReplclusError
from replclus.model.spec import Flavour
from tests.clusters import Cluster
from tests.faults.evidence import Reign

EVERY_S = 0.02
_POSITION = {Flavour.MARIADB: "@@global.gtid_binlog_pos", Flavour.MYSQL: "@@global.gtid_executed"}


class Sampler:
    """Writes `samples.jsonl`: node, when asked and answered (ns), read_only, server_id, position; or the error.

    `reigns` is what the record said, in order, each once: also those that the watchdog did not live to tell.
    """

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        self._cluster = cluster
        self._file = (directory / "samples.jsonl").open("w")
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.reigns: list[Reign] = []
        self._threads = [threading.Thread(target=self._watch, args=(name,), daemon=True) for name in cluster.sandbox.names]
        self._threads.append(threading.Thread(target=self._read_record, daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(5)
        with self._lock:
            self._file.close()

    def _watch(self, name: str) -> None:
        connection: pymysql.Connection | None = None
        sql = f"SELECT @@global.read_only, @@server_id, {_POSITION[self._cluster.sandbox.flavour]}"
        while not self._stop.wait(EVERY_S):
            asked = time.monotonic_ns()
            try:
                if connection is None:
                    connection = self._cluster.connect(name, connect_timeout=1, read_timeout=1)
                with connection.cursor() as cursor:
                    cursor.execute(sql)
                    ((read_only, server_id, position),) = cursor.fetchall()
                self._note({"node": name, "asked": asked, "at": time.monotonic_ns(), "read_only": read_only,
                            "server_id": server_id, "position": str(position).replace("\n", "")})  # fmt: skip
            except (pymysql.err.Error, OSError) as error:
                self._note({"node": name, "asked": asked, "at": time.monotonic_ns(), "error": str(error)})
                if connection is not None:
                    with suppress(pymysql.err.Error, OSError):
                        connection.close()
                connection = None
                self._stop.wait(0.2)

    def _read_record(self) -> None:
        while not self._stop.is_set():
            with suppress(ReplclusError):
                record = self._cluster.record
                if not self.reigns or self.reigns[-1] != (record.epoch, record.primary):
                    self.reigns.append((record.epoch, record.primary))
            self._stop.wait(EVERY_S)

    def _note(self, sample: dict[str, object]) -> None:
        with self._lock:
            if not self._file.closed:
                self._file.write(json.dumps(sample) + "\n")
