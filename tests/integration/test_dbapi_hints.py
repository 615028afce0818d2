"""Hints in comments, as a connection obeys them."""

from __future__ import annotations

import warnings

import pytest

import replclus
from replclus.model.spec import Flavour
from tests.clusters import Cluster, eventually
from tests.integration.dbapi_world import Connect, cluster, connect

__all__ = ["cluster", "connect"]


def test_a_hint_of_another_router_warns_once(cluster: Cluster, connect: Connect) -> None:
    cursor = connect(consistency="eventual").cursor()
    hint = f"hostgroup={cluster.sandbox.flavour.value}"
    with pytest.warns(replclus.HintIgnored, match=hint) as caught:
        cursor.execute(f"SELECT /* {hint} */ 1")
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cursor.execute(f"SELECT /* {hint} */ 1")


def test_administration_reaches_the_node_that_a_hint_names(cluster: Cluster, connect: Connect) -> None:
    cursor = connect().cursor()
    what = "SLAVE" if cluster.sandbox.flavour is Flavour.MARIADB else "REPLICA"
    with pytest.raises(replclus.StatementRefused):
        cursor.execute(f"SHOW {what} STATUS")
    cursor.execute("SELECT CURRENT_USER()")
    account = "@".join(f"'{part}'" for part in cursor.fetchone()[0].split("@"))
    right = "REPLICA MONITOR" if cluster.sandbox.flavour is Flavour.MARIADB else "REPLICATION CLIENT"
    cluster.run("n1", f"GRANT {right} ON *.* TO {account}")
    for node in ("n2", "n3"):
        granted = [right, "SLAVE MONITOR"]

        def arrived(node: str = node, granted: list[str] = granted) -> bool:
            return any(word in str(cluster.rows(node, f"SHOW GRANTS FOR {account}")) for word in granted)

        eventually(arrived, f"the grant is on {node}")
    # Rights for all of a server are those of the time when a connection was made, so none from the pool will do.
    cursor = connect(read_timeout=77).cursor()
    for node in ("n2", "n3"):
        cursor.execute(f"SHOW {what} STATUS /* replclus: node={node} */")
        assert cursor.route.node == node
        assert len(cursor.fetchall()) == 1, "a replica answers for itself"
    cursor.execute(f"SHOW {what} STATUS /* replclus: node=n1 */")
    assert not cursor.fetchall()
    # What the server says to it is the answer, not a refusal of ours.
    with pytest.raises(replclus.OperationalError) as refused:
        cursor.execute("SET GLOBAL max_connections = 500 /* replclus: node=n2 */")
    assert refused.value.args[0] == 1227
    cursor.execute("SELECT COUNT(*) FROM t")
    assert cursor.fetchone() is not None
