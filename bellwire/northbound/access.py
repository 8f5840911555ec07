"""What routes say about themselves: the role that they need, and the problems that they may answer.

Owns both, as FastAPI takes them. Refuses to find out who asks (gate.py did).
"""

from typing import Annotated, Any, Final

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from bellwire.client.words import ProblemDetails
from bellwire.northbound.problems import PROBLEMS, Problem
from bellwire.northbound.service import Northbound
from bellwire.northbound.tokens import Principal, Role

# Documents the scheme only: the gate has checked the token long before.
BEARER: Final = HTTPBearer(
    scheme_name="token", description="Made by `bellwire tokens new`.", auto_error=False
)

ALWAYS: Final = (
    "malformed-request",
    "unauthenticated",
    "forbidden",
    "content-too-large",
    "misdirected-request",
    "invalid-request",
    "rate-limited",
    "internal-error",
    "overloaded",
)
"""Any call may be answered so."""


def service_of(request: Request) -> Northbound:
    """The service behind this server."""
    service: Northbound = request.app.state.service
    return service


def as_role(role: Role) -> Any:
    """A dependency that refuses callers of lesser roles and gives the others' names to the route."""

    def check(request: Request, _: Annotated[Any, Security(BEARER)]) -> Principal:
        principal: Principal = request.state.principal
        if not principal.may(role):
            raise Problem("forbidden", f"this needs the role {role}; {principal.name} is {principal.role}")
        return principal

    return Depends(check)


Service = Annotated[Northbound, Depends(service_of)]
Viewer = Annotated[Principal, as_role("viewer")]
Operator = Annotated[Principal, as_role("operator")]
Admin = Annotated[Principal, as_role("admin")]


def may_answer(*names: str) -> dict[int | str, dict[str, Any]]:
    """The problems of a route, by status, for its description."""
    return _described((*ALWAYS, *names))


def may_answer_anybody(*names: str) -> dict[int | str, dict[str, Any]]:
    """The same of a route that asks for no token."""
    return _described((*(name for name in ALWAYS if name not in ("unauthenticated", "forbidden")), *names))


def _described(names: tuple[str, ...]) -> dict[int | str, dict[str, Any]]:
    told: dict[int | str, dict[str, Any]] = {}
    for name in sorted(names, key=lambda one: (PROBLEMS[one].status, one)):
        kind = PROBLEMS[name]
        row = told.setdefault(kind.status, {"description": "", "content": {}, "model": ProblemDetails})
        said = f"{kind.title} (`{name}`)."
        row["description"] = f"{row['description']} {said}".strip()
        if kind.status in (429, 503) or name == "idempotency-key-in-progress":
            row["headers"] = {
                "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}
            }
    return told
