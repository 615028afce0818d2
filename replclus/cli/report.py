"""`replclus report` and `replclus audit`: what happened, from the reports and the journal in the state directory."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from replclus.cli import terminal
from replclus.cli.opened import Opened, open_cluster
from replclus.cli.options import Config, Json
from replclus.errors import ConfigError
from replclus.store import JournalEntry
from replclus.store.sqlite import JOURNAL_ROWS_MAX
from replclus.watchdog.report_files import Reports


def report(
    epoch: Annotated[int | None, typer.Argument(metavar="[EPOCH]", help="Which one [default: list them all].")] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Tell how a failover or switchover went: evidence, decisions, steps, loss. Without EPOCH, list those there are."""
    with open_cluster(config, terminal.log) as cluster:
        reports = Reports(cluster.spec.state_dir, cluster.store)
        if epoch is None:
            _list(reports, as_json)
            return
        found = reports.find(epoch)
        if found is None:
            raise _unknown(reports, epoch)
    if as_json:
        terminal.emit_pretty(found.document)
    else:
        terminal.out().print(found.text.rstrip("\n"), soft_wrap=True)


def _list(reports: Reports, as_json: bool) -> None:
    found = [report for epoch in reports.epochs() if (report := reports.find(epoch)) is not None]
    if as_json:
        keys = ("epoch", "kind", "outcome", "began_at", "old", "new", "outage_ms")
        terminal.emit_pretty({"reports": [{key: each.document[key] for key in keys} for each in found]})
        return
    for each in found:
        terminal.out().print(each.text.partition("\n")[0], soft_wrap=True)
    if not found:
        terminal.say("the primary was never changed, as far as the journal goes back", "dim")


def _unknown(reports: Reports, epoch: int) -> ConfigError:
    known = reports.epochs()
    there = f"there are reports for {', '.join(map(str, known[-10:]))}" if known else "there are no reports yet"
    return ConfigError(f"no change of the primary is known for epoch {epoch}: {there}", where="EPOCH")


def audit(
    config: Config = None,
    as_json: Json = False,
    last: Annotated[int, typer.Option("--last", metavar="N", min=1, max=JOURNAL_ROWS_MAX, help="The newest N of them.")] = 100,
) -> None:
    """List the statements by which replclus changed servers, oldest first, without the values in them.

    The journal keeps as much as fits into its bound of entries. The pulse is not listed.
    """
    with open_cluster(config, terminal.log) as cluster:
        sent = _statements(cluster)[-last:]
    for entry in sent:
        if as_json:
            terminal.emit({"at": _when(entry), **entry.event})
        else:
            event = entry.event
            where = f"{event['step'] or '-'} in epoch {event['epoch']}"
            terminal.out().print(f"{_when(entry)}  {event['node']}  {where}: {_one_line(event)}", soft_wrap=True)


def _statements(cluster: Opened) -> list[JournalEntry]:
    return [entry for entry in cluster.store.journal(JOURNAL_ROWS_MAX) if entry.code == "Mutated"]


def _when(entry: JournalEntry) -> str:
    return datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="milliseconds")


def _one_line(event: Any) -> str:
    return " ".join(str(event["statement"]).split())
