"""The two streams: results go to stdout, progress and logs to stderr.

Sentences come from servers and files and are never read as markup. Where a stream is not a terminal there are no
colours and lines are not wrapped, so that `grep` sees what a person sees.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from replclus.events import (
    Event,
    PrimaryChanged,
    ProblemAppeared,
    ProblemGone,
    RecordChanged,
    Report,
    StepDone,
    StepFailed,
    StepStarted,
    Warned,
)

_PIPE_COLUMNS = 160


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_COLUMNS
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=width)


def out() -> Console:
    """Stdout as it is now: tests and shells replace it, so a console is not kept."""
    return _console(stderr=False)


def err() -> Console:
    return _console(stderr=True)


def say(text: str, style: str = "") -> None:
    """A line of progress."""
    err().print(Text(text, style=style), soft_wrap=True)


def emit(document: Mapping[str, Any]) -> None:
    """One JSON document on one line of stdout, flushed: the reader may be a program waiting for it."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def emit_pretty(document: Mapping[str, Any]) -> None:
    """A JSON document that a person may read too: indented on a terminal, on one line in a pipe."""
    if sys.stdout.isatty():
        sys.stdout.write(json.dumps(document, ensure_ascii=False, default=str, indent=2) + "\n")
    else:
        emit(document)


def style_of(event: Event) -> str:
    match event:
        case Warned() | ProblemAppeared():
            return "yellow"
        case StepFailed():
            return "red"
        case PrimaryChanged() | ProblemGone():
            return "green"
        case RecordChanged():
            return "cyan"
        case _:
            return ""


def log(event: Event) -> None:
    """An event as a line of progress on stderr. A `Report`."""
    say(f"  {event.sentence}", style_of(event) or "dim")


@contextmanager
def steps(what: str) -> Iterator[Report]:
    """A `Report` for the steps of a command: what is done becomes a line, what is under way stands beside a spinner."""
    under_way: dict[tuple[str, str | None], str] = {}
    lock = threading.Lock()
    with err().status(what) as spinner:

        def told(event: Event) -> None:
            with lock:
                match event:
                    case StepStarted():
                        under_way[event.step, event.node] = event.sentence
                    case StepDone() | StepFailed():
                        under_way.pop((event.step, event.node), None)
                spinner.update(" ".join(under_way.values()) or what)
                if not isinstance(event, StepStarted):
                    log(event)

        yield told


class EventLines:
    """A `Report` that writes one line per event to stdout: the product of `replclus watchdog`.

    Called from several threads. A reader that goes away silences it; it must not stop the watchdog.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._lock = threading.Lock()
        self._broken = False

    def __call__(self, event: Event) -> None:
        now = datetime.now(UTC)
        with self._lock:
            if self._broken:
                return
            try:
                if self._as_json:
                    emit({"at": now.isoformat(timespec="milliseconds"), **event.to_dict()})
                else:
                    self._write(now, event)
            except OSError:
                self._broken = True

    def _write(self, now: datetime, event: Event) -> None:
        stamp = now.astimezone().isoformat(sep=" ", timespec="milliseconds")
        line = Text.assemble((stamp, "dim"), "  ", (event.sentence.replace("\n", " "), style_of(event)))
        out().print(line, soft_wrap=True)
        sys.stdout.flush()
