"""Faults of time. Decisions are made by clocks that only go forward, and by positions."""

from __future__ import annotations

import os
import signal

from tests.faults.catalogue import Expect, fault
from tests.faults.inject.clocks import make_clock
from tests.faults.preparing import clock, clocks_for
from tests.faults.scene import PATIENCE_S, Scene
from tests.faults.speech import Speech

HOUR_S = 3600.0
JUMPED_S = 5.0
STROBED_S = 10.0
SUSPENDED_S = 20.0
SILENCE_S = 3.0


@fault("T1", "The clock of the primary jumps an hour ahead, then an hour back; then that of a replica.", Expect.NONE,
       before_load=clocks_for("n1", "n2"))  # fmt: skip
def clock_jumps(scene: Scene) -> None:
    for name in ("n1", "n2"):
        for offset in (HOUR_S, -HOUR_S):
            with clock(scene, name).moved(offset):
                scene.quiet(JUMPED_S)
                scene.writes_resume()
        scene.quiet(JUMPED_S)


@fault("T2", "The clocks of all servers go to and fro by 200 ms.", Expect.NONE, before_load=clocks_for("n1", "n2", "n3"))
def clocks_strobe(scene: Scene) -> None:
    with clock(scene, "n1").strobing(0.2), clock(scene, "n2").strobing(-0.2), clock(scene, "n3").strobing(0.1):
        scene.quiet(STROBED_S)
        scene.writes_resume()
    scene.quiet()


@fault("T3", "The watchdog's wall clock jumps an hour ahead and back.", Expect.NONE)
def watchdogs_clock_jumps(scene: Scene) -> None:
    moved = make_clock(scene.directory)
    scene.stop_watchdog()
    scene.start_watchdog(prefix=("env", *(f"{name}={value}" for name, value in moved.environment().items())))
    scene.cluster.until_healthy("it has looked at everything", within_s=PATIENCE_S)
    for offset in (HOUR_S, -HOUR_S):
        with moved.moved(offset):
            scene.quiet(JUMPED_S)
            scene.writes_resume()
    scene.quiet()


@fault("T4", "The whole machine is suspended for 20 seconds.", Expect.EITHER)
def suspended(scene: Scene) -> None:
    """Everybody stops and goes on: nobody is to act on what he knew before."""
    before = scene.primary
    processes = [scene.watchdog.process.pid, *(process.pid for process in scene.load.processes.values())]
    stopped = [*processes, *(scene.pid(name) for name in scene.names)]
    scene.afterwards(lambda: [os.kill(pid, signal.SIGCONT) for pid in stopped])
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    scene.wait(SUSPENDED_S)
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    scene.writes_resume()
    assert scene.primary == before, "nobody has failed"


@fault("T5", "A replica says that it is not behind, because it receives nothing.", Expect.NONE)
def lag_is_a_lie(scene: Scene) -> None:
    replica, speech = scene.replicas[0], Speech(scene.flavour)
    scene.network.cut(scene.primary, replica)
    scene.wait(SILENCE_S)
    with scene.cluster.connect(replica) as connection, connection.cursor() as cursor:
        cursor.execute(speech.replication_status)
        columns = [column[0] for column in cursor.description]
        said = dict(zip(columns, cursor.fetchone(), strict=True))[speech.seconds_behind]
    assert not said, f"the server says {said}: then it tells no lie"
    seen = next(node for node in scene.cluster.status().nodes if node.name == replica)
    assert seen.lag_ms is not None
    assert seen.lag_ms >= 1000, f"it has received nothing for {SILENCE_S:g} s, and its lag is said to be {seen.lag_ms} ms"
    scene.quiet()
