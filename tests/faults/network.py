"""A network of one's own: a namespace for each member, all on one bridge, and faults between them.

Everything is dropped where it arrives, never where it is sent: a sender of TCP would notice a drop of its own system at once,
and no real network tells it. Addresses are those set aside for tests of networks (198.18.0.0/15, RFC 2544); they exist inside
the namespaces only, so that several networks can be there at the same time. Needs root and iptables.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clusters import REPOSITORY
from tests.faults.delay import Manner

_NAMESPACES = Path("/run/netns")
_COMMAND_S_MAX = 20.0
_numbers = itertools.count(1)


def needed() -> None:
    """Skips the test where no network can be made; on a build server that is an error."""
    if reason := why_not():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


def why_not() -> str:
    """Why no network can be made here; "" if one can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in ("ip", "tc", "iptables-restore", "nsenter") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not found: `make deps` installs them"
    probe = subprocess.run(
        ["unshare", "--net", "iptables-restore", "-t"], input=_PROBE, text=True, capture_output=True, check=False
    )
    return f"no network namespace with rules can be made here: {probe.stderr.strip()}" if probe.returncode != 0 else ""


_PROBE = "*filter\n-A INPUT -m statistic --mode random --probability 0.2 -j DROP\nCOMMIT\n"


def remove_left_overs() -> None:
    """Remove the networks of processes that are gone. Their number is part of the name."""
    for path in _NAMESPACES.glob("rl*-*-*"):
        owner = path.name.removeprefix("rl").split("-", 1)[0]
        if owner.isdecimal() and not Path(f"/proc/{owner}").exists():
            subprocess.run(["ip", "netns", "del", path.name], check=False, capture_output=True, timeout=_COMMAND_S_MAX)


class Network:
    """`members` are names; the first has the address 198.18.0.11. Made by `build`, gone after `destroy`.

    The verbs add rules. A rule stays until `mend` (one pair), `mend_all`, or the end of a `with` around `lasting`.
    """

    def __init__(self, members: Sequence[str]) -> None:
        self.prefix = f"rl{os.getpid()}-{next(_numbers)}"
        self.members = tuple(members)
        self.addresses = {name: f"198.18.0.{number}" for number, name in enumerate(members, start=11)}
        self._rules: dict[str, list[str]] = {name: [] for name in members}
        self._narrow: set[str] = set()
        self._lines: dict[str, subprocess.Popen[str]] = {}

    def namespace(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    def inside(self, name: str) -> list[str]:
        """What to put before a command so that it runs in the namespace of `name`."""
        return ["nsenter", f"--net={_NAMESPACES / self.namespace(name)}"]

    # ---- being there -------------------------------------------------------------------------------------------------

    def build(self) -> None:
        remove_left_overs()
        hub = f"{self.prefix}-hub"
        _run("ip", "netns", "add", hub)
        _run("ip", "-n", hub, "link", "add", "br0", "type", "bridge")
        _run("ip", "-n", hub, "link", "set", "br0", "up")
        for name in self.members:
            own = self.namespace(name)
            _run("ip", "netns", "add", own)
            _run("ip", "-n", hub, "link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", own)
            _run("ip", "-n", hub, "link", "set", f"to-{name}", "master", "br0", "up")
            _run("ip", "-n", own, "address", "add", f"{self.addresses[name]}/24", "dev", "eth0")
            _run("ip", "-n", own, "link", "set", "eth0", "up")
            _run("ip", "-n", own, "link", "set", "lo", "up")

    def destroy(self) -> None:
        self.mend_all()
        for path in _NAMESPACES.glob(f"{self.prefix}-*"):
            _run("ip", "netns", "del", path.name)

    # ---- faults ------------------------------------------------------------------------------------------------------

    def cut(self, senders: str | Iterable[str], receivers: str | Iterable[str], match: str = "") -> None:
        """Nothing of what the senders send arrives at the receivers any more, or nothing that iptables' `match` fits."""
        self._add(senders, receivers, f"{match} -j DROP")

    def split(self, *sides: Iterable[str]) -> None:
        """Nothing passes between two of the sides, in either direction."""
        for one, other in itertools.permutations([tuple(side) for side in sides], 2):
            self.cut(one, other)

    def isolate(self, name: str) -> None:
        """Nothing passes between `name` and anybody else."""
        self.split([name], self.others(name))

    def refuse(self, senders: str | Iterable[str], receivers: str | Iterable[str]) -> None:
        """Whatever arrives is answered by a reset, as by a host where nobody listens."""
        self._add(senders, receivers, "-p tcp -j REJECT --reject-with tcp-reset")

    def lose(self, name: str, part: float) -> None:
        """This part of all packets to and from `name` is lost, at random."""
        chance = f"-m statistic --mode random --probability {part:.4f}"
        self.cut(self.others(name), name, chance)
        self.cut(name, self.others(name), chance)

    def forget_connections(self, name: str) -> None:
        """What belongs to connections that exist now is lost in silence at `name`; new connections work."""
        self._rules[name] += [
            "-p tcp --syn -m conntrack --ctstate NEW -j CONNMARK --set-mark 1",
            "-p tcp -m connmark --mark 0 -j DROP",
        ]
        self._apply([name])

    def swallow_large(self, name: str, least: int = 1000) -> None:
        """Packets of `least` bytes and more are lost on the way to and from `name`, as in a tunnel whose MTU nobody knows."""
        large = f"-m length --length {least}:65535"
        self.cut(self.others(name), name, large)
        self.cut(name, self.others(name), large)

    def narrow(self, name: str, kbit: int) -> None:
        """What `name` sends goes out at this rate."""
        shape = ["rate", f"{kbit}kbit", "burst", "16kb", "latency", "400ms"]
        _run(*self.inside(name), "tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", *shape)
        self._narrow.add(name)

    def slow(self, name: str, manner: Manner) -> None:
        """Frames to and from `name` are carried in this manner from now on. May be called again with another one."""
        if name not in self._lines:
            hub = f"{self.prefix}-hub"
            _run("ip", "-n", hub, "link", "add", f"line-{name}", "type", "veth", "peer", "name", f"end-{name}")
            _run("ip", "-n", hub, "link", "set", f"line-{name}", "up")
            _run("ip", "-n", hub, "link", "set", f"to-{name}", "nomaster")
            _run("ip", "-n", hub, "link", "set", f"end-{name}", "master", "br0", "up")
            command = [*self.inside("hub"), sys.executable, "-m", "tests.faults.delay", f"to-{name}", f"line-{name}"]
            self._lines[name] = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
            )
        line = self._lines[name]
        assert line.stdin is not None
        assert line.stdout is not None
        line.stdin.write(manner.line())
        line.stdin.flush()
        # From now on; until it has started, nothing is carried.
        assert line.stdout.readline() == manner.line(), "the line cannot be carried"

    # ---- healing -----------------------------------------------------------------------------------------------------

    def mend(self, one: str, other: str) -> None:
        """Take back every rule between two members."""
        for sender, receiver in ((one, other), (other, one)):
            source = f"-s {self.addresses[sender]} "
            self._rules[receiver] = [rule for rule in self._rules[receiver] if not rule.startswith(source)]
        self._apply([one, other])

    def mend_all(self) -> None:
        for name in self._narrow:
            _run(*self.inside(name), "tc", "qdisc", "del", "dev", "eth0", "root")
        self._narrow.clear()
        for name, line in self._lines.items():
            line.communicate(timeout=_COMMAND_S_MAX)
            hub = f"{self.prefix}-hub"
            _run("ip", "-n", hub, "link", "del", f"line-{name}")
            _run("ip", "-n", hub, "link", "set", f"to-{name}", "master", "br0")
        self._lines.clear()
        touched = [name for name, rules in self._rules.items() if rules]
        for name in touched:
            self._rules[name].clear()
        self._apply(touched)

    @contextmanager
    def lasting(self) -> Iterator[Network]:
        """Whatever is broken inside the `with` is mended at its end."""
        try:
            yield self
        finally:
            self.mend_all()

    # ----------------------------------------------------------------------------------------------------------------

    def others(self, *names: str) -> tuple[str, ...]:
        return tuple(member for member in self.members if member not in names)

    def _add(self, senders: str | Iterable[str], receivers: str | Iterable[str], rule: str) -> None:
        senders, receivers = _names(senders), _names(receivers)
        for receiver in receivers:
            self._rules[receiver] += [f"-s {self.addresses[sender]} {rule}" for sender in senders]
        self._apply(receivers)

    def _apply(self, names: Iterable[str]) -> None:
        """All rules of a member take effect at once."""
        for name in names:
            lines = "".join(f"-A INPUT {rule}\n" for rule in self._rules[name])
            text = f"*filter\n:INPUT ACCEPT [0:0]\n{lines}COMMIT\n"
            subprocess.run(
                [*self.inside(name), "iptables-restore", "-w", "5"], input=text, text=True, check=True, timeout=_COMMAND_S_MAX
            )


def _names(given: str | Iterable[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_COMMAND_S_MAX, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
