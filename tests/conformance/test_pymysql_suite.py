"""PyMySQL's own test suite, with the DB-API 2.0 compliance suite in it: through `replclus.connect` as with PyMySQL itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.clusters import Cluster
from tests.conformance.sources import PYMYSQL_WITH_TESTS, fetch
from tests.conformance.suites import (
    PASSWORD,
    USER,
    Outcomes,
    compare,
    grown,
    make_account,
    make_schemas,
    reads_on_replicas,
    run_pytest,
)
from tests.integration.dbapi_world import cluster

__all__ = ["cluster"]

# What is different on purpose, and why.
DIFFER = {
    "test_connection_gone_away": "a connection that the server closed while idle is replaced, so that the error does not appear",
    "test_defer_connect": "connecting over a socket of the application's own is for one server; it raises NotSupportedError",
}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_same_tests_pass(cluster: Cluster, tmp_path: Path) -> None:
    make_account(cluster)
    plain = _run(cluster, tmp_path, "pymysql")
    before = reads_on_replicas(cluster)
    ours = _run(cluster, tmp_path, "replclus")
    assert grown(before, reads_on_replicas(cluster)) > 50, "the replicas had a part in it"
    compare(plain, ours, at_least=140, differ=DIFFER)
    dbapi = [name for name, outcome in ours.items() if "dbapi20" in name and outcome == "passed"]
    assert len(dbapi) >= 35


def _run(cluster: Cluster, directory: Path, through: str) -> Outcomes:
    """The suite reads its servers from a file beside itself, and connects while it is imported."""
    make_schemas(cluster, "test1", "test2")
    suite = directory / through
    shutil.copytree(fetch("PyMySQL", PYMYSQL_WITH_TESTS), suite)
    # The same keywords on both roads: only who connects is another.
    server = {"host": "localhost", "unix_socket": str(cluster.sandbox.place("n1").socket), "user": USER, "passwd": PASSWORD}
    databases = [{**server, "db": "test1", "use_unicode": True, "local_infile": True}, {**server, "db": "test2"}]
    (suite / "pymysql/tests/databases.json").write_text(json.dumps(databases))
    arguments = ["-p", "tests.conformance.pymysql_plugin", "-c", "/dev/null", f"--rootdir={suite}", f"{suite}/pymysql/tests"]
    return run_pytest(
        arguments, directory, {"SUITE": str(suite), "THROUGH": through, "USER": "root"}, directory / f"{through}.xml"
    )
