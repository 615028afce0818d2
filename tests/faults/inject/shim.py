"""The shim of `shim.c`: compiled, loaded into a server, and given its rules."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.faults.inject.compiling import compile_library
from tests.faults.inject.launching import Equipment

_SOURCE = Path(__file__).with_name("shim.c")
_LIBRARY = "shim.so"


class Call(StrEnum):
    SYNC = "sync"
    WRITE = "write"


class Action(StrEnum):
    DELAY = "delay"
    HANG = "hang"
    EIO = "eio"
    ENOSPC = "enospc"


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of `call` on files whose base name fits the shell pattern. `delay_s` is for DELAY only."""

    call: Call
    action: Action
    pattern: str
    delay_s: float = 0.0

    def __str__(self) -> str:
        return f"{self.call} {self.action} {round(self.delay_s * 1000)} {self.pattern}\n"


@dataclass(frozen=True, slots=True)
class Shim:
    """The shim of one server, compiled into `directory`. Without rules it does nothing."""

    directory: Path

    @property
    def control(self) -> Path:
        return self.directory / "shim.rules"

    def equipment(self) -> Equipment:
        return Equipment(self.directory / _LIBRARY, {"REPLCLUS_SHIM": str(self.control)})

    def obey(self, *rules: Rule) -> None:
        """These rules from now on, and no others. Calls that hang go on as soon as no rule holds them."""
        new = self.control.with_suffix(".new")
        new.write_text("".join(map(str, rules)))
        new.replace(self.control)

    def rest(self) -> None:
        self.obey()


def compile_shim(directory: Path) -> Shim:
    """Into `directory`, which must stay while servers use it."""
    compile_library(_SOURCE, directory / _LIBRARY)
    return Shim(directory)
