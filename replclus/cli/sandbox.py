"""`replclus sandbox`: real database servers in one directory."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer

from replclus import config as configuration
from replclus.cli import terminal
from replclus.cli.hosts import start_node
from replclus.cli.options import FlavourOption, Json, OwnConfig
from replclus.model.spec import Flavour
from replclus.sandbox import REPLICAS_MAX, Sandbox, open_sandbox
from replclus.sandbox import create as create_sandbox
from replclus.server.process import StartReport

app = typer.Typer(help="Real database servers in one directory, to try a cluster on this machine.", no_args_is_help=True)

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="The sandbox's directory.")]
Node = Annotated[str | None, typer.Argument(metavar="[NODE]", help="One server, e.g. n1 [default: all].")]


@app.command()
def create(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Must be empty, or not there yet.")],
    flavour: FlavourOption = Flavour.MARIADB,
    replicas: Annotated[int, typer.Option("--replicas", metavar="N", help=f"0 to {REPLICAS_MAX}.")] = 3,
    base_port: Annotated[
        int | None, typer.Option("--base-port", metavar="PORT", help="The first of consecutive ports [default: free ones].")
    ] = None,
    server_binary: Annotated[
        Path | None, typer.Option("--server-binary", metavar="PATH", help="mysqld or mariadbd [default: found].")
    ] = None,
    as_json: Json = False,
    config: OwnConfig = None,
) -> None:
    """Make N+1 running, empty servers that do not replicate yet, and DIR/replclus.toml."""
    began = time.monotonic()
    with terminal.err().status(f"starting {replicas + 1} {flavour.value} servers …"):
        made = create_sandbox(directory, flavour=flavour, replicas=replicas, base_port=base_port, server_binary=server_binary)
    seconds = time.monotonic() - began
    if as_json:
        terminal.emit({**_described(made), "seconds": round(seconds, 3)})
        return
    for place in made.places:
        terminal.out().print(f"{place.name}  {place.host}:{place.port}  {place.socket}")
    terminal.out().print(f"{made.config}", soft_wrap=True)
    terminal.say(f"{len(made.places)} servers up in {seconds:.1f} s; next: replclus init -c {made.config}", "dim")


@app.command()
def start(directory: Directory, node: Node = None, as_json: Json = False, config: OwnConfig = None) -> None:
    """Bring stopped or killed servers back as their hosts would: read-only, and not replicating by themselves."""
    box = open_sandbox(directory)
    names = _names(box, node)
    spec = configuration.load(box.config)
    anyone = any(box.process(name).is_running() for name in box.names)
    with ThreadPoolExecutor(len(names)) as pool:
        reports = dict(zip(names, pool.map(lambda name: start_node(spec, name, ask=anyone), names), strict=True))
    if as_json:
        terminal.emit({"started": {name: _report(report) for name, report in reports.items()}})
        return
    for name, report in reports.items():
        terminal.out().print(f"{name}  {_sentence(report)}", soft_wrap=True)


@app.command()
def stop(directory: Directory, node: Node = None, as_json: Json = False, config: OwnConfig = None) -> None:
    """Stop servers cleanly."""
    box = open_sandbox(directory)
    names = _names(box, node)
    box.stop(node)
    _done("stopped", names, as_json)


@app.command()
def destroy(directory: Directory, node: Node = None, as_json: Json = False, config: OwnConfig = None) -> None:
    """Kill servers and remove their files. Without NODE the whole directory goes."""
    box = open_sandbox(directory)
    names = _names(box, node)
    box.destroy(node)
    _done("destroyed", names, as_json)


def _names(box: Sandbox, node: str | None) -> tuple[str, ...]:
    """ConfigError if `node` is none of this sandbox's servers."""
    return box.names if node is None else (box.place(node).name,)


def _done(what: str, names: tuple[str, ...], as_json: bool) -> None:
    if as_json:
        terminal.emit({what: list(names)})
    else:
        terminal.out().print(f"{what} {', '.join(names)}")


def _described(made: Sandbox) -> dict[str, Any]:
    nodes = [{"name": place.name, "host": place.host, "port": place.port, "socket": str(place.socket)} for place in made.places]
    return {"directory": str(made.directory), "config": str(made.config), "flavour": made.flavour.value, "nodes": nodes}


def _report(report: StartReport) -> dict[str, Any]:
    return {
        "pid": report.pid,
        "seconds": round(report.seconds, 3),
        "already_running": report.already_running,
        "cut": report.cut,
        "cut_refused": report.cut_refused,
    }


def _sentence(report: StartReport) -> str:
    if report.already_running:
        return f"runs already (pid {report.pid})"
    parts = [f"up in {report.seconds:.1f} s (pid {report.pid}), read-only, not replicating by itself"]
    if report.cut:
        parts.append(f"cut off what was acknowledged to nobody: {report.cut}")
    if report.cut_refused:
        parts.append(f"transactions unknown to the cluster had to be left in: {report.cut_refused}")
    return "; ".join(parts)
