"""What the URL of SQLAlchemy and the settings of Django become, and how their errors are taken. No server is asked."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy import make_url

import replclus
from replclus.integrations.sqlalchemy import MySQLDialect_replclus


def keywords(url: str) -> dict[str, Any]:
    dialect = MySQLDialect_replclus(dbapi=MySQLDialect_replclus.import_dbapi())
    return dict(dialect.create_connect_args(make_url(url))[1])


@pytest.mark.parametrize(
    ("url", "cluster"),
    [
        ("mysql+replclus://u:p@h1,h2,h3/db", "mysql+replclus://h1,h2,h3"),
        ("mysql+replclus://u:p@h1,h2:3307/db", "mysql+replclus://h1,h2:3307"),
        ("mysql+replclus://u:p@/db?host=h1:3306&host=h2:3307", "mysql+replclus://h1:3306,h2:3307"),
        ("mysql+replclus://u:p@[::1]:3307/db", "mysql+replclus://[::1]:3307"),
        ("mysql+replclus://u:p@/db?cluster=/etc/replclus.toml", "/etc/replclus.toml"),
    ],
)
def test_hosts_of_a_sqlalchemy_url(url: str, cluster: str) -> None:
    found = keywords(url)
    assert found["cluster"] == cluster
    assert (found["user"], found["password"], found["database"]) == ("u", "p", "db")


def test_options_of_a_sqlalchemy_url_have_their_types() -> None:
    found = keywords("mysql+replclus://h/db?track_outcome=true&failover_timeout=2.5&pool_size=4&consistency=eventual")
    assert (found["track_outcome"], found["failover_timeout"], found["pool_size"]) == (True, 2.5, 4)
    assert found["consistency"] == "eventual"


def test_only_a_lost_session_is_a_disconnect() -> None:
    dialect = MySQLDialect_replclus(dbapi=MySQLDialect_replclus.import_dbapi())
    stays = (
        replclus.OutcomeUnknown("n1", "why"),
        replclus.TransactionLost("n1", "why"),
        replclus.Unavailable("why"),
    )
    assert not any(dialect.is_disconnect(error, None, None) for error in stays)
    assert dialect.is_disconnect(replclus.SessionLost("n1", "why", "a lock"), None, None)
    assert dialect.is_disconnect(replclus.InterfaceError(0, ""), None, None), "closed by the application"


_DJANGO = """
import sys
from django.conf import settings
settings.configure(DATABASES={"default": {"ENGINE": "replclus.integrations.django", "NAME": "shop", "USER": "u",
    "HOST": "h1,h2:3307", "PORT": "3310", "OPTIONS": {"consistency": "eventual"}}})
import django
django.setup()
from django.db import connection
params = connection.get_connection_params()
assert params["cluster"] == "mysql+replclus://h1:3310,h2:3307", params
assert params["consistency"] == "eventual" and "host" not in params and "port" not in params, params
assert "MySQLdb" not in sys.modules
"""


def test_django_needs_no_mysqldb_and_leaves_none_behind() -> None:
    done = subprocess.run([sys.executable, "-c", _DJANGO], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
