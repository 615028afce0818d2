"""Where the `replclus` command starts. Imports nothing heavy, so that a missing extra is a sentence and not a traceback."""

from __future__ import annotations

import signal
import sys

INTERRUPTED = 130

# What `pip install 'replclus[ops]'` brings; a bare `pip install replclus` is the library alone.
_OPS_PACKAGES = frozenset({"typer", "rich", "sqlparse", "fabric", "dns"})


def main() -> None:
    """Run the command line and leave with its exit code: 0 done, 1 failed or refused, 2 wrong usage or configuration."""
    signal.signal(signal.SIGINT, _interrupt)
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


def _interrupt(_number: int, _frame: object) -> None:
    """Ctrl-C ends a command like a decision of its own: what it opened is closed, and nobody sees a traceback."""
    raise SystemExit(INTERRUPTED)


if __name__ == "__main__":
    main()
