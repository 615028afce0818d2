"""Typed reading of plain JSON documents. A missing key is a KeyError, a value of another type a TypeError that names it."""

from __future__ import annotations

Doc = dict[str, object]


def text(doc: Doc, key: str) -> str:
    value = doc[key]
    if not isinstance(value, str):
        raise TypeError(f"{key} should be a text, found {value!r:.80}")
    return value


def optional_text(doc: Doc, key: str) -> str | None:
    return None if doc[key] is None else text(doc, key)


def whole(doc: Doc, key: str) -> int:
    value = doc[key]
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{key} should be a whole number, found {value!r:.80}")
    return value


def flag(doc: Doc, key: str) -> bool:
    value = doc[key]
    if not isinstance(value, bool):
        raise TypeError(f"{key} should be true or false, found {value!r:.80}")
    return value


def tables(doc: Doc, key: str) -> list[Doc]:
    return [table(value) for value in _list(doc, key)]


def wholes(doc: Doc, key: str) -> tuple[int, ...]:
    return tuple(whole({key: value}, key) for value in _list(doc, key))


def texts(doc: Doc, key: str) -> list[str]:
    return [text({key: value}, key) for value in _list(doc, key)]


def table(value: object) -> Doc:
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, found {value!r:.80}")
    return value


def _list(doc: Doc, key: str) -> list[object]:
    value = doc[key]
    if not isinstance(value, list):
        raise TypeError(f"{key} should be a list, found {value!r:.80}")
    return value
