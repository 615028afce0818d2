"""mariadb-backup, streamed from a donor's files into those of a stopped server: both hosts are this one.

https://mariadb.com/kb/en/full-backup-and-restore-with-mariadb-backup/. The copy is made beside the old data, which is
there until the new is complete, and put in its place by renaming.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from replclus.errors import HostError
from replclus.model.gtid import GtidSet, MariadbGtidSet
from replclus.model.spec import Flavour
from replclus.provision.case import Case, executed
from replclus.provision.metering import Meter
from replclus.provision.settle import Unsuitable, left, settle, start, wait_back
from replclus.server.client_tools import Tool, find_tool, login, run
from replclus.server.process_options import read_options

# Where the copy says which transaction is its last: by age of the version.
_POSITION_FILES = ("mariadb_backup_binlog_info", "xtrabackup_binlog_info")


def back_up(case: Case) -> None:
    """Replace the files of `case.node` by a copy of those of `case.donor`."""
    source, target = case.process(case.donor), case.process(case.node)
    if case.flavour is not Flavour.MARIADB:
        raise Unsuitable("mariadb-backup is for MariaDB")
    if source is None or target is None or case.donor.process_dir is None:
        raise Unsuitable("the files of both servers are not on this machine")
    binary = read_options(case.donor.process_dir).server_binary
    try:
        backup, stream = (find_tool(case.flavour, tool, binary) for tool in (Tool.BACKUP, Tool.STREAM))
    except HostError as error:
        raise Unsuitable(str(error)) from error
    with case.server(case.donor) as server:
        history = executed(server)
    fresh = target.data.with_name("data.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    try:
        case.say(f"copying the files of {case.donor.name} …")
        with login(case.donor, case.admin) as way_in:
            # The temporary files of the tool go where the copy goes.
            where = (f"--datadir={source.data}", f"--target-dir={fresh}")
            take: list[str | Path] = [backup, way_in, "--backup", "--stream=mbstream", *where]
            run([take, [stream, "-x", "-C", fresh]], f"copying {case.donor.name}", case.bounds, tap=Meter(case.say, "copied"))
        case.say("making the copy consistent …")
        run([[backup, "--prepare", f"--target-dir={fresh}"]], "preparing the copy", case.bounds)
        position = _position(fresh)
        target.kill()
        exchange(target.data)
        start(case)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    wait_back(case, left(case, "waiting for the copied server"))
    settle(case, history.union(position))
    shutil.rmtree(_old(target.data), ignore_errors=True)


def exchange(data: Path) -> None:
    """`data.new` becomes `data`, which is kept as `data.old`."""
    shutil.rmtree(_old(data), ignore_errors=True)
    data.rename(_old(data))
    data.with_name("data.new").rename(data)


def undo_half_exchange(data: Path) -> None:
    """If a run was killed between the two renames, put the old data back."""
    if not data.exists() and _old(data).is_dir():
        _old(data).rename(data)


def _old(data: Path) -> Path:
    return data.with_name("data.old")


def _position(copy: Path) -> GtidSet:
    """File, offset and GTIDs, separated by tabs."""
    for name in _POSITION_FILES:
        if (copy / name).is_file():
            fields = (copy / name).read_text().strip().split("\t")
            return MariadbGtidSet.parse(fields[2] if len(fields) > 2 else "")
    raise HostError("the copy does not say which transaction is its last")
