"""What every call passes before anything else: who asks, how often, how much, and for which host.

Owns authentication, the limits of rate, size and number, and the log line of each call. Refuses to know
resources; roles are asked for by the routes (access.py). It stands in front of the parser, so that a flood is
refused for the price of a hash.
"""

import ipaddress
import math
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import structlog
from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.datastructures import Headers, MutableHeaders

from bellwire.northbound.problems import Problem, later, unauthenticated
from bellwire.northbound.service import Northbound
from bellwire.northbound.tokens import Principal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

WITHOUT_TOKEN: Final = ("/v1/alive", "/v1/openapi.json", "/v1/problems")
"""Paths, and what is below them, that say nothing about the lab."""
SUBMISSIONS: Final = "/v1/requests"
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
LOCAL: Final = Principal("loopback", "admin", None)


class Gate:
    """An ASGI application in front of another."""

    def __init__(self, app: App, service: Northbound) -> None:
        self._app = app
        self._service = service
        limits = service.limits
        self._submissions = RateLimitItemPerSecond(limits.submissions_per_s)
        self._calls = RateLimitItemPerSecond(limits.calls_per_s)
        self._failures = RateLimitItemPerSecond(limits.failures_per_s)
        self._windows = MovingWindowRateLimiter(MemoryStorage())
        self._open = 0
        self._submitting = 0
        self._log = structlog.get_logger()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun_s = time.monotonic()
        answered: list[int] = []

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered.append(message["status"])
                headers = MutableHeaders(scope=message)
                headers.setdefault("Cache-Control", "no-store")
                headers.setdefault("X-Content-Type-Options", "nosniff")
            await send(message)

        self._open += 1
        submitting = 0
        try:
            principal = self._admit(scope)
            scope.setdefault("state", {})["principal"] = principal
            submitting = int(_is_submission(scope))
            self._submitting += submitting
            await self._app(scope, self._measured(receive), sending)
        except Problem as problem:
            self._service.health.count(problem.kind.name.replace("-", "_"))
            await problem.response()(scope, receive, sending)
        finally:
            self._open -= 1
            self._submitting -= submitting
            self._note(scope, answered, begun_s)

    def _admit(self, scope: Scope) -> Principal | None:
        """Who asks; None: nobody, for a path that needs nobody. Raises Problem."""
        headers, limits = Headers(scope=scope), self._service.limits
        if self._open > limits.open_calls_max:
            raise later("overloaded", f"{limits.open_calls_max} calls are open", 1)
        address = scope["client"][0] if scope.get("client") else ""
        principal = self._principal(headers, address, scope)
        whose = address if principal is None else f"{principal.token_id} {principal.name}"
        self._take(self._calls, "calls", whose, "calls")
        if _is_submission(scope):
            if self._submitting >= limits.submissions_open_max:
                raise later("overloaded", f"{self._submitting} submissions are being taken", 1)
            self._take(self._submissions, "submissions", whose, "submissions")
        try:
            announced = int(headers.get("content-length", "0"))
        except ValueError:
            raise Problem("malformed-request", "Content-Length is no number") from None
        if announced > limits.body_bytes_max:
            raise self._too_large()
        return principal

    def _principal(self, headers: Headers, address: str, scope: Scope) -> Principal | None:
        path = scope["path"]
        if any(path == public or path.startswith(f"{public}/") for public in WITHOUT_TOKEN):
            return None
        said = headers.get("authorization")
        if said is not None:
            scheme, _, text = said.partition(" ")
            principal = None
            if scheme.lower() == "bearer":
                principal = self._service.tokens.principal_of(text.strip(), time.time_ns())
            if principal is None:
                self._take(self._failures, "failures", address, "calls without a valid token")
                raise unauthenticated("this is no valid token: it is unknown, revoked or has expired")
            return principal
        if self._service.open_on_loopback and is_loopback(address):
            if host_of(headers) not in LOOPBACK_NAMES:
                raise Problem("misdirected-request", "the Host header must be localhost, 127.0.0.1 or [::1]")
            return LOCAL
        self._take(self._failures, "failures", address, "calls without a valid token")
        raise unauthenticated("the Authorization header is missing")

    def _take(self, item: RateLimitItem, kind: str, whose: str, what: str) -> None:
        if self._windows.hit(item, kind, whose):
            return
        resets_s = self._windows.get_window_stats(item, kind, whose).reset_time - time.time()
        detail = f"more than {item.amount} {what} per second"
        raise later("rate-limited", detail, math.ceil(resets_s))

    def _measured(self, receive: Receive) -> Receive:
        """Reading that stops where a body grows beyond what may come, whatever was announced."""
        taken = 0

        async def reading() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._service.limits.body_bytes_max:
                raise self._too_large()
            return message

        return reading

    def _too_large(self) -> Problem:
        bytes_max = self._service.limits.body_bytes_max
        return Problem("content-too-large", f"the body is larger than {bytes_max} bytes", bytes_max=bytes_max)

    def _note(self, scope: Scope, answered: list[int], begun_s: float) -> None:
        principal = scope.get("state", {}).get("principal")
        self._log.debug(
            "call_answered",
            method=scope["method"],
            path=scope["path"],
            status=answered[0] if answered else None,
            principal=None if principal is None else principal.name,
            took_ms=round((time.monotonic() - begun_s) * 1e3, 1),
        )


def _is_submission(scope: Scope) -> bool:
    return bool(scope["method"] == "POST" and scope["path"] == SUBMISSIONS)


def is_loopback(address: str) -> bool:
    """Whether an address is one of this computer's own."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def host_of(headers: Headers) -> str:
    """The host that a call was meant for, without its port."""
    host = headers.get("host", "")
    name, _, port = host.rpartition(":")
    return name if port.isdigit() else host
