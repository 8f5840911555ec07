"""Requests: submit, list, show, cancel, replan, suspend, resume, and the pairs that they were given.

Owns these resources. Refuses the life of a request, which is its source's, and the steps of a submission
(submissions.py) and of an order (request_orders.py).
"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi import Request as Call
from fastapi.responses import JSONResponse

from bellwire.client import words
from bellwire.northbound import request_orders
from bellwire.northbound.access import Operator, Service, Viewer, may_answer
from bellwire.northbound.agents import AgentRefusal, AgentSilent
from bellwire.northbound.cursors import cursor_of, number_in
from bellwire.northbound.problems import MEDIA_TYPE, Problem, later
from bellwire.northbound.requests import request_told
from bellwire.northbound.submissions import Submissions

router = APIRouter(prefix="/v1/requests", tags=["requests"])

PAGE_MAX: Final = 200
PAIRS_MAX: Final = 500


def _submissions(call: Call) -> Submissions:
    found: Submissions = call.app.state.submissions
    return found


Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
Cursor = Annotated[str | None, Query(max_length=200)]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Of your choice; the same key and terms get the same answer, for a day.",
    ),
]
_REPLAYED: Final = {
    "Idempotency-Replayed": {
        "description": "true: this is the answer to an earlier submission with the same key.",
        "schema": {"type": "string"},
    },
    "Location": {"description": "Where the request is.", "schema": {"type": "string"}},
}


_LINKS: Final = {
    operation: {
        "operationId": operation,
        "parameters": {"request_id": "$response.body#/request_id"},
    }
    for operation in (
        "read_request",
        "cancel_request",
        "replan_request",
        "suspend_request",
        "resume_request",
        "list_pairs",
    )
}


@router.post(
    "",
    status_code=202,
    response_model=words.Request,
    responses={
        **may_answer(
            "request-id-taken",
            "idempotency-key-in-progress",
            "idempotency-key-reused",
            "request-refused",
            "agent-silent",
        ),
        200: {
            "description": "Known before, by its request_id and terms.",
            "model": words.Request,
            "headers": _REPLAYED,
            "links": _LINKS,
        },
        202: {"description": "Taken by its source.", "headers": _REPLAYED, "links": _LINKS},
    },
)
async def submit_request(
    terms: words.RequestTerms,
    submissions: Annotated[Submissions, Depends(_submissions)],
    principal: Operator,
    idempotency_key: Key = None,
) -> Response:
    """Ask for entanglement. The source has taken the request when the answer comes; pairs come later."""
    answer = await submissions.submit(terms, principal, idempotency_key)
    headers = {"Idempotency-Replayed": "true"} if answer.replayed else {}
    if answer.status >= 400:
        return JSONResponse(answer.body, answer.status, headers, MEDIA_TYPE)
    headers["Location"] = f"/v1/requests/{answer.body['request_id']}"
    return JSONResponse(answer.body, answer.status, headers)


@router.get("", responses=may_answer())
async def list_requests(
    service: Service,
    _: Viewer,
    response: Response,
    limit: Limit = 50,
    cursor: Cursor = None,
    state: Annotated[
        list[Annotated[str, Query(max_length=40)]] | None,
        Query(max_length=10, description="Only in these states of the life cycle."),
    ] = None,
    source: Annotated[words.NodeName | None, Query(description="Only those made at this node.")] = None,
) -> words.RequestPage:
    """All requests of the lab that this server has heard of, the newest first, as last heard."""
    kept = await service.store.requests(number_in("requests", cursor), limit + 1, state or (), source)
    page = kept[:limit]
    following = cursor_of("requests", page[-1].number) if len(kept) > limit else None
    if following is not None:
        response.headers["Link"] = f'</v1/requests?limit={limit}&cursor={following}>; rel="next"'
    items = [
        request_told(
            one.standing,
            one.source,
            one.submitted_by,
            max(one.heard_ns, service.heard_ns(one.source)),
            fresh=False,
        )
        for one in page
    ]
    return words.RequestPage(items=items, next=following)


@router.get("/{request_id}", responses=may_answer("not-found"))
async def read_request(request_id: words.RequestName, service: Service, _: Viewer) -> words.Request:
    """One request, as its source tells it now; as last heard (`fresh` false) while that is silent."""
    return await request_orders.request_now(service, await request_orders.kept_request(service, request_id))


_MAY_REFUSE: Final = may_answer("not-found", "not-in-progress", "agent-silent")


@router.post("/{request_id}/cancel", responses=_MAY_REFUSE)
async def cancel_request(
    request_id: words.RequestName, service: Service, principal: Operator
) -> words.Request:
    """Withdraw a request. Pairs that were delivered stay delivered. Cancelling twice is cancelling once."""
    return await request_orders.cancel(service, request_id, principal)


@router.post("/{request_id}/replan", status_code=202, responses=_MAY_REFUSE)
async def replan_request(
    request_id: words.RequestName, service: Service, principal: Operator
) -> words.Request:
    """Have a request planned anew: another route, tree or policy. The old plan works until it is replaced."""
    return await request_orders.replan(service, request_id, principal)


@router.post("/{request_id}/suspend", responses=_MAY_REFUSE)
async def suspend_request(
    request_id: words.RequestName, suspension: words.Suspension, service: Service, principal: Operator
) -> words.Request:
    """Have a request pause: its plan ends, and after the time given it is planned anew. Its deadline holds
    meanwhile; the suspension holds when its source restarts."""
    return await request_orders.suspend(service, request_id, suspension.for_s, principal)


@router.post("/{request_id}/resume", responses=_MAY_REFUSE)
async def resume_request(
    request_id: words.RequestName, service: Service, principal: Operator
) -> words.Request:
    """Have a suspended request go on now, whoever suspended it: a person, or its execution monitor."""
    return await request_orders.resume(service, request_id, principal)


@router.get("/{request_id}/pairs", responses=may_answer("not-found", "agent-silent"))
async def list_pairs(
    request_id: words.RequestName,
    service: Service,
    principal: Viewer,
    node: Annotated[
        words.NodeName | None, Query(description="Whose records; absent: those of the source.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=PAIRS_MAX)] = 100,
    cursor: Cursor = None,
) -> words.PairPage:
    """Pairs delivered, by the durable records of an end node. Outcomes are for operators only."""
    kept = await request_orders.kept_request(service, request_id)
    members = kept.standing["request"]["target_nodes"]
    whose = kept.source if node is None else node
    if whose not in members:
        raise Problem("not-found", f"{whose} is no end node of {request_id}: {', '.join(members)}")
    after = number_in("pairs", cursor) or 0
    try:
        page = await service.agents.pairs(whose, request_id, after, limit)
    except (AgentSilent, AgentRefusal) as silence:
        raise later("agent-silent", str(silence), 1) from silence
    hidden = {} if principal.may("operator") else {"outcome": None}
    return words.PairPage(
        node=whose,
        items=[words.Pair.model_validate(pair | hidden) for pair in page["pairs"]],
        next=None if page["next"] is None else cursor_of("pairs", page["next"]),
    )
