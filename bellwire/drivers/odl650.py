"""Driver of the OZ Optics ODL-650 motorised fibre delay line (instruments.md section 5.2).

Owns steps, homing and the approach from one side. Connecting never moves it; a line that has not been homed
since its power-on does not know where it stands, and says so. Sources: a public driver of a quantum-network
testbed named in the design text, and public drivers of the same maker's attenuators for what ends a reply;
never checked on a physical instrument.
"""

from __future__ import annotations

import math
import re
from typing import ClassVar

from bellwire.drivers.addresses import stream
from bellwire.drivers.faults import DeviceError
from bellwire.drivers.instrument import Identity
from bellwire.drivers.parameters import Parameter
from bellwire.drivers.readings import Quality
from bellwire.drivers.session import SessionSettings, Transport
from bellwire.drivers.session_instrument import SessionInstrument

BAUD_RATE = 9_600
STEP_FS = 5.08e-3 / 32_768 / 299_792_458 * 1e15
"""Delay of one step: 32768 steps make 5.08 mm of light path, which light crosses in 16.9 ps."""
STEPS_MAX = 1_257_000
BACKLASH_STEPS = 400
"""A move backwards goes so much too far first, so that every position is reached from the same side."""
RANGE_PS = (BACKLASH_STEPS * STEP_FS / 1000, STEPS_MAX * STEP_FS / 1000)
"""Nearer to the home position nothing can be approached from below."""
MOVE_S = 60.0
HOME_S = 60.0
END = re.compile(rb"(?:^|\n)(Done|Error-?\d*(?=\r))")
"""A reply ends with either word; behind Done comes a line's end, with the attenuators also an empty line."""
EMPTY_PIECES_MAX = 16
"""In so many pieces ends of lines may come between two replies."""
ERRORS = {
    "Error-2": "bad command",
    "Error-5": "home sensor",
    "Error-6": "overflow",
    "Error-7": "motor voltage",
}
"""As the attenuators have them."""
IDENTITY = re.compile(r"(?P<model>ODL-?\s?650\w*?)[ -]?V(?P<firmware>[\d.]+)", re.IGNORECASE)


class Odl650(SessionInstrument):
    """OZ Optics ODL-650 on a serial line."""

    model = "ODL-650"
    session_settings: ClassVar[SessionSettings] = SessionSettings(timeout_s=2.0)
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="delay_ps",
            meaning="delay of the light, from the home position",
            unit="ps",
            read="read_known_delay_ps",
            write="set_delay_ps",
            low=RANGE_PS[0],
            high=RANGE_PS[1],
            emits=True,
            tolerance=STEP_FS / 1000,
        ),
        Parameter(name="homed", meaning="it knows where it stands", kind="switch", read="read_homed"),
    )

    _homed = False

    def _transport(self) -> Transport:
        return WithoutEmptyLines(stream(self.name, self.address, baud_rate=BAUD_RATE))

    async def _identify(self) -> Identity:
        told = await self._ask("V1")
        found = IDENTITY.match(told)
        if found is None:
            raise self._broken(f"V1 answered {told!r}, not ODL650V...")
        return Identity(self.model, await self._ask("V2"), found["firmware"])

    async def _apply(self) -> None:
        # After a power cycle the line is lost; it is homed only because a position was configured.
        if "delay_ps" in self._wanted and not await self.read_homed():
            await self.home()
        await super()._apply()

    async def safe_state(self) -> None:
        """What moves is stopped, and stands still at two looks. A move of our own ends first."""
        await self._ask("G0")
        self._same("position in steps, standing still", await self._position(), await self._position())

    # -- delay line -----------------------------------------------------------------------------------------

    @property
    def range_ps(self) -> tuple[float, float]:
        """Least and most delay in ps, between which every position can be approached from below."""
        return RANGE_PS

    async def home(self) -> None:
        """Find the home position; up to a minute. The line moves. Raises DeviceError when it is not found."""
        await self._ask("FH", timeout_s=HOME_S)
        if not await self.read_homed():
            raise DeviceError(self.name, "homing ended, but the position is still unknown")

    async def read_homed(self) -> bool:
        """Whether the line knows where it stands."""
        return await self._position() is not None

    async def set_delay_ps(self, delay_ps: float) -> None:
        """Move to a delay, from below. Raises DeviceError before homing, or when it stops elsewhere."""
        self._in_range("delay", delay_ps, RANGE_PS, "ps")
        goal = round(delay_ps * 1000 / STEP_FS)
        present = await self._position()
        if present is None:
            raise DeviceError(self.name, "the position is unknown since power-on: home the line first")
        if goal < present:
            await self._ask(f"S{goal - BACKLASH_STEPS}", timeout_s=MOVE_S)
        await self._ask(f"S{goal}", timeout_s=MOVE_S)
        self._same("position in steps", goal, await self._position())

    async def read_delay_ps(self) -> float:
        """Delay in ps. Raises DeviceError before homing."""
        steps = await self._position()
        if steps is None:
            raise DeviceError(self.name, "the position is unknown since power-on: home the line first")
        return steps * STEP_FS / 1000

    async def read_known_delay_ps(self) -> float:
        """Delay in ps, or not-a-number (of doubtful quality) before homing."""
        steps = await self._position()
        return math.nan if steps is None else steps * STEP_FS / 1000

    def _quality(self, parameter: str) -> Quality:
        return Quality.SUSPECT if parameter == "delay_ps" and not self._homed else Quality.GOOD

    async def _position(self) -> int | None:
        told = await self._ask("S?")
        label, _, value = told.partition(":")
        self._homed = "UNKNOWN" not in told
        if not self._homed:
            return None
        if label.strip() != "Pos" or not value.strip().isdigit():
            raise self._broken(f"S? answered {told!r}, not Pos:STEPS or UNKNOWN")
        return int(value)

    async def _ask(self, command: str, *, timeout_s: float | None = None) -> str:
        """Send a command; the line before Done, "" where there is none. An echo is taken off.

        Raises DeviceError when the reply ends with an error.
        """
        octets = await self._line().exchange(command.encode("ascii") + b"\r\n", ended, timeout_s=timeout_s)
        lines = [line.strip() for line in octets.decode("ascii", "replace").splitlines()]
        *told, end = [line for line in lines if line and line != command]
        if end != "Done":
            raise DeviceError(self.name, f"{command!r} refused: {end} ({ERRORS.get(end, 'unknown')})")
        if len(told) > 1:
            raise self._broken(f"{command!r} answered {told}, more than one line before Done")
        return told[0] if told else ""


def ended(octets: bytes) -> tuple[bytes, bytes] | None:
    """Lines up to and with Done or an error; empty lines behind it are nobody's."""
    found = END.search(octets)
    return None if found is None else (octets[: found.end()], octets[found.end() :].strip())


class WithoutEmptyLines(Transport):
    """A line on which ends of lines between two replies are no strays."""

    def __init__(self, line: Transport) -> None:
        self._line = line

    def open(self, timeout_s: float) -> None:
        self._line.open(timeout_s)

    def close(self) -> None:
        self._line.close()

    def write(self, octets: bytes) -> None:
        self._line.write(octets)

    def read_some(self, timeout_s: float) -> bytes:
        return self._line.read_some(timeout_s)

    def strays(self, quiet_s: float) -> bytes:
        stray = b""
        for _ in range(EMPTY_PIECES_MAX):
            stray = self._line.strays(quiet_s)
            if not stray or stray.strip():
                return stray
        return stray  # it sends nothing but ends of lines: the session will say that it is not quiet
