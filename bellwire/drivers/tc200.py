"""Driver of the Thorlabs TC200 heater controller: the oven of a source or of a converter (instruments.md
4.2).

Owns the echo, the prompt and the switch that only toggles. Refuses temperatures out of the controller's
range before they are sent. Sources: public drivers named in the design text; never checked on a physical
instrument.
"""

from __future__ import annotations

import re
from typing import ClassVar

from bellwire.drivers.addresses import stream
from bellwire.drivers.faults import DeviceError, ProtocolFault
from bellwire.drivers.instrument import Identity
from bellwire.drivers.parameters import Parameter
from bellwire.drivers.replies import line
from bellwire.drivers.session import Transport
from bellwire.drivers.session_instrument import SessionInstrument

BAUD_RATE = 115_200
TEMPERATURE_C = (20.0, 200.0)
POWER_W = (0.1, 18.0)
STEP_C = 0.1
OUTPUT, SENSOR_ALARM, UNIT, CELSIUS = 0x01, 0x40, 0x30, 0x10
REFUSALS = ("CMD_NOT_DEFINED", "CMD_ARG_RANGE_ERR", "CMD_ARG_INVALID")
IDENTITY = re.compile(r"THORLABS (?P<model>TC\d+)[A-Z]* VERSION (?P<firmware>\S+)", re.IGNORECASE)


class Tc200(SessionInstrument):
    """Thorlabs TC200 on a serial line. It tells no serial number, so `serial_number` must stay None."""

    model = "TC200"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="power_max_w",
            meaning="most heater power",
            unit="W",
            read="read_power_max_w",
            write="set_power_max_w",
            low=POWER_W[0],
            high=POWER_W[1],
            tolerance=0.051,
        ),
        Parameter(
            name="temperature_max_c",
            meaning="most set temperature that the controller accepts",
            unit="C",
            read="read_temperature_max_c",
            write="set_temperature_max_c",
            low=TEMPERATURE_C[0],
            high=TEMPERATURE_C[1],
            tolerance=STEP_C / 2,
        ),
        Parameter(
            name="temperature_set_c",
            meaning="set temperature of the crystal",
            unit="C",
            read="read_temperature_set_c",
            write="set_temperature_c",
            low=TEMPERATURE_C[0],
            high=TEMPERATURE_C[1],
            emits=True,
            tolerance=STEP_C / 2,
        ),
        Parameter(
            name="heating",
            meaning="heater output",
            kind="switch",
            read="read_heating",
            write="set_heating",
            emits=True,
        ),
        Parameter(
            name="temperature_c", meaning="temperature at the sensor", unit="C", read="read_temperature_c"
        ),
    )

    def _transport(self) -> Transport:
        return stream(self.name, self.address, baud_rate=BAUD_RATE)

    async def _identify(self) -> Identity:
        reply = await self._ask("id?")
        found = IDENTITY.search(reply)
        if found is None:
            raise ProtocolFault(self.name, f"id? answered {reply!r}, not THORLABS TC... VERSION ...")
        return Identity(found["model"].upper(), "", found["firmware"])

    async def safe_state(self) -> None:
        """Heater off, confirmed by read-back, and kept so over reconnects until `configure`."""
        if "heating" in self._wanted:
            self._wanted["heating"] = False
        await self.set_heating(False)

    # -- oven -----------------------------------------------------------------------------------------------

    async def set_temperature_c(self, temperature_c: float) -> None:
        """Set the temperature, 20 to 200 C in steps of 0.1. Raises DeviceError above the controller's own
        limit.
        """
        self._in_range("temperature", temperature_c, TEMPERATURE_C, "C")
        await self._set(f"tset={temperature_c:.1f}")
        self._close_to(
            "set temperature", temperature_c, await self.read_temperature_set_c(), STEP_C / 2 + 1e-9
        )

    async def read_temperature_set_c(self) -> float:
        """Set temperature in C."""
        return self._celsius("tset?", await self._ask("tset?"))

    async def read_temperature_c(self) -> float:
        """Temperature at the sensor in C. Raises DeviceError when the controller says that the sensor is
        faulty.
        """
        if await self._status() & SENSOR_ALARM:
            raise DeviceError(self.name, "sensor alarm: check the sensor and its type")
        return self._celsius("tact?", await self._ask("tact?"))

    async def set_heating(self, on: bool) -> None:
        """Heater on or off. `ens` only toggles, so the state is read before, and after; it is never sent
        twice.
        """
        if await self.read_heating() == on:
            return
        await self._set("ens")
        self._same("heater output", on, await self.read_heating())

    async def read_heating(self) -> bool:
        """Whether the heater output is on."""
        return bool(await self._status() & OUTPUT)

    async def set_power_max_w(self, power_w: float) -> None:
        """Limit the heater power, 0.1 to 18 W."""
        self._in_range("power", power_w, POWER_W, "W")
        await self._set(f"pmax={power_w:.1f}")
        self._close_to("power limit", power_w, await self.read_power_max_w(), 0.051)

    async def read_power_max_w(self) -> float:
        """Limit of the heater power in W."""
        return self._number("pmax?", await self._ask("pmax?"))

    async def set_temperature_max_c(self, temperature_c: float) -> None:
        """Limit the set temperature, 20 to 200 C."""
        self._in_range("temperature", temperature_c, TEMPERATURE_C, "C")
        await self._set(f"tmax={temperature_c:.1f}")
        self._close_to("limit", temperature_c, await self.read_temperature_max_c(), STEP_C / 2 + 1e-9)

    async def read_temperature_max_c(self) -> float:
        """Limit of the set temperature in C."""
        return self._number("tmax?", await self._ask("tmax?"))

    # -- lines ----------------------------------------------------------------------------------------------

    async def _status(self) -> int:
        reply = await self._ask("stat?")
        try:
            return int(reply, 16)
        except ValueError:
            raise ProtocolFault(self.name, f"stat? answered {reply!r}, not a hexadecimal byte") from None

    async def _ask(self, command: str) -> str:
        """Send a command; its reply without echo and prompt. Raises DeviceError when it is refused."""
        octets = await self._line().exchange(command.encode("ascii") + b"\r", line(b"> "))
        echo, _, reply = octets.decode("ascii", "replace").partition("\r")
        if echo.strip() != command:
            raise self._broken(f"{command!r} was echoed as {echo!r}")
        reply = reply.strip()
        if reply in REFUSALS:
            raise DeviceError(self.name, f"{command!r} refused: {reply}")
        return reply

    async def _set(self, command: str) -> None:
        reply = await self._ask(command)
        if reply:
            raise self._broken(f"{command!r} answered {reply!r} where nothing was expected")

    def _celsius(self, command: str, reply: str) -> float:
        value, _, unit = reply.partition(" ")
        if unit.strip() not in {"C", "Celsius"}:
            raise DeviceError(
                self.name, f"{command} answered {reply!r}: set the unit of the controller to Celsius"
            )
        return self._number(command, value)

    def _number(self, command: str, reply: str) -> float:
        try:
            return float(reply.split()[0])
        except (ValueError, IndexError):
            raise self._broken(f"{command} answered {reply!r}, not a number") from None
