"""Events of the notification stream, and how long to wait for them.

Owns the event as programs see it, and what both clients say of a connection that fails. Refuses the form on
the wire, which is httpx-sse's.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from bellwire.client.calls import Call
from bellwire.client.errors import NotAnswered
from bellwire.client.words import Notification

STREAM_SILENT_S: Final = 30.0
"""A stream that says nothing for so long is broken: the server says something every ten seconds."""
FINAL: Final = ("completed", "failed")
"""Statuses after which nothing comes."""


class Sent(Protocol):
    """An event as it was sent."""

    @property
    def event(self) -> str: ...

    @property
    def data(self) -> str: ...

    @property
    def id(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `number` is what to give as `after` to go on behind it."""

    number: int
    kind: str  # request_status, report or missed; a newer server may have others
    body: Mapping[str, Any]

    @property
    def notification(self) -> Notification | None:
        """The four fields of the paper; None for other kinds of events."""
        return Notification.model_validate(self.body) if self.kind == "request_status" else None


def event_of(sent: Sent) -> Event | None:
    """The event that was sent; None for one without a number, which is none of this API."""
    return Event(int(sent.id), sent.event, json.loads(sent.data)) if sent.id.isdigit() else None


def patience_s(give_up_s: float | None) -> float:
    """How long a stream may be silent. Raises TimeoutError after `give_up_s`, monotonic; None: never."""
    if give_up_s is None:
        return STREAM_SILENT_S
    left_s = give_up_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("the request has not ended in time")
    return min(left_s, STREAM_SILENT_S)


def not_answered(call: Call[Any], problem: Exception) -> NotAnswered:
    """The error for a connection that failed."""
    return NotAnswered(f"{call.method} {call.path}: {str(problem) or type(problem).__name__}")
