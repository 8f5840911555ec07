"""The application: routes, what becomes of exceptions, and its description.

Owns how the parts are put together. Refuses to listen anywhere (serving.py). No answer leaves without a
documented form: what nobody foresaw is an `internal-error` with a number that stands in the log too.
"""

from collections.abc import Sequence
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from bellwire.client import words
from bellwire.core.errors import BellwireError
from bellwire.northbound import lab_routes, metrics_routes, notification_routes, request_routes, server_routes
from bellwire.northbound.access import as_role
from bellwire.northbound.gate import Gate
from bellwire.northbound.key_delivery import key_delivery_router
from bellwire.northbound.problems import MEDIA_TYPE, Problem
from bellwire.northbound.service import Northbound
from bellwire.northbound.submissions import Submissions

DESCRIPTION: Final = """\
Entanglement as a service: ask a lab that is up for entangled pairs, GHZ and graph states, and follow what
becomes of it. The fields of a request and of a notification are those of the application layer's interface
(request_id, target_nodes, entanglement_type, generation_mode, ...), with units in their names.

Every refusal is an RFC 9457 problem document; its `type` is a path of this server that explains it. How to
begin: docs/northbound.md.
"""
VERSION: Final = "1.0.0"
"""Of the API. The first number is that of the paths."""

ERRORS_TOLD_MAX: Final = 20


def create_app(service: Northbound) -> FastAPI:
    """The API of one lab, whose service is started and stopped by whoever serves it."""

    app = FastAPI(
        title="bellwire northbound API",
        version=VERSION,
        description=DESCRIPTION,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        exception_handlers={
            HTTPException: _on_refusal,
            RequestValidationError: _on_invalid,
            Exception: _on_fault,
        },
    )
    app.state.service = service
    app.state.submissions = Submissions(service)
    for part in (lab_routes, request_routes, notification_routes, server_routes, metrics_routes):
        app.include_router(part.router)
    if service.keys is not None:
        # The name of a token is the id of the application (SAE) that asks.
        app.include_router(key_delivery_router(service.keys), dependencies=[as_role("operator")])
    app.add_middleware(Gate, service=service)
    setattr(app, "openapi", lambda: _described(app))  # noqa: B010  FastAPI's documented way
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name


def _described(app: FastAPI) -> dict[str, Any]:
    """OpenAPI 3.1, with problems under their own media type."""
    if app.openapi_schema is None:
        told = get_openapi(
            title=app.title,
            version=app.version,
            openapi_version="3.1.0",
            description=app.description,
            routes=app.routes,
            tags=[
                {"name": "requests", "description": "Ask for entanglement."},
                {"name": "notifications", "description": "Follow what becomes of it."},
                {"name": "lab", "description": "Nodes, links, calibrations."},
                {"name": "server", "description": "Health, tokens, problems."},
            ],
        )
        problem = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
        for path, methods in told["paths"].items():
            answers = [one for operation in methods.values() for one in operation["responses"].items()]
            for status, answer in answers:
                if int(status) >= 400 and path.startswith("/v1/"):
                    answer["content"] = problem
        told["components"]["schemas"]["Notification"] = words.Notification.model_json_schema()
        app.openapi_schema = told
    return app.openapi_schema


# ---- what becomes of exceptions


async def _on_refusal(request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, HTTPException)
    problem = refusal if isinstance(refusal, Problem) else _as_problem(refusal)
    _service(request).health.count(problem.kind.name.replace("-", "_"))
    return problem.response()


def _as_problem(refusal: HTTPException) -> Problem:
    """What the framework refuses by itself."""
    match refusal.status_code:
        case 404:
            return Problem("not-found", "nothing has this path")
        case 405:
            return Problem("method-not-allowed", "nothing has this method", headers=refusal.headers)
        case _:
            return Problem("malformed-request", str(refusal.detail))


async def _on_invalid(request: Request, invalid: Exception) -> Response:
    assert isinstance(invalid, RequestValidationError)
    found: Sequence[Any] = invalid.errors()
    name = "malformed-request" if any(one["type"] == "json_invalid" for one in found) else "invalid-request"
    errors = [
        {"at": "/".join(str(step) for step in one["loc"]), "problem": one["msg"]}
        for one in found[:ERRORS_TOLD_MAX]
    ]
    detail = "; ".join(f"{one['at']}: {one['problem']}" for one in errors[:3])
    return await _on_refusal(request, Problem(name, detail, errors=errors))


async def _on_fault(request: Request, fault: Exception) -> Response:
    said = str(fault) if isinstance(fault, BellwireError) else "a fault of the server, see its log"
    problem = Problem("internal-error", said)
    structlog.get_logger().error(
        "call_failed", instance=problem.instance, problem=f"{type(fault).__name__}: {fault}"
    )
    return await _on_refusal(request, problem)


def _service(request: Request) -> Northbound:
    service: Northbound = request.app.state.service
    return service
