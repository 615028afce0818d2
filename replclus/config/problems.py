"""What is wrong with a configuration, collected so that a person hears of everything at once.

A location is a path of keys and indices, as pydantic gives it: `("node", 2, "port")`. It prints as `node[2] (n3).port`.
Values are echoed only where they cannot be passwords.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from replclus.config.grammar import did_you_mean
from replclus.config.schema import Document
from replclus.errors import ConfigError

Location = tuple[str | int, ...]

_SECRET_KEYS = frozenset({"password"})
_WANTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "list_type": "a list",
    "model_type": "a table",
    "dict_type": "a table",
}


@dataclass(slots=True)
class Problems:
    """Collects problems of one file. `overridden` are the locations whose values came from the caller, not the file."""

    file: str
    overridden: frozenset[Location] = frozenset()
    document: Mapping[str, Any] = field(default_factory=dict)
    _found: list[tuple[str, str]] = field(default_factory=list)

    def add(self, location: Location, sentence: str) -> None:
        """`sentence` says what is wrong there, and how to make it right."""
        source = "override" if location in self.overridden else self.file
        entry = (f"{source}: {self._place(location)}" if location else source, sentence)
        if entry not in self._found:
            self._found.append(entry)

    def add_invalid(self, error: ValidationError) -> None:
        """Everything a model complained about."""
        for detail in error.errors(include_url=False, include_input=True):
            location = tuple(detail["loc"])
            self.add(location, _sentence(location, detail))

    def raise_if_any(self) -> None:
        """One ConfigError with one line per problem."""
        if len(self._found) == 1:
            where, sentence = self._found[0]
            raise ConfigError(sentence, where=where)
        if self._found:
            raise ConfigError("\n".join(f"{where}: {sentence}" for where, sentence in self._found))

    def _place(self, location: Location) -> str:
        text = ""
        for depth, part in enumerate(location):
            if isinstance(part, int):
                text += f"[{part}]" + (self._node_name(part) if location[:depth] == ("node",) else "")
            else:
                text += f".{part}" if text else part
        return text

    def _node_name(self, index: int) -> str:
        nodes = self.document.get("node")
        node = nodes[index] if isinstance(nodes, list) and index < len(nodes) else None
        name = node.get("name") if isinstance(node, dict) else None
        return f" ({name})" if isinstance(name, str) and name.isprintable() and 0 < len(name) <= 32 else ""


def _sentence(location: Location, detail: ErrorDetails) -> str:
    """Pydantic's finding in our words, which name the remedy."""
    kind, found, context = detail["type"], detail["input"], detail.get("ctx", {})
    match kind:
        case "extra_forbidden":
            return _unknown(location)
        case "missing":
            return _missing(location)
        case "value_error":
            return str(context["error"])
        case "greater_than_equal":
            return f"{found!r} is too small: use {context['ge']:g} or more"
        case "less_than_equal":
            return f"{found!r} is too large: use {context['le']:g} or less"
        case "too_short":
            return f"is empty: add at least {context['min_length']} {_entry(location)}"
        case "too_long":
            return f"has {len(found)} entries: {context['max_length']} is the most"
        case _ if kind in _WANTED:
            return _wrong_type(location, _WANTED[kind], found)
        case _:
            return detail["msg"]


def _wrong_type(location: Location, wanted: str, found: object) -> str:
    if location == ("node",):
        return "must be a list of tables: begin each server with [[node]], in double brackets"
    if location and location[-1] in _SECRET_KEYS:
        return f"must be {wanted}: put it in quotes"
    hint = ": put it in quotes" if wanted == "a string" and not isinstance(found, (dict, list)) else ""
    if wanted != "a string" and isinstance(found, str):
        hint = ": write it without quotes" if wanted in ("a whole number", "a number", "true or false") else ""
    return f"must be {wanted}, found {_kind(found)}{hint}"


def _kind(found: object) -> str:
    match found:
        case dict():
            return "a table"
        case list():
            return "a list"
        case str():
            return f'"{found[:40]}"'
        case bool():
            return str(found).lower()
        case _:
            return str(found)[:40]


def _unknown(location: Location) -> str:
    key = str(location[-1])
    known = keys_of(model_at(location[:-1]))
    hint = did_you_mean(key, known)
    return f"unknown key{hint}" + ("" if hint else f": known here are {', '.join(sorted(known))}")


def _missing(location: Location) -> str:
    match location:
        case ("cluster",):
            return 'the table is missing: begin the file with [cluster] and name = "…"'
        case ("node",):
            return "there are no nodes: add one [[node]] per server, with name and host"
        case _:
            model = model_at(location[:-1])
            return f"is missing: {next(f.description for k, f in fields_of(model) if k == location[-1])}"


def _entry(location: Location) -> str:
    return "[[node]]" if location == ("node",) else "entry"


def fields_of(model: type[BaseModel]) -> Iterable[tuple[str, Any]]:
    """The keys of a table as a user writes them, with pydantic's FieldInfo."""
    return ((info.alias or name, info) for name, info in model.model_fields.items())


def keys_of(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(key for key, _ in fields_of(model))


def model_at(location: Location) -> type[BaseModel]:
    """The model that describes the table at `location`."""
    model: type[BaseModel] = Document
    for part in location:
        if isinstance(part, str):
            annotation = next(info.annotation for key, info in fields_of(model) if key == part)
            found = table_in(annotation)
            if found is None:
                raise KeyError(part)
            model = found
    return model


def table_in(annotation: object) -> type[BaseModel] | None:
    """The model inside `Model`, `Model | None` or `list[Model]`; None if there is none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(table_in, get_args(annotation))), None)
