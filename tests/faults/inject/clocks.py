"""The wall clock that one process sees, moved while it runs by libfaketime. Its monotonic clock stays as it is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from tests.faults.inject.launching import Equipment

_PLACES = ("/usr/lib", "/usr/local/lib")
_SHARED = Path("/dev/shm")  # noqa: S108 - where the library puts it


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock of whoever is started with its equipment, controlled by a file in `directory`."""

    directory: Path

    @property
    def control(self) -> Path:
        return self.directory / "clock.offset"

    def equipment(self) -> Equipment:
        library = next((found for place in _PLACES for found in Path(place).rglob("libfaketimeMT.so.1")), None)
        assert library is not None, "there is no libfaketimeMT.so.1 on this machine (apt-get install faketime)"
        return Equipment(
            library,
            {
                "FAKETIME_TIMESTAMP_FILE": str(self.control),
                # The file is looked at whenever the time is asked for.
                "FAKETIME_NO_CACHE": "1",
                "DONT_FAKE_MONOTONIC": "1",
                "NO_FAKE_STAT": "1",
            },
        )

    def environment(self) -> dict[str, str]:
        """For a process that is not a server."""
        item = self.equipment()
        return {**item.environment, "LD_PRELOAD": str(item.preload)}

    def move(self, seconds: float) -> None:
        """So many seconds off the machine's clock, from now on."""
        new = self.control.with_suffix(".new")
        new.write_text(f"{seconds:+.3f}\n")
        new.replace(self.control)

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


def remove_left_overs() -> None:
    """A process that is killed leaves what libfaketime shares among processes behind, under its own number."""
    for pattern in ("faketime_shm_*", "sem.faketime_sem_*"):
        for left in _SHARED.glob(pattern):
            if not Path("/proc", left.name.rpartition("_")[2]).exists():
                left.unlink(missing_ok=True)


def make_clock(directory: Path) -> Clock:
    """One that goes right until it is moved."""
    remove_left_overs()
    clock = Clock(directory)
    clock.move(0)
    return clock
