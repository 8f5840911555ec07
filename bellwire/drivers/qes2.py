"""Driver of the Qubitekk QES2 source of entangled photons: pump laser and crystal in one box (instruments.md
4.5).

Owns the search for the baud rate, the waits after silent orders, and their read-back. Replies are bare
numbers that do not say what they belong to, so each connection begins with questions whose answers differ
in shape. Refuses to call the set point of the crystal a temperature: it is a number of the box's own, and
no public source says how it becomes degrees; so the box plays no oven. Refuses to light the laser again
when the box itself put it out. Source: the public driver named in the design text; never checked on a
physical instrument.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.addresses import stream
from bellwire.drivers.faults import DeviceError, DeviceRestarted, LinkTimeout, ProtocolFault
from bellwire.drivers.instrument import Identity
from bellwire.drivers.parameters import Parameter
from bellwire.drivers.readings import Quality, Value
from bellwire.drivers.replies import line
from bellwire.drivers.session import SessionSettings, Transport
from bellwire.drivers.session_instrument import SessionInstrument

BAUD_RATES = (115_200, 19_200, 9_600)
"""In the order in which they are tried; older boxes have the slower ones."""
TRIES_PER_RATE = 2
"""What came at a wrong rate may lie before the first question at the right one, and spoil it."""
SETPOINT = (10_000, 50_000)
POWER_STEPS = (0, 8_000)
CURRENT_MA = (20.0, 120.0)
CURRENT_TOLERANCE_MA = 1.0
ORDER_S = 1.0
NUMBER = re.compile(r"[-+]?\d+(\.\d*)?")
FIRMWARE = re.compile(r"(?=.*\d)[ -~]{1,60}")
LASER_ON, LASER_OFF = "APC", "OFF"
HEATS, COOLS = "heating", "cooling"


class Qes2(SessionInstrument):
    """Qubitekk QES2 on a serial line. Its serial number is the identifier of its pump laser."""

    model = "QES2"
    session_settings: ClassVar[SessionSettings] = SessionSettings(timeout_s=3.0)
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="temperature_setpoint",
            meaning="set point of the crystal, in steps of the box that are no degrees",
            kind="integer",
            read="read_temperature_setpoint",
            write="set_temperature_setpoint",
            low=SETPOINT[0],
            high=SETPOINT[1],
            emits=True,
        ),
        Parameter(
            name="power_steps",
            meaning="set power of the pump laser, in steps of the box that are no milliwatts",
            kind="integer",
            read="read_power_steps",
            write="set_power_steps",
            low=POWER_STEPS[0],
            high=POWER_STEPS[1],
            emits=True,
        ),
        Parameter(
            name="current_ma",
            meaning="current of the pump laser: set, and measured while it is on",
            unit="mA",
            read="read_current_ma",
            write="set_current_ma",
            low=CURRENT_MA[0],
            high=CURRENT_MA[1],
            emits=True,
            tolerance=CURRENT_TOLERANCE_MA,
        ),
        Parameter(
            name="emission",
            meaning="pump laser",
            kind="switch",
            read="read_emission",
            write="set_emission",
            emits=True,
        ),
        Parameter(
            name="temperature_c", meaning="temperature of the crystal", unit="C", read="read_temperature_c"
        ),
        Parameter(
            name="regulation",
            meaning="what the crystal's regulator does",
            kind="choice",
            choices=(HEATS, COOLS),
            read="read_regulation",
        ),
        Parameter(
            name="fault", meaning="the temperature control is at fault", kind="switch", read="read_fault"
        ),
    )
    _baud_rate = BAUD_RATES[0]
    _current_sent_ma: float | None = None
    """What this connection has set and no order has changed since; None: the box's own."""
    _fault_seen = False

    def _transport(self) -> Transport:
        return stream(self.name, self.address, baud_rate=self._baud_rate)

    async def configure(self, wanted: Mapping[str, Value]) -> None:
        """As of the base. Raises LocalMisuse when both current and power are wished for: each changes the
        other.
        """
        if {"current_ma", "power_steps"} <= {*self._wanted, *wanted}:
            raise LocalMisuse(f"{self.name}: wish for current_ma or power_steps, not both")
        await super().configure(wanted)

    async def _open(self) -> None:
        """Open at the rate at which the box answers, the last one first.

        Raises ProtocolFault with the first nonsense that came, LinkTimeout when nothing came at any rate.
        """
        self._current_sent_ma = None
        nonsense: ProtocolFault | None = None
        for baud_rate in dict.fromkeys((self._baud_rate, *BAUD_RATES)):
            self._baud_rate = baud_rate
            await super()._open()
            try:
                if await self._tells_firmware():
                    return
            except ProtocolFault as fault:  # noise at a wrong rate, or another instrument
                nonsense = nonsense or fault
            await self._shut()
        self._baud_rate = BAUD_RATES[0]
        raise nonsense or LinkTimeout(
            self.name, f"no firmware told at {', '.join(map(str, BAUD_RATES))} baud"
        )

    async def _tells_firmware(self) -> bool:
        for _ in range(TRIES_PER_RATE):
            told = await self._line().try_exchange(b"FIRM?\r\n", line(b"\r\n"))
            if told is not None and FIRMWARE.fullmatch(told.decode("ascii", "replace").strip()):
                return True
        return False

    async def _identify(self) -> Identity:
        # A firmware's number could be any number that comes late; a letter and a word in turn could not.
        firmware = await self._ask("FIRM?")
        await self.read_regulation()
        await self.read_emission()
        return Identity(self.model, await self._ask("PLID?"), firmware)

    async def _probe(self) -> None:
        """As of the base, but the current is measured only while the laser is on; and a laser that went out
        while the other settings stayed was put out by the box, and is not lit again.
        """
        lit = await self.read_emission()
        for name, wanted in self._wanted.items():
            if name == "emission" or (name == "current_ma" and not lit):
                continue
            found = (await self.read_parameter(name)).value
            if not self.parameter(name).holds(wanted, found):
                raise DeviceRestarted(self.name, f"{name} is {found}, no longer {wanted}; asserting it again")
        emission = self._wanted.get("emission")
        if emission is True and not lit:
            self._wanted["emission"] = False
            cause = "its temperature control is at fault" if await self.read_fault() else "no fault is told"
            raise DeviceError(self.name, f"the box put its laser out ({cause}): look, then ask for emission")
        if emission is False and lit:
            raise DeviceRestarted(self.name, "the laser is on, and should not be; asserting that again")
        if not self._wanted:
            await self._checked_identity()

    async def safe_state(self) -> None:
        """Laser off, confirmed by read-back, and kept so over reconnects until `configure`. The crystal
        stays as it is.
        """
        async with self._configuration_lock:
            if "emission" in self._wanted:
                self._wanted["emission"] = False
            await self.set_emission(False)

    # -- laser ----------------------------------------------------------------------------------------------

    async def set_emission(self, on: bool) -> None:
        """Pump laser on or off. Raises DeviceError when the box is at fault, does not follow, or lights with
        another current than was set; the laser is off again then.
        """
        if on and await self.read_fault():
            raise DeviceError(self.name, "the temperature control is at fault (FAUL?): the laser stays off")
        await self._order(":PLON" if on else ":PLOF")
        self._same("emission", on, await self.read_emission())
        if on:
            try:
                await self._check_current()
            except DeviceError:
                await self._order(":PLOF")
                self._same("emission", False, await self.read_emission())
                raise

    async def read_emission(self) -> bool:
        """Whether the pump laser is on."""
        told = (await self._ask("PLST?")).upper()
        if told not in (LASER_ON, LASER_OFF):
            raise self._broken(f"PLST? answered {told!r}, not {LASER_ON} or {LASER_OFF}")
        return told == LASER_ON

    async def set_current_ma(self, current_ma: float) -> None:
        """Set the laser's current, 20 to 120 mA in whole steps. A dark laser has no current to be compared:
        then that is done when it is lit.
        """
        self._in_range("current", current_ma, CURRENT_MA, "mA")
        await self._order(f":PLDC {current_ma:.0f}")
        self._current_sent_ma = current_ma
        if await self.read_emission():
            await self._check_current()

    async def read_current_ma(self) -> float:
        """Measured current in mA; 0 while the laser is off."""
        return float(await self._number("PLCR?"))

    async def set_power_steps(self, steps: int) -> None:
        """Set the laser's power, 0 to 8000 steps."""
        self._in_range("power", steps, POWER_STEPS, "steps")
        await self._order(f":PLSD {steps}")
        self._current_sent_ma = None
        self._same("power in steps", steps, await self.read_power_steps())

    async def read_power_steps(self) -> int:
        """Set power in steps of 8000."""
        return await self._integer("PLDC?")

    # -- crystal --------------------------------------------------------------------------------------------

    async def set_temperature_setpoint(self, setpoint: int) -> None:
        """Set the crystal's set point, 10000 to 50000 steps of the box."""
        self._in_range("set point", setpoint, SETPOINT, "steps")
        await self._order(f":SETT {setpoint}")
        self._same("set point", setpoint, await self.read_temperature_setpoint())

    async def read_temperature_setpoint(self) -> int:
        """Set point of the crystal in steps of the box."""
        return await self._integer("SETP?")

    async def read_temperature_c(self) -> float:
        """Temperature of the crystal in C; of doubtful quality while the temperature control is at fault."""
        await self.read_fault()
        return float(await self._number("TEMP?"))

    async def read_regulation(self) -> str:
        """Whether the crystal is being heated or cooled."""
        told = (await self._ask("HORC?")).upper()
        if told not in ("H", "C"):
            raise self._broken(f"HORC? answered {told!r}, not H or C")
        return HEATS if told == "H" else COOLS

    async def read_fault(self) -> bool:
        """Whether the temperature control is at fault."""
        told = await self._ask("FAUL?")
        if told not in ("0", "1"):
            raise self._broken(f"FAUL? answered {told!r}, not 0 or 1")
        self._fault_seen = told == "1"
        return self._fault_seen

    def _quality(self, parameter: str) -> Quality:
        return Quality.SUSPECT if parameter == "temperature_c" and self._fault_seen else Quality.GOOD

    # -- lines ----------------------------------------------------------------------------------------------

    async def _check_current(self) -> None:
        if self._current_sent_ma is not None:
            found_ma = await self.read_current_ma()
            self._close_to("current", self._current_sent_ma, found_ma, CURRENT_TOLERANCE_MA)

    async def _order(self, command: str) -> None:
        """Send an order, which is silent, and wait as long as the box is busy with it."""
        await self._line().send(command.encode("ascii") + b"\r\n")
        await self._settle(ORDER_S)

    async def _ask(self, question: str) -> str:
        octets = await self._line().exchange(question.encode("ascii") + b"\r\n", line(b"\r\n"))
        return octets.decode("ascii", "replace").strip()

    async def _number(self, question: str) -> str:
        told = await self._ask(question)
        if NUMBER.fullmatch(told) is None:
            raise self._broken(f"{question} answered {told!r}, not a number")
        return told

    async def _integer(self, question: str) -> int:
        told = await self._number(question)
        if "." in told:
            raise self._broken(f"{question} answered {told!r}, not a whole number")
        return int(told)
