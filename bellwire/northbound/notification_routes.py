"""Notifications as server-sent events: what applications are told about their requests, as it happens.

Owns the stream. Refuses to keep anything for a slow reader: each stream reads the log at its own pace, and
whoever comes back with Last-Event-ID gets all that was kept since, over restarts of the server too.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from starlette.types import Receive, Scope, Send

from bellwire.client import words
from bellwire.client.words import INTEGER_MAX
from bellwire.northbound.access import Service, Viewer, may_answer
from bellwire.northbound.problems import Problem, later
from bellwire.northbound.service import Northbound
from bellwire.northbound.store import Kind
from bellwire.northbound.tokens import Principal

router = APIRouter(prefix="/v1", tags=["notifications"])

BATCH: Final = 200
LOOK_S: Final = 1.0
"""A revoked token, and the end of the server, are noticed by a quiet stream within this time."""
QUIET_LOOKS: Final = 10
"""A comment after so many looks without news, so that whoever stands in between keeps the connection."""
RETRY_MS: Final = 1000


@router.get(
    "/notifications",
    response_class=StreamingResponse,
    responses={
        **may_answer(),
        200: {
            "description": "Events `request_status` with exactly request_id, status, generated_count and "
            "error_message as data; with `reports`, events `report` with name, node, request_id and fields. "
            "`missed` tells how many notifications are gone. The id of an event is its number.",
            "content": {
                "text/event-stream": {
                    "schema": {"type": "string"},
                    "x-event-data": {"request_status": {"$ref": "#/components/schemas/Notification"}},
                }
            },
        },
    },
)
async def stream_notifications(
    service: Service,
    principal: Viewer,
    request_id: Annotated[
        words.RequestName | None, Query(description="Only of this request; absent: of all.")
    ] = None,
    reports: Annotated[bool, Query(description="Also what nodes report besides.")] = False,
    after: Annotated[
        int | None,
        Query(ge=0, le=INTEGER_MAX, description="As Last-Event-ID, for those who cannot set headers."),
    ] = None,
    until: Annotated[
        int | None,
        Query(ge=0, le=INTEGER_MAX, description="End after the event of this number instead of waiting."),
    ] = None,
    last_event_id: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID", max_length=20, description="Go on after this event; absent: from now on."
        ),
    ] = None,
) -> StreamingResponse:
    """Follow what becomes of requests."""
    start = after
    if last_event_id is not None:
        if not last_event_id.isascii() or not last_event_id.isdigit() or int(last_event_id) > INTEGER_MAX:
            raise Problem("malformed-request", "Last-Event-ID is the number of an event")
        start = int(last_event_id)
    if service.streams >= service.limits.streams_max:
        raise later("overloaded", f"{service.limits.streams_max} streams are open", 5)
    kinds: tuple[Kind, ...] = ("request_status", "missed", *(("report",) if reports else ()))
    oldest, newest = await service.store.span()
    start = newest if start is None else start
    events = _events(service, principal, min(start, newest), kinds, request_id, until, oldest)
    return _CountedStream(service, events)


async def _events(
    service: Northbound,
    principal: Principal,
    after: int,
    kinds: tuple[Kind, ...],
    request_id: str | None,
    until: int | None,
    oldest: int,
) -> AsyncIterator[bytes]:
    yield format_sse_event(comment="bellwire", retry=RETRY_MS)
    if after < oldest - 1:
        yield _event("missed", oldest - 1, {"node": None, "count": oldest - 1 - after})
        after = oldest - 1
    quiet = 0
    while not service.stopping.is_set() and service.tokens.still_valid(principal, time.time_ns()):
        coming = service.follower.next_news
        kept = await service.store.notifications(after, BATCH, kinds, request_id)
        for one in kept:
            if until is not None and one.number > until:
                return
            body = dict(one.body)
            if one.kind == "report":
                body = {"node": one.node, "request_id": one.request_id, **body}
            yield _event(one.kind, one.number, body)
            after = one.number
        if until is not None and len(kept) < BATCH:
            return
        if kept:
            quiet = 0
            continue
        with suppress(TimeoutError):
            await asyncio.wait_for(coming.wait(), LOOK_S)
        quiet += 1
        if quiet % QUIET_LOOKS == 0:
            yield format_sse_event(comment="quiet")


class _CountedStream(StreamingResponse):
    """A stream that counts from the moment in which it was allowed until its connection is gone."""

    def __init__(self, service: Northbound, events: AsyncIterator[bytes]) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        self._service = service
        service.streams += 1

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._service.streams -= 1


def _event(kind: Kind, number: int, body: dict[str, Any]) -> bytes:
    return format_sse_event(event=kind, id=str(number), data_str=json.dumps(body))
