"""The extra transactions of a diverged server, saved as files that people can read and replay, before they are overwritten."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import assert_never

from replclus.dialect import Statement
from replclus.errors import HostError
from replclus.model.gtid import GtidSet
from replclus.model.spec import Flavour, NodeSpec
from replclus.provision.case import Case
from replclus.server import binlog_history
from replclus.server.binlog_file import BinlogUnreadable
from replclus.server.binlog_history import FILES_MAX, Logged
from replclus.server.client_tools import Bounds, Tool, find_tool, login, run
from replclus.server.process_options import read_options
from replclus.store import files

EXPORT_S_MAX = 600.0
# Of the transactions themselves; decoded they take several times as much.
EXPORT_BYTES_MAX = 4 << 30
TEXT_BYTES_MAX = 8 * EXPORT_BYTES_MAX

_BINARY_LOGS = Statement("SHOW BINARY LOGS")
_MARIADB_NAME = re.compile(rb"/\*M!100001 SET @@session\.(gtid_domain_id|server_id|gtid_seq_no)=\d+\*//\*!\*/;\n")
_README = """\
Transactions that {node} had executed and the cluster never received.

cluster          {cluster} ({cluster_id})
node             {node} ({address})
saved            {saved} UTC
epoch            {epoch}
primary then     {primary}
GTIDs            {gtids}
transactions     {count}

readable.sql     every changed row and every statement, for reading only
replay.sql       the same as statements: look through it, then run it on the primary with the family's client
                 ({client} < replay.sql). The transactions get new GTIDs there. A row that was changed on both sides
                 makes it stop with an error, or is overwritten: nothing can decide for you which one is right
extra-*.binlog   the bytes as they stood in the binary log of {node}
"""


@dataclass(frozen=True, slots=True)
class Exported:
    """The transactions of `gtids` are in `directory`, on disk. `transactions` tells where there, and of what kind
    they are.

    `missing` says why something that was asked for is not among them, "" if everything is.
    """

    directory: Path
    gtids: GtidSet
    transactions: tuple[Logged, ...]
    missing: str = ""


def export(case: Case, extra: GtidSet) -> Exported:
    """Save `extra`, which only `case.node` has, in `<state_dir>/diverged/<node>-<time>/`: all of it, or nothing.

    HostError if it cannot be read or is too large, Stopped.
    """
    bounds = case.bounds.at_most(EXPORT_S_MAX)
    parent = case.spec.state_dir / "diverged"
    files.make_state_dir(parent)
    saved = time.gmtime()
    name = f"{case.node.name}-{time.strftime('%Y%m%dT%H%M%SZ', saved)}"
    draft = Path(f"{parent / name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    try:
        exported = _into(draft, case, extra, bounds, saved)
        final = _unused(parent / name)
        draft.rename(final)
        files.sync_directory(parent)
    except (BinlogUnreadable, OSError, ValueError) as error:
        raise HostError(f"the extra transactions of {case.node.name} cannot be saved: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    moved = tuple(replace(one, file=final / one.file.name) for one in exported.transactions)
    return replace(exported, directory=final, transactions=moved)


def _into(draft: Path, case: Case, extra: GtidSet, bounds: Bounds, saved: time.struct_time) -> Exported:
    def before(earlier: GtidSet) -> bool:
        """Nothing of what is wanted can be in even older files."""
        return not earlier.intersection(extra)

    with logs(case, before, bounds) as paths:
        chosen: list[Logged] = []
        for path in paths:
            for one in binlog_history.transactions(path, case.flavour):
                bounds.check("reading the binary log")
                if extra.contains(one.gtids):
                    chosen.append(one)
        missing = _missing(case.flavour, paths, extra, chosen, before)
        copied = binlog_history.copy_out(chosen, draft, EXPORT_BYTES_MAX)
    copies = binlog_history.files_of(copied)
    write_text(case, copies, draft / "readable.sql", bounds, "--base64-output=DECODE-ROWS", "-vv")
    _write_replay(case, copies, draft / "replay.sql", bounds)
    found = binlog_history.union(chosen, case.flavour)
    _write(draft / "README.txt", _readme(case, found, len(chosen), saved))
    files.sync_directory(draft)
    return Exported(draft, found, tuple(copied), missing)


def _missing(
    flavour: Flavour, paths: Sequence[Path], extra: GtidSet, chosen: Sequence[Logged], before: Callable[[GtidSet], bool]
) -> str:
    if not paths or not before(binlog_history.earlier(paths[0], flavour)):
        return "some of it is in binary log files that are gone"
    found = binlog_history.union(chosen, flavour)
    # MariaDB's sets name numbers that were never used, so there only nothing at all is a sign.
    rest = extra.subtract(found)
    if (rest and flavour is Flavour.MYSQL) or not chosen:
        return f"{one_line(rest)} is not in its binary log"
    return ""


def write_text(case: Case, copies: Sequence[Path], target: Path, bounds: Bounds, *options: str) -> None:
    """What the family's tool makes of binary logs, synced to a private file."""
    with target.open("xb") as out:
        os.fchmod(out.fileno(), 0o600)
        if copies:
            tool = find_tool(case.flavour, Tool.BINLOG)
            run(
                [[tool, "--no-defaults", *options, *copies]], f"writing {target.name}", bounds, sink=out, bytes_max=TEXT_BYTES_MAX
            )
        out.flush()
        os.fsync(out.fileno())


def _write_replay(case: Case, copies: Sequence[Path], target: Path, bounds: Bounds) -> None:
    """Without the GTIDs: on the primary these are new transactions. MariaDB's tool cannot leave them out itself."""
    match case.flavour:
        case Flavour.MYSQL:
            write_text(case, copies, target, bounds, "--skip-gtids")
        case Flavour.MARIADB:
            whole = target.with_suffix(".whole")
            write_text(case, copies, whole, bounds)
            with whole.open("rb") as lines, target.open("xb") as out:
                os.fchmod(out.fileno(), 0o600)
                out.writelines(line for line in lines if not _MARIADB_NAME.fullmatch(line))
                out.flush()
                os.fsync(out.fileno())
            whole.unlink()
        case never:
            assert_never(never)


def _write(path: Path, text: str) -> None:
    with path.open("x") as out:
        os.fchmod(out.fileno(), 0o600)
        out.write(text)
        out.flush()
        os.fsync(out.fileno())


def _readme(case: Case, found: GtidSet, count: int, saved: time.struct_time) -> str:
    return _README.format(
        node=case.node.name,
        cluster=case.spec.name,
        cluster_id=case.record.cluster_id,
        address=case.node.address,
        saved=time.strftime("%Y-%m-%d %H:%M:%S", saved),
        epoch=case.record.epoch,
        primary=case.record.primary,
        gtids=one_line(found),
        count=count,
        client=case.flavour.value,
    )


def one_line(gtids: GtidSet) -> str:
    return str(gtids).replace("\n", "")


def _unused(path: Path) -> Path:
    """`path`, or with a number behind it if two exports fall into one second."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free


# ---- where the binary log is read -----------------------------------------------------------------------------------


@contextmanager
def logs(case: Case, enough: Callable[[GtidSet], bool], bounds: Bounds) -> Iterator[list[Path]]:
    """The newest binary log files of `case.node`, oldest first, back to the one of which `enough` says that it suffices.

    They are read in place where its host is ours, unless they are encrypted, and fetched from the server otherwise.
    """
    node = case.node
    in_place = _in_place(case, node, enough)
    if in_place is not None:
        yield in_place
        return
    with TemporaryDirectory(prefix=".fetched-", dir=case.spec.state_dir) as directory:
        yield _fetched(case, node, enough, Path(directory), bounds)


def _in_place(case: Case, node: NodeSpec, enough: Callable[[GtidSet], bool]) -> list[Path] | None:
    if node.process_dir is None:
        return None
    listed = binlog_history.log_files(read_options(node.process_dir).binlog_index)
    try:
        return binlog_history.newest_until(listed, case.flavour, enough)
    except BinlogUnreadable as problem:
        case.say(f"its binary log cannot be read in place ({problem}), so the server is asked for it")
        return None


def _fetched(case: Case, node: NodeSpec, enough: Callable[[GtidSet], bool], directory: Path, bounds: Bounds) -> list[Path]:
    """Copies by the replication protocol, newest first until it is enough."""
    tool = find_tool(case.flavour, Tool.BINLOG)
    with case.watchdog(node) as server:
        listed = [(str(row["Log_name"]), int(row["File_size"])) for row in server.run(_BINARY_LOGS)]
    found: list[Path] = []
    size = 0
    tcp = NodeSpec(name=node.name, host=node.host, port=node.port)
    with login(tcp, case.secrets.replication) as way_in:
        for name, bytes_ in reversed(listed[-FILES_MAX:]):
            size += bytes_
            if size > EXPORT_BYTES_MAX:
                raise HostError(f"more than {EXPORT_BYTES_MAX} bytes of the binary log of {node.name} would have to be read")
            command: list[str | Path] = [tool, way_in, "--read-from-remote-server", "--raw", f"--result-file={directory}/", name]
            run([command], f"fetching {name} of {node.name}", bounds)
            found.append(directory / name)
            if enough(binlog_history.earlier(directory / name, case.flavour)):
                break
    return found[::-1]
