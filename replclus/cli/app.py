"""The command line as a whole: which commands there are, and how each of them may end.

Exit codes: 0 done · 1 it failed or was refused, the reason is the last line on stderr · 2 wrong usage or configuration,
nothing was touched · 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from replclus.cli import cluster, demo_command, doctor, operate, plan, report, route, sandbox, status
from replclus.cli.main import INTERRUPTED
from replclus.errors import Refused, ReplclusError

app = typer.Typer(
    name="replclus",
    help="A few MySQL or MariaDB servers as one cluster: one primary, reads spread over replicas, failover without loss.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
app.command("init", short_help="Make the servers of the file a cluster.")(cluster.init)
app.command("status", short_help="Show the cluster, and what a failure would do.")(status.status_command)
app.command("doctor", short_help="Check every server, and say what to do.")(doctor.doctor)
app.command("watchdog", short_help="See failures and repair them, until SIGTERM.")(cluster.watchdog)
app.command("switchover", short_help="Move the primary, planned.")(operate.switchover)
app.command("failover", short_help="Replace a primary that failed.")(operate.failover)
app.command("rejoin", short_help="Judge a quarantined server again.")(operate.rejoin)
app.command("rebuild", short_help="Replace a server's data by a copy.")(operate.rebuild)
app.command("drain", short_help="Send a replica no more reads.")(operate.drain)
app.command("undrain", short_help="Send it reads again.")(operate.undrain)
app.command("pause", short_help="Let the watchdog repair nothing.")(operate.pause)
app.command("resume", short_help="Let it work again.")(operate.resume)
app.command("report", short_help="Tell how a change of the primary went.")(report.report)
app.command("audit", short_help="List the statements that changed servers.")(report.audit)
app.command("route", short_help="Say where a statement goes, and why.")(route.route)
app.command("plan", short_help="What replicas would bring.")(plan.plan)
app.add_typer(sandbox.app, name="sandbox", short_help="Real servers in one directory.")
app.command("demo", short_help="The whole story on a throw-away sandbox.")(demo_command.demo)


def _show_version(wanted: bool) -> None:
    if wanted:
        try:
            typer.echo(f"replclus {version('replclus')}")
        except PackageNotFoundError:
            typer.echo("replclus (not installed, run from its source)")
        raise typer.Exit


@app.callback()
def top(
    debug: Annotated[bool, typer.Option("--debug", envvar="REPLCLUS_DEBUG", help="Show tracebacks.")] = False,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """A few MySQL or MariaDB servers as one cluster: one primary, reads spread over replicas, failover without loss."""
    if debug:
        os.environ["REPLCLUS_DEBUG"] = "1"


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code. Raises nothing: this is the last door."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot spell "→" shows "?" instead of ending the command.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        app(args=list(arguments), prog_name="replclus")
    except SystemExit as ending:
        if ending.code == INTERRUPTED:
            _last_line("interrupted")
        return _code(ending)
    except ReplclusError as error:
        if os.environ.get("REPLCLUS_DEBUG"):
            traceback.print_exc()
        _explain(error)
        return error.exit_code
    except Exception as error:  # the last door: whatever comes here is a bug of ours, said in one sentence
        _last_line(_unexpected(error))
        return 1
    return 0


def _code(ending: SystemExit) -> int:
    if isinstance(ending.code, int):
        return ending.code
    return 0 if ending.code is None else 1


def _explain(error: ReplclusError) -> None:
    """Every reason on lines of its own, if there are several, and the last line for who reads no more than that."""
    reasons = error.reasons if isinstance(error, Refused) else tuple(str(error).splitlines())
    if len(reasons) <= 1:
        _last_line(str(error))
        return
    for reason in reasons:
        sys.stderr.write(f"  - {reason}\n")
    _last_line(f"{len(reasons)} problems, listed above; the first: {reasons[0]}")


def _last_line(sentence: str) -> None:
    """The reason, on one line, as the last one of stderr."""
    sys.stderr.write(f"replclus: {' '.join(sentence.split())}\n")
    sys.stderr.flush()


def _unexpected(error: Exception) -> str:
    if os.environ.get("REPLCLUS_DEBUG"):
        traceback.print_exc()
        return f"unexpected {type(error).__name__}: {error}"
    with tempfile.NamedTemporaryFile("w", prefix="replclus-", suffix=".traceback", delete=False) as kept:
        traceback.print_exc(file=kept)
    return f"unexpected {type(error).__name__}: {error}; the traceback is in {kept.name} (or run with --debug)"
