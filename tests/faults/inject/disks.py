"""A file system of its own for one server's data, in an image file: it can freeze, die, fill up and become read-only."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from replclus.server.process import LocalProcess
from tests.faults.inject.undoing import undone_if_killed

# ioctl requests, of <linux/fs.h> and of the kernel's fs/ext4/ext4.h.
_FREEZE, _THAW, _SHUTDOWN = 0xC0045877, 0xC0045878, 0x8004587D
_WITHOUT_FLUSHING = 2
_UNMOUNT_S_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Disk:
    """A mounted ext4 file system. Each fault lasts until it is ended, or until the disk is taken away."""

    mount: Path

    def _ioctl(self, request: int, argument: int) -> None:
        handle = os.open(self.mount, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(handle, request, struct.pack("I", argument))
        finally:
            os.close(handle)

    def freeze(self) -> None:
        """What was read is still served; whoever writes hangs, and cannot be killed."""
        self._ioctl(_FREEZE, 0)

    def thaw(self) -> None:
        """End `freeze`. Nothing happens to a disk that is not frozen."""
        with suppress(OSError):
            self._ioctl(_THAW, 0)

    def die(self) -> None:
        """Every write fails with EIO from now on, and what was not flushed is lost. There is no way back."""
        self._ioctl(_SHUTDOWN, _WITHOUT_FLUSHING)

    def fill(self) -> None:
        """Take all free space, in ever smaller pieces, down to the last block."""
        size = self.free_bytes()
        with self._ballast.open("ab") as ballast:
            while size >= os.statvfs(self.mount).f_frsize:
                try:
                    os.posix_fallocate(ballast.fileno(), ballast.seek(0, os.SEEK_END), size)
                except OSError:
                    size //= 2

    def empty(self) -> None:
        """Give back what `fill` took."""
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self.mount / "ballast"

    def free_bytes(self) -> int:
        room = os.statvfs(self.mount)
        return room.f_bavail * room.f_frsize

    def make_read_only(self) -> None:
        """As the kernel does when it finds the file system damaged: `errors=remount-ro`. There is no way back.

        A plain remount is refused while a file is open for writing.
        """
        (Path("/sys/fs/ext4") / Path(self._device()).name / "trigger_fs_error").write_text("an error that a test made")

    def power_cycle(self) -> None:
        """After `die` or `make_read_only`, with nobody using it: the disk is back with what had been flushed to it."""
        self.thaw()
        image = Path(f"/sys/block/{Path(self._device()).name}/loop/backing_file").read_text().strip()
        _unmount(self.mount)
        _mount(Path(image), self.mount)

    def _device(self) -> str:
        lines = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
        return next(fields[0] for fields in lines if fields[1] == str(self.mount))


def _mount(image: Path, mount: Path) -> None:
    """The loop device ends with the mount."""
    _run("mount", "-o", "loop,errors=remount-ro", str(image), str(mount))


@contextmanager
def mounted(mount: Path, image: Path, size_mb: int) -> Iterator[Disk]:
    """A new, empty file system at `mount`, which must be an empty directory, kept in the file `image`."""
    with image.open("wb") as file:
        file.truncate(size_mb << 20)
    _run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", str(image))
    with undone_if_killed(("fsfreeze", "-u", str(mount)), ("sleep", "2"), ("umount", "-l", str(mount)), ("rm", "-f", str(image))):
        _mount(image, mount)
        disk = Disk(mount)
        try:
            (mount / "lost+found").rmdir()
            yield disk
        finally:
            disk.thaw()
            _unmount(mount)
            image.unlink(missing_ok=True)


@contextmanager
def data_disk(directory: Path, *, size_mb: int = 512) -> Iterator[Disk]:
    """The data of the server of `directory`, which is stopped for that, on a disk of its own. The caller starts it.

    At the end the server is killed and its data is gone with the disk.
    """
    process = LocalProcess(directory)
    process.stop()
    aside = directory / "data.aside"
    process.data.rename(aside)
    process.data.mkdir(mode=0o700)
    with mounted(process.data, directory / "disk.image", size_mb) as disk:
        _run("cp", "-a", f"{aside}/.", f"{process.data}/")
        # Or else it would be lost with the power.
        _run("sync", "-f", str(process.data))
        shutil.rmtree(aside)
        try:
            yield disk
        finally:
            disk.thaw()
            # Whoever had to be frozen to death dies now.
            process.kill()


def _unmount(mount: Path) -> None:
    deadline = time.monotonic() + _UNMOUNT_S_MAX
    while subprocess.run(["umount", str(mount)], capture_output=True, check=False).returncode != 0:
        if time.monotonic() > deadline:
            # Out of sight at least, and gone with its last user.
            _run("umount", "-l", str(mount))
            raise AssertionError(f"{mount} is still in use {_UNMOUNT_S_MAX:g} s after its server was killed")
        time.sleep(0.05)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
