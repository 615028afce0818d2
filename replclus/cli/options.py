"""The options that commands share, spelled once."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer

from replclus.errors import ConfigError
from replclus.model.spec import ClusterSpec, Flavour, NodeSpec

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="The cluster's file [default: $REPLCLUS_CONFIG or ./replclus.toml]."),
]
OwnConfig = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="Accepted everywhere; a sandbox brings its own DIR/replclus.toml."),
]
Json = Annotated[bool, typer.Option("--json", help="Print facts as JSON on stdout.")]
FlavourOption = Annotated[Flavour, typer.Option("--flavour", metavar="|".join(Flavour), help="Family of database servers.")]


def known_node(spec: ClusterSpec, name: str, where: str) -> NodeSpec:
    """The node called `name`; ConfigError that names the nearest one if there is none. `where` is the option."""
    try:
        return spec.node(name)
    except KeyError:
        names = [node.name for node in spec.nodes]
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"the nodes are {', '.join(names)}"
        raise ConfigError(f"there is no node called {name!r}: {hint}", where=where) from None
