"""`replclus route`: where a statement goes, and why. Asks no server."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Annotated

import typer
from rich.text import Text

from replclus.cli import terminal
from replclus.cli.options import FlavourOption, Json, OwnConfig
from replclus.errors import ConfigError
from replclus.model.spec import Flavour
from replclus.routing import route_json


def route(
    sql: Annotated[str | None, typer.Argument(metavar="[SQL]", help="The statement; - reads it from stdin.")] = None,
    flavour: FlavourOption = Flavour.MARIADB,
    sql_mode: Annotated[str, typer.Option("--sql-mode", metavar="MODES", help="As in @@sql_mode.")] = "",
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help='Read {"sql", "flavour", "sql_mode"} per line on stdin, answer a line each.')
    ] = False,
    as_json: Json = False,
    config: OwnConfig = None,
) -> None:
    """Say where a statement goes (replica, primary, last_used, session, transaction, refuse), and why."""
    if jsonl:
        if sql is not None:
            raise ConfigError("takes its statements from stdin, not from an argument", where="--jsonl")
        answer_lines(sys.stdin, flavour, sql_mode)
        return
    if sql is None:
        raise ConfigError("is missing: give a statement, or --jsonl and statements on stdin", where="SQL")
    answer = route_json(sys.stdin.read() if sql == "-" else sql, flavour, sql_mode)
    if as_json:
        terminal.emit(answer)
    else:
        shown: list[str | tuple[str, str]] = [(answer["target"], "bold"), f"  {answer['reason']}"]
        shown += [f"\nhint     {answer['hint']}"] if "hint" in answer else []
        shown += [f"\nignored  {answer['hint_ignored']}, a hint of another router"] if "hint_ignored" in answer else []
        terminal.out().print(Text.assemble(*shown), soft_wrap=True)


def answer_lines(lines: Iterable[str], flavour: Flavour, sql_mode: str) -> None:
    """One line of JSON per line, in order; a bad line is answered with its error. ConfigError at the end if one was bad."""
    bad: list[int] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            terminal.emit(_answer(line, flavour, sql_mode))
        except ValueError as error:
            bad.append(number)
            terminal.emit({"error": str(error), "line": number})
    if bad:
        shown = ", ".join(str(number) for number in bad[:10]) + (" …" if len(bad) > 10 else "")
        raise ConfigError(f"{len(bad)} lines were not questions that can be answered: {shown}", where="stdin")


def _answer(line: str, flavour: Flavour, sql_mode: str) -> dict[str, str]:
    """ValueError, of which JSONDecodeError is one, says what is wrong with the line."""
    try:
        question = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(question, dict) or not isinstance(question.get("sql"), str):
        raise ValueError('expected an object with a string "sql"')
    family = question.get("flavour") or flavour.value
    if family not in tuple(Flavour):
        raise ValueError(f'"flavour" must be one of {", ".join(Flavour)}, found {family!r}')
    mode = question.get("sql_mode") or sql_mode
    if not isinstance(mode, str):
        raise ValueError('"sql_mode" must be a string')
    return route_json(question["sql"], Flavour(family), mode)
