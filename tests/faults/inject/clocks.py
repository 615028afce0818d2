"""The wall clock that one process sees, moved while it runs. Its monotonic clock stays as it is."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from tests.faults.inject.compiling import compile_library
from tests.faults.inject.launching import Equipment

_LIBRARY = "clock.so"


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock of whoever is started with its equipment, compiled into `directory` and controlled by a file there."""

    directory: Path

    @property
    def control(self) -> Path:
        return self.directory / "clock.offset"

    def equipment(self) -> Equipment:
        return Equipment(self.directory / _LIBRARY, {"REPLCLUS_CLOCK": str(self.control)})

    def environment(self) -> dict[str, str]:
        """For a process that is not a server."""
        item = self.equipment()
        return {**item.environment, "LD_PRELOAD": str(item.preload)}

    def move(self, seconds: float) -> None:
        """So many seconds off the machine's clock, from now on. The file stays the same: it is mapped into who uses it."""
        with self.control.open("r+b") as control:
            control.write(struct.pack("q", round(seconds * 1e9)))

    @contextmanager
    def moved(self, seconds: float) -> Iterator[None]:
        self.move(seconds)
        try:
            yield
        finally:
            self.move(0)

    @contextmanager
    def strobing(self, seconds: float, *, every_s: float = 0.05) -> Iterator[None]:
        """So many seconds ahead and behind in turns."""
        stop = threading.Event()

        def strobe() -> None:
            for offset in cycle((seconds, -seconds)):
                self.move(offset)
                if stop.wait(every_s):
                    return

        thread = threading.Thread(target=strobe, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.move(0)


def make_clock(directory: Path) -> Clock:
    """One that goes right until it is moved. `directory` must stay while somebody uses it."""
    compile_library(Path(__file__).with_name("clock.c"), directory / _LIBRARY)
    clock = Clock(directory)
    clock.control.write_bytes(struct.pack("q", 0))
    return clock
