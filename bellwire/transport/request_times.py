"""When a request must have got somewhere: its deadline, the end of its duration and of its wait for room.

Owns the arithmetic. Refuses alarms and what happens when one is due (requests.py).
"""

from typing import Final, Literal
from zlib import crc32

from bellwire.core.ids import RequestId
from bellwire.core.settings import Timers
from bellwire.transport.request_records import RequestRecord

Limit = Literal["deadline", "duration", "queue"]

TURNS: Final = 64
"""Moments of a renewal period among which refused requests spread their next try."""

LIMITS: Final[tuple[Limit, ...]] = ("deadline", "duration", "queue")


def allowed_ns(record: RequestRecord, timers: Timers) -> int | None:
    """Time from submission to the last pair; None: as long as it takes.

    Where no deadline is given, the default limits the search for a plan, not the service.
    """
    request = record.request
    if request.deadline_ns is not None:
        return request.deadline_ns
    if request.until_cancelled and record.started_ns is not None:
        return None
    return timers.request_ns + (request.duration_ns or 0)


def due_times_ns(record: RequestRecord, timers: Timers) -> dict[Limit, int]:
    """When each limit of an unfinished request is reached; absent: it has none now."""
    request, due = record.request, dict[Limit, int]()
    allowed = allowed_ns(record, timers)
    if allowed is not None:
        due["deadline"] = record.submitted_ns + allowed
    if record.started_ns is not None and request.duration_ns is not None:
        due["duration"] = record.started_ns + request.duration_ns
    if record.started_ns is None and record.queued_ns is not None and request.queue_ns is not None:
        due["queue"] = record.queued_ns + request.queue_ns
    return due


def turn_ns(request: RequestId, version: int, timers: Timers) -> int:
    """A part of a renewal period that differs between requests and versions: two sources that were refused
    because of each other would otherwise ask again at the same moment, for ever."""
    turn = crc32(f"{request}/{version}".encode())
    return timers.plan_renew_ns * (turn % TURNS) // TURNS
