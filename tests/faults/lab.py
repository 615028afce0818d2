"""Real servers on a network of their own, made a cluster by the real `init`, watched by a real watchdog process.

`Lab` has the servers n1, n2, …, the watchdog's host `w` and two hosts of clients, `c1` and `c2`. Every one has a namespace. The
test itself stands outside and reaches the servers by their unix sockets, whatever is cut.
"""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from replclus.config import load
from replclus.dialect import AccountRole
from replclus.model.spec import Account, Flavour, NodeSpec, Secret
from replclus.provision import bootstrap
from replclus.sandbox import Sandbox
from replclus.sandbox.options import Place, check_path
from replclus.sandbox.sandbox import make_server
from replclus.sandbox.template import template
from replclus.server.binaries import ServerBinary, find_server_binary
from replclus.server.process import LocalProcess
from replclus.server.server import Server
from replclus.store import SqliteStore
from replclus.store.secrets import Secrets, load_secrets
from tests.clusters import REPOSITORY, Cluster, WatchdogProcess, eventually
from tests.faults.network import Network

PORT = 3306
CLIENTS = ("c1", "c2")
WATCHDOG = "w"
_ADMIN = Account("root", Secret(""))
_ADMIN_TABLE = '[accounts.admin]\nuser = "root"\npassword = ""\n'

# The server program of every node is a script, so that whoever starts the server, it starts on its own host.
_LAUNCHER = """\
#!/bin/sh
exec {inside} {program} "$@"
"""


@dataclass
class Lab:
    """`hosts_ours`: the watchdog can kill servers through their hosts; otherwise it has nothing but connections."""

    directory: Path
    flavour: Flavour
    network: Network
    cluster: Cluster
    hosts_ours: bool
    # What servers were given by `preparing`, taken away when the lab is destroyed.
    belongings: ExitStack = field(default_factory=ExitStack)

    @property
    def names(self) -> tuple[str, ...]:
        return self.cluster.sandbox.names

    @property
    def url(self) -> str:
        """What clients connect to: they know the servers' addresses, and nothing else."""
        hosts = ",".join(f"{place.host}:{place.port}" for place in self.cluster.sandbox.places)
        return f"mysql+replclus://app:app@{hosts}/app"

    @property
    def watchdog_config(self) -> Path:
        return self.directory / "watchdog.toml"

    @contextmanager
    def watchdog(self, *, prefix: tuple[str, ...] = (), host: str = WATCHDOG) -> Iterator[WatchdogProcess]:
        """`replclus watchdog` on its own host. What it says on stderr is added to `watchdog.log`."""
        command = [*self.network.inside(host), *prefix, sys.executable, "-m", "replclus.cli.main", "watchdog", "--json"]
        with (self.directory / "watchdog.log").open("a") as log:
            process = subprocess.Popen(
                [*command, "-c", str(self.watchdog_config)], stdout=subprocess.PIPE, stderr=log, text=True, cwd=REPOSITORY
            )
        watching = WatchdogProcess(process)
        try:
            eventually(lambda: watching.events or process.poll() is not None, "the watchdog says something")
            yield watching
        finally:
            if process.poll() is None:
                # A frozen one would never hear of its end.
                process.send_signal(signal.SIGCONT)
            watching.stop()

    def destroy(self) -> None:
        self.network.mend_all()
        for name in self.names:
            self.cluster.kill(name)
        self.belongings.close()
        self.cluster.store.close()
        self.network.destroy()
        self.cluster.sandbox.destroy()


def make_lab(directory: Path, flavour: Flavour, *, replicas: int = 2, hosts_ours: bool = False) -> Lab:
    """A running, initialised cluster of `replicas` + 1 servers without a watchdog. `directory` must not exist."""
    names = tuple(f"n{number}" for number in range(1, replicas + 2))
    network = Network((*names, WATCHDOG, *CLIENTS))
    try:
        network.build()
        sandbox = _make_servers(directory, flavour, network, names)
        cluster = _initialise(sandbox, network, hosts_ours=hosts_ours)
    except BaseException:
        for name in names:
            if (directory / name).is_dir():
                LocalProcess(directory / name).kill()
        network.destroy()
        raise
    return Lab(directory, flavour, network, cluster, hosts_ours)


def _make_servers(directory: Path, flavour: Flavour, network: Network, names: tuple[str, ...]) -> Sandbox:
    check_path(directory, names[-1])
    binary = find_server_binary(flavour)
    source = template(binary)
    directory.mkdir(parents=True)
    places = tuple(Place(name, directory / name, network.addresses[name], PORT, n) for n, name in enumerate(names, start=1))
    with ThreadPoolExecutor(len(places)) as pool:
        list(pool.map(lambda place: make_server(place, _launcher(place, binary, network), source), places))
    return Sandbox(directory, flavour, places)


def _launcher(place: Place, binary: ServerBinary, network: Network) -> ServerBinary:
    """The program that starts a server on its own host."""
    script = place.directory.with_suffix(".sh")
    inside, program = shlex.join(network.inside(place.name)), shlex.quote(str(binary.path))
    script.write_text(_LAUNCHER.format(inside=inside, program=program))
    script.chmod(0o700)
    return replace(binary, path=script)


def _initialise(sandbox: Sandbox, network: Network, *, hosts_ours: bool) -> Cluster:
    """`init` as an administrator would run it on this machine; then the accounts of hosts that it has not seen."""
    inside = sandbox.directory / "outside.toml"
    inside.write_text(_cluster_file(sandbox, network, sockets=True, processes=True, admin=True))
    inside.chmod(0o600)
    spec = load(inside)
    store = SqliteStore(spec.state_dir)
    bootstrap(spec, store)
    secrets = load_secrets(spec.state_dir)
    assert secrets is not None
    for node in spec.nodes:
        _let_watchdog_in(node, secrets, network.addresses[WATCHDOG])
    watchdog = sandbox.directory / "watchdog.toml"
    watchdog.write_text(_cluster_file(sandbox, network, sockets=False, processes=hosts_ours, admin=False))
    watchdog.chmod(0o600)
    return Cluster(sandbox, spec, store, secrets)


def _let_watchdog_in(node: NodeSpec, secrets: Secrets, address: str) -> None:
    server = Server(node, _ADMIN)
    try:
        with server.administration():
            for statement in server.dialect.account_statements(AccountRole.WATCHDOG, secrets.watchdog, address):
                server.run(statement)
    finally:
        server.close()


def _cluster_file(sandbox: Sandbox, network: Network, *, sockets: bool, processes: bool, admin: bool) -> str:
    hosts = json.dumps([network.addresses[name] for name in CLIENTS])
    text = f'[cluster]\nname = "lab"\nstate_dir = "state"\n{_ADMIN_TABLE if admin else ""}'
    # One lab goes through more failovers in a row than any cluster should.
    text += "[failover]\nfailovers_max = 20\nfailovers_window_s = 1\n"
    text += f'[accounts.app]\nuser = "app"\npassword = "app"\nschema = "app"\nhosts = {hosts}\n'
    for place in sandbox.places:
        text += f'[[node]]\nname = "{place.name}"\nhost = "{place.host}"\nport = {place.port}\n'
        text += f'socket = "{place.socket}"\n' if sockets else ""
        text += f'process_dir = "{place.directory}"\n' if processes else ""
    return text
