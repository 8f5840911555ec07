"""TCP connections of message servers: a port, who is connected, and requests carried out in turn.

Owns listening, the limit of connections, hanging up by FIN or RST, and the watch for a client that leaves
while its request is carried out. Refuses to know what a request is: `read` of the protocol does.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import TypeVar

from bellwire.core.errors import PeerViolation

CONNECTIONS_MAX = 32
REQUESTS_WAITING_MAX = 64
LEAVING_S = 1.0
"""How long `close` waits for the tasks of connections that it has reset."""

Request = TypeVar("Request")


class Connection:
    """One client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def unsent_octets(self) -> int:
        """What the client did not take yet."""
        return self._writer.transport.get_write_buffer_size()

    def send(self, octets: bytes) -> None:
        """To the client; lost when it is gone."""
        if not self._writer.transport.is_closing():
            self._writer.write(octets)

    def hang_up(self, reset: bool) -> None:
        """End the connection, by RST or by FIN; harmless when it has ended."""
        transport = self._writer.transport
        if transport.is_closing():
            return
        if reset:
            raw: socket.socket = transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        else:
            transport.close()

    async def carry_out(
        self,
        read: Callable[[asyncio.StreamReader], Awaitable[Request]],
        work: Callable[[Request], Awaitable[None]],
    ) -> None:
        """Read requests and carry them out one after the other, until the client leaves or violates the
        protocol.
        """
        waiting: asyncio.Queue[Request] = asyncio.Queue(REQUESTS_WAITING_MAX)

        async def reading() -> None:
            while True:
                await waiting.put(await read(self._reader))

        async def working() -> None:
            while True:
                await work(await waiting.get())

        tasks = {asyncio.ensure_future(reading()), asyncio.ensure_future(working())}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class ConnectionServer:
    """A TCP port; `serve` is run for each connection. `violations` counts those that ended by the client's
    fault, `refusals` those beyond `connections_max`.
    """

    def __init__(
        self,
        host: str,
        serve: Callable[[Connection], Awaitable[None]],
        *,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        self.violations = 0
        self.refusals = 0
        self._host = host
        self._serve_one = serve
        self._connections_max = connections_max
        self._server: asyncio.Server | None = None
        self._tasks: dict[asyncio.Task[None], Connection] = {}

    @property
    def is_open(self) -> bool:
        """Whether it listens."""
        return self._server is not None

    async def open(self, port: int) -> int:
        """Listen; the port, which for 0 is a free one."""
        self._server = await asyncio.start_server(self._serve, self._host, port)
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    async def close(self) -> None:
        """Reset all connections and listen no more; harmless when closed."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        tasks = dict(self._tasks)
        for connection in tasks.values():
            connection.hang_up(reset=True)
        if tasks:
            await asyncio.wait(tasks, timeout=LEAVING_S)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw: socket.socket = writer.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(reader, writer)
        if len(self._tasks) >= self._connections_max:
            self.refusals += 1
            connection.hang_up(reset=True)
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks[task] = connection
        try:
            await self._serve_one(connection)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        except PeerViolation:
            self.violations += 1
        finally:
            del self._tasks[task]
            writer.close()
