"""A cluster as a command needs it: what the user described, and the record of what was decided about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from replclus import config as configuration
from replclus.errors import ConfigError, Damaged
from replclus.events import Report, Warned
from replclus.model.record import ClusterRecord
from replclus.model.spec import ClusterSpec
from replclus.provision.rebuild import rebuild_record
from replclus.provision.restorer import Restorer
from replclus.store import SqliteStore, Store
from replclus.store.secrets import Secrets, load_secrets


@dataclass(frozen=True, slots=True)
class Opened:
    """An initialised cluster. The record is what it was when the command began."""

    spec: ClusterSpec
    store: Store
    secrets: Secrets
    record: ClusterRecord


@contextmanager
def open_cluster(config: Path | None, report: Report) -> Iterator[Opened]:
    """The cluster of `config`. ConfigError if it was never initialised.

    A damaged record is set aside and rebuilt from what the servers say, with a warning.
    """
    spec = configuration.load(config, accounts=False, report=report)
    secrets = load_secrets(spec.state_dir)
    if secrets is None:
        raise never_initialised(spec)
    store = SqliteStore(spec.state_dir)
    try:
        record = load_or_rebuild(spec, store, secrets, report)
        if record is None:
            raise never_initialised(spec)
        yield Opened(spec, store, secrets, record)
    finally:
        store.close()


def restorer_of(cluster: Opened, config: Path | None) -> Restorer:
    """What can bring servers back, as far as the administrator's password is known here; it says so itself where it is not."""
    try:
        admin = configuration.load(config).admin
    except ConfigError:
        admin = None
    return Restorer(replace(cluster.spec, admin=admin), cluster.secrets)


def load_or_rebuild(spec: ClusterSpec, store: SqliteStore, secrets: Secrets, report: Report) -> ClusterRecord | None:
    """The record; None if there never was one. Locked if it is damaged and another process drives the cluster."""
    try:
        return store.load()
    except Damaged as damage:
        report(Warned(what=f"{damage}; it is rebuilt from what the servers say"))
    # Asked before anything is moved: if the servers contradict each other, the damaged file stays where it is.
    record = rebuild_record(spec, secrets)
    fresh = SqliteStore(spec.state_dir)
    try:
        with fresh.lock("rebuild"):
            kept = fresh.set_aside()
            fresh.create(record)
    finally:
        fresh.close()
    report(Warned(what=f"the record was rebuilt: epoch {record.epoch}, primary {record.primary}; the damaged file is {kept}"))
    return record


def never_initialised(spec: ClusterSpec) -> ConfigError:
    return ConfigError(f"cluster {spec.name} has no record in {spec.state_dir} yet: run `replclus init` first")
