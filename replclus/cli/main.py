"""Where the `replclus` command starts. Imports nothing heavy, so that a missing extra is a sentence and not a traceback."""

from __future__ import annotations

import sys

# What `pip install 'replclus[ops]'` brings; a bare `pip install replclus` is the library alone.
_OPS_PACKAGES = frozenset({"typer", "rich", "sqlparse", "fabric", "dns"})


def main() -> None:
    """Run the command line and leave with its exit code: 0 done, 1 failed or refused, 2 wrong usage or configuration."""
    try:
        from replclus.cli.app import run
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in _OPS_PACKAGES:
            raise
        sys.stderr.write(
            f"replclus: the command needs the package {missing.name!r}, the library alone does not: pip install 'replclus[ops]'\n"
        )
        raise SystemExit(2) from None
    raise SystemExit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
