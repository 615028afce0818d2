"""Faults of the network."""

from __future__ import annotations

from contextlib import suppress

import pymysql

from tests.faults.catalogue import Expect, fault
from tests.faults.delay import Manner
from tests.faults.lab import CLIENTS, WATCHDOG
from tests.faults.scene import QUIET_S, Scene


@fault("N1", "The primary is cut off from everybody, in silence.", Expect.FAILOVER, direct=True, quarantine=True)
def isolated(scene: Scene) -> None:
    scene.network.isolate(scene.primary)
    scene.promoted()


@fault("N2", "The primary's host refuses every connection.", Expect.FAILOVER, direct=True, quarantine=True, ci=True)
def refusing(scene: Scene) -> None:
    primary = scene.primary
    scene.network.refuse(scene.network.others(primary), primary)
    scene.promoted()


@fault("N20", "The primary's host refuses the watchdog and the applications, and not the replicas.", Expect.NONE, ci=True)
def refusing_us(scene: Scene) -> None:
    """As if it were being shut down: nothing new comes from it, and its replicas are fed. One connects anew, and is let in."""
    scene.network.refuse([WATCHDOG, *CLIENTS], scene.primary)
    scene.noticed("PrimarySilent")
    scene.quiet()
    reconnected = [event for event in scene.watchdog.events if event["event"] == "StepDone" and event["step"] == "Reconnect"]
    assert len(reconnected) == 1, "one is enough to know"
    scene.network.mend_all()
    scene.writes_resume()


@fault("N3", "Nothing that the primary sends reaches its replicas.", Expect.FAILOVER, direct=True, quarantine=True)
def unheard(scene: Scene) -> None:
    """It answers the watchdog and the clients, and can commit nothing."""
    scene.network.cut(scene.primary, scene.replicas)
    scene.promoted()


@fault(
    "N4",
    "Nothing that the replicas send reaches the primary: they have its writes, and cannot acknowledge.",
    Expect.FAILOVER,
    direct=True,
    quarantine=True,
)
def deaf(scene: Scene) -> None:
    scene.network.cut(scene.replicas, scene.primary)
    scene.promoted()


@fault(
    "N5",
    "The primary and a replica are on one side, the other replica and the watchdog on the other.",
    Expect.NONE,
    expect_ours=Expect.FAILOVER,
    direct=True,
    ci=True,
)
def halves(scene: Scene) -> None:
    """The far side can still acknowledge, so nobody may be promoted, unless the watchdog can kill the primary all the same."""
    one, other = scene.replicas
    scene.network.split([scene.primary, one, "c1"], [other, WATCHDOG, "c2"])
    if scene.lab.hosts_ours:
        scene.promoted()
    else:
        scene.quiet()


@fault(
    "N6",
    "The primary is alone with a client; the replicas are with the watchdog and another client.",
    Expect.FAILOVER,
    direct=True,
    quarantine=True,
)
def minority(scene: Scene) -> None:
    scene.network.split([scene.primary, "c1"], [*scene.replicas, WATCHDOG, "c2"])
    scene.promoted()
    scene.wait(QUIET_S)


@fault(
    "N7",
    "Five servers in a ring: each sees a majority, and no two see the same.",
    Expect.EITHER,
    direct=True,
    quarantine=True,
    replicas=4,
)
def ring(scene: Scene) -> None:
    names = scene.names
    for place, name in enumerate(names):
        for step in (2, 3):
            scene.network.cut(names[(place + step) % len(names)], name)
    scene.wait(2 * QUIET_S)


@fault("N8", "A replica and the primary do not see each other; everybody else sees both.", Expect.NONE, direct=True)
def bridge(scene: Scene) -> None:
    scene.network.split([scene.primary], [scene.replicas[0]])
    scene.writes_resume()
    scene.quiet()
    scene.writes_resume()


@fault("N9", "The link of the primary fails for 200 ms, again and again.", Expect.EITHER, quarantine=True)
def flapping(scene: Scene) -> None:
    """TCP waits longer each time that it repeats a packet in vain, so that the primary may stop committing. Once is enough."""
    primary = scene.primary
    for _ in range(30):
        scene.network.isolate(primary)
        scene.wait(0.2)
        scene.network.mend_all()
        scene.wait(0.2)
    assert scene.cluster.record.epoch <= scene.first_epoch + 1, "it went to and fro"


@fault("N10", "The primary's link loses a fifth of all packets.", Expect.NONE)
def lossy(scene: Scene) -> None:
    scene.network.lose(scene.primary, 0.2)
    scene.quiet(2 * QUIET_S)


@fault("N11", "The primary's link loses nine of ten packets.", Expect.EITHER, quarantine=True)
def hopeless(scene: Scene) -> None:
    scene.network.lose(scene.primary, 0.9)
    scene.wait(4 * QUIET_S)


@fault("N11h", "The primary's link loses half of all packets.", Expect.EITHER, quarantine=True)
def half_lost(scene: Scene) -> None:
    scene.network.lose(scene.primary, 0.5)
    scene.wait(3 * QUIET_S)


@fault("N12", "Everything to and from the primary takes 200 ms longer, or 100 ms, or 300 ms.", Expect.NONE)
def far_away(scene: Scene) -> None:
    scene.network.slow(scene.primary, Manner(delay_s=0.2, jitter_s=0.1))
    scene.quiet(2 * QUIET_S)
    scene.writes_resume()


@fault("N13", "For a second everything to and from the primary takes two seconds longer.", Expect.EITHER)
def spike(scene: Scene) -> None:
    """Longer than a beat may take. Whether somebody is promoted depends on when the next beat gets through."""
    scene.network.slow(scene.primary, Manner(delay_s=2.0))
    scene.wait(1)
    scene.network.slow(scene.primary, Manner())
    scene.wait(2 * QUIET_S)


@fault("N14", "The primary sends 512 kbit/s at most.", Expect.NONE)
def narrow(scene: Scene) -> None:
    scene.network.narrow(scene.primary, 512)
    scene.quiet(2 * QUIET_S)
    scene.writes_resume()


@fault("N15", "A fifth of all packets to and from the primary comes twice, and later ones overtake earlier ones.", Expect.NONE)
def muddled(scene: Scene) -> None:
    scene.network.slow(scene.primary, Manner(delay_s=0.01, jitter_s=0.01, duplicates=0.2, in_order=False))
    scene.quiet(2 * QUIET_S)
    scene.writes_resume()


@fault("N16", "All connections of the primary are lost in silence; new ones work.", Expect.EITHER, direct=True, quarantine=True)
def half_open(scene: Scene) -> None:
    """A failover is not needed. It is allowed, because beats and the replicas' receivers are lost together."""
    scene.network.forget_connections(scene.primary)
    scene.writes_resume()
    scene.wait(QUIET_S)


@fault(
    "N17",
    "Large packets are lost on the way to and from the primary; small ones arrive.",
    Expect.EITHER,
    direct=True,
    quarantine=True,
)
def swallowed(scene: Scene) -> None:
    """Questions are answered, and a large write can be acknowledged no more, nor any write behind it."""
    primary = scene.primary
    scene.sql(primary, "CREATE TABLE IF NOT EXISTS app.large (id INT AUTO_INCREMENT PRIMARY KEY, t MEDIUMTEXT)")
    scene.network.swallow_large(primary)
    with suppress(pymysql.err.OperationalError):
        scene.sql(primary, "INSERT INTO app.large (t) VALUES (REPEAT('x', 100000))")


@fault("N18", "A client and the primary do not see each other; everybody else sees both.", Expect.NONE, direct=True, ci=True)
def client_cut_off(scene: Scene) -> None:
    scene.network.split([CLIENTS[0]], [scene.primary])
    scene.quiet()
    scene.writes_resume(CLIENTS[1])


@fault("N19", "A replica is away until the primary has purged what it needs.", Expect.NONE, quarantine=True)
def left_behind(scene: Scene) -> None:
    """It can never catch up by itself: the servers say so, and nobody skips what it lacks."""
    primary, (away, _) = scene.primary, scene.replicas
    scene.network.isolate(away)
    scene.writes_resume()
    for _ in range(2):
        scene.sql(primary, "FLUSH BINARY LOGS")
        scene.writes_resume()
    scene.wait(1)
    newest = scene.cluster.rows(primary, "SHOW BINARY LOGS")[-1][0]
    # Whoever sends to the one that is away still reads, and holds, an older one.
    sender = "SELECT id FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%' AND host LIKE '{}%'"
    for (number,) in scene.cluster.rows(primary, sender.format(scene.network.addresses[away])):
        scene.sql(primary, f"KILL {number}")
    scene.wait(1)
    scene.sql(primary, f"PURGE BINARY LOGS TO '{newest}'")
    oldest = scene.cluster.rows(primary, "SHOW BINARY LOGS")[0][0]
    assert oldest == newest, f"{oldest} could not be purged"
    scene.network.mend_all()
    scene.wait(QUIET_S)
