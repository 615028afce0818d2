"""What a watchdog is handed so that it can bring servers back and salvage transactions."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from replclus.events import Report
from replclus.model.gtid import GtidSet
from replclus.model.record import ClusterRecord
from replclus.model.spec import ClusterSpec
from replclus.provision.returning import Returned, bring_back
from replclus.provision.salvage import Salvaged, salvage
from replclus.store.secrets import Secrets


def _nobody(_: object) -> None:
    """What is salvaged is in the answer."""


@dataclass(frozen=True, slots=True)
class Restorer:
    """`spec.admin` is None where the administrator's password is not known: then every answer says so."""

    spec: ClusterSpec
    secrets: Secrets

    def bring_back(
        self, record: ClusterRecord, node: str, donor: str, extra: GtidSet | None, report: Report, stop: threading.Event
    ) -> Returned:
        return bring_back(self.spec, record, self.secrets, node, extra, donor, report, stop)

    def salvage(self, record: ClusterRecord, node: str, dead: str, timeout_s: float) -> Salvaged:
        return salvage(self.spec, record, self.secrets, dead, node, _nobody, threading.Event(), seconds=timeout_s)
