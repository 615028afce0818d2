"""Statement and session state together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from replclus.model.spec import Flavour
from replclus.routing import Destination, SessionState, classify, decide
from replclus.routing.router import Role

FRESH = SessionState()
ON_PRIMARY = SessionState(transaction_on="primary")
READ_ONLY = SessionState(transaction_on="replica", transaction_read_only=True)
NO_AUTOCOMMIT = SessionState(autocommit=False)
HAS_READ = SessionState(autocommit=False, transaction_on="replica")
PINNED = SessionState(pinned_to="primary")


@pytest.mark.parametrize("flavour", list(Flavour))
@pytest.mark.parametrize(
    ("sql", "state", "role"),
    [
        ("SELECT 1", FRESH, "replica"),
        ("SELECT 1", ON_PRIMARY, "primary"),
        ("SELECT 1", READ_ONLY, "replica"),
        ("SELECT 1", NO_AUTOCOMMIT, "replica"),
        ("SELECT 1", replace(NO_AUTOCOMMIT, split_transactions=False), "primary"),
        ("SELECT 1", HAS_READ, "replica"),
        ("SELECT 1", PINNED, "primary"),
        ("SELECT 1", replace(FRESH, consistency="strong"), "primary"),
        ("SELECT 1", replace(FRESH, consistency="eventual"), "replica"),
        ("SELECT 1", replace(FRESH, isolation="SERIALIZABLE"), "primary"),
        ("SELECT 1", replace(FRESH, isolation="READ UNCOMMITTED"), "primary"),
        ("SELECT 1", replace(FRESH, isolation="UNKNOWN"), "primary"),
        ("SELECT 1", replace(FRESH, isolation="READ COMMITTED"), "replica"),
        ("SELECT 1", replace(FRESH, schema="mysql"), "primary"),
        ("SELECT 1", replace(FRESH, schema="app"), "replica"),
        ("INSERT INTO t VALUES (1)", FRESH, "primary"),
        ("INSERT INTO t VALUES (1)", ON_PRIMARY, "primary"),
        ("INSERT INTO t VALUES (1)", READ_ONLY, "replica"),
        ("INSERT INTO t VALUES (1)", HAS_READ, "primary"),
        ("SELECT 1 FOR UPDATE", HAS_READ, "primary"),
        ("SELECT fw(1)", FRESH, "primary"),
        ("COMMIT", FRESH, "primary"),
        ("COMMIT", HAS_READ, "replica"),
        ("ROLLBACK", HAS_READ, "replica"),
        ("COMMIT", ON_PRIMARY, "primary"),
        ("COMMIT", READ_ONLY, "replica"),
        ("SAVEPOINT a", HAS_READ, "primary"),
        ("BEGIN", FRESH, "primary"),
        ("BEGIN", PINNED, "primary"),
        ("START TRANSACTION READ ONLY", FRESH, "replica"),
        ("START TRANSACTION READ ONLY", replace(FRESH, consistency="strong"), "primary"),
        ("START TRANSACTION READ ONLY", replace(FRESH, isolation="SERIALIZABLE"), "primary"),
        ("SHOW WARNINGS", FRESH, "last_used"),
        ("SHOW WARNINGS", ON_PRIMARY, "primary"),
        ("SHOW WARNINGS", HAS_READ, "replica"),
        ("SET NAMES utf8mb4", FRESH, "primary"),
        ("SET NAMES utf8mb4", HAS_READ, "replica"),
        ("SHUTDOWN", FRESH, "refuse"),
        ("SHUTDOWN", ON_PRIMARY, "refuse"),
        ("SHUTDOWN", PINNED, "refuse"),
        ("/* replclus: node=n3 */ SELECT 1", FRESH, "node"),
        ("/* replclus: node=n3 */ SHOW SLAVE STATUS", FRESH, "node"),
        ("/* replclus: node=n3 */ SELECT 1", ON_PRIMARY, "primary"),
        ("/* replclus: node=n3 */ SHUTDOWN", ON_PRIMARY, "refuse"),
        ("/* replclus: primary */ SELECT 1", FRESH, "primary"),
    ],
)
def test_decide(sql: str, state: SessionState, role: Role, flavour: Flavour) -> None:
    found = decide(classify(sql, flavour=flavour), state)
    assert found.role == role
    assert found.reason


def test_a_named_node_is_passed_on() -> None:
    found = decide(classify("/* replclus: node=n3 */ SELECT 1", flavour=Flavour.MYSQL), FRESH)
    assert found == Destination("node", "a hint in the statement names n3", "n3")
