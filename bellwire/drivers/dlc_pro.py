"""Driver of the Toptica DLC pro laser controller, laser 1 (instruments.md section 4.1).

Owns the command line of TCP port 1998: banner, one command a line, answers up to the prompt. Answers carry
no name of their question. Therefore each value is read in a list with the serial number, which shows that
the answer is one to a question of ours; that it is one to this question, and not a late one, follows from
the rule of the session alone: after any timeout the line is opened anew. Refuses currents above the clip
of the controller before they are sent, because the controller takes a lower one instead and only warns; and
never presses the emission button, which is how a person agrees to light. Sources: the maker's public SDK
and manual (M-063), and QMI for lists; never checked on a physical instrument.
"""

from __future__ import annotations

import asyncio
import math
import re
from typing import ClassVar, TypeVar

from bellwire.drivers.addresses import stream
from bellwire.drivers.decop import BANNER, COMMAND_PORT, PROMPT, DecopValue, decode, encode
from bellwire.drivers.faults import DeviceError, LinkTimeout
from bellwire.drivers.instrument import Identity
from bellwire.drivers.parameters import Parameter
from bellwire.drivers.readings import Quality
from bellwire.drivers.replies import prompt
from bellwire.drivers.session import Transport
from bellwire.drivers.session_instrument import SessionInstrument

T = TypeVar("T", bound=bool | int | float | str)

MODEL = "DLC pro"
CURRENT_MA = (0.0, 700.0)
"""What the largest diode current module (CC-700) gives; mostly the clip of the controller is lower."""
CURRENT_TOLERANCE_MA = 0.01
TEMPERATURE_C = (0.0, 60.0)
TEMPERATURE_TOLERANCE_C = 0.001
BANNER_BYTES_MAX = 4096

SERIAL_NUMBER = "serial-number"
LASER = "laser1:"
CURRENT_SET = LASER + "dl:cc:current-set"
CURRENT_ACTUAL = LASER + "dl:cc:current-act"
CURRENT_CLIP = LASER + "dl:cc:current-clip"
CURRENT_CLIP_LIMIT = LASER + "dl:cc:current-clip-limit"
ENABLED = LASER + "dl:cc:enabled"
EMISSION = LASER + "dl:cc:emission"
TEMPERATURE_SET = LASER + "dl:tc:temp-set"
TEMPERATURE_ACTUAL = LASER + "dl:tc:temp-act"
TEMPERATURE_LEAST = LASER + "dl:tc:temp-set-min"
TEMPERATURE_MOST = LASER + "dl:tc:temp-set-max"
TEMPERATURE_READY = LASER + "dl:tc:ready"
HEALTH = "system-health-txt"
OBSTACLES = (
    ("interlock-open", True, "the interlock is open: close it, then press the emission button off and on"),
    ("frontkey-locked", True, "the key switch is off: turn it to Enable Laser"),
    ("emission-button-enabled", False, "the emission button is off: somebody at the laser must press it"),
)
"""What keeps a laser dark though its current is enabled: parameter, value, what to do."""


class DlcPro(SessionInstrument):
    """Toptica DLC pro with one laser, over TCP. Current in mA; the diode's temperature in C."""

    model = MODEL
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="diode_temperature_set_c",
            meaning="set temperature of the diode",
            unit="C",
            read="read_diode_temperature_set_c",
            write="set_diode_temperature_c",
            low=TEMPERATURE_C[0],
            high=TEMPERATURE_C[1],
            tolerance=TEMPERATURE_TOLERANCE_C,
        ),
        Parameter(
            name="current_max_ma",
            meaning="most current that the controller gives (its clip)",
            unit="mA",
            read="read_current_max_ma",
            write="set_current_max_ma",
            low=CURRENT_MA[0],
            high=CURRENT_MA[1],
            tolerance=CURRENT_TOLERANCE_MA,
        ),
        Parameter(
            name="current_set_ma",
            meaning="set current of the diode",
            unit="mA",
            read="read_current_set_ma",
            write="set_current_ma",
            low=CURRENT_MA[0],
            high=CURRENT_MA[1],
            emits=True,
            tolerance=CURRENT_TOLERANCE_MA,
        ),
        Parameter(
            name="emission",
            meaning="diode current, and with it light",
            kind="switch",
            read="read_emission",
            write="set_emission",
            emits=True,
        ),
        Parameter(name="current_ma", meaning="current through the diode", unit="mA", read="read_current_ma"),
        Parameter(
            name="diode_temperature_c",
            meaning="temperature of the diode",
            unit="C",
            read="read_diode_temperature_c",
        ),
        Parameter(
            name="diode_temperature_ready",
            meaning="whether the diode has settled at its temperature",
            kind="switch",
            read="read_diode_temperature_ready",
        ),
        Parameter(
            name="health", meaning="what the controller says of itself", kind="text", read="read_health"
        ),
    )

    _unsettled = False
    """Whether the last look at the diode's temperature found it on its way."""
    _told_serial_number: str | None = None
    """What this connection has been told first; None: nothing yet."""

    def _transport(self) -> Transport:
        return stream(self.name, self.address, port=COMMAND_PORT)

    async def _open(self) -> None:
        await super()._open()
        session = self._line()
        banner = b""
        try:
            async with asyncio.timeout(session.settings.timeout_s):
                while not banner.endswith(PROMPT) and len(banner) <= BANNER_BYTES_MAX:
                    banner += await session.listen(session.settings.timeout_s)
        except TimeoutError:
            raise LinkTimeout(self.name, f"no prompt after connecting, only {banner[-64:]!r}") from None
        if BANNER.lower() not in banner.decode("utf-8", "replace").lower():
            raise self._broken(f"greeted with {banner[-64:]!r}, not with the banner of a DeCoF command line")

    async def _identify(self) -> Identity:
        self._told_serial_number = None
        serial_number = await self._get(SERIAL_NUMBER, str)
        self._told_serial_number = serial_number
        kind = await self._get("system-type", str)
        model = MODEL if re.sub(r"[^a-z]", "", kind.lower()) == "dlcpro" else kind
        return Identity(model, serial_number, await self._get("fw-ver", str))

    async def safe_state(self) -> None:
        """Diode current off, confirmed by read-back, and kept so over reconnects until `configure`."""
        if "emission" in self._wanted:
            self._wanted["emission"] = False
        await self.set_emission(False)

    def _quality(self, parameter: str) -> Quality:
        return Quality.SUSPECT if self._unsettled and parameter == "diode_temperature_c" else Quality.GOOD

    # -- light ----------------------------------------------------------------------------------------------

    async def set_emission(self, on: bool) -> None:
        """Diode current on or off.

        Raises DeviceError, and leaves the current off, when interlock, key or emission button forbid light.
        """
        if on:
            await self._clear_of_obstacles()
        await self._set(ENABLED, on)
        self._same(ENABLED, on, await self._get(ENABLED, bool))
        if await self.read_emission() != on:
            await self._clear_of_obstacles()
            raise DeviceError(self.name, f"{ENABLED} is {encode(on)} but {EMISSION} is {encode(not on)}")

    async def read_emission(self) -> bool:
        """Whether the diode emits: its current is on and nothing forbids it."""
        return await self._get(EMISSION, bool)

    async def set_current_ma(self, current_ma: float) -> None:
        """Set the diode current, 0 mA to the clip of the controller. Raises DeviceError above the clip."""
        self._in_range("current", current_ma, CURRENT_MA, "mA")
        clip_ma = await self.read_current_max_ma()
        if current_ma > clip_ma:
            raise DeviceError(
                self.name,
                f"current {current_ma:g} mA is above the clip {clip_ma:g} mA: lower one, or raise the other",
            )
        await self._set(CURRENT_SET, float(current_ma))
        found_ma = await self.read_current_set_ma()
        self._close_to("set current in mA", current_ma, found_ma, CURRENT_TOLERANCE_MA)

    async def read_current_set_ma(self) -> float:
        """Set current in mA."""
        return await self._real(CURRENT_SET)

    async def read_current_ma(self) -> float:
        """Current through the diode in mA; zero while it does not emit."""
        return await self._real(CURRENT_ACTUAL)

    async def set_current_max_ma(self, current_ma: float) -> None:
        """Set the clip, up to the limit that the maker has stored in the laser head."""
        self._in_range("clip", current_ma, CURRENT_MA, "mA")
        limit_ma = await self._real(CURRENT_CLIP_LIMIT)
        if current_ma > limit_ma:
            raise DeviceError(
                self.name, f"clip {current_ma:g} mA is above the {limit_ma:g} mA of this laser head: lower it"
            )
        await self._set(CURRENT_CLIP, float(current_ma))
        found_ma = await self.read_current_max_ma()
        self._close_to("clip in mA", current_ma, found_ma, CURRENT_TOLERANCE_MA)

    async def read_current_max_ma(self) -> float:
        """The clip in mA."""
        return await self._real(CURRENT_CLIP)

    # -- temperature ----------------------------------------------------------------------------------------

    async def set_diode_temperature_c(self, temperature_c: float) -> None:
        """Set the diode's temperature within the limits of its laser head."""
        self._in_range("temperature", temperature_c, TEMPERATURE_C, "C")
        least_c, most_c = await self._real(TEMPERATURE_LEAST), await self._real(TEMPERATURE_MOST)
        if not least_c <= temperature_c <= most_c:
            outside = (
                f"temperature {temperature_c:g} C is outside {least_c:g} to {most_c:g} C of this laser head"
            )
            raise DeviceError(self.name, outside)
        await self._set(TEMPERATURE_SET, float(temperature_c))
        found_c = await self.read_diode_temperature_set_c()
        self._close_to("set temperature in C", temperature_c, found_c, TEMPERATURE_TOLERANCE_C)

    async def read_diode_temperature_set_c(self) -> float:
        """Set temperature of the diode in C."""
        return await self._real(TEMPERATURE_SET)

    async def read_diode_temperature_c(self) -> float:
        """Temperature of the diode in C; suspect while the controller says that it has not settled."""
        self._unsettled = not await self.read_diode_temperature_ready()
        return await self._real(TEMPERATURE_ACTUAL)

    async def read_diode_temperature_ready(self) -> bool:
        """Whether the diode has settled at its temperature."""
        return await self._get(TEMPERATURE_READY, bool)

    async def read_health(self) -> str:
        """What the controller says of itself."""
        return await self._get(HEALTH, str)

    # -- lines ----------------------------------------------------------------------------------------------

    async def _clear_of_obstacles(self) -> None:
        for name, bad, remedy in OBSTACLES:
            if await self._get(name, bool) is bad:
                raise DeviceError(self.name, remedy)

    async def _get(self, name: str, kind: type[T]) -> T:
        value = await self._value(name)
        if type(value) is not kind:
            raise self._broken(f"{name} answered {value!r}, not a {kind.__name__}")
        return value

    async def _real(self, name: str) -> float:
        value = await self._value(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self._broken(f"{name} answered {value!r}, not a number")
        return float(value)

    async def _value(self, name: str) -> DecopValue:
        """The value of a parameter, from an answer that shows whose it is."""
        answer = await self._ask(f"`(,(param-ref '{name}),(param-ref '{SERIAL_NUMBER}))")
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise self._broken(f"{name} answered {answer!r}, not itself and the serial number")
        value, serial_number = answer
        if self._told_serial_number not in (None, serial_number):
            raise self._broken(f"{name} answered with the serial number {serial_number!r}")
        return value

    async def _set(self, name: str, value: bool | float) -> None:
        """Set a parameter. A positive status is a warning, and the read-back decides what it meant."""
        status = await self._ask(f"(param-set! '{name} {encode(value)})", last_line=True)
        if isinstance(status, bool) or not isinstance(status, int):
            raise self._broken(f"setting {name} answered {status!r}, not a status")
        if status < 0:
            raise DeviceError(self.name, f"{name} = {encode(value)} refused: status {status}")

    async def _ask(self, command: str, *, last_line: bool = False) -> DecopValue:
        octets = await self._line().exchange(command.encode("ascii") + b"\n", prompt(PROMPT))
        text = octets.decode("utf-8", "replace").strip()
        if last_line:
            text = text.rpartition("\n")[2].strip()
        if text.lower().startswith("error"):
            raise DeviceError(self.name, f"{command} refused: {text}")
        try:
            return decode(text)
        except ValueError as error:
            raise self._broken(f"{command} answered {text!r}: {error}") from None
