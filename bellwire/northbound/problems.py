"""What the API answers when it does not do what was asked: RFC 9457 problem details, of documented types.

Owns the table of types and the exception that becomes such an answer. Refuses HTTP plumbing (app.py). A type
is a path of this server, `/v1/problems/NAME`, which explains it.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

MEDIA_TYPE: Final = "application/problem+json"
PATH: Final = "/v1/problems"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A kind of refusal: HTTP status, title, and what whoever meets it can do."""

    name: str
    status: int
    title: str
    advice: str


PROBLEMS: Final[Mapping[str, ProblemType]] = {
    one.name: one
    for one in (
        ProblemType(
            "malformed-request",
            400,
            "The request cannot be read",
            "The body is no JSON, or a header has a form that it cannot have. Send it in the form that "
            "`detail` names.",
        ),
        ProblemType(
            "unauthenticated",
            401,
            "No valid token",
            "Send `Authorization: Bearer TOKEN`. Tokens are made by `bellwire tokens new`; one that was "
            "revoked or has expired is no token.",
        ),
        ProblemType(
            "forbidden",
            403,
            "The token's role does not allow this",
            "Viewers read, operators also submit, and cancel or replan what they have submitted; admins do "
            "all of it for everybody, and see and revoke tokens.",
        ),
        ProblemType(
            "not-found",
            404,
            "There is no such thing here",
            "The path, or the node, link, request or token that it names, does not exist.",
        ),
        ProblemType(
            "method-not-allowed",
            405,
            "This resource has no such method",
            "`Allow` names those that it has.",
        ),
        ProblemType(
            "request-id-taken",
            409,
            "Another request has this request_id",
            "A request_id names one request of the lab for ever. Choose another, or send exactly the terms "
            "of the first submission.",
        ),
        ProblemType(
            "idempotency-key-in-progress",
            409,
            "The first request with this Idempotency-Key is not answered yet",
            "Send it again after `Retry-After`; the answer will be that of the first.",
        ),
        ProblemType(
            "not-in-progress",
            409,
            "The request is not in a state that allows this",
            "A request that has ended can be neither cancelled nor replanned; only one with a plan in force "
            "can be replanned. `state` says where it stands.",
        ),
        ProblemType(
            "content-too-large",
            413,
            "The body is too large",
            "`bytes_max` is the limit of this server.",
        ),
        ProblemType(
            "misdirected-request",
            421,
            "The Host header names another server",
            "Without tokens only a program that has this server's loopback address is answered, so that a "
            "web page in a browser on this computer cannot speak for its owner.",
        ),
        ProblemType(
            "invalid-request",
            422,
            "The request is not as the API describes it",
            "`errors` names each field that is wrong. The description is at /v1/openapi.json.",
        ),
        ProblemType(
            "request-refused",
            422,
            "The lab refuses the request",
            "`detail` is the reason that the source node gave; other terms may be possible.",
        ),
        ProblemType(
            "idempotency-key-reused",
            422,
            "This Idempotency-Key came with other content before",
            "A key stands for one request. Take a fresh key for another request.",
        ),
        ProblemType(
            "rate-limited",
            429,
            "Too many requests",
            "Send it again after `Retry-After` seconds; nothing was done.",
        ),
        ProblemType(
            "internal-error",
            500,
            "The server failed",
            "A fault of this server, written to its log under `instance`. Submissions may be repeated with "
            "the same Idempotency-Key.",
        ),
        ProblemType(
            "agent-silent",
            503,
            "A node of the lab does not answer",
            "It restarts, or the lab is down. Send it again after `Retry-After`; a submission with the same "
            "Idempotency-Key is never made twice.",
        ),
        ProblemType(
            "overloaded",
            503,
            "The server has enough to do",
            "Too many requests or streams are open. Send it again after `Retry-After` seconds; nothing was "
            "done.",
        ),
    )
}


class Problem(HTTPException):
    """A refusal by name. Further keyword arguments become members of the document."""

    def __init__(
        self, name: str, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        self.kind = PROBLEMS[name]
        self.members = members
        self.instance = f"urn:uuid:{uuid.uuid4()}"
        super().__init__(self.kind.status, detail, None if headers is None else dict(headers))

    def document(self) -> dict[str, Any]:
        """As it is sent."""
        return {
            "type": f"{PATH}/{self.kind.name}",
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "instance": self.instance,
            **self.members,
        }

    def response(self) -> JSONResponse:
        """The answer."""
        return JSONResponse(self.document(), self.kind.status, self.headers, MEDIA_TYPE)


def unauthenticated(detail: str) -> Problem:
    """401 with the challenge that HTTP demands beside it."""
    return Problem("unauthenticated", detail, headers={"WWW-Authenticate": 'Bearer realm="bellwire"'})


def later(name: str, detail: str, retry_after_s: int) -> Problem:
    """A refusal that passes by itself."""
    return Problem(name, detail, headers={"Retry-After": str(max(1, retry_after_s))})
