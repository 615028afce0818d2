"""Settings that somebody changed behind the cluster's back: found, and put right."""

from __future__ import annotations

from replclus.dialect import Setting
from replclus.dialect.base import read_settings
from replclus.errors import AccessDenied
from replclus.model.spec import Durability, Timings
from replclus.server.line import Line


def drift(line: Line, durability: Durability, timings: Timings) -> tuple[str, ...]:
    """See `Server.drift`."""
    return tuple(setting.name for setting in _wrong(line, durability, timings))


def restore(line: Line, durability: Durability, timings: Timings) -> None:
    """See `Server.restore_settings`."""
    dialect = line.dialect
    forbidden: AccessDenied | None = None
    for setting in _wrong(line, durability, timings):
        try:
            line.do(dialect.set_global(setting, setting.value))
        except AccessDenied as error:
            # One that only an administrator may set (MariaDB: innodb_flush_log_at_trx_commit) does not keep us from the others.
            forbidden = error
    row = line.read(dialect.light_probe(pulse=False))[0]
    if durability is Durability.LOSSLESS and dialect.writable(row) and dialect.semi_sync_installed:
        line.do(*dialect.source_role(durability))
    if forbidden is not None:
        raise forbidden


def _wrong(line: Line, durability: Durability, timings: Timings) -> tuple[Setting, ...]:
    required = line.dialect.required_settings(durability, timings)
    # What the cluster can do without is not ours to bring back: on MariaDB the watchdog's account could not, either.
    wanted = tuple(setting for setting in required if setting.dynamic and setting.left_alone is None)
    row = line.read(read_settings(tuple(setting.name for setting in wanted)))[0]
    return tuple(setting for setting in wanted if not setting.satisfied_by(str(row[setting.name])))
