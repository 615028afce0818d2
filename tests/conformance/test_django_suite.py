"""Django's own tests of databases: `replclus.integrations.django` as Django's MySQL backend over plain PyMySQL."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.clusters import Cluster
from tests.conformance.sources import installed
from tests.conformance.suites import PASSWORD, USER, Outcomes, compare, grown, make_account, reads_on_replicas, run
from tests.integration.dbapi_world import cluster

__all__ = ["cluster"]

LABELS = ("basic", "transactions", "select_for_update", "backends")
# Tests, and Django's check of its own backend, look for MySQLdb; with ours it need not be there, but these tests ask for it.
SETTINGS = """
import pymysql
pymysql.install_as_MySQLdb()
DATABASES = {{"default": {default!r}, "other": {other!r}}}
TEST_RUNNER = "tests.conformance.django_runner.Runner"
SECRET_KEY = "django"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
"""

# runtests.py runs as __main__, with its own directory and that of the settings on the path.
_WITH_SETTINGS = """
import runpy, sys
sys.path[:0] = [".", {directory!r}]
sys.argv = {command!r}
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_same_tests_pass(cluster: Cluster, tmp_path: Path) -> None:
    make_account(cluster)
    place = cluster.sandbox.place("n1")
    plain = _run(tmp_path / "plain", {"ENGINE": "django.db.backends.mysql", "HOST": place.host, "PORT": place.port})
    before = reads_on_replicas(cluster)
    engine = {"ENGINE": "replclus.integrations.django", "OPTIONS": {"cluster": str(cluster.sandbox.config)}}
    ours = _run(tmp_path / "ours", engine)
    assert grown(before, reads_on_replicas(cluster)) > 100, "the replicas had a part in it"
    compare(plain, ours, at_least=300)


def _run(directory: Path, database: dict[str, Any]) -> Outcomes:
    directory.mkdir()
    default, other = ({**database, "USER": USER, "PASSWORD": PASSWORD, "NAME": name} for name in ("django", "django_other"))
    (directory / "suite_settings.py").write_text(SETTINGS.format(default=default, other=other))
    report = directory / "outcomes.json"
    command = ["runtests.py", "--settings=suite_settings", "--noinput", "--parallel=1", *LABELS]
    tests = installed("Django") / "tests"
    said = run(["-c", _WITH_SETTINGS.format(directory=str(directory), command=command)], tests, {"REPORT": str(report)})
    assert report.exists(), said[-3000:]
    told = json.loads(report.read_text())
    print(*told["complaints"], sep="\n")
    found: Outcomes = told["outcomes"]
    return found
