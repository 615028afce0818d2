"""Brings servers into a cluster: preflight, configure, accounts, follow, verify, admit; and the record back, if it is lost.

`bootstrap` is `replclus init`. `rebuild_record` reads the record back from the servers. `known_to_primary` says what a
killed server may keep before it starts.
"""

from __future__ import annotations

from replclus.provision.bootstrap import InitReport, bootstrap
from replclus.provision.rebuild import rebuild_record
from replclus.provision.rejoin import known_to_primary

__all__ = ["InitReport", "bootstrap", "known_to_primary", "rebuild_record"]
