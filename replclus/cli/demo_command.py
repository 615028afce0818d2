"""`replclus demo`: sets the stage for `replclus.cli.demo`, and clears it again however the story ends."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from replclus.cli import terminal
from replclus.cli.demo.result import Result
from replclus.cli.demo.show import Show
from replclus.cli.demo.story import tell
from replclus.cli.options import FlavourOption, Json, OwnConfig
from replclus.errors import Refused
from replclus.model.spec import Flavour
from replclus.sandbox import Sandbox, create, in_memory, throw_away

REPLICAS = 3
TERMINATED = 128 + signal.SIGTERM


def demo(
    flavour: FlavourOption = Flavour.MARIADB,
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="SECONDS", min=10, max=3600, help="Time under load, at least 10.")
    ] = 10.0,
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help="Build it in DIR and leave it there, servers running.")
    ] = None,
    as_json: Json = False,
    config: OwnConfig = None,
) -> None:
    """Kill the primary of a throw-away cluster under load, and check that nothing was lost."""
    began = time.monotonic()
    show = Show(terminal.err() if as_json else terminal.out())
    with _stage(flavour, keep, show) as sandbox:
        result = tell(sandbox, flavour, seconds, show, began)
        show.verdict(result)
        if keep is not None:
            show.line(f"left running: replclus status -c {sandbox.config} · replclus sandbox destroy {sandbox.directory}")
    if as_json:
        terminal.emit(result.to_dict())
    _judge(result)


def _judge(result: Result) -> None:
    if not result.ok:
        raise Refused(*(f"the demo broke a promise: {broken}" for broken in result.broken_promises()))


@contextmanager
def _stage(flavour: Flavour, keep: Path | None, show: Show) -> Iterator[Sandbox]:
    """The servers. They and their directory are gone afterwards, also after Ctrl-C and SIGTERM, unless they are kept."""

    def end(_number: int, _frame: object) -> None:
        raise SystemExit(TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    with ExitStack() as place:
        directory = keep or place.enter_context(throw_away("replclus-demo-"))
        try:
            yield _servers(directory, flavour, show)
        finally:
            _undisturbed(place.close)
            signal.signal(signal.SIGTERM, before)


def _undisturbed(tidy_up: Callable[[], None]) -> None:
    """Nobody may interrupt the tidying up, or it would take longer than anybody likes to wait."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        tidy_up()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _servers(directory: Path, flavour: Flavour, show: Show) -> Sandbox:
    names = {Flavour.MARIADB: "MariaDB", Flavour.MYSQL: "MySQL"}
    show.chapter(f"{REPLICAS + 1} {names[flavour]} servers")
    began = time.monotonic()
    sandbox = create(directory, flavour=flavour, replicas=REPLICAS)
    medium = "memory" if in_memory(sandbox.directory) else "disk"
    show.line(f"real and empty, in {sandbox.directory}, which is {medium} ({time.monotonic() - began:.1f} s)")
    return sandbox
