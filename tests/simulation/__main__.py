"""`python -m tests.simulation SEED` tells the story of one seed, shrunk if it breaks a law.

`python -m tests.simulation --seeds 20000 [--first 0] [--processes 2]` plays many, and fails if a law was broken in one.
"""

from __future__ import annotations

import argparse
import sys

from tests.simulation import campaign
from tests.simulation.play import play
from tests.simulation.scripts import story
from tests.simulation.shrink import shrink


def main() -> int:
    parser = argparse.ArgumentParser(prog=campaign.COMMAND, description=__doc__)
    parser.add_argument("seed", nargs="?", type=int)
    parser.add_argument("--whole", action="store_true", help="do not shrink it")
    parser.add_argument("--seeds", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    if asked.seed is not None:
        told = story(asked.seed)
        law = play(asked.seed, told).law
        if law is not None and not asked.whole:
            told = shrink(asked.seed, told, law)
        print(campaign.tell(asked.seed, told))
        return 0 if law is None else 1
    result = campaign.run(asked.first, asked.seeds, asked.processes)
    print(result)
    if result.failed:
        print(campaign.explain(result.failed))
    return 1 if result.failed else 0


if __name__ == "__main__":
    sys.exit(main())
