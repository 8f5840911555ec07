"""Inputs, delays and resolution of the ID Quantique Time Controllers, and how they are spoken to
(instruments.md 2.1).

Owns SCPI strings over ZeroMQ: one reply for each message, one line for each query, unit suffixes, refusals as
text. Every set is read back, because a reply to a set proves nothing. Refuses counting and tags: id900.py.
A reply belongs to its request because a ZeroMQ request socket is thrown away after any timeout.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.faults import DeviceError
from bellwire.drivers.id900_words import (
    CHANNELS,
    DELAY_PS_MAX,
    MESSAGE_END,
    THRESHOLD_MV,
    controller_place,
    is_refusal,
    number_of,
    picoseconds_of,
)
from bellwire.drivers.instrument import Identity
from bellwire.drivers.parameters import Parameter, for_each
from bellwire.drivers.replies import line
from bellwire.drivers.session import Transport
from bellwire.drivers.session_instrument import SessionInstrument
from bellwire.drivers.transports import ZmqRequestTransport

WINDOW_NS = (0.002, 100_000.0)
EDGES = ("RISING", "FALLING")
RESOLUTIONS = ("HIRES", "LOWRES")
_LINES = re.compile(r"[\n;]")


class Id900Controls(SessionInstrument):
    """What can be set and read at once. Subclasses add `set_window_ns` and `read_window_ns`."""

    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="resolution",
            meaning="1 ps bins, or 100 ps bins at higher rates",
            kind="choice",
            choices=RESOLUTIONS,
            read="read_resolution",
            write="set_resolution",
        ),
        Parameter(
            name="coincidence_window_ns",
            meaning="full window of the coincidence counters; wires them by the preset COUNT",
            unit="ns",
            read="read_window_ns",
            write="set_window_ns",
            low=WINDOW_NS[0],
            high=WINDOW_NS[1],
            tolerance=0.001,
        ),
        *for_each(
            CHANNELS,
            Parameter(
                name="threshold_mv",
                meaning="trigger level of input {}; setting it switches the input on",
                unit="mV",
                read="read_threshold_mv",
                write="set_threshold_mv",
                low=THRESHOLD_MV[0],
                high=THRESHOLD_MV[1],
                tolerance=0.5,
            ),
        ),
        *for_each(
            CHANNELS,
            Parameter(
                name="edge",
                meaning="edge of input {}",
                kind="choice",
                choices=EDGES,
                read="read_edge",
                write="set_edge",
            ),
        ),
        *for_each(
            CHANNELS,
            Parameter(
                name="enabled",
                meaning="input {}",
                kind="switch",
                read="read_enabled",
                write="set_enabled",
            ),
        ),
        *for_each(
            CHANNELS,
            Parameter(
                name="delay_ps",
                meaning="delay of input {}; above 4 us at low rates only",
                unit="ps",
                kind="integer",
                read="read_delay_ps",
                write="set_delay_ps",
                low=0,
                high=DELAY_PS_MAX,
            ),
        ),
        *for_each(
            CHANNELS,
            Parameter(
                name="input_error",
                meaning="health of input {}: 0 good, 1 recalibrate, 1001 to 1003 rate or trigger level",
                kind="integer",
                read="read_input_error",
            ),
        ),
        *for_each(
            CHANNELS,
            Parameter(
                name="count",
                meaning="counter of input {} as it stands",
                kind="integer",
                read="read_count",
            ),
        ),
    )

    def _transport(self) -> Transport:
        where = controller_place(self.address, instrument=self.name).controller
        return ZmqRequestTransport(self.name, where.host, where.port, terminator=MESSAGE_END)

    async def _identify(self) -> Identity:
        (reply,) = await self.ask("*IDN?")
        fields = [field.strip() for field in reply.split(",")]
        if len(fields) < 3:
            raise self._broken(f"*IDN? answered {reply!r}, not maker,model,serial number,firmware")
        return Identity(fields[1].upper(), fields[2], ",".join(fields[3:]))

    # -- inputs ---------------------------------------------------------------------------------------------

    @property
    def channels(self) -> Sequence[int]:
        """The inputs that count and tag; START is a reference only."""
        return CHANNELS

    async def set_threshold_mv(self, channel: int, level_mv: float) -> None:
        """Set the trigger level, -2000 to 2000 mV, and switch the input on."""
        self._check_channel(channel)
        self._in_range("trigger level", level_mv, THRESHOLD_MV, "mV")
        await self.order(f"INPU{channel}:THRE {level_mv / 1000:.4f}V;ENAB ON")
        self._close_to("trigger level in mV", level_mv, await self.read_threshold_mv(channel), 0.5)

    async def read_threshold_mv(self, channel: int) -> float:
        """Trigger level in mV."""
        return 1000 * await self._ask_number(f"INPU{channel}:THRE?", "V")

    async def set_edge(self, channel: int, edge: str) -> None:
        """Trigger on the RISING or on the FALLING edge."""
        self._check_channel(channel)
        if edge not in EDGES:
            raise LocalMisuse(f"an edge is one of {', '.join(EDGES)}, not {edge!r}")
        await self.order(f"INPU{channel}:EDGE {edge}")
        self._same("edge", edge, await self.read_edge(channel))

    async def read_edge(self, channel: int) -> str:
        """RISING or FALLING."""
        word = await self._ask_word(f"INPU{channel}:EDGE?")
        found = [edge for edge in EDGES if edge.startswith(word)]
        if len(word) < 4 or not found:
            raise self._broken(f"the edge of input {channel} reads {word!r}")
        return found[0]

    async def set_enabled(self, channel: int, on: bool) -> None:
        """Switch an input on or off."""
        self._check_channel(channel)
        await self.order(f"INPU{channel}:ENAB {'ON' if on else 'OFF'}")
        self._same(f"input {channel}", on, await self.read_enabled(channel))

    async def read_enabled(self, channel: int) -> bool:
        """Whether an input is on."""
        return await self._ask_switch(f"INPU{channel}:ENAB?")

    async def set_delay_ps(self, channel: int, delay_ps: int) -> None:
        """Delay an input, 0 to 1 s; above 4 us the instrument keeps up with low rates only."""
        self._check_channel(channel)
        self._in_range("delay", delay_ps, (0, DELAY_PS_MAX), "ps")
        await self.order(f"DELA{channel}:LINK INPU{channel};VALU {delay_ps}")
        await self._delay_was_set(channel, delay_ps)
        self._same("delay in ps", delay_ps, await self.read_delay_ps(channel))

    async def _delay_was_set(self, channel: int, delay_ps: int) -> None:
        """Whatever else depends on the delay of an input follows it."""

    async def read_delay_ps(self, channel: int) -> int:
        """Delay of an input in ps."""
        return await self._ask_picoseconds(f"DELA{channel}:VALU?")

    async def read_input_error(self, channel: int) -> int:
        """Health of an input: 0, or the instrument's number. Raises DeviceError without a HIRES licence."""
        return await self._ask_integer(f"INPU{channel}:HIRES:ERROR?")

    async def read_count(self, channel: int) -> int:
        """The counter of an input as it stands, in whatever mode it was left."""
        return await self._ask_integer(f"INPU{channel}:COUN?")

    async def set_resolution(self, resolution: str) -> None:
        """HIRES (1 ps) or LOWRES (100 ps)."""
        if resolution not in RESOLUTIONS:
            raise LocalMisuse(f"a resolution is one of {', '.join(RESOLUTIONS)}, not {resolution!r}")
        await self.order(f"DEVI:RES {resolution}")
        self._same("resolution", resolution, await self.read_resolution())

    async def read_resolution(self) -> str:
        """HIRES or LOWRES."""
        return await self._ask_word("DEVI:RES?")

    async def read_bin_width_ps(self) -> int:
        """The least bin width in ps."""
        return await self._ask_picoseconds("DEVI:RES:BWID?")

    async def recalibrate(self) -> None:
        """Recalibrate the sampling, and clear the errors that asked for it. Raises DeviceError."""
        await self.order("DEVI:SAMP:RECA")
        for channel in CHANNELS:
            await self.order(f"INPU{channel}:HIRES:ERROR:CLEAR")

    # -- messages -------------------------------------------------------------------------------------------

    async def ask(self, *queries: str) -> list[str]:
        """Send queries in one message; a reply for each.

        Raises DeviceError for a query that the instrument (or its licence) does not know, and ProtocolFault
        when there are not as many replies as queries.
        """
        message = ";:".join(queries)
        reply = await self._exchange(message)
        if is_refusal(reply):
            raise DeviceError(self.name, f"{message!r} refused: {reply.strip()!r}; its licence may lack it")
        replies = [part.strip() for part in _LINES.split(reply.strip().rstrip(";"))]
        if len(replies) != len(queries):
            raise self._broken(
                f"{len(queries)} queries {message!r} got {len(replies)} replies: {reply[:80]!r}"
            )
        return replies

    async def order(self, command: str) -> None:
        """Send an order. Raises DeviceError when it is refused; what it did is not known from its reply."""
        reply = await self._exchange(command)
        if is_refusal(reply):
            raise DeviceError(self.name, f"{command!r} refused: {reply.strip()!r}; its licence may lack it")

    async def _exchange(self, message: str) -> str:
        octets = await self._line().exchange(message.encode("ascii"), line(MESSAGE_END))
        return octets.decode("utf-8", "replace")

    async def _ask_word(self, query: str) -> str:
        (reply,) = await self.ask(query)
        return reply.upper()

    async def _ask_switch(self, query: str) -> bool:
        word = await self._ask_word(query)
        if word not in {"ON", "OFF"}:
            raise self._broken(f"{query} answered {word!r}, neither ON nor OFF")
        return word == "ON"

    async def _ask_number(self, query: str, unit: str) -> float:
        (reply,) = await self.ask(query)
        try:
            return number_of(reply, unit)
        except ValueError as error:
            raise self._broken(f"{query}: {error}") from None

    async def _ask_picoseconds(self, query: str) -> int:
        (reply,) = await self.ask(query)
        return self._picoseconds(reply)

    async def _ask_integer(self, query: str) -> int:
        (reply,) = await self.ask(query)
        return self._integer(reply)

    def _picoseconds(self, reply: str) -> int:
        try:
            return picoseconds_of(reply)
        except ValueError as error:
            raise self._broken(str(error)) from None

    def _integer(self, reply: str, unit: str = "") -> int:
        try:
            value = number_of(reply, unit)
        except ValueError as error:
            raise self._broken(str(error)) from None
        if value != int(value):
            raise self._broken(f"{reply!r} is not a whole number")
        return int(value)

    def _check_channel(self, channel: int) -> None:
        if channel not in CHANNELS:
            raise LocalMisuse(f"input {channel} of {self.name}: there are {CHANNELS[0]} to {CHANNELS[-1]}")
