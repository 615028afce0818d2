"""SQLAlchemy's suite for dialects: `mysql+replclus` as `mysql+pymysql`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clusters import Cluster
from tests.conformance.sources import installed
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


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_same_tests_pass(cluster: Cluster, tmp_path: Path) -> None:
    make_account(cluster)
    place = cluster.sandbox.place("n1")
    plain = _run(cluster, f"mysql+pymysql://{USER}:{PASSWORD}@{place.host}:{place.port}/test", tmp_path / "plain.xml")
    before = reads_on_replicas(cluster)
    ours = _run(cluster, f"mysql+replclus://{USER}:{PASSWORD}@/test?cluster={cluster.sandbox.config}", tmp_path / "ours.xml")
    assert grown(before, reads_on_replicas(cluster)) > 300, "the replicas had a part in it"
    compare(plain, ours, at_least=1500)


def _run(cluster: Cluster, url: str, report: Path) -> Outcomes:
    """With SQLAlchemy's own list of what each server can do, and with the SQLAlchemy that is installed (-s says so)."""
    make_schemas(cluster, "test", "test_schema", "test_schema_2")
    arguments = ["-p", "tests.conformance.sqlalchemy_plugin", "-q", "--maxfail=1000000", "--dburi", url]
    return run_pytest([*arguments, "test/dialect/test_suite.py"], installed("SQLAlchemy"), {"PYTHONNOUSERSITE": "1"}, report)
