"""Processes that are forked off a program that is using its connections, as pre-forking servers do."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import replclus
from tests.clusters import Cluster
from tests.integration.dbapi_world import account

CHILD_S_MAX = 60.0
THREADS_OF_A_CHILD = 2
WRITES_OF_A_THREAD = 40


@dataclass
class Found:
    written: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    children: int = 0

    def summary(self) -> str:
        return f"{self.children} children and their parent wrote {len(self.written):,} rows, {len(self.wrong)} contradictions"


def write_and_read(connection: Any, name: str, found: Found) -> None:
    cursor = connection.cursor()
    cursor.execute("INSERT INTO ledger VALUES (%s)", (name,))
    found.written.append(name)
    cursor.execute("SELECT COUNT(*) FROM ledger WHERE id = %s", (name,))
    if cursor.fetchone() != (1,):
        found.wrong.append(f"{name} not read back on {cursor.route}")


class Parent:
    """Threads that write all the time, and a connection that children inherit, which the parent goes on using too."""

    def __init__(self, cluster: Cluster, *, threads: int, prefix: str = "") -> None:
        self._keywords = {**account(cluster), "autocommit": True, "track_outcome": True}
        self._threads, self._prefix = threads, prefix
        self._stop = threading.Event()
        self.found = Found()

    def run(self, *, generations: int, children: int) -> Found:
        """Each generation forks `children` processes at once, in the middle of whatever the threads are doing."""
        threads = [threading.Thread(target=self._work, args=(number,)) for number in range(self._threads)]
        for thread in threads:
            thread.start()
        try:
            with replclus.connect(**self._keywords) as inherited:
                for generation in range(generations):
                    write_and_read(inherited, f"{self._prefix}parent.{generation}", self.found)
                    self._fork(inherited, generation, children)
                    write_and_read(inherited, f"{self._prefix}parent.{generation}.after", self.found)
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
        return self.found

    def _work(self, number: int) -> None:
        try:
            with replclus.connect(**self._keywords) as connection:
                turn = 0
                while not self._stop.is_set():
                    write_and_read(connection, f"{self._prefix}thread {number}.{turn}", self.found)
                    turn += 1
        except Exception as error:
            self.found.wrong.append(f"thread {number}: {error!r}")

    def _fork(self, inherited: Any, generation: int, children: int) -> None:
        context = multiprocessing.get_context("fork")
        pipes, processes = [], []
        for number in range(children):
            here, there = context.Pipe(duplex=False)
            process = context.Process(
                target=_child, args=(there, inherited, self._keywords, f"{self._prefix}child {generation}.{number}")
            )
            process.start()
            there.close()
            pipes.append(here)
            processes.append(process)
            time.sleep(0.01)
        deadline = time.monotonic() + CHILD_S_MAX
        for number, (pipe, process) in enumerate(zip(pipes, processes, strict=True)):
            if pipe.poll(max(0.0, deadline - time.monotonic())):
                said = json.loads(pipe.recv())
                self.found.written += said["written"]
                self.found.wrong += said["wrong"]
                process.join(10)
            if process.exitcode != 0:
                self.found.wrong.append(f"child {generation}.{number} did not end well: {process.exitcode}")
                process.kill()
            self.found.children += 1


def _child(pipe: Any, inherited: Any, keywords: dict[str, Any], name: str) -> None:
    """Uses the connection it inherited, then some of its own in threads, and tells what it did."""
    found = Found()
    try:
        write_and_read(inherited, f"{name} inherited", found)
        inherited.close()
        threads = [
            threading.Thread(target=_own, args=(keywords, f"{name} thread {number}", found))
            for number in range(THREADS_OF_A_CHILD)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except Exception as error:
        found.wrong.append(f"{name}: {error!r}")
    pipe.send(json.dumps({"written": found.written, "wrong": found.wrong}))
    pipe.close()
    # Not through pytest's exit handlers, which are the parent's.
    os._exit(0)


def _own(keywords: dict[str, Any], name: str, found: Found) -> None:
    try:
        for turn in range(WRITES_OF_A_THREAD):
            with replclus.connect(**keywords) as connection:
                write_and_read(connection, f"{name}.{turn}", found)
    except Exception as error:
        found.wrong.append(f"{name}: {error!r}")


def missing(cluster: Cluster, found: Found) -> list[str]:
    """What was acknowledged and is not there."""
    there = {row[0] for row in cluster.rows(cluster.record.primary, "SELECT id FROM app.ledger")}
    return [name for name in found.written if name not in there]
