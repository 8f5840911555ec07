"""An instrument as its dialect and its inner life, sans I/O: what one powered device knows.

Owns the contract between an emulator (transport, faults, log) and a device model (commands, registers,
error queue, delays, quirks). A model lives from power-on to power-off: defaults are what its constructor
sets. Refuses to know sockets, and drivers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from bellwire.core.errors import LocalMisuse
from bellwire.simulator_backend.devices.faults import Fault


@dataclass(frozen=True, slots=True)
class Answer:
    """Bytes that a device sends, `after_s` after the request that it carried out; not `solicited`: by
    itself.
    """

    octets: bytes
    after_s: float = 0.0
    solicited: bool = True


class DeviceModel(ABC):
    """One powered instrument. All calls come from one thread, with the time in unix ns, never backwards."""

    tick_s: float | None = None
    """How often `tick` is called; None: never."""

    def face(self, line: int) -> DeviceModel:
        """The dialect on the line of that number, for devices with several ports; by default one for all."""
        return self

    def greeting(self, now_ns: int) -> bytes:
        """What is sent as soon as somebody connects (TCP only)."""
        return b""

    def power_on(self, now_ns: int) -> None:
        """The device has power from now on: turn its knobs of the World to where the defaults have them."""
        return

    def power_off(self, now_ns: int) -> None:
        """Power is gone: turn the knobs to where they go by themselves (a laser is dark, an oven cools)."""
        return

    @abstractmethod
    def split(self, buffer: bytearray) -> list[bytes]:
        """Take the complete requests out of what has come, each as it will be executed, and leave the rest.

        Discards what cannot become a request, as the device would.
        """

    @abstractmethod
    def changes(self, request: bytes) -> bool:
        """Whether the request changes anything in the instrument (else it is a query)."""

    @abstractmethod
    def execute(self, request: bytes, now_ns: int) -> list[Answer]:
        """Carry out a request; any bytes, never raises."""

    def tick(self, now_ns: int) -> list[Answer]:
        """Time goes on: what the device does and says by itself."""
        return []

    def unasked(self, now_ns: int) -> bytes:
        """Something that the device might say unasked, between a request and its reply."""
        return b"\x00"

    def acknowledges(self, request: bytes) -> list[Answer]:
        """What a device answers to a set that it silently ignores; nothing where sets are silent."""
        return []

    def damaged(self, octets: bytes) -> bytes:
        """A reply with a wrong checksum; by default one bit in the middle is turned over."""
        middle = len(octets) // 2
        return octets[:middle] + bytes([octets[middle] ^ 0x01]) + octets[middle + 1 :]

    def afflict(self, fault: Fault, on: bool, now_ns: int) -> None:
        """A fault of the device itself comes or goes. Raises LocalMisuse where the device has no such
        thing.
        """
        raise LocalMisuse(f"{type(self).__name__} has no {fault.value}")


class LineModel(DeviceModel):
    """A device that takes text lines. A subclass supplies `reply` and, if need be, the ends of lines.

    `terminator` ends what the device sends; requests end with any byte of `ends`. Longer requests than
    `line_bytes_max` are dropped with `overlong`.
    """

    terminator: bytes = b"\r\n"
    ends: bytes = b"\r\n"
    line_bytes_max: int = 512

    @abstractmethod
    def reply(self, line: str, now_ns: int) -> str | None:
        """Carry out a line; the reply without terminator, None when there is none."""

    def overlong(self) -> None:
        """A request was too long."""

    def changes(self, request: bytes) -> bool:
        return b"?" not in request

    def split(self, buffer: bytearray) -> list[bytes]:
        lines: list[bytes] = []
        while (end := next((k for k, octet in enumerate(buffer) if octet in self.ends), -1)) >= 0:
            line = bytes(buffer[:end])
            del buffer[: end + 1]
            if line.strip():
                lines.append(line)
        if len(buffer) > self.line_bytes_max:
            buffer.clear()
            self.overlong()
        return lines

    def execute(self, request: bytes, now_ns: int) -> list[Answer]:
        reply = self.reply(request.decode("ascii", "replace").strip(), now_ns)
        if reply is None:
            return []
        return [Answer(reply.encode("ascii", "replace") + self.terminator, self.delay_s(request))]

    def delay_s(self, request: bytes) -> float:
        """How long the device takes for a request."""
        return 0.0

    def unasked(self, now_ns: int) -> bytes:
        return b"0" + self.terminator
