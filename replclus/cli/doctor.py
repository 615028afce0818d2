"""`replclus doctor`: has every server what the cluster needs, and what is to be done if not."""

from __future__ import annotations

import shutil

from replclus import config as configuration
from replclus.cli import terminal
from replclus.cli.options import Config, Json
from replclus.errors import HostError, Refused
from replclus.failover.problems import Problem, find_problems
from replclus.model.record import ClusterRecord
from replclus.model.spec import ClusterSpec
from replclus.provision.bootstrap import examine
from replclus.provision.checkup import Finding, Host, findings
from replclus.server.process import LocalProcess
from replclus.store import SqliteStore
from replclus.store.secrets import Secrets, load_secrets
from replclus.watchdog import observe_once


def doctor(config: Config = None, as_json: Json = False) -> None:
    """Check settings, accounts, lease, semi-sync, ways to fence and clocks of every server. One line per finding, with the fix.

    Changes nothing. Exit code 1 if something is wrong; advice alone leaves it 0.
    """
    spec = configuration.load(config, report=terminal.log)
    found = _examine(spec)
    wrong = sum(finding.wrong for finding in found)
    if as_json:
        each = [{"check": one.check, "node": one.node, "wrong": one.wrong, "sentence": one.sentence} for one in found]
        terminal.emit_pretty({"cluster": spec.name, "ok": not wrong, "findings": each})
    else:
        for finding in found:
            terminal.out().print(finding.line, soft_wrap=True)
        if not found:
            terminal.out().print(f"{spec.name}: {len(spec.nodes)} servers have all that the cluster needs", soft_wrap=True)
    if wrong:
        raise Refused(f"{wrong} of {len(found)} findings need you to act")


def _examine(spec: ClusterSpec) -> tuple[Finding, ...]:
    secrets = load_secrets(spec.state_dir)
    store = SqliteStore(spec.state_dir, create=False)
    try:
        record = store.load()
    finally:
        store.close()
    return findings(spec, record, examine(spec, record, secrets), _problems(spec, record, secrets), _host(spec))


def _problems(spec: ClusterSpec, record: ClusterRecord | None, secrets: Secrets | None) -> tuple[Problem, ...]:
    """What `status` would show."""
    if record is None or record.forming or secrets is None:
        return ()
    return tuple(find_problems(observe_once(spec, record, secrets)))


def _host(spec: ClusterSpec) -> Host:
    trouble = {}
    for node in spec.nodes:
        if node.process_dir is not None:
            try:
                running = LocalProcess(node.process_dir).is_running()
            except HostError as error:
                trouble[node.name] = str(error)
            else:
                trouble[node.name] = "" if running else f"no server process of {node.process_dir} runs"
    hook = spec.fence_hook
    missing = hook is not None and shutil.which(hook.command[0]) is None
    return Host(trouble=trouble, hook=f"{hook.command[0]} is no program that can be run" if hook and missing else "")
