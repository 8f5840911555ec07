"""A frequency converter made of a pump laser, an amplifier perhaps, and a waveguide's oven, as one
converter.

Owns the order: oven first; seed before amplifier, because an amplifier without seed damages itself; off in
the other order. The power of the unit is that of its last stage.
"""

from __future__ import annotations

from bellwire.drivers.pair_source import (
    LOOK_S,
    OVEN_S,
    PUMP_SHARE,
    SETTLED_C,
    at_temperature,
    wait_for_oven,
)
from bellwire.drivers.roles import Oven, PumpLaser


class ConverterUnit:
    """Pump, amplifier and oven as one `FrequencyConverter`."""

    def __init__(
        self,
        name: str,
        pump: PumpLaser,
        oven: Oven,
        *,
        amplifier: PumpLaser | None = None,
        tolerance_c: float = SETTLED_C,
        look_s: float = LOOK_S,
        within_s: float = OVEN_S,
    ) -> None:
        self.name = name
        self._pump = pump
        self._amplifier = amplifier
        self._oven = oven
        self._tolerance_c = tolerance_c
        self._look_s = look_s
        self._within_s = within_s
        self._emits = False
        self._power_wanted_mw: float | None = None

    async def set_emission(self, on: bool) -> None:
        """Light on or off, seed and amplifier in their order."""
        self._emits = on
        if on:
            await self._pump.set_emission(True)
            if self._amplifier is not None:
                await self._amplifier.set_emission(True)
            return
        try:
            if self._amplifier is not None:
                await self._amplifier.set_emission(False)
        finally:
            await self._pump.set_emission(False)

    async def set_pump_mw(self, power_mw: float) -> None:
        """Power of the last stage in mW."""
        await (self._amplifier or self._pump).set_power_mw(power_mw)
        self._power_wanted_mw = power_mw

    async def set_crystal_temperature_c(self, temperature_c: float) -> None:
        """Heat the waveguide, and return when it is there. Raises LinkTimeout."""
        await self._oven.set_temperature_c(temperature_c)
        await self._oven.set_heating(True)
        await wait_for_oven(
            self.name,
            self._oven,
            temperature_c,
            tolerance_c=self._tolerance_c,
            look_s=self._look_s,
            within_s=self._within_s,
        )

    async def is_settled(self) -> bool:
        """Whether the waveguide is at its set temperature, and the light as it was set."""
        if not await at_temperature(self._oven, self._tolerance_c):
            return False
        last = self._amplifier or self._pump
        if await last.read_emission() != self._emits or await self._pump.read_emission() != self._emits:
            return False
        if not self._emits or self._power_wanted_mw is None:
            return True
        wanted_mw = self._power_wanted_mw
        return abs(await last.read_power_mw() - wanted_mw) <= PUMP_SHARE * wanted_mw

    async def safe_state(self) -> None:
        """All light off, confirmed; then the heater off. Each is tried although one before has failed."""
        try:
            await self.set_emission(False)
        finally:
            await self._oven.set_heating(False)
