"""Driver of the Qubitekk CC1 coincidence counter (instruments.md 2.6).

Owns the two dialects (firmware before 2.2 and from then on) and the acknowledgements, which echo each
command: whether they are on is learned from the first answer and never changed, and where they are on a
line that is not an echo is not taken for an answer. Refuses to let others choose dwell time and trigger
mode: a count is one dwell time that begins when it is asked for. Sources: two public clients, and an early
firmware that its maker has published; never checked on a physical instrument.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from typing import ClassVar

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.addresses import stream
from bellwire.drivers.faults import DeviceError, DeviceRestarted, Disconnected, LinkTimeout
from bellwire.drivers.instrument import Identity
from bellwire.drivers.parameters import Parameter
from bellwire.drivers.session import SessionSettings, Take, Transport
from bellwire.drivers.session_instrument import SessionInstrument
from bellwire.drivers.time_tags import Counts

BAUD_RATE = 19_200
CHANNELS = (1, 2)
WINDOW_NS = (0.0, 14.0)
DELAY_NS = (0, 14)
STEP_NS = 2
"""The counter stretches both inputs by its window: partners lie within it on either side, and the full window
is twice its number. The delay it takes in even numbers.
"""
DWELL_S = (0.1, 30.0)
DWELL_STEP_S = 0.001
START_S = 0.15
"""How long after the order a dwell time may begin: the counter is in a cycle of 0.1 s."""
HOLD_S = 2.0
"""How long the counts of a dwell time are kept before the next begins by itself."""
COUNT_MAX = (1 << 21) - 1
OVERFLOWED = 3_000_000_000
"""What the counter tells instead of a count that its 21 bits do not hold."""
REFUSAL_S = 0.1
"""How long a refusal is listened for after an order that is not acknowledged."""
SILENCE_S = 0.03
"""Nothing for so long behind a line: no more is coming. At 19200 baud a character takes 0.5 ms."""
REPLY_BYTES_MAX = 256
COUNT_TRIES_MAX = 5
NEW_DIALECT = (2, 2)
FIRMWARE = re.compile(r"Firmware v(?P<version>(?P<major>\d+)(\.(?P<minor>\d+))?(\.\w+)*)")
QUANTITY = re.compile(r"(?P<number>\d+(\.\d*)?)\s*(?P<unit>ns|ms|s)?")
REFUSALS = ("Unknown", "Unable")


class Cc1(SessionInstrument):
    """Qubitekk CC1 on a serial line. It tells no serial number, so `serial_number` must stay None.

    `count_retries`: how often a count had to be asked for again.
    """

    model = "CC1"
    session_settings: ClassVar[SessionSettings] = SessionSettings(
        timeout_s=1.0, reply_bytes_max=REPLY_BYTES_MAX
    )
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="coincidence_window_ns",
            meaning="full coincidence window, twice the counter's own number; even",
            unit="ns",
            read="read_window_ns",
            write="set_window_ns",
            low=WINDOW_NS[0],
            high=WINDOW_NS[1],
        ),
        Parameter(
            name="delay_ns",
            meaning="delay of input 1 before coincidences are sought; even",
            kind="integer",
            unit="ns",
            read="read_delay_ns",
            write="set_delay_ns",
            low=DELAY_NS[0],
            high=DELAY_NS[1],
        ),
        Parameter(
            name="gate",
            meaning="count only while the gate input is high",
            kind="switch",
            read="read_gate",
            write="set_gate",
        ),
        Parameter(
            name="subtract",
            meaning="take accidental coincidences away",
            kind="switch",
            read="read_subtract",
            write="set_subtract",
        ),
        Parameter(name="dwell_s", meaning="length of a count", unit="s", read="read_dwell_s"),
    )
    count_retries = 0
    _acknowledges: bool | None = None
    _new_dialect = True
    _turn: asyncio.Lock
    _counting: asyncio.Lock

    def _transport(self) -> Transport:
        return stream(self.name, self.address, baud_rate=BAUD_RATE)

    async def _open(self) -> None:
        self._acknowledges = None
        self._turn, self._counting = asyncio.Lock(), asyncio.Lock()
        await super()._open()

    async def _identify(self) -> Identity:
        told = await self._ask("FIRM?")
        found = FIRMWARE.fullmatch(told)
        if found is None:
            raise self._broken(f"FIRM? answered {told!r}, not Firmware v...")
        self._new_dialect = (int(found["major"]), int(found["minor"] or 0)) >= NEW_DIALECT
        await self.read_window_ns()
        return Identity(self.model, "", found["version"])

    async def safe_state(self) -> None:
        """A counter emits nothing and moves nothing; it is asked whether it is there."""
        await self._checked_identity()

    # -- counter --------------------------------------------------------------------------------------------

    async def set_window_ns(self, window_ns: float) -> None:
        """Set the full window, 0 to 14 ns in steps of 2; partners lie within half of it."""
        self._in_range("window", window_ns, WINDOW_NS, "ns")
        await self._order(f":WIND {_even('window', window_ns) // STEP_NS}")
        self._same("window in ns", float(window_ns), await self.read_window_ns())

    async def read_window_ns(self) -> float:
        """Full coincidence window in ns."""
        return STEP_NS * await self._quantity("WIND?", "ns")

    async def set_delay_ns(self, delay_ns: int) -> None:
        """Delay input 1 by 0 to 14 ns in steps of 2."""
        self._in_range("delay", delay_ns, DELAY_NS, "ns")
        await self._order(f":DELA {_even('delay', delay_ns)}")
        self._same("delay in ns", delay_ns, await self.read_delay_ns())

    async def read_delay_ns(self) -> int:
        """Delay of input 1 in ns."""
        return round(await self._quantity("DELA?", "ns"))

    async def set_gate(self, on: bool) -> None:
        """Count only while the gate input is high, or always."""
        await self._set_switch("GATE", on)

    async def read_gate(self) -> bool:
        """Whether the gate input decides what is counted."""
        return await self._read_switch("GATE")

    async def set_subtract(self, on: bool) -> None:
        """Let the counter take accidental coincidences away, or not."""
        await self._set_switch("SUBT", on)

    async def read_subtract(self) -> bool:
        """Whether the counter takes accidental coincidences away."""
        return await self._read_switch("SUBT")

    async def read_dwell_s(self) -> float:
        """Length of a count in s. Firmware before 2.2 tells milliseconds and calls them seconds."""
        if not self._new_dialect:
            number, _ = await self._number_and_unit("DWEL?")
            return number / 1000
        return await self._quantity("DWEL?", "s")

    async def count(self, window_s: float) -> Counts:
        """Singles of both inputs over one window of 0.1 to 30 s that begins now, give or take 0.1 s.

        Not valid when a counter overflowed, at 2097151; then it is that number.
        """
        *singles, _ = await self._count(window_s)
        kept = {channel: min(count, COUNT_MAX) for channel, count in zip(CHANNELS, singles, strict=True)}
        return Counts(window_s, kept, OVERFLOWED not in singles, time.monotonic_ns())

    async def count_coincidences(self, window_s: float) -> Mapping[tuple[int, ...], int]:
        """Coincidences of inputs 1 and 2 over one window of 0.1 to 30 s that begins now, give or take 0.1 s.

        Raises DeviceError when a counter overflowed.
        """
        counted = await self._count(window_s)
        if OVERFLOWED in counted:
            raise DeviceError(
                self.name, f"more than {COUNT_MAX} counts in {window_s:g} s: count for a shorter time"
            )
        return {CHANNELS: counted[2]}

    async def _count(self, window_s: float) -> tuple[int, int, int]:
        self._in_range("window", window_s, DWELL_S, "s")
        async with self._counting:
            await self._order(f":DWEL {window_s:g}")
            self._close_to("dwell time in s", window_s, await self.read_dwell_s(), DWELL_STEP_S)
            await self._order(":TRIG:MODE STOP" if self._new_dialect else ":TRIG 1")
            self._same("one count at a time", True, await self._counts_once())
            session = self._line()
            await self._order(":COUN:OFF")  # or a count that runs already would be taken for ours
            await self._order(":COUN:ON")
            begun_s = time.monotonic()
            await asyncio.sleep(window_s + START_S)
            one, two, both = [await self._read_count(counter) for counter in ("C1", "C2", "CO")]
            if time.monotonic() - begun_s > window_s + HOLD_S:
                raise DeviceError(self.name, f"the counts were read more than {HOLD_S:g} s late: count again")
            if session is not self.session:
                raise Disconnected(self.name, "the connection was lost during a count: count again")
            if not await self._counts_once():
                raise DeviceRestarted(self.name, "the counter forgot its settings during a count")
            await self._order(":COUN:OFF")
            return one, two, both

    async def _counts_once(self) -> bool:
        """Whether a count is made when it is begun (or over and over). After power-up it is not."""
        once, repeated = ("MODE STOP", "MODE CONT") if self._new_dialect else ("1", "0")
        told = await self._ask("TRIG?")
        if told not in (once, repeated):
            raise self._broken(f"TRIG? answered {told!r}, not {once} or {repeated}")
        return told == once

    async def _read_count(self, counter: str) -> int:
        """A count that has ended. The question is asked up to five times, because the counter sometimes does
        not know it.
        """
        question = f"COUN:{counter}?"
        for tried in range(COUNT_TRIES_MAX):
            self.count_retries += tried > 0
            try:
                told = await self._ask(question)
            except DeviceError:
                continue
            if not told.isdigit():
                raise self._broken(f"{question} answered {told!r}, not a count")
            return int(told)
        raise DeviceError(self.name, f"{question} was refused {COUNT_TRIES_MAX} times")

    # -- lines ----------------------------------------------------------------------------------------------

    async def _set_switch(self, name: str, on: bool) -> None:
        await self._order(f":{name}:{'ON' if on else 'OFF'}" if self._new_dialect else f":{name} {int(on)}")
        self._same(name, on, await self._read_switch(name))

    async def _read_switch(self, name: str) -> bool:
        told = await self._ask(f"{name}?")
        if told not in (words := ("OFF", "ON") if self._new_dialect else ("0", "1")):
            raise self._broken(f"{name}? answered {told!r}, not one of {words}")
        return told == words[1]

    async def _quantity(self, question: str, unit: str) -> float:
        """A number in `unit`, "ns" or "s"; it is in that unit where the counter tells none."""
        number, told = await self._number_and_unit(question)
        if told == "ms" and unit == "s":
            return number / 1000
        if told not in ("", unit):
            raise self._broken(f"{question} answered in {told}, not in {unit}")
        return number

    async def _number_and_unit(self, question: str) -> tuple[float, str]:
        told = await self._ask(question)
        found = QUANTITY.fullmatch(told)
        if found is None:
            raise self._broken(f"{question} answered {told!r}, not a number with a unit")
        return float(found["number"]), found["unit"] or ""

    async def _ask(self, question: str) -> str:
        """Ask; the answer without its echo. Raises DeviceError when the question is not known."""
        session = self._line()
        async with self._turn:
            octets = await session.exchange(question.encode("ascii") + b"\n", answered(question))
        *echo, told = [text.strip() for text in octets.decode("ascii", "replace").split("\n")]
        if self._acknowledges is None:
            self._acknowledges = bool(echo)
        if bool(echo) != self._acknowledges:
            raise self._broken(f"{question} was answered {[*echo, told]}: acknowledgements are not as before")
        if told.startswith(REFUSALS):
            raise DeviceError(self.name, f"{question} refused: {told}")
        return told

    async def _order(self, command: str) -> None:
        """Send an order, which is echoed where acknowledgements are on, else silent.

        Raises DeviceError when the counter refuses it.
        """
        session = self._line()
        async with self._turn:
            await session.send(command.encode("ascii") + b"\n")
            told = await session.listen(
                self._settings_of_session.timeout_s if self._acknowledges else REFUSAL_S
            )
            if self._acknowledges and not told:
                fault = LinkTimeout(self.name, f"{command} was not acknowledged")
                session.give_up(fault)
                raise fault
            while told and (more := await session.listen(SILENCE_S)):
                told += more
                if len(told) > REPLY_BYTES_MAX:
                    raise self._broken(f"{command} is answered without end")
        lines = [text.strip() for text in told.decode("ascii", "replace").split("\n") if text.strip()]
        if self._acknowledges and lines.pop(0) != command:
            raise self._broken(f"{command} was acknowledged as {told!r}")
        if lines and lines[0].startswith(REFUSALS):
            raise DeviceError(self.name, f"{command} refused: {lines[0]}")
        if lines:
            raise self._broken(f"{command} answered {lines} where nothing was expected")


def answered(question: str) -> Take:
    """One line, or two where the first is the echo of the question; the reply holds both."""

    def take(octets: bytes) -> tuple[bytes, bytes] | None:
        first, found, rest = octets.partition(b"\n")
        if not found or first.strip() != question.encode("ascii"):
            return (first, rest) if found else None
        second, found, rest = rest.partition(b"\n")
        return (first + b"\n" + second, rest) if found else None

    return take


def _even(what: str, value: float) -> int:
    if value % STEP_NS:
        raise LocalMisuse(f"{what} {value:g} ns: the counter knows only even numbers of nanoseconds")
    return int(value)
