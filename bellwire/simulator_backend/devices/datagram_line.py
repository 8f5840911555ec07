"""A UDP port of an emulated instrument: each datagram is one request, each answer one datagram.

Owns the socket and who spoke from where. Refuses broadcasts of its own, and addresses outside of loopback.
"""

from __future__ import annotations

import asyncio

from bellwire.simulator_backend.devices.lines import Client, Line

CLIENTS_MAX = 64


class DatagramLine(Line):
    """A UDP port of 127.0.0.1, or of another loopback address; port 0 becomes a free one with `open`."""

    def __init__(self, port: int = 0, host: str = "127.0.0.1") -> None:
        super().__init__()
        self.host = host
        self.port = port
        self._transport: asyncio.DatagramTransport | None = None
        self._clients: dict[tuple[str, int], _DatagramClient] = {}

    @property
    def clients(self) -> list[Client]:
        return list(self._clients.values())

    async def open(self) -> None:
        if self._transport is None:
            self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _Receiver(self), local_addr=(self.host, self.port)
            )
            self.port = self._transport.get_extra_info("sockname")[1]

    async def close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
            self._clients.clear()
            await asyncio.sleep(0)

    def send(self, octets: bytes, place: tuple[str, int]) -> None:
        """One datagram; lost without power, as any datagram may be."""
        if self._transport is not None:
            self._transport.sendto(octets, place)

    def received(self, octets: bytes, place: tuple[str, int]) -> None:
        """One datagram came; whoever was silent for longest is forgotten."""
        client = self._clients.pop(place, None)
        if client is None:
            client = _DatagramClient(self, place)
            self.on_client(client)
        self._clients[place] = client
        if len(self._clients) > CLIENTS_MAX:
            del self._clients[next(iter(self._clients))]
        self.on_octets(client, octets)


class _DatagramClient(Client):
    def __init__(self, line: DatagramLine, place: tuple[str, int]) -> None:
        super().__init__()
        self._line = line
        self._place = place

    def send(self, octets: bytes) -> None:
        self._line.send(octets, self._place)

    def hang_up(self, *, reset: bool) -> None:
        return  # there is no connection that could end


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, line: DatagramLine) -> None:
        self._line = line

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._line.received(data, addr)
