"""How much has passed, told now and then."""

from __future__ import annotations

import time
from collections.abc import Callable

EVERY_S = 5.0
_MIB = 1 << 20


class Meter:
    """Counts the bytes it is shown, and says so every EVERY_S seconds: `copied 120 MiB`."""

    def __init__(self, say: Callable[[str], None], word: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._word, self._clock = say, word, clock
        self._next = clock() + EVERY_S
        self.count = 0

    def __call__(self, chunk: bytes) -> None:
        self.count += len(chunk)
        if self._clock() >= self._next:
            self._next = self._clock() + EVERY_S
            self._say(f"{self._word} {self.count // _MIB} MiB")
