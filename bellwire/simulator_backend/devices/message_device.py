"""Message-based transports (VXI-11, HiSLIP) of emulated instruments: whole messages, and what IEEE 488.2
asks of them.

Owns the exchange of program messages and responses of one client (IEEE 488.2 chapter 6): one response to
one message, a response that was not read is lost when the next message comes (INTERRUPTED), a read without
a question is an error (UNTERMINATED). Therefore a late reply is never taken for the next one. Owns the
contract with a device that has a status byte; devices without one are served as well. Refuses to know RPC
and HiSLIP headers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol, runtime_checkable

from bellwire.simulator_backend.devices.lines import Client, Line

INPUT_BYTES_MAX = 1 << 20
OUTPUT_BYTES_MAX = 1 << 22
MESSAGE_AVAILABLE = 16
"""MAV in the status byte."""


class QueryError(IntEnum):
    """The three ways to break the exchange."""

    INTERRUPTED = -410
    UNTERMINATED = -420
    DEADLOCKED = -430


@runtime_checkable
class MessageDevice(Protocol):
    """A device model that knows more than messages. Times are unix ns."""

    def status_byte(self, message_available: bool, now_ns: int) -> int:
        """The status byte by serial poll."""
        ...

    def asks(self, message: bytes) -> bool:
        """Whether the message contains a question."""
        ...

    def query_error(self, error: QueryError) -> None:
        """The exchange was broken by a client."""
        ...

    def input_overrun(self) -> None:
        """A message exceeded the input buffer and was dropped."""
        ...

    def device_clear(self) -> None:
        """Input and output were cleared by a client; settings stay."""
        ...

    def group_trigger(self, now_ns: int) -> None:
        """A trigger that is no message."""
        ...


class MessageLine(Line):
    """A line that carries messages. `attend` connects it to what the emulator has powered."""

    def __init__(self, port: int, host: str) -> None:
        super().__init__()
        self.host = host
        self.port = port
        self._model: Callable[[], object | None] = lambda: None
        self._now: Callable[[], int] = lambda: 0

    def attend(self, model: Callable[[], object | None], now: Callable[[], int]) -> None:
        """`model` gives the device model, None without power; `now` the time in unix ns."""
        self._model = model
        self._now = now

    @property
    def clients(self) -> list[Client]:
        """Nobody: over messages a device says nothing unasked."""
        return []

    @property
    def device(self) -> MessageDevice | None:
        """The device model, if it has a status byte."""
        model = self._model()
        return model if isinstance(model, MessageDevice) else None

    def status_byte(self, message_available: bool) -> int:
        """By serial poll; a device without a status byte shows only whether there is a response."""
        device = self.device
        if device is None:
            return MESSAGE_AVAILABLE if message_available else 0
        return device.status_byte(message_available, self._now())

    def trigger(self) -> None:
        """A trigger that is no message; nothing to a device that knows none."""
        device = self.device
        if device is not None:
            device.group_trigger(self._now())


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a response; `end`: its last."""

    octets: bytes
    end: bool


class Exchange(Client):
    """One program message and its response, which ends with a line feed.

    A response to an exchange that is over goes nowhere.
    """

    def __init__(self, channel: MessageChannel, asks: bool, number: int | None) -> None:
        super().__init__()
        self.asks = asks
        self.number = number
        """What the transport called the message; None where it does not number them."""
        self._channel = channel

    def send(self, octets: bytes) -> None:
        if octets:
            self._channel.respond(self, Chunk(octets, octets.endswith(b"\n")))

    def carried_out(self) -> None:
        self._channel.carried_out(self)

    def send_unasked(self, octets: bytes) -> None:
        return  # over messages a device speaks only when it was asked

    def hang_up(self, *, reset: bool) -> None:
        self._channel.hang_up(reset)


class MessageChannel:
    """What one client of a message line has sent and not yet read.

    `hang_up` ends the client's connection; True: by reset. `on_response` is called when there is something to
    read. `interruptions` counts the responses that were lost because nobody read them.
    """

    def __init__(
        self,
        line: MessageLine,
        hang_up: Callable[[bool], None],
        on_response: Callable[[Exchange, Chunk], None] | None = None,
    ) -> None:
        self.interruptions = 0
        self.readable = asyncio.Event()
        self.hang_up = hang_up
        self._line = line
        self._on_response = on_response
        self._input = bytearray()
        self._overrun = False
        self._exchange: Exchange | None = None
        self._output = bytearray()
        self._output_ends = False
        self._responding = False

    @property
    def awaits_response(self) -> bool:
        """Whether a question was asked to which the whole response did not come yet."""
        return self._exchange is not None and self._exchange.asks and not self._output_ends

    @property
    def message_available(self) -> bool:
        """Whether a part of a response waits here to be read."""
        return bool(self._output)

    def write(self, octets: bytes, end: bool, number: int | None = None) -> bool:
        """A part of a program message; `end`: its last. False when it interrupted an exchange before it."""
        interrupted = bool(self._output) or self.awaits_response
        if interrupted:
            self.interrupt()
        self._output_ends = self._responding = False
        self._exchange = None
        self._take(octets)
        if end:
            self._deliver(number)
        return not interrupted

    def carried_out(self, exchange: Exchange) -> None:
        """A device is ready with a request; if it did not begin a response, none is waited for any longer.

        One that comes from a further line of the same message is taken nevertheless.
        """
        if exchange is self._exchange and not self._responding:
            exchange.asks = False

    def unterminated(self) -> None:
        """Somebody reads where nothing will come."""
        self._input.clear()
        self._tell(QueryError.UNTERMINATED)

    def interrupt(self) -> None:
        """The response is lost, and the device is told."""
        self.interruptions += 1
        self.forget_response()
        self._tell(QueryError.INTERRUPTED)

    def read(self, octets_max: int, terminator: int | None = None) -> Chunk | None:
        """The next part of the response, up to and with `terminator`; None: nothing there yet."""
        if not self._output:
            if not self.awaits_response:
                self.unterminated()
            return None
        stop = min(octets_max, len(self._output))
        if terminator is not None and (found := self._output.find(terminator.to_bytes(1), 0, stop)) >= 0:
            stop = found + 1
        octets = bytes(self._output[:stop])
        del self._output[:stop]
        end = self._output_ends and not self._output
        if end:
            self._exchange = None
        if not self._output:
            self.readable.clear()
        return Chunk(octets, end)

    def clear(self) -> None:
        """Device clear: input, output and what is in between are gone; no error."""
        self._input.clear()
        self._overrun = False
        self.forget_response()
        device = self._line.device
        if device is not None:
            device.device_clear()

    def forget_response(self) -> None:
        """Whatever the response to the present message is, nobody will read it."""
        self._exchange = None
        self._output.clear()
        self._output_ends = self._responding = False
        self.readable.clear()

    def respond(self, exchange: Exchange, chunk: Chunk) -> None:
        """A device's response, if its exchange is not over."""
        if exchange is not self._exchange or self._output_ends:
            return
        if len(self._output) + len(chunk.octets) > OUTPUT_BYTES_MAX:
            self.forget_response()
            self._tell(QueryError.DEADLOCKED)
            return
        self._responding = True
        self._output_ends = chunk.end
        if self._on_response is not None:
            self._on_response(exchange, chunk)
            return
        self._output += chunk.octets
        self.readable.set()

    def _take(self, octets: bytes) -> None:
        if self._overrun:
            return
        self._input += octets
        if len(self._input) > INPUT_BYTES_MAX:
            self._overrun = True
            self._input.clear()
            device = self._line.device
            if device is not None:
                device.input_overrun()

    def _deliver(self, number: int | None) -> None:
        message = bytes(self._input)
        self._input.clear()
        overrun, self._overrun = self._overrun, False
        if overrun or not message.strip():
            return
        device = self._line.device
        asks = b"?" in message if device is None else device.asks(message)
        self._exchange = Exchange(self, asks, number)
        ended = message if message.endswith(b"\n") else message + b"\n"
        self._line.on_octets(self._exchange, ended)

    def _tell(self, error: QueryError) -> None:
        device = self._line.device
        if device is not None:
            device.query_error(error)
