"""The live page of one server: NiceGUI, its start and stop, and all browsers that look.

Owns which pages are open and that each gets every view once. Refuses callers without a session (door.py).
NiceGUI is one application a process, so a process serves the page of one lab.
"""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final

from fastapi import FastAPI
from nicegui import ui
from nicegui.client import Client
from starlette.requests import Request
from starlette.responses import Response

from bellwire.northbound.gate import App, Receive, Scope, Send
from bellwire.northbound.service import Northbound
from bellwire.northbound.tokens import Principal
from bellwire.page.calibrating import Calibrating
from bellwire.page.door import SIGN_IN, Door
from bellwire.page.head import head_html
from bellwire.page.orders import Orders
from bellwire.page.person_page import PersonPage
from bellwire.page.sessions import Sessions
from bellwire.page.told import ToldView
from bellwire.page.view import LabView
from bellwire.page.watch import Watch

API_PATHS: Final = ("/v1", "/api", "/metrics")
PAGES_MAX: Final = 64
ICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><path d="M6 16h20" stroke="#62d29c" '
    'stroke-width="4"/><circle cx="6" cy="16" r="5" fill="#1d5fb8"/><circle cx="26" cy="16" r="5" '
    'fill="#1d5fb8"/></svg>'
)
"""Two ends and what is between them."""
HISTORY_MESSAGES: Final = 60
"""Of each browser, kept for one that comes back after its connection was lost for a moment."""
RECONNECT_S: Final = 15.0


class LivePage:
    """The page beside the API of one server."""

    def __init__(self, service: Northbound, *, watch: Watch | None = None) -> None:
        self.watch = watch or Watch(service)
        self.sessions = Sessions(service.tokens)
        self._service = service
        self._calibrating = Calibrating(service.lab, service.state_dir)
        self._orders = Orders(service, self._calibrating)
        self._open: dict[str, PersonPage] = {}
        self._told: ToldView | None = None
        self._head = head_html()
        self._mounted = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
        self.door = Door(self._mounted, service, self.sessions)
        self.watch.on_view = self._on_view

    def beside(self, api: App) -> App:
        """One application: the API at its paths, the page at all others."""
        door = self.door

        async def route(scope: Scope, receive: Receive, send: Send) -> None:
            path = scope["path"]
            theirs = scope["type"] == "http" and any(
                path == at or path.startswith(f"{at}/") for at in API_PATHS
            )
            await (api if theirs else door)(scope, receive, send)

        return route

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """NiceGUI at work, and the watch over the lab."""

        @ui.page("/", title=f"{self._service.lab.name} · bellwire", language="en-US")
        def page(request: Request) -> Response | None:
            return self._page(request)

        ui.run_with(
            self._mounted,
            dark=False,
            favicon=ICON,
            tailwind=False,
            binding_refresh_interval=None,
            reconnect_timeout=RECONNECT_S,
            message_history_length=HISTORY_MESSAGES,
            show_welcome_message=False,
        )
        async with self._mounted.router.lifespan_context(self._mounted):
            self.watch.start()
            try:
                yield
            finally:
                await self.watch.stop()
                await self._calibrating.stop()

    def build(self, who: Callable[[], Principal | None]) -> PersonPage:
        """The page of one person, in the browser that has just asked for it."""
        ui.add_head_html(self._head)
        client = ui.context.client
        person = PersonPage(self.watch.model, self._orders, self._calibrating, who)
        self._open[client.id] = person
        self.watch.watchers = len(self._open)
        client.on_delete(lambda: self._close(client.id))
        if self._told is not None:
            person.show(self._told)
        return person

    def _page(self, request: Request) -> Response | None:
        if len(self._open) >= PAGES_MAX:
            return Response(
                f"{PAGES_MAX} windows of this page are open: close one\n", 503, {"Retry-After": "10"}
            )
        scope = request.scope
        self.build(lambda: self.door.principal(scope))
        return None

    def _close(self, client_id: str) -> None:
        self._open.pop(client_id, None)
        self.watch.watchers = len(self._open)

    def _on_view(self, view: LabView) -> None:
        """From the watch, after every look."""
        self._told = ToldView(self.watch.model, view)
        for client_id, person in tuple(self._open.items()):
            client = Client.instances.get(client_id)
            if client is None:
                self._close(client_id)
                continue
            with client:
                if not person.show(self._told):
                    ui.navigate.to(SIGN_IN)
                    self._close(client_id)
