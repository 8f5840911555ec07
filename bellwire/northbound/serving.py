"""Listening: the address, TLS, and an orderly end by Ctrl-C or SIGTERM.

Owns the uvicorn server of one API. Refuses an address beyond loopback without TLS, because tokens would be
readable on the way, and without tokens, because then everybody would be an admin.
"""

import asyncio
import ipaddress
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final, Protocol

import uvicorn

from bellwire.core.errors import ConfigError
from bellwire.northbound.app import create_app
from bellwire.northbound.gate import App
from bellwire.northbound.service import Northbound
from bellwire.runtime.store import AgentLock

STOP_S: Final = 5
"""Calls that are still open after this are cut off."""
IDLE_S: Final = 30
BACKLOG: Final = 512
SOCKET_BYTES_MAX: Final = 1_000_000
"""Of one message of a browser; the page's own are far smaller."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM form. `clients`: certificates of the authorities whose clients are let in; None: no
    client has to show a certificate."""

    certificate: Path
    private_key: Path
    clients: Path | None = None


def listening(host: str, port: int, tls: Tls | None, *, open_on_loopback: bool) -> socket.socket:
    """A socket that listens; port 0: any free one.

    Raises:
        ConfigError: the address is not ours or in use, or is not allowed as the module says.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as problem:
        raise ConfigError(f"--host {host}: {problem.strerror}") from problem
    family, _, _, _, address = found
    local = ipaddress.ip_address(address[0]).is_loopback
    if not local and tls is None:
        raise ConfigError(
            f"--host {host} is reachable from other computers: give --certificate and --private-key, or put "
            "a proxy that speaks TLS in front of 127.0.0.1"
        )
    if not local and open_on_loopback:
        raise ConfigError(f"--open-on-loopback and --host {host}: without tokens only loopback is served")
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as problem:
        listener.close()
        raise ConfigError(f"cannot listen at {host} port {port}: {problem.strerror}") from problem
    return listener


class Page(Protocol):
    """A live page beside the API (bellwire.page)."""

    def beside(self, api: App) -> App:
        """One application of both."""
        ...

    def running(self) -> AbstractAsyncContextManager[None]:
        """The page at work."""
        ...


class _Server(uvicorn.Server):
    """Ends streams first, then answers what is open, then returns; a second signal cuts all off."""

    def __init__(self, config: uvicorn.Config, service: Northbound) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._service.stopping.set()
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but a signal that has done its work is not raised again."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)


async def serve(
    service: Northbound,
    listener: socket.socket,
    tls: Tls | None = None,
    on_ready: Callable[[str], None] | None = None,
    page: Page | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM. `on_ready` gets the address as a URL; `page` None: the API alone.

    Raises:
        ConfigError: another server runs on this state folder, or a file of the TLS options is not right.
        StoreFault: the state folder cannot be written.
    """
    lock = AgentLock(service.state_dir / "northbound", "server")
    try:
        app = create_app(service)
        config = uvicorn.Config(
            app if page is None else page.beside(app),
            log_config=None,
            access_log=False,  # the gate logs calls, never headers
            server_header=False,
            proxy_headers=False,  # nobody else may say where a call comes from
            lifespan="off",
            ws="none" if page is None else "websockets-sansio",
            ws_max_size=SOCKET_BYTES_MAX,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=STOP_S,
            ssl_certfile=None if tls is None else tls.certificate,
            ssl_keyfile=None if tls is None else tls.private_key,
            ssl_ca_certs=None if tls is None or tls.clients is None else str(tls.clients),
            ssl_cert_reqs=ssl.CERT_NONE if tls is None or tls.clients is None else ssl.CERT_REQUIRED,
        )
        try:
            config.load()
        except (OSError, ssl.SSLError) as problem:
            raise ConfigError(f"certificate or private key: {problem}") from problem
        server = _Server(config, service)
        await service.start()
        try:
            async with AsyncExitStack() as running:
                if page is not None:
                    await running.enter_async_context(page.running())
                if on_ready is not None:
                    on_ready(url_of(listener, tls))
                await server.serve([listener])
        finally:
            await service.stop()
    finally:
        lock.release()


def url_of(listener: socket.socket, tls: Tls | None) -> str:
    """Where clients find the server."""
    host, port = listener.getsockname()[:2]
    named = f"[{host}]" if ":" in host else host
    return f"{'http' if tls is None else 'https'}://{named}:{port}"
