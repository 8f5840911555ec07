"""UDP to one framed device: messages out several to a datagram, messages in as they come.

Owns the socket and the datagram decoder. Refuses to interpret messages and to repeat them: UDP loses, the
requests above are repeated. No threads: the event loop sends and receives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from bellwire.drivers.datagrams import DatagramDecoder, encode_datagrams
from bellwire.drivers.faults import Disconnected
from bellwire.drivers.framing import Message

WINDOW_REQUESTS: Final = 8
WRITE_QUEUE_MESSAGES = 256
"""Messages of one turn of the loop; more means that somebody has lost all measure."""


class UdpPort(asyncio.DatagramProtocol):
    """One socket, connected to the device, so that the system drops what others send.

    `on_messages` and `on_closed` run in the loop that opened the port. `on_closed` runs at most once, and not
    after `close()`.
    """

    window = WINDOW_REQUESTS

    def __init__(
        self,
        instrument: str,
        host: str,
        port: int,
        on_messages: Callable[[list[Message]], None],
        on_closed: Callable[[Disconnected], None],
    ) -> None:
        self.decoder = DatagramDecoder()
        self._instrument = instrument
        self._place = (host, port)
        self._on_messages = on_messages
        self._on_closed = on_closed
        self._transport: asyncio.DatagramTransport | None = None
        self._outgoing: list[Message] = []
        self._closing = False

    @property
    def frame_errors(self) -> int:
        """Damaged and foreign datagrams dropped since `open`."""
        return self.decoder.crc_errors + self.decoder.foreign

    async def open(self) -> None:
        """Make the socket. That says nothing about the device: UDP knows no connection.

        Raises Disconnected when the host has no address.
        """
        loop = asyncio.get_running_loop()
        try:
            self._transport, _ = await loop.create_datagram_endpoint(lambda: self, remote_addr=self._place)
        except OSError as error:
            raise Disconnected(self._instrument, f"cannot open {self._name}: {error}") from error

    def send(self, message: Message) -> None:
        """Queue a message; those of one turn of the loop travel together."""
        if self._transport is None or self._closing:
            raise Disconnected(self._instrument, f"{self._name} is closed")
        if len(self._outgoing) >= WRITE_QUEUE_MESSAGES:
            raise Disconnected(self._instrument, f"{WRITE_QUEUE_MESSAGES} messages wait for {self._name}")
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing.append(message)

    async def close(self) -> None:
        """Close the socket. Harmless when already closed."""
        self._flush()
        self._closing = True
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
            await asyncio.sleep(0)  # the transport closes its socket in the next turn

    @property
    def _name(self) -> str:
        return f"udp://{self._place[0]}:{self._place[1]}"

    def _flush(self) -> None:
        messages, self._outgoing = self._outgoing, []
        if self._transport is not None:
            for datagram in encode_datagrams(messages):
                self._transport.sendto(datagram)

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Called by asyncio."""
        messages = self.decoder.feed(data)
        if messages and not self._closing:
            self._on_messages(messages)

    def error_received(self, exc: Exception) -> None:
        """Called by asyncio: the host says that nobody listens."""
        if not self._closing:
            self._closing = True
            self._on_closed(Disconnected(self._instrument, f"{self._name}: {exc}"))
