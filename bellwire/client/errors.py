"""What a call may raise: one class for each thing that a program can do about it.

Owns the classes and how an answer becomes one. Refuses to hide anything: the problem document is in
`problem`, whatever its type.
"""

from collections.abc import Mapping
from typing import Final

from pydantic import ValidationError

from bellwire.client.words import ProblemDetails


class ApiError(Exception):
    """The API did not do what was asked. `problem`: what it says, RFC 9457."""

    def __init__(self, problem: ProblemDetails, retry_after_s: float | None = None) -> None:
        self.problem = problem
        self.retry_after_s = retry_after_s
        super().__init__(f"{problem.status} {problem.title}: {problem.detail}")

    @property
    def kind(self) -> str:
        """The last word of the problem's type, such as "request-refused"."""
        return self.problem.type.rpartition("/")[2]


class Unauthenticated(ApiError):
    """There is no token, or it opens nothing any more."""


class Forbidden(ApiError):
    """The token's role does not allow it."""


class NotFound(ApiError):
    """There is no such node, link, request or token."""


class Conflict(ApiError):
    """The request_id is taken, or the request is not in a state that allows this."""


class KeyInProgress(ApiError):
    """A submission with this Idempotency-Key is at work; it is tried again by itself."""


class Refused(ApiError):
    """The lab refuses the request; `problem.detail` is its source's reason."""


class Invalid(ApiError):
    """The request is not as the API describes it, or its Idempotency-Key stands for another."""


class RateLimited(ApiError):
    """Too many calls; nothing was done. It is tried again by itself after `retry_after_s`."""


class Unavailable(ApiError):
    """A node does not answer, or the server has enough to do; it is tried again by itself."""


class ServerFault(ApiError):
    """The server failed, or its answer is none of this API."""


class NotAnswered(Exception):
    """No answer came: nobody listens there, the connection broke, or time was up."""


BY_KIND: Final[Mapping[str, type[ApiError]]] = {
    "unauthenticated": Unauthenticated,
    "forbidden": Forbidden,
    "not-found": NotFound,
    "request-id-taken": Conflict,
    "not-in-progress": Conflict,
    "idempotency-key-in-progress": KeyInProgress,
    "request-refused": Refused,
    "malformed-request": Invalid,
    "invalid-request": Invalid,
    "content-too-large": Invalid,
    "misdirected-request": Invalid,
    "method-not-allowed": Invalid,
    "idempotency-key-reused": Invalid,
    "rate-limited": RateLimited,
    "agent-silent": Unavailable,
    "overloaded": Unavailable,
    "internal-error": ServerFault,
}


def error_of(status: int, headers: Mapping[str, str], content: bytes) -> ApiError:
    """The error that an answer of status 400 and above is."""
    try:
        problem = ProblemDetails.model_validate_json(content)
    except ValidationError:
        said = content[:200].decode("utf-8", "replace")
        problem = ProblemDetails(
            type="about:blank", title="No answer of this API", status=status, detail=said, instance=""
        )
    waiting = headers.get("retry-after", "")
    found = BY_KIND.get(problem.type.rpartition("/")[2], ServerFault)
    return found(problem, float(waiting) if waiting.isdigit() else None)
