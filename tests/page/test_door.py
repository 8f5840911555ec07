"""Who gets in, by which call, and what a browser is told to refuse."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from bellwire.northbound.agents import ControlAgents
from bellwire.northbound.gate import Receive, Scope, Send
from bellwire.northbound.service import Limits, Northbound
from bellwire.page.door import BODY_BYTES_MAX, COOKIE, Door
from bellwire.page.sessions import SESSIONS_MAX, Sessions
from tests.page.telling import three_nodes

HERE = "http://127.0.0.1:8470"
DAY_NS = 86_400_000_000_000


async def page(scope: Scope, receive: Receive, send: Send) -> None:
    """Says who sits there, and how the call looks by now."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    forwarded = [name for name, _ in scope["headers"] if name.startswith(b"x-forwarded")]
    said = f"{scope['state']['principal'].name} {len(body)} {forwarded}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": said})


@dataclass
class House:
    door: Door
    service: Northbound
    sessions: Sessions

    def token(self, name: str = "anna", role: Any = "operator", valid_ns: int = DAY_NS) -> str:
        return self.service.tokens.make(name, role, time.time_ns(), valid_ns)[1]

    def browser(self, base: str = HERE, address: str = "127.0.0.1") -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.door, client=(address, 5000))
        return httpx.AsyncClient(transport=transport, base_url=base)

    async def sign_in(self, browser: httpx.AsyncClient, token: str) -> httpx.Response:
        return await browser.post(
            "/sign-in", data={"token": token}, headers={"Origin": str(browser.base_url).rstrip("/")}
        )


def house(folder: Path, *, open_on_loopback: bool = False, failures_per_s: int = 10) -> House:
    service = Northbound(
        lab=three_nodes(),
        state_dir=folder,
        agents=ControlAgents(folder),
        open_on_loopback=open_on_loopback,
        limits=Limits(failures_per_s=failures_per_s),
    )
    sessions = Sessions(service.tokens)
    return House(Door(page, service, sessions), service, sessions)


@pytest.fixture
async def at_home(tmp_path: Path) -> AsyncIterator[tuple[House, httpx.AsyncClient]]:
    made = house(tmp_path)
    async with made.browser() as browser:
        yield made, browser


Home = tuple[House, httpx.AsyncClient]


async def test_without_a_session_nothing_is_shown(at_home: Home) -> None:
    _, browser = at_home
    asked = await browser.get("/")
    assert (asked.status_code, asked.headers["location"]) == (303, "/sign-in")
    assert (await browser.get("/_nicegui/anything")).status_code == 401
    assert (await browser.get("/", headers={"Cookie": f"{COOKIE}=made-up"})).status_code == 303


async def test_a_token_opens_a_session_whose_cookie_no_script_and_no_other_site_can_use(
    at_home: Home,
) -> None:
    made, browser = at_home
    answer = await made.sign_in(browser, f" {made.token()} ")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"))
    assert "bw_" not in cookie
    assert (await browser.get("/")).text.startswith("anna ")


async def test_under_tls_the_cookie_never_goes_in_the_clear(at_home: Home) -> None:
    made, _ = at_home
    async with made.browser("https://127.0.0.1:8470") as browser:
        assert "Secure" in (await made.sign_in(browser, made.token())).headers["set-cookie"]


async def test_a_token_that_opens_nothing_is_refused_and_not_shown_again(at_home: Home) -> None:
    made, browser = at_home
    for token in ("", "bw_0123456789ab_" + "x" * 43, made.token(valid_ns=-1)):
        answer = await made.sign_in(browser, token)
        assert answer.status_code == 401
        assert "opens nothing" in answer.text
        assert not token or token not in answer.text
        assert "set-cookie" not in answer.headers


async def test_guessing_is_slowed_down_also_for_the_right_guess(tmp_path: Path) -> None:
    made = house(tmp_path, failures_per_s=2)
    async with made.browser() as browser:
        codes = [(await made.sign_in(browser, "bw_wrong")).status_code for _ in range(2)]
        refused = await made.sign_in(browser, made.token())
        assert (codes, refused.status_code) == ([401, 401], 429)
        assert int(refused.headers["retry-after"]) >= 1


async def test_signing_out_ends_the_session_for_whoever_has_copied_the_cookie(at_home: Home) -> None:
    made, browser = at_home
    await made.sign_in(browser, made.token())
    copied = browser.cookies[COOKIE]
    assert (await browser.post("/sign-out", headers={"Origin": HERE})).status_code == 303
    async with made.browser() as thief:
        thief.cookies.set(COOKIE, copied)
        assert (await thief.get("/")).status_code == 303


async def test_a_session_ends_with_its_token(at_home: Home) -> None:
    made, browser = at_home
    token = made.token()
    await made.sign_in(browser, token)
    assert (await browser.get("/")).status_code == 200
    made.service.tokens.revoke(token.split("_")[1], time.time_ns())
    assert (await browser.get("/")).status_code == 303


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:9999", "null", None])
async def test_calls_that_change_something_must_come_from_this_page(
    at_home: Home, origin: str | None
) -> None:
    made, browser = at_home
    await made.sign_in(browser, made.token())
    headers = {} if origin is None else {"Origin": origin}
    for path in ("/sign-out", "/sign-in", "/_nicegui_ws/socket.io/"):
        assert (await browser.post(path, headers=headers)).status_code == 403
    assert (await browser.get("/")).status_code == 200


@pytest.mark.parametrize(("origin", "cookie"), [("http://evil.example", True), (HERE, False), (None, True)])
async def test_sockets_open_from_this_page_and_with_a_session_only(
    at_home: Home, origin: str | None, cookie: bool
) -> None:
    made, browser = at_home
    await made.sign_in(browser, made.token())
    headers = [(b"host", b"127.0.0.1:8470")]
    headers += [] if origin is None else [(b"origin", origin.encode())]
    headers += [(b"cookie", f"{COOKIE}={browser.cookies[COOKIE]}".encode())] if cookie else []
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    scope = {
        "type": "websocket",
        "scheme": "ws",
        "path": "/_nicegui_ws/socket.io/",
        "client": ("127.0.0.1", 1),
    }
    await made.door({**scope, "headers": headers}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_an_open_server_is_open_on_this_computer_under_its_own_name_only(tmp_path: Path) -> None:
    made = house(tmp_path, open_on_loopback=True)
    async with made.browser() as browser:
        assert (await browser.get("/")).text.startswith("loopback ")
    async with made.browser("http://rebound.example:8470") as browser:
        assert (await browser.get("/")).status_code == 403
    async with made.browser(address="192.0.2.1") as browser:
        assert (await browser.get("/")).status_code == 303


async def test_the_browser_is_told_to_load_nothing_from_elsewhere(at_home: Home) -> None:
    made, browser = at_home
    for answer in (
        await browser.get("/sign-in"),
        await made.sign_in(browser, made.token()),
        await browser.get("/"),
    ):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "http" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "same-origin"


async def test_what_others_say_of_where_the_server_stands_does_not_reach_the_page(at_home: Home) -> None:
    made, browser = at_home
    await made.sign_in(browser, made.token())
    answer = await browser.get("/", headers={"X-Forwarded-Prefix": "/evil", "X-Forwarded-For": "1.2.3.4"})
    assert answer.text == "anna 0 []"


async def test_bodies_are_bounded(at_home: Home) -> None:
    made, browser = at_home
    large = await browser.post("/sign-in", content=b"token=" + b"x" * 5000, headers={"Origin": HERE})
    assert large.status_code == 413
    await made.sign_in(browser, made.token())
    with pytest.raises(AssertionError):  # the page heard that the caller is gone, and said nothing
        await browser.post("/", content=b"x" * (BODY_BYTES_MAX + 1), headers={"Origin": HERE})


def test_sessions_are_bounded_and_the_oldest_makes_room(tmp_path: Path) -> None:
    made = house(tmp_path)
    token = made.token()
    first = made.sessions.begin(token)
    assert first is not None
    for _ in range(SESSIONS_MAX):
        assert made.sessions.begin(token) is not None
    assert made.sessions.principal(first[0]) is None
