"""Starting a server again, as its host's service manager would."""

from __future__ import annotations

from replclus.errors import ConfigError
from replclus.model.gtid import MysqlGtidSet
from replclus.model.spec import ClusterSpec, Flavour
from replclus.provision.rejoin import known_to_primary
from replclus.server.process import LocalProcess, StartReport
from replclus.store import SqliteStore
from replclus.store.secrets import load_secrets


def start_node(spec: ClusterSpec, name: str, *, ask: bool = True) -> StartReport:
    """Start the local server process of `name`: read-only, replicating from nobody, without an unacknowledged tail.

    What it may keep is asked of the cluster beforehand, unless `ask` says that nobody is there to answer. A cluster that
    was never initialised has nobody to ask either.
    """
    node = spec.node(name)
    if node.process_dir is None:
        raise ConfigError("is no server process of this machine: its host must start it", where=f"node {name}")
    return LocalProcess(node.process_dir).start(_known(spec, name) if ask else None)


def _known(spec: ClusterSpec, name: str) -> MysqlGtidSet | None:
    """What a killed MySQL server may keep of its binary log. MariaDB servers cut off their tail by themselves."""
    secrets = load_secrets(spec.state_dir)
    if secrets is None:
        return None
    store = SqliteStore(spec.state_dir, create=False)
    try:
        record = store.load()
        if record is None or record.flavour is not Flavour.MYSQL:
            return None
        known = known_to_primary(spec, store, secrets, name)
    finally:
        store.close()
    return known if isinstance(known, MysqlGtidSet) else None
