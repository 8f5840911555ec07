"""The server itself: whether it is alive, how it and the lab are, its tokens, its problems explained.

Owns these resources. Refuses to make tokens, which needs the computer itself (`bellwire tokens new`).
"""

import time
from typing import Annotated

from fastapi import APIRouter, Path, Response
from fastapi.responses import PlainTextResponse

from bellwire.client import words
from bellwire.northbound.access import Admin, Service, Viewer, may_answer, may_answer_anybody
from bellwire.northbound.lab_routes import look
from bellwire.northbound.problems import PROBLEMS, Problem
from bellwire.northbound.requests import moment
from bellwire.northbound.tokens import KeptToken

router = APIRouter(prefix="/v1", tags=["server"])


@router.get("/alive", status_code=204, response_class=Response, responses=may_answer_anybody())
async def is_alive() -> None:
    """The server answers. Needs no token and says nothing about the lab."""


@router.get("/health", responses=may_answer())
async def read_health(service: Service, _: Viewer) -> words.Health:
    """How the server and the lab behind it are."""
    status = await look(service)
    now_s = time.monotonic()
    reasons: list[str] = []
    nodes: dict[str, words.NodeHealth] = {}
    for node in service.lab.addresses:
        verdict, heard_s = status.node(node), service.follower.heard_s.get(node)
        answer = status.counters().get(node)
        nodes[node] = words.NodeHealth(
            answers=answer is not None,
            ready=answer is not None and bool(answer["ready"]),
            heard_s=None if heard_s is None else now_s - heard_s,
        )
        reasons += [verdict.reason] if verdict.reason else []
    newest = (await service.store.span())[1]
    return words.Health(
        status="degraded" if reasons else "ready",
        reasons=reasons,
        nodes=nodes,
        streams=service.streams,
        notifications=newest,
        events=dict(service.health.counts),
    )


@router.get("/tokens", responses=may_answer())
async def list_tokens(service: Service, _: Admin) -> list[words.Token]:
    """All tokens, without their secrets."""
    return [_told(kept) for kept in service.tokens.listing()]


@router.delete("/tokens/{token_id}", responses=may_answer("not-found"))
def revoke_token(
    token_id: Annotated[str, Path(pattern=r"^[0-9a-f]{12}$")], service: Service, _: Admin
) -> words.Token:
    """Let a token open nothing any more; streams that it has opened end. Revoking twice is revoking once."""
    try:
        return _told(service.tokens.revoke(token_id, time.time_ns()))
    except KeyError:
        raise Problem("not-found", f"no token {token_id}") from None


@router.get(
    "/problems/{name}",
    response_class=PlainTextResponse,
    responses={
        **may_answer_anybody("not-found"),
        200: {
            "description": "The explanation of a type.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
    },
)
async def explain_problem(name: Annotated[str, Path(pattern=r"^[a-z-]{1,40}$")]) -> PlainTextResponse:
    """What a type of problem means and what to do: the page to which `type` of an answer leads."""
    kind = PROBLEMS.get(name)
    if kind is None:
        raise Problem("not-found", f"no problem is called {name}")
    return PlainTextResponse(f"{kind.status} {kind.title}\n\n{kind.advice}\n")


def _told(kept: KeptToken) -> words.Token:
    return words.Token(
        token_id=kept.token_id,
        name=kept.name,
        role=kept.role,
        created_at=moment(kept.created_ns),
        expires_at=moment(kept.expires_ns),
        revoked=kept.revoked_ns is not None,
    )
