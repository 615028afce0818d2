"""A watchdog that ends by SIGKILL in the middle of its work: `python -m tests.mortal_watchdog CONFIG N`.

It dies at its N-th moment, a moment being a step that begins or a record that changed; with N = 0 it lives on. Prints its
moments.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from replclus.config import load
from replclus.events import Event, RecordChanged, StepStarted
from replclus.store import SqliteStore
from replclus.store.secrets import load_secrets
from replclus.watchdog import Watchdog


def main(config: str, die_at: int) -> None:
    spec = load(config)
    store = SqliteStore(spec.state_dir)
    secrets = load_secrets(spec.state_dir)
    assert secrets is not None
    moments = 0

    def report(event: Event) -> None:
        nonlocal moments
        if isinstance(event, StepStarted | RecordChanged):
            moments += 1
            print(moments, event.sentence, flush=True)
            if moments == die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    print(0, "ready", flush=True)
    Watchdog(spec, store, secrets, report).run(stop)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
