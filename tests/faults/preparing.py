"""What servers of a lab are given before anything runs, so that it can fail them: disks of their own, a shim, a clock.

`before_load=disks_for("n1")` prepares, `disk(scene, "n1")` is what the fault then breaks. Whatever was broken stays broken until
the fault repairs it, and is gone with the lab.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tests.faults.inject.clocks import Clock, make_clock
from tests.faults.inject.disks import Disk, data_disk, mounted
from tests.faults.inject.launching import Equipment, equip
from tests.faults.inject.shim import Shim, compile_shim
from tests.faults.lab import Lab
from tests.faults.scene import Scene

Prepare = Callable[[Lab], None]


def disks_for(*names: str, size_mb: int = 512) -> Prepare:
    """The data of these servers lies on a disk of its own each."""

    def prepare(lab: Lab) -> None:
        for name in names:
            lab.belongings.enter_context(data_disk(_directory(lab, name), size_mb=size_mb))
            lab.cluster.start(name)

    return prepare


def shims_for(*names: str) -> Prepare:
    """These servers are started with the shim, which does nothing yet."""
    return _equipping(names, lambda directory: compile_shim(directory).equipment())


def clocks_for(*names: str) -> Prepare:
    """These servers have clocks that can be moved, and go right for the time being."""
    return _equipping(names, lambda directory: make_clock(directory).equipment())


def small_temporary(name: str) -> Prepare:
    """The directory for temporary files of a server is a small file system of its own. A server that restarts keeps it."""

    def prepare(lab: Lab) -> None:
        directory = _directory(lab, name)
        lab.cluster.process(name).stop()
        lab.belongings.callback(lab.cluster.kill, name)
        lab.belongings.enter_context(mounted(directory / "tmp", directory / "tmp.image", 16))
        lab.cluster.start(name)

    return prepare


def alone(lab: Lab) -> None:
    """Nothing but a lab of its own, because what the fault leaves behind would upset others."""


def both(*preparations: Prepare) -> Prepare:
    """One after the other."""

    def prepare(lab: Lab) -> None:
        for each in preparations:
            each(lab)

    return prepare


def options_for(name: str, **options: str) -> Prepare:
    """More lines for the option file of a server, which is started anew."""

    def prepare(lab: Lab) -> None:
        change_options(_directory(lab, name), **options)
        _restart(lab, name)

    return prepare


def change_options(directory: Path, **options: str) -> None:
    """From the server's next start on. The last line of an option counts."""
    file = directory / "my.cnf"
    lines = "".join(f"{name} = {value}\n" for name, value in options.items())
    file.write_text(file.read_text() + f"\n[mysqld]\n{lines}")


def disk(scene: Scene, name: str) -> Disk:
    return Disk(scene.server_directory(name) / "data")


def shim(scene: Scene, name: str) -> Shim:
    return Shim(scene.server_directory(name))


def clock(scene: Scene, name: str) -> Clock:
    return Clock(scene.server_directory(name))


def _directory(lab: Lab, name: str) -> Path:
    return lab.cluster.sandbox.place(name).directory


def _equipping(names: Sequence[str], make: Callable[[Path], Equipment]) -> Prepare:
    def prepare(lab: Lab) -> None:
        for name in names:
            equip(_directory(lab, name), [make(_directory(lab, name))])
            _restart(lab, name)

    return prepare


def _restart(lab: Lab, name: str) -> None:
    """The primary comes back closed, and is opened by the watchdog when the scene begins."""
    lab.cluster.process(name).stop()
    lab.cluster.start(name)
