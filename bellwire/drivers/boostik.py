"""Driver of the NKT Photonics BOOSTIK HPA fibre amplifier on its text line (instruments.md 6.2).

Owns the comparison after each set: the amplifier never complains, it answers with the value that it has
kept. Replies are bare numbers that do not say what they belong to; only the information line has letters,
so it is asked for first after each connection, and a number in its place shows that the line is out of
step. Refuses to switch the output on again when the amplifier itself switched it off. Source: the public
driver of QMI.
"""

from __future__ import annotations

import re
from typing import ClassVar

from bellwire.drivers.addresses import stream
from bellwire.drivers.faults import DeviceError, DeviceRestarted
from bellwire.drivers.instrument import Identity
from bellwire.drivers.parameters import Parameter
from bellwire.drivers.replies import line
from bellwire.drivers.session import SessionSettings, Transport
from bellwire.drivers.session_instrument import SessionInstrument

BAUD_RATE = 9_600
CURRENT_MA = (0.0, 20_000.0)
CURRENT_STEP_MA = 1.0
NUMBER = re.compile(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?")
INFORMATION = re.compile(r"(?=.*[A-Za-z]{2})[ -~]{4,120}")
"""Two letters beside each other: no number has them."""
SERIAL_NUMBER = re.compile(r"[A-Za-z0-9-]*\d[A-Za-z0-9-]*")


class Boostik(SessionInstrument):
    """NKT BOOSTIK HPA on a serial line. Its serial number is the last word with a digit of its information
    line.
    """

    model = "BOOSTIK"
    session_settings: ClassVar[SessionSettings] = SessionSettings(timeout_s=1.0)
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            name="current_ma",
            meaning="set current of the pump diodes",
            unit="mA",
            read="read_current_ma",
            write="set_current_ma",
            low=CURRENT_MA[0],
            high=CURRENT_MA[1],
            emits=True,
            tolerance=CURRENT_STEP_MA / 2 + 1e-6,
        ),
        Parameter(
            name="emission",
            meaning="output of the amplifier",
            kind="switch",
            read="read_emission",
            write="set_emission",
            emits=True,
        ),
        Parameter(
            name="current_measured_ma",
            meaning="measured current of the pump diodes",
            unit="mA",
            read="read_current_measured_ma",
        ),
        Parameter(
            name="input_power_mw", meaning="light that comes in", unit="mW", read="read_input_power_mw"
        ),
        Parameter(
            name="diode_temperature_c",
            meaning="temperature of the booster diode",
            unit="C",
            read="read_diode_temperature_c",
        ),
        Parameter(
            name="ambient_temperature_c",
            meaning="temperature of the surroundings",
            unit="C",
            read="read_ambient_temperature_c",
        ),
    )
    _current_seen_ma = 0.0

    def _transport(self) -> Transport:
        return stream(self.name, self.address, baud_rate=BAUD_RATE)

    async def _identify(self) -> Identity:
        information = await self._ask("CDI")
        if INFORMATION.fullmatch(information) is None:
            raise self._broken(f"CDI answered {information!r}, not its information line")
        await self.read_current_ma()
        await self.read_emission()
        words = SERIAL_NUMBER.findall(information)
        return Identity(self.model, words[-1] if words else "", information)

    async def safe_state(self) -> None:
        """Output off, confirmed by its reply and by read-back, and kept so over reconnects until
        `configure`.
        """
        async with self._configuration_lock:  # or a probe would find light where none is wished any more
            if "emission" in self._wanted:
                self._wanted["emission"] = False
            await self.set_emission(False)

    async def _probe(self) -> None:
        """As of the base; an output that went off while the set current stayed was switched off by interlock
        or key, and is not switched on again.
        """
        before_ma = self._current_seen_ma
        if self._wanted.get("emission") is True and not await self.read_emission():
            if before_ma > 0 and await self.read_current_ma() == before_ma:
                self._wanted["emission"] = False
                raise DeviceError(
                    self.name,
                    "the amplifier switched its output off: look at interlock and key, then ask for emission",
                )
            raise DeviceRestarted(self.name, "the output is off; asserting the configuration again")
        await super()._probe()

    # -- amplifier ------------------------------------------------------------------------------------------

    async def set_emission(self, on: bool) -> None:
        """Output on or off. Raises DeviceError when the amplifier answers that it did not follow."""
        self._same("output", on, self._switch("CDO", await self._ask(f"CDO {int(on)}")))
        self._same("output", on, await self.read_emission())

    async def read_emission(self) -> bool:
        """Whether the output is on."""
        return self._switch("CDO", await self._ask("CDO"))

    async def set_current_ma(self, current_ma: float) -> None:
        """Set the pump current in steps of 1 mA. Raises DeviceError when the amplifier keeps its old value:
        it is out of its range.
        """
        self._in_range("current", current_ma, CURRENT_MA, "mA")
        kept_ma = 1000.0 * self._number("ACC", await self._ask(f"ACC {current_ma / 1000.0:.3f}"))
        self._close_to("current", current_ma, kept_ma, CURRENT_STEP_MA / 2 + 1e-6)
        self._close_to("current", current_ma, await self.read_current_ma(), CURRENT_STEP_MA / 2 + 1e-6)

    async def read_current_ma(self) -> float:
        """Set pump current in mA."""
        self._current_seen_ma = 1000.0 * self._number("ACC", await self._ask("ACC"))
        return self._current_seen_ma

    async def read_current_measured_ma(self) -> float:
        """Measured pump current in mA."""
        return 1000.0 * self._number("AMC", await self._ask("AMC"))

    async def read_input_power_mw(self) -> float:
        """Optical power at the input in mW."""
        return self._number("CMP 1", await self._ask("CMP 1"))

    async def read_diode_temperature_c(self) -> float:
        """Temperature of the booster diode in C."""
        return self._number("AMT 1", await self._ask("AMT 1"))

    async def read_ambient_temperature_c(self) -> float:
        """Temperature of the surroundings in C."""
        return self._number("CMA", await self._ask("CMA"))

    # -- lines ----------------------------------------------------------------------------------------------

    async def _ask(self, command: str) -> str:
        octets = await self._line().exchange(command.encode("ascii") + b"\r\n", line(b"\r\n"))
        return octets.decode("ascii", "replace").strip()

    def _number(self, command: str, reply: str) -> float:
        if NUMBER.fullmatch(reply) is None:
            raise self._broken(f"{command} answered {reply!r}, not a number")
        return float(reply)

    def _switch(self, command: str, reply: str) -> bool:
        if reply not in ("0", "1"):
            raise self._broken(f"{command} answered {reply!r}, not 0 or 1")
        return reply == "1"
