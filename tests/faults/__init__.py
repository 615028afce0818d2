"""The fault lab: real servers of both families, real networks, one fault after the other, and a checker of what clients saw.

    make faults                          every fault, both families
    make faults FAULT=N5 FLAVOUR=mysql   one
    make faults HOSTS=ours               with a watchdog that can kill every server through its host

How to add a fault: write a function into a module of `tests/faults/table/`; every module there is read. It gets a `Scene`
(`scene.py`): a healthy cluster under load. It breaks something, waits for what must come of it, and returns. Then whatever it
registered with `scene.afterwards` is undone, servers that are down are started, the network is mended, and the runner waits until
the cluster is whole again and checks everything that clients were told.

    from tests.faults.catalogue import Expect, fault
    from tests.faults.scene import Scene

    @fault("D1", "The disk of the primary freezes.", Expect.FAILOVER, before_load=disks_for("n1"))
    def frozen_disk(scene: Scene) -> None:
        scene.afterwards(disk(scene, scene.primary).thaw)
        disk(scene, scene.primary).freeze()
        scene.promoted()

`Expect.FAILOVER`: somebody else is primary before the fault is undone (`scene.promoted()` waits for it). `Expect.NONE`: the epoch
stays the same, also while it is undone. `Expect.EITHER`: both are allowed, as long as every promise is kept. Options of
`@fault`: `ci=True` puts it into the slice that `make test` runs, `replicas=4`, `hosts_ours=True` (the watchdog may kill
servers), `quarantine=True` (a quarantined node, with its reason, is a good end), `direct=True` (clients also
write to every server past the router), `families=(...)`, `before_load` to prepare
the lab (options of servers, directories) before anything runs: such a fault gets a lab of its own.

What cannot be shown here stands in `catalogue.NOT_SHOWN`, with the reason.

`preparing.py` has what servers are given before they can be failed: disks of their own, a shim in front of fsync and write, a
clock that can be moved (`before_load=disks_for("n1")`, then `disk(scene, "n1").freeze()`). `inject/` is what they are made of.
"""
