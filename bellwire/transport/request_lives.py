"""One request as its source knows it.

Owns the value. Refuses change, which is request processing's alone (requests.py).
"""

from dataclasses import dataclass

from bellwire.core.plans import EntanglementRequest
from bellwire.transport.admission import Admission
from bellwire.transport.request_records import RequestRecord


@dataclass(slots=True, eq=False)
class Life:
    """Its record, its state, and what was said of it."""

    record: RequestRecord
    state: str
    version: int = 0
    before: int | None = None  # the version in force while a way round something broken is sought
    active: int = 0  # the version of the last plan that came into force
    failures: int = 0  # plans that failed in a row
    failure: str = ""  # why the last one did
    told: Admission = "pending"  # what has been said of its admission
    refusals: int = 0  # plans that nodes had no room for, before it was accepted
    notified_count: int = 0
    notified_ns: int = 0

    @property
    def request(self) -> EntanglementRequest:
        return self.record.request
