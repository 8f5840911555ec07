"""What carries the messages of a framed device: a serial line or UDP, chosen by the address.

Owns the interface and the choice. Refuses to interpret messages.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from bellwire.core.errors import ConfigError
from bellwire.drivers.faults import Disconnected
from bellwire.drivers.framing import Message

UDP = re.compile(r"udp://(?P<host>[A-Za-z0-9_.-]+):(?P<port>\d{1,5})/?")


class FramePort(Protocol):
    """An open way to one device. `window`: requests that may be in flight together."""

    window: int

    async def open(self) -> None:
        """Begin. Raises Disconnected when the way is absent or owned by somebody else."""
        ...

    def send(self, message: Message) -> None:
        """Queue a message. Raises Disconnected when the way is closed or the device stopped reading."""
        ...

    async def close(self) -> None:
        """End. Harmless when already closed."""
        ...

    @property
    def frame_errors(self) -> int:
        """Damaged frames dropped since `open`."""
        ...


def make_port(
    instrument: str,
    address: str,
    baud_rate: int,
    on_messages: Callable[[list[Message]], None],
    on_closed: Callable[[Disconnected], None],
) -> FramePort:
    """The port that an address means: `udp://HOST:PORT`, else the path of a serial line.

    Raises ConfigError for a UDP address without host or port.
    """
    if address.startswith("udp:"):
        found = UDP.fullmatch(address)
        if found is None or not 0 < int(found["port"]) < 1 << 16:
            raise ConfigError(f'"{address}" is not udp://HOST:PORT', where=instrument)
        from bellwire.drivers.udp_port import UdpPort

        return UdpPort(instrument, found["host"], int(found["port"]), on_messages, on_closed)
    from bellwire.drivers.serial_port import SerialPort

    return SerialPort(instrument, address, baud_rate, on_messages, on_closed)
