"""MariaDB's flashback: the extra transactions of a diverged server undone, row by row, instead of all its data replaced.

https://mariadb.com/kb/en/flashback/. Possible where they changed nothing but rows, and every row was written down whole.
Whether it was right is not believed: the checksums tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from replclus.model.gtid import GtidSet
from replclus.model.spec import Flavour
from replclus.provision.case import Case, executed
from replclus.provision.export import Exported
from replclus.provision.settle import Unsuitable, close, detach, settle
from replclus.server import binlog_history
from replclus.server.binlog_history import Logged
from replclus.server.client_tools import Tool, find_tool, login, run

FLASHBACK_S_MAX = 600.0
FLASHBACK_BYTES_MAX = 256 << 20

# Written with small row images, so it cannot be undone; and need not be, because the next beat of the primary overwrites it.
_PULSE = ("replclus", "pulse")


def flashback(case: Case, extra: GtidSet, exported: Exported) -> None:
    """Undo `exported` on `case.node` and take `extra` out of its history. Unsuitable, with nothing touched, if it cannot be."""
    undo = _undoable(case, exported)
    bounds = case.bounds.at_most(FLASHBACK_S_MAX)
    with TemporaryDirectory(prefix=".flashback-", dir=case.spec.state_dir) as directory:
        scripts = _scripts(case, undo, Path(directory))
        case.say(f"undoing {len(undo)} transactions by flashback …")
        with case.server(case.node) as server:
            close(server)
            detach(server)
            server.kick_clients()
            history = executed(server)
        client = find_tool(case.flavour, Tool.CLIENT)
        with login(case.node, case.admin) as way_in:
            for script in scripts:
                with script.open("rb") as statements:
                    command: list[str | Path] = [client, way_in, "--binary-mode", "--init-command=SET SESSION sql_log_bin=0"]
                    run([command], "undoing", bounds, source=statements)
    settle(case, history.subtract(extra))


def _undoable(case: Case, exported: Exported) -> list[Logged]:
    if case.flavour is not Flavour.MARIADB:
        raise Unsuitable("only MariaDB has flashback")
    if exported.missing:
        raise Unsuitable(exported.missing)
    undo = [one for one in exported.transactions if one.tables != {_PULSE}]
    for one in undo:
        if not (one.rows_only and one.complete):
            raise Unsuitable(f"{one.gtids} is more than changed rows")
        if one.partial or _PULSE in one.tables:
            raise Unsuitable(f"{one.gtids} does not have whole rows in the binary log")
    return undo


def _scripts(case: Case, undo: Sequence[Logged], directory: Path) -> list[Path]:
    """Statements that undo the transactions, one file for each binary log, to be run in this order: the newest first."""
    try:
        copied = binlog_history.copy_out(undo, directory, FLASHBACK_BYTES_MAX)
    except ValueError as error:
        raise Unsuitable(str(error)) from error
    tool = find_tool(case.flavour, Tool.BINLOG)
    scripts = []
    for copy in reversed(binlog_history.files_of(copied)):
        script = copy.with_suffix(".sql")
        with script.open("xb") as out:
            run([[tool, "--no-defaults", "--flashback", copy]], "computing what undoes it", case.bounds, sink=out)
        scripts.append(script)
    return scripts
