"""The programs of `[hooks]`: they must be there when the file is read, because nobody looks when they are needed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from replclus.config.problems import Problems
from replclus.config.schema import HooksTable
from replclus.model.spec import Hooks

KINDS = ("on_failover", "on_switchover", "on_problem")


def resolve(document: Mapping[str, Any], base: Path, environ: Mapping[str, str], problems: Problems) -> Hooks:
    """The hooks with absolute paths. What is malformed is skipped: the models complain about that."""
    try:
        table = HooksTable.model_validate(document.get("hooks", {}))
    except ValidationError:
        return Hooks()
    found: dict[str, tuple[str, ...]] = {}
    for kind in KINDS:
        words: list[str] = getattr(table, kind)
        if words:
            try:
                found[kind] = (_executable(words[0], base, environ), *words[1:])
            except ValueError as error:
                problems.add(("hooks", kind), str(error))
    return Hooks(**found, timeout_s=table.timeout_s)


def _executable(word: str, base: Path, environ: Mapping[str, str]) -> str:
    if not word:
        raise ValueError("its first word is empty: begin with the path of a program")
    if "/" not in word:
        found = shutil.which(word, path=environ.get("PATH", os.defpath))
        if found is None:
            raise ValueError(f"there is no program {word!r} on PATH: write its whole path, or install it")
        return str(Path(found).absolute())
    path = Path(os.path.normpath(base / word))
    if not path.exists():
        raise ValueError(f"there is no program {path}: correct the path, or remove the hook")
    if not path.is_file() or not os.access(path, os.X_OK):
        raise ValueError(f"{path} cannot be executed: name a program, and make it executable (chmod +x)")
    return str(path)
