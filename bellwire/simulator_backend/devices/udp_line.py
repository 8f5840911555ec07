"""The Ethernet port of a framed device: one UDP port of a loopback address, one owner at a time.

Owns the socket, the datagram decoder, and who the owner is: the host that said HELLO last and is still heard.
Another host's HELLO is answered BUSY until the owner has been silent for a while; its other requests are not
answered at all. Messages of one turn of the loop leave together.
"""

from __future__ import annotations

import asyncio
import socket

from bellwire.drivers.datagrams import DatagramDecoder, encode_datagrams
from bellwire.drivers.framing import REPLY_BIT, FrameType, Message, Status
from bellwire.simulator_backend.devices.faults import Fault, FaultSwitches
from bellwire.simulator_backend.devices.frame_line import FrameLine, Receive

OWNER_SILENCE_S = 2.0
READ_BYTES = 2048
DATAGRAMS_PER_TURN = 64


class UdpLine(FrameLine):
    """One UDP port; port 0 becomes a free one with the first `open` and stays it."""

    def __init__(self, port: int, receive: Receive, faults: FaultSwitches, host: str = "127.0.0.1") -> None:
        super().__init__(receive, faults)
        self.host = host
        self.port = port
        self._socket: socket.socket | None = None
        self._decoder = DatagramDecoder()
        self._owner: tuple[str, int] | None = None
        self._heard_s = 0.0
        self._outgoing: list[Message] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_open(self) -> bool:
        """Whether the port is bound."""
        return self._socket is not None

    @property
    def address(self) -> str:
        """What a driver is given."""
        return f"udp://{self.host}:{self.port}"

    def open(self) -> None:
        """Bind the port; harmless when bound."""
        if self._socket is not None:
            return
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((self.host, self.port))
        self.port = self._socket.getsockname()[1]
        self._owner = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._readable)

    def close(self) -> None:
        """Unplug: what is sent to the port is refused by the host. Harmless when closed."""
        bound, self._socket = self._socket, None
        if bound is not None and self._loop is not None:
            self._loop.remove_reader(bound)
            bound.close()

    def send(self, message: Message) -> None:
        """Messages without a fault that changes bytes leave several to a datagram."""
        if self._socket is None or self._loop is None or self._owner is None:
            return
        spoils = (
            *(Fault.BAD_CRC, Fault.HALF_REPLY, Fault.DOUBLE_REPLY, Fault.LATE_REPLY),
            *(Fault.DROPPED_BYTE, Fault.GARBAGE, Fault.UNSOLICITED, Fault.LOST_FRAME, Fault.SILENT),
        )
        if any(self._faults.is_on(fault) for fault in spoils):
            super().send(message)
            return
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(message)

    def _flush(self) -> None:
        messages, self._outgoing = self._outgoing, []
        for datagram in encode_datagrams(messages):
            self._write(datagram)

    def _encode(self, message: Message) -> bytes:
        return encode_datagrams([message])[0]

    def _write(self, octets: bytes) -> None:
        if self._socket is not None and self._owner is not None:
            self._write_to(octets, self._owner)

    def _write_to(self, octets: bytes, peer: tuple[str, int]) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(octets, peer)
        except (BlockingIOError, ConnectionRefusedError):
            return  # an Ethernet loses it as well

    def _readable(self) -> None:
        for _ in range(DATAGRAMS_PER_TURN):
            if self._socket is None:
                return
            try:
                datagram, peer = self._socket.recvfrom(READ_BYTES)
            except (BlockingIOError, ConnectionRefusedError):
                return
            if not self._faults.strikes(Fault.LOST_FRAME):
                self._take(datagram, peer)

    def _take(self, datagram: bytes, peer: tuple[str, int]) -> None:
        assert self._loop is not None
        damaged = self._decoder.crc_errors
        messages = self._decoder.feed(datagram)
        if peer != self._owner:
            hello = next((m for m in messages if m.type == FrameType.HELLO), None)
            if hello is None:
                return
            if self._owner is not None and self._loop.time() - self._heard_s < OWNER_SILENCE_S:
                busy = Message(hello.type | REPLY_BIT, hello.seq, 0, 0, Status.BUSY)
                self._write_to(encode_datagrams([busy])[0], peer)
                return
            self._flush()
            self._owner = peer
        self._heard_s = self._loop.time()
        self._receive(messages, self._decoder.crc_errors - damaged)
