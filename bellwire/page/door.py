"""What every call of a browser passes before the page: whose session it is, and from which page it comes.

Owns signing in and out, the cookie, the check of Host and Origin, and the headers that keep a browser to this
server. Refuses rows and orders. Nothing of the lab, and nothing of the framework, leaves without a session,
unless the server is open on loopback.

Against calls that another web page makes in the name of a person here: the cookie is SameSite=Strict, and
whatever changes something or opens a socket must come with an Origin that is this server. Against a name that
is made to point here (DNS rebinding): on an open server the Host must be a name of loopback.
"""

import math
import time
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qs, urlsplit

import structlog
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, RedirectResponse, Response

from bellwire.northbound.gate import (
    LOCAL,
    LOOPBACK_NAMES,
    App,
    Message,
    Receive,
    Scope,
    Send,
    host_of,
    is_loopback,
)
from bellwire.northbound.service import Northbound
from bellwire.northbound.tokens import Principal
from bellwire.page.sessions import HOURS, Sessions
from bellwire.page.sign_in import sign_in_page

COOKIE: Final = "bellwire_session"
SIGN_IN: Final = "/sign-in"
SIGN_OUT: Final = "/sign-out"
FORM_BYTES_MAX: Final = 4096
BODY_BYTES_MAX: Final = 1_000_000
OPEN_MAX: Final = 256
"""Calls and sockets at the same time."""
SAFE: Final = frozenset({"GET", "HEAD"})

HEADERS: Final[Mapping[str, str]] = {
    # Vue compiles templates in the browser, which is why the page's own scripts may evaluate.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; connect-src 'self'; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": with that, browsers say "null" for the Origin of a form, and nobody could sign in.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Door:
    """An ASGI application in front of the page."""

    def __init__(self, page: App, service: Northbound, sessions: Sessions) -> None:
        self._page = page
        self._service = service
        self._sessions = sessions
        self._failures = RateLimitItemPerSecond(service.limits.failures_per_s)
        self._windows = MovingWindowRateLimiter(MemoryStorage())
        self._open = 0
        self._log = structlog.get_logger()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return
        self._open += 1
        try:
            await self._enter(scope, receive, send)
        finally:
            self._open -= 1

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        secure = scope["scheme"] in ("https", "wss")
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            self._service.health.count("page_call_refused", reason=refusal)
            await _deny(scope, receive, send, Response(f"{refusal}\n", 403, media_type="text/plain"))
            return
        if scope["type"] == "http" and scope["path"] in (SIGN_IN, SIGN_OUT):
            response = await self._sign(scope, headers, receive, secure=secure)
            await response(scope, receive, _dressed(send))
            return
        principal = self.principal(scope)
        if principal is None:
            response = RedirectResponse(SIGN_IN, 303) if scope["path"] == "/" else Response("sign in\n", 401)
            await _deny(scope, receive, send, response)
            return
        scope.setdefault("state", {})["principal"] = principal
        # What a proxy or a stranger says of where we stand is not believed: the framework would write it into
        # the page.
        scope["headers"] = [pair for pair in scope["headers"] if not pair[0].startswith(b"x-forwarded-")]
        await self._page(scope, _measured(receive), _dressed(send) if scope["type"] == "http" else send)

    def principal(self, scope: Scope) -> Principal | None:
        """Who sits at the browser of this call."""
        session_id = session_of(Headers(scope=scope))
        if session_id is not None and (known := self._sessions.principal(session_id)) is not None:
            return known
        address = scope["client"][0] if scope.get("client") else ""
        return LOCAL if self._service.open_on_loopback and is_loopback(address) else None

    def _refusal(self, scope: Scope, headers: Headers) -> str | None:
        if self._open > OPEN_MAX:
            return f"{OPEN_MAX} calls are open: try again later"
        if self._service.open_on_loopback and host_of(headers) not in LOOPBACK_NAMES:
            return "the Host header must be localhost, 127.0.0.1 or [::1]"
        asks = scope["type"] == "http" and scope["method"] in SAFE
        origin = headers.get("origin")
        if origin is None:
            # Browsers send it with every socket and every form; only reading may come without.
            return None if asks else "a call that is not only reading must say its Origin"
        if urlsplit(origin).netloc != headers.get("host"):
            return "this call comes from a page of another server"
        return None

    async def _sign(self, scope: Scope, headers: Headers, receive: Receive, *, secure: bool) -> Response:
        session_id = session_of(headers)
        if scope["path"] == SIGN_OUT:
            if scope["method"] != "POST":
                return Response("post it\n", 405, {"Allow": "POST"})
            if session_id is not None:
                self._sessions.end(session_id)
            answer = RedirectResponse(SIGN_IN, 303)
            answer.delete_cookie(COOKIE, path="/", secure=secure, httponly=True, samesite="strict")
            return answer
        if scope["method"] in SAFE:
            return HTMLResponse(sign_in_page(self._service.lab.name))
        if scope["method"] != "POST":
            return Response("post it\n", 405, {"Allow": "GET, HEAD, POST"})
        return await self._begin(scope, receive, secure=secure)

    async def _begin(self, scope: Scope, receive: Receive, *, secure: bool) -> Response:
        lab, address = self._service.lab.name, scope["client"][0] if scope.get("client") else ""
        form = await _form(receive)
        if form is None:
            return HTMLResponse(sign_in_page(lab, "That is longer than any token."), 413)
        # Looked at before the token, so that guessing costs time whether or not it guesses right.
        if not self._windows.test(self._failures, "failures", address):
            resets_s = (
                self._windows.get_window_stats(self._failures, "failures", address).reset_time - time.time()
            )
            wait_s = max(1, math.ceil(resets_s))
            refusal = f"Too many tries from this address: wait {wait_s} s."
            return HTMLResponse(sign_in_page(lab, refusal), 429, {"Retry-After": str(wait_s)})
        begun = self._sessions.begin(form.get("token", [""])[0])
        if begun is None:
            self._windows.hit(self._failures, "failures", address)
            self._service.health.count("unauthenticated")
            refusal = "This token opens nothing: it is unknown, revoked or has expired."
            return HTMLResponse(sign_in_page(lab, refusal), 401)
        session_id, principal = begun
        self._log.info("signed_in", principal=principal.name, role=principal.role)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            COOKIE,
            session_id,
            max_age=HOURS * 3600,
            path="/",
            secure=secure,
            httponly=True,
            samesite="strict",
        )
        return answer


def session_of(headers: Headers) -> str | None:
    """The session that a call names."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return None if found is None else found.value


async def _form(receive: Receive) -> dict[str, list[str]] | None:
    """The fields of a small form; None: it is not small."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > FORM_BYTES_MAX:
            return None
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return parse_qs(body.decode("utf-8", "replace"), max_num_fields=8)


def _dressed(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sending


def _measured(receive: Receive) -> Receive:
    """Reading that ends where one message, or the body of a call, grows beyond what the page ever sends."""
    taken = 0

    async def reading() -> Message:
        nonlocal taken
        message = await receive()
        size = len(message.get("body") or message.get("bytes") or message.get("text") or b"")
        taken = size if message["type"].startswith("websocket") else taken + size
        if taken > BODY_BYTES_MAX:
            kind = "websocket" if message["type"].startswith("websocket") else "http"
            return {"type": f"{kind}.disconnect", "code": 1009}
        return message

    return reading


async def _deny(scope: Scope, receive: Receive, send: Send, response: Response) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})  # before it was accepted: HTTP 403
        return
    await response(scope, receive, _dressed(send))
