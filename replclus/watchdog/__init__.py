"""Observes, asks `failover.machine` what to do, and does it.

`Watchdog` is the night shift; `perform` hands a person's request to it (or stands in for it); `observe_once` looks without
touching anything.
"""

from replclus.watchdog.loop import Watchdog
from replclus.watchdog.once import observe_once
from replclus.watchdog.perform import perform

__all__ = ["Watchdog", "observe_once", "perform"]
