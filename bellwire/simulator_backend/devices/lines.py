"""Where an emulated instrument is reached: TCP, a pseudo-terminal, a ZeroMQ reply socket.

Owns descriptors and clients. Bytes go up as they come, with the client they came from; what goes down is
written as it is. Refuses faults and meaning: that is `InstrumentEmulator`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bellwire.simulator_backend.devices.pseudo_terminal import PseudoTerminal

OUTGOING_BYTES_MAX = 1 << 22
READ_BYTES = 1 << 16


class Client(ABC):
    """One counterpart of a line, for as long as it is connected. `buffer` holds what is not a whole request
    yet.
    """

    def __init__(self) -> None:
        self.buffer = bytearray()

    @abstractmethod
    def send(self, octets: bytes) -> None:
        """To the counterpart; lost when it is gone or does not read."""

    def send_unasked(self, octets: bytes) -> None:
        """What nobody asked for; lost where a protocol has no place for it."""
        self.send(octets)

    def send_twice(self, octets: bytes) -> None:
        """A reply that is sent again; once where a protocol has no place for the second."""
        self.send(octets + octets)

    def carried_out(self) -> None:  # noqa: B027 - most lines have no use for it
        """A request was carried out, and its reply sent if it has one."""

    @abstractmethod
    def hang_up(self, *, reset: bool) -> None:
        """End the connection, by FIN or RST; a serial line hangs up either way."""


OnClient = Callable[[Client], None]
OnOctets = Callable[[Client, bytes], None]


class Line(ABC):
    """A place where clients connect."""

    def __init__(self) -> None:
        self.on_client: OnClient = lambda client: None
        self.on_octets: OnOctets = lambda client, octets: None

    @abstractmethod
    async def open(self) -> None:
        """Begin to serve; harmless when open."""

    @abstractmethod
    async def close(self) -> None:
        """Hang up on everybody and refuse new clients; harmless when closed."""

    @property
    @abstractmethod
    def clients(self) -> list[Client]:
        """Who is connected."""


class TcpLine(Line):
    """A TCP port of 127.0.0.1, or of another loopback address; port 0 becomes a free one with `open`."""

    def __init__(self, port: int = 0, host: str = "127.0.0.1") -> None:
        super().__init__()
        self.host = host
        self.port = port
        self._server: asyncio.Server | None = None
        self._clients: list[Client] = []

    @property
    def clients(self) -> list[Client]:
        return list(self._clients)

    async def open(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, self.host, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for client in self.clients:
            client.hang_up(reset=True)
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = _TcpClient(writer)
        self._clients.append(client)
        try:
            self.on_client(client)
            while octets := await reader.read(READ_BYTES):
                self.on_octets(client, octets)
        except ConnectionError:
            return
        finally:
            self._clients.remove(client)
            writer.close()


class _TcpClient(Client):
    def __init__(self, writer: asyncio.StreamWriter) -> None:
        super().__init__()
        self._writer = writer

    def send(self, octets: bytes) -> None:
        transport = self._writer.transport
        if not transport.is_closing() and transport.get_write_buffer_size() < OUTGOING_BYTES_MAX:
            self._writer.write(octets)

    def hang_up(self, *, reset: bool) -> None:
        transport = self._writer.transport
        if transport.is_closing():
            return
        if reset:
            raw: socket.socket = transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        else:
            transport.close()


class TerminalLine(Line):
    """A pseudo-terminal published as a symbolic link at `path`: a serial line to any program.

    `baud_rate`: what the device's own end is set to; while the host's end is set to another, each side
    receives nonsense, as on a wire. None: every rate will do.
    """

    def __init__(self, path: Path, baud_rate: int | None = None) -> None:
        super().__init__()
        self.path = path
        self.baud_rate = baud_rate
        self._end: _TerminalEnd | None = None

    @property
    def clients(self) -> list[Client]:
        return [] if self._end is None else [self._end]

    async def open(self) -> None:
        if self._end is None:
            self._end = _TerminalEnd(self)

    async def close(self) -> None:
        self.hung_up()

    def hung_up(self) -> None:
        """The end hung up, by a fault too; the line comes back by `open`."""
        end, self._end = self._end, None
        if end is not None:
            end.close()


class _TerminalEnd(Client):
    def __init__(self, line: TerminalLine) -> None:
        super().__init__()
        self._line = line
        self._terminal = PseudoTerminal(line.path, self._read, outgoing_bytes_max=OUTGOING_BYTES_MAX)

    def send(self, octets: bytes) -> None:
        if self._terminal.is_open:
            self._terminal.write(self._as_received(octets))

    def hang_up(self, *, reset: bool) -> None:
        self._line.hung_up()

    def close(self) -> None:
        self._terminal.close()

    def _read(self, octets: bytes) -> None:
        self._line.on_octets(self, self._as_received(octets))

    def _as_received(self, octets: bytes) -> bytes:
        """Bytes as the other end samples them, when its clock runs at another rate: no end of a line."""
        if self._line.baud_rate in (None, self._terminal.host_baud_rate):
            return octets
        return bytes(octet | 0x80 for octet in octets)


class ZmqReplyLine(Line):
    """A ZeroMQ ROUTER socket that answers REQ clients: one message is one request, one `send` is one reply.

    ROUTER, not REP, because a device that stays silent must not block its other clients.
    """

    def __init__(self, port: int = 0, host: str = "127.0.0.1") -> None:
        super().__init__()
        self.host = host
        self.port = port
        self._socket: Any = None
        self._task: asyncio.Task[None] | None = None
        self._clients: dict[bytes, _ZmqClient] = {}
        self._sending: set[asyncio.Future[Any]] = set()

    @property
    def clients(self) -> list[Client]:
        return list(self._clients.values())

    async def open(self) -> None:
        import zmq
        import zmq.asyncio

        if self._socket is not None:
            return
        self._socket = zmq.asyncio.Context.instance().socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        place = f"tcp://{self.host}"
        if self.port == 0:
            self.port = self._socket.bind_to_random_port(place)
        else:
            await self._bind(f"{place}:{self.port}")
        self._task = asyncio.get_running_loop().create_task(self._receive())

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        self._clients.clear()
        self._socket.close(linger=0)
        self._socket = None

    async def _bind(self, place: str) -> None:
        """ZeroMQ gives a port back some time after its socket was closed; a power cycle is faster."""
        import zmq

        for tried in range(BIND_TRIES_MAX):
            try:
                self._socket.bind(place)
                return
            except zmq.ZMQError as error:
                if error.errno != zmq.EADDRINUSE or tried + 1 == BIND_TRIES_MAX:
                    self._socket.close(linger=0)
                    self._socket = None
                    raise
            await asyncio.sleep(BIND_RETRY_S)

    def reply(self, identity: bytes, octets: bytes) -> None:
        """One reply to the client of that identity; a client that is gone loses it."""
        if self._socket is not None:
            sending = asyncio.ensure_future(self._socket.send_multipart([identity, b"", octets]))
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)

    async def _receive(self) -> None:
        while True:
            frames = await self._socket.recv_multipart()
            if len(frames) != 3:
                continue  # not a REQ client
            identity, _, octets = frames
            client = self._clients.get(identity)
            if client is None:
                client = self._clients[identity] = _ZmqClient(self, identity)
                if len(self._clients) > ZMQ_CLIENTS_MAX:
                    del self._clients[next(iter(self._clients))]
                self.on_client(client)
            self.on_octets(client, octets)


ZMQ_CLIENTS_MAX = 64
BIND_TRIES_MAX = 100
BIND_RETRY_S = 0.01


class _ZmqClient(Client):
    def __init__(self, line: ZmqReplyLine, identity: bytes) -> None:
        super().__init__()
        self._line = line
        self._identity = identity

    def send(self, octets: bytes) -> None:
        self._line.reply(self._identity, octets)

    def send_unasked(self, octets: bytes) -> None:
        return  # a reply socket speaks only when it was asked

    def send_twice(self, octets: bytes) -> None:
        self.send(octets)  # a reply socket has nothing to send before the next request

    def hang_up(self, *, reset: bool) -> None:
        return  # ZeroMQ reconnects by itself and nobody sees it
