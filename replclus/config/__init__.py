"""replclus.toml, the environment and overrides, turned into a ClusterSpec; and the URL form for applications.

Errors name the file, the key and the fix, all problems at once. Nothing but pydantic is needed.
"""

from __future__ import annotations

from replclus.config.loading import DEFAULT_FILE, PATH_VARIABLE, load
from replclus.config.url import ClusterUrl, is_url, parse_url

__all__ = ["DEFAULT_FILE", "PATH_VARIABLE", "ClusterUrl", "document", "is_url", "load", "parse_url"]


def document() -> str:
    """The text of docs/configuration.md."""
    from replclus.config.reference import document as write  # only a test and a `make` target need it

    return write()
