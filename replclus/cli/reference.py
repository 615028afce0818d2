"""docs/cli.md, written from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from replclus.cli.app import app

_HEAD = """# The command line

Written from the commands by `python -m replclus.cli.reference > docs/cli.md`; a test fails when it is out of date.

Progress and logs go to stderr, results to stdout. Exit codes: `0` done · `1` it failed or was refused, the reason is the
last line on stderr · `2` wrong usage or configuration, nothing was touched · `130` interrupted.
"""


def document() -> str:
    """The text of docs/cli.md."""
    return "\n".join([_HEAD, *_commands(typer.main.get_command(app), "replclus")])


def _commands(command: Any, name: str) -> Iterator[str]:
    inner = getattr(command, "commands", None)
    if inner:
        for each in inner.values():
            yield from _commands(each, f"{name} {each.name}")
        return
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    usage = " ".join([name, *(_metavar(argument) for argument in arguments), "[OPTIONS]"])
    yield f"## `{name}`\n"
    yield f"{(command.help or '').strip()}\n"
    yield f"```\n{usage}\n```\n"
    if arguments or options:
        yield "| | |\n|---|---|"
        for parameter in (*arguments, *options):
            yield f"| `{_spelled(parameter)}` | {_explained(parameter)} |"
        yield ""


def _metavar(argument: Any) -> str:
    name = str(argument.metavar or argument.name.upper())
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _spelled(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return _metavar(parameter)
    names = ", ".join(parameter.opts)
    return names if parameter.is_flag else f"{names} {parameter.metavar}".replace("|", "\\|")


def _explained(parameter: Any) -> str:
    text = (parameter.help or "").replace("|", "\\|")
    default = parameter.default
    if parameter.required:
        return f"{text} Required.".strip()
    if default in (None, False, "") or callable(default):
        return text
    return f"{text} Default: `{getattr(default, 'value', default)}`.".strip()


if __name__ == "__main__":
    typer.echo(document(), nl=False)
