"""A frequency converter made of a pump laser, an amplifier perhaps, and a waveguide's oven, as one
converter.

Owns the order: oven first; seed before amplifier, because an amplifier without seed damages itself; off in
the other order.
"""

from __future__ import annotations

from bellwire.drivers.pair_source import (
    LOOK_S,
    OVEN_S,
    SETTLED_C,
    at_temperature,
    pumps_as_set,
    wait_for_oven,
)
from bellwire.drivers.roles import CurrentLaser, Oven, PumpLaser


class ConverterUnit:
    """Pump, amplifier and oven as one `FrequencyConverter`. `seed_mw`: power of the pump where an amplifier
    follows."""

    def __init__(
        self,
        name: str,
        pump: PumpLaser,
        oven: Oven,
        *,
        amplifier: PumpLaser | CurrentLaser | None = None,
        seed_mw: float | None = None,
        tolerance_c: float = SETTLED_C,
        look_s: float = LOOK_S,
        within_s: float = OVEN_S,
    ) -> None:
        self.name = name
        self._pump = pump
        self._last: PumpLaser | CurrentLaser = pump if amplifier is None else amplifier
        self._seed_mw = seed_mw if amplifier is not None else None
        self._oven = oven
        self._tolerance_c = tolerance_c
        self._look_s = look_s
        self._within_s = within_s
        self._emits = False
        self._wanted: float | None = None

    @property
    def pump_unit(self) -> str:
        """mW where the last stage is set by its power, mA where it is set by its current."""
        return "mW" if isinstance(self._last, PumpLaser) else "mA"

    async def set_emission(self, on: bool) -> None:
        """Light on or off, seed and amplifier in their order."""
        self._emits = on
        if on:
            if self._seed_mw is not None:
                await self._pump.set_power_mw(self._seed_mw)
            await self._pump.set_emission(True)
            await self._last.set_emission(True)
            return
        try:
            await self._last.set_emission(False)
        finally:
            await self._pump.set_emission(False)

    async def set_pump(self, value: float) -> None:
        """Power or current of the last stage, in `pump_unit`."""
        if isinstance(self._last, PumpLaser):
            await self._last.set_power_mw(value)
        else:
            await self._last.set_current_ma(value)
        self._wanted = value

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
        if await self._last.read_emission() != self._emits or await self._pump.read_emission() != self._emits:
            return False
        return not self._emits or self._wanted is None or await pumps_as_set(self._last, self._wanted)

    async def safe_state(self) -> None:
        """All light off, confirmed; then the heater off. Each is tried although one before has failed."""
        try:
            await self.set_emission(False)
        finally:
            await self._oven.set_heating(False)
