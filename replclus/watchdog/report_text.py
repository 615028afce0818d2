"""A `ChangeReport` as a page of text: what a person reads the morning after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from replclus.watchdog.report import ChangeReport, Moment, Outcome, StepTaken

POSITION_CHARS_MAX = 100


def text(report: ChangeReport) -> str:
    return "\n".join(_lines(report)) + "\n"


def headline(report: ChangeReport) -> str:
    """One line, for lists."""
    when = datetime.fromtimestamp(report.began_at, UTC).isoformat(sep=" ", timespec="milliseconds")
    took = "" if report.outage_ms is None else f", {report.outage_ms:.0f} ms without writes"
    return f"epoch {report.epoch}  {when}  {report.kind}: {_ending(report)}{took}"


def _ending(report: ChangeReport) -> str:
    match report.outcome:
        case Outcome.PROMOTED:
            return f"{report.new} is primary instead of {report.old}"
        case Outcome.REOPENED:
            return f"{report.old} went on as primary"
        case Outcome.GIVEN_UP:
            return f"given up, {report.old} stayed primary"
        case Outcome.OVERTAKEN:
            return "went on in a later epoch"
        case Outcome.UNFINISHED:
            return "not finished"


def _lines(report: ChangeReport) -> Iterator[str]:
    yield headline(report)
    yield ""
    yield f"why            {report.why}"
    yield f"candidate      {report.candidate or 'nobody at first'}{f' ({report.chosen})' if report.chosen else ''}"
    yield f"old primary    {'; '.join(report.fenced) or 'was not touched'}"
    yield f"expected loss  {report.expected_loss}"
    yield from (f"salvaged       {what}" for what in [report.salvaged] if what)
    yield f"without writes {'unknown' if report.outage_ms is None else f'{report.outage_ms:.0f} ms'}"
    yield ""
    yield "What was seen of each node before anything was touched"
    yield from (f"  {_sight(sight)}" for sight in report.seen)
    yield ""
    yield "Steps"
    yield from (f"  {_step(step)}" for step in report.steps)
    yield ""
    yield "Timeline"
    yield from (f"  {_moment(moment)}" for moment in report.timeline)
    yield ""
    nodes = sorted({sent.node for sent in report.statements})
    yield f"{len(report.statements)} statements changed {', '.join(nodes) or 'no server'}: `replclus audit` lists them."


def _sight(sight: Mapping[str, Any]) -> str:
    parts = [f"{sight['node']}: {sight['reach']}"]
    if sight["age_ms"] is not None:
        parts.append(f"{float(sight['age_ms']):.0f} ms ago")
    parts += [sight["error"]] if sight["error"] else []
    parts += [f"process {sight['process']}"] if sight["process"] else []
    parts += ["accepts writes"] if sight["writable"] else []
    parts += [f"fed by {sight['fed_by']}"] if sight["fed_by"] else []
    received = str(sight["received"]).replace("\n", "")
    parts += [f"received {received[-POSITION_CHARS_MAX:]}"] if received else []
    return ", ".join(parts)


def _step(step: StepTaken) -> str:
    name = f"{step.step} {step.node or ''}".rstrip().ljust(28)
    return f"{name} failed: {step.why}" if step.took_ms is None else f"{name} {step.took_ms:8.1f} ms"


def _moment(moment: Moment) -> str:
    return f"{moment.after_ms:+10.0f} ms  {' '.join(moment.sentence.split())}"
