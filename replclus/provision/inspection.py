"""What `init` must know of a server before it decides anything. Values only; `replclus.provision.look` fills them in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from replclus.dialect import Setting, Statement
from replclus.model.observation import Facts, Identity
from replclus.model.spec import NodeSpec
from replclus.provision import optionfile


@dataclass(frozen=True, slots=True)
class Unfit:
    """A server that could not be looked at. `sentence` names the node, says why, and what to do."""

    node: NodeSpec
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """One server, as the admin account sees it.

    `schemas` are those that neither the server nor replclus owns; `own_schema` says that replclus's is there. `seen_from`
    is the host that the server sees us come from. `accounts` are all (user, host) pairs; `privileged` those of them that
    could write to a read-only server, each with the right that lets it. `ours` says that our own accounts log in with our
    passwords. `lines` is what its option file ought to say, `option_file` the text of that file where the host is ours,
    None elsewhere. `persists`: the server itself keeps settings over a restart. `lease` is the version of its event of that
    name, None where there is none that is enabled. `clock_ahead_s` compares its wall clock with ours. `forget_source` is how
    it is told that.
    """

    node: NodeSpec
    facts: Facts
    variables: Mapping[str, str]
    settings: tuple[Setting, ...] = ()
    lines: tuple[str, ...] = ()
    schemas: tuple[str, ...] = ()
    own_schema: bool = False
    seen_from: str = "localhost"
    accounts: frozenset[tuple[str, str]] = frozenset()
    privileged: tuple[tuple[str, str, str], ...] = ()
    ours: bool = False
    plugins_missing: bool = False
    option_file: str | None = None
    persists: bool = False
    lease: str | None = None
    clock_ahead_s: float = 0.0
    forget_source: tuple[Statement, ...] = ()

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def identity(self) -> Identity:
        return self.facts.identity

    @property
    def unmet(self) -> tuple[Setting, ...]:
        """The settings that the running server does not obey."""
        return tuple(wish for wish in self.settings if not wish.satisfied_by(self.variables.get(wish.name, "")))

    @property
    def lines_missing(self) -> tuple[str, ...]:
        """The lines that its option file lacks; empty where we cannot see the file."""
        return () if self.option_file is None else optionfile.missing(self.option_file, self.lines)
