"""The text of docs/configuration.md, written by the models themselves so that it cannot go out of date."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel

from replclus.config.loading import DEFAULT_FILE, PATH_VARIABLE
from replclus.config.problems import fields_of
from replclus.config.schema import (
    AdminTable,
    AppTable,
    ClusterTable,
    FailoverTable,
    FenceTable,
    HooksTable,
    NodeTable,
    TimingsTable,
)
from replclus.config.url import SCHEME

_INTRODUCTION = f"""\
# Configuration

<!-- Generated from replclus/config by `replclus.config.document()`; a test fails when it is out of date. -->

A cluster is described in one TOML file. It is found, in this order, by `-c FILE` (or `connect(cluster=…)`), by the
environment variable `{PATH_VARIABLE}`, and as `./{DEFAULT_FILE}`. Relative paths in it are relative to the file's directory.

A wrong file is refused as a whole (exit code 2, nothing is touched) with one line for every problem, which names the
file, the key and the fix. Unknown keys are problems too.

```toml
[cluster]
name = "shop"

[accounts.admin]
user = "root"
password_env = "REPLCLUS_ADMIN_PASSWORD"

[accounts.app]
user = "shop"
password_file = "app.password"
schema = "shop"
hosts = ["198.18.0.21", "198.18.0.22"]

[[node]]
name = "n1"
host = "198.18.0.11"

[[node]]
name = "n2"
host = "198.18.0.12"
```

A file that holds a `password` should have mode 0600; replclus warns when everybody may read it.
"""

_URL = f"""\
## The URL form

Applications may name the servers instead of a file; they learn everything else from any server they reach:

    {SCHEME}://user:password@host1,host2:3307,[::1]:3308/schema?option=value

Special characters in user, password and schema are percent-encoded. The options are those of `replclus.connect`.
"""

_TABLES: tuple[tuple[str, type[BaseModel]], ...] = (
    ("[cluster]", ClusterTable),
    ("[accounts.admin]", AdminTable),
    ("[accounts.app]", AppTable),
    ("[[node]]", NodeTable),
    ("[failover]", FailoverTable),
    ("[timings]", TimingsTable),
    ("[hooks]", HooksTable),
    ("[fence]", FenceTable),
)


def document() -> str:
    """Markdown: every table, every key with its type, default, bounds and meaning."""
    return "\n".join([_INTRODUCTION, *(_table(heading, model) for heading, model in _TABLES), _URL])


def _table(heading: str, model: type[BaseModel]) -> str:
    about = " ".join((model.__doc__ or "").split())
    lines = [f"## `{heading}`", "", about, "", "| key | type | default | meaning |", "|---|---|---|---|"]
    lines += [
        f"| `{key}` | {_type(info.annotation)}{_bounds(info)} | {_default(info)} | {info.description} |"
        for key, info in fields_of(model)
    ]
    return "\n".join(lines) + "\n"


def _type(annotation: Any) -> str:
    names = {str: "string", int: "whole number", float: "number", bool: "true or false"}
    if annotation in names:
        return names[annotation]
    inner = next(argument for argument in get_args(annotation) if argument is not type(None))
    return f"list of {_type(inner)}s" if getattr(annotation, "__origin__", None) is list else _type(inner)


def _bounds(info: Any) -> str:
    limits = {name: getattr(rule, name) for rule in info.metadata for name in ("ge", "le") if hasattr(rule, name)}
    return f", {limits['ge']} to {limits['le']}" if limits else ""


def _default(info: Any) -> str:
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    match value:
        case None | []:
            return "none"
        case bool():
            return f"`{str(value).lower()}`"
        case str():
            return f'`"{value}"`'
        case _:
            return f"`{value}`"
