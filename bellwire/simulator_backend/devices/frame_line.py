"""What every line of a framed emulator shares: messages up and down, and faults on what goes down.

Owns the interface and the spoiling of bytes. Refuses transports: `pty_line.py`, `udp_line.py`.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable

from bellwire.drivers.framing import REPLY_BIT, FrameType, Message
from bellwire.simulator_backend.devices.faults import Fault, FaultSwitches

Receive = Callable[[list[Message], int], None]
"""(messages, damaged frames dropped since the last call)."""


class FrameLine(ABC):
    """A line that is there or not. `send` sends one message, subject to the faults that are on."""

    def __init__(self, receive: Receive, faults: FaultSwitches) -> None:
        self._receive = receive
        self._faults = faults

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether the line exists."""

    @abstractmethod
    def open(self) -> None:
        """Make the line; harmless when open."""

    @abstractmethod
    def close(self) -> None:
        """Hang up; harmless when closed."""

    @abstractmethod
    def _encode(self, message: Message) -> bytes:
        """The bytes of one message."""

    @abstractmethod
    def _write(self, octets: bytes) -> None:
        """Bytes to the host; lost when nobody is there."""

    def send(self, message: Message) -> None:
        """One message to the host."""
        faults = self._faults
        if faults.strikes(Fault.SILENT) or faults.strikes(Fault.LOST_FRAME):
            return
        is_reply = bool(message.type & REPLY_BIT)
        if is_reply and faults.strikes(Fault.UNSOLICITED):
            unasked = Message(FrameType.READ | REPLY_BIT, message.seq ^ 0x55, 0, 1, 0, b"\xde\xad\xbe\xef")
            self._write(self._encode(unasked))
        octets = self._encode(message)
        middle = len(octets) // 2
        if faults.strikes(Fault.BAD_CRC):
            octets = octets[:middle] + bytes([octets[middle] ^ 0x01]) + octets[middle + 1 :]
        if is_reply and faults.strikes(Fault.DROPPED_BYTE):
            octets = octets[:middle] + octets[middle + 1 :]
        if is_reply and faults.strikes(Fault.GARBAGE):
            octets = bytes(octet ^ 0xA5 for octet in octets)
        if is_reply and faults.strikes(Fault.HALF_REPLY):
            octets = octets[:middle]
        copies = 2 if is_reply and faults.strikes(Fault.DOUBLE_REPLY) else 1
        late = is_reply and faults.strikes(Fault.LATE_REPLY)
        for _ in range(copies):
            if late:
                delay_s = faults.delay_s(Fault.LATE_REPLY)
                asyncio.get_running_loop().call_later(delay_s, self._write, octets)
            else:
                self._write(octets)
