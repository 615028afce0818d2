"""Runs somebody else's test suite in a process of its own, and compares what came of each test on two roads."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import pymysql

from tests.clusters import REPOSITORY, Cluster, eventually

Outcome = Literal["passed", "failed", "skipped"]
Outcomes = dict[str, Outcome]

USER = PASSWORD = "suite"  # noqa: S105  # of servers that live for a minute
SUITE_S_MAX = 400


def make_account(cluster: Cluster, *schemas: str) -> None:
    """An account that may do everything but write to a replica: a statement that went astray must not succeed there.

    A test that is played again finds the one of its first run.
    """
    hosts = ("localhost", "127.0.0.1")
    for host in hosts:
        cluster.run("n1", f"CREATE USER IF NOT EXISTS '{USER}'@'{host}' IDENTIFIED BY '{PASSWORD}'")
        cluster.run("n1", f"GRANT ALL ON *.* TO '{USER}'@'{host}' WITH GRANT OPTION")
        if cluster.sandbox.flavour == "mariadb":
            cluster.run("n1", f"REVOKE SUPER, READ ONLY ADMIN ON *.* FROM '{USER}'@'{host}'")
    make_schemas(cluster, *schemas)
    wanted = f"SELECT COUNT(*) FROM mysql.user WHERE user = '{USER}'"
    for name in cluster.sandbox.names:
        eventually(lambda name=name: cluster.rows(name, wanted) == ((len(hosts),),), f"{name} knows the account")  # type: ignore[misc]


def make_schemas(cluster: Cluster, *schemas: str) -> None:
    """New and empty, on both roads alike."""
    for schema in schemas:
        cluster.run("n1", "SET foreign_key_checks = 0", f"DROP DATABASE IF EXISTS {schema}", f"CREATE DATABASE {schema}")


def reads_on_replicas(cluster: Cluster) -> dict[str, int]:
    """SELECTs that each replica has answered since it was started.

    One that is down is left out, and named: MariaDB 10.11.19 was seen to crash (signal 11, in create_tmp_table_for_schema) at a
    DESCRIBE of SQLAlchemy's suite on a replica. The suite must end the same way nevertheless.
    """
    found = {}
    for name in cluster.sandbox.names[1:]:
        try:
            found[name] = int(cluster.rows(name, "SHOW GLOBAL STATUS LIKE 'Com_select'")[0][1])
        except pymysql.err.OperationalError as error:
            print(f"{name} is down: {error}")
    return found


def grown(before: Mapping[str, int], after: Mapping[str, int]) -> int:
    return sum(after[name] - before[name] for name in after if name in before)


def run(command: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> str:
    """What it printed. Fails only if it does not end in time: a suite with failures is what may have to be compared."""
    path = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SUITE_S_MAX,
        check=False,
    )
    return done.stdout


def run_pytest(arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], report: Path) -> Outcomes:
    """By the name of each test. Fails if pytest wrote no report."""
    said = run(["-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={report}", *arguments], cwd, environment)
    assert report.exists(), said[-3000:]
    found: Outcomes = {}
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314  # pytest wrote it a moment ago
        outcomes = {child.tag for child in case}
        bad, skipped = outcomes & {"failure", "error"}, "skipped" in outcomes
        for child in case:
            if child.tag in {"failure", "error"}:
                print(f"{case.get('name')}: {child.get('message')}"[:800])
        found[f"{case.get('classname')}::{case.get('name')}"] = "failed" if bad else "skipped" if skipped else "passed"
    assert found, said[-3000:]
    return found


def compare(plain: Outcomes, ours: Outcomes, *, at_least: int, differ: Mapping[str, str] | None = None) -> None:
    """Every test ends as it does with plain PyMySQL, but for those in `differ`, which must differ: name -> reason."""
    print(f"plain PyMySQL: {dict(Counter(plain.values()))}, replclus: {dict(Counter(ours.values()))}")
    for name in sorted(name for name, outcome in plain.items() if outcome == "failed"):
        print("fails with plain PyMySQL too:", name)
    assert Counter(plain.values())["passed"] >= at_least, "the suite itself did not run"
    wanted = dict(differ or {})
    changed = {name: (plain.get(name), ours.get(name)) for name in plain | ours if plain.get(name) != ours.get(name)}
    unexpected = {name: change for name, change in changed.items() if name.rpartition("::")[2] not in wanted}
    assert not unexpected, unexpected
    assert {name.rpartition("::")[2] for name in changed} == set(wanted), "a difference that is documented is gone"
