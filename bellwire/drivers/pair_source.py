"""A photon-pair source made of a pump laser and a crystal oven, as one `PhotonSource`.

Owns the order: the crystal reaches its temperature before the pump is switched on, because a cold crystal
makes light of another wavelength; and the pump goes off first. Refuses makes: any pump and any oven will
do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bellwire.drivers.faults import LinkTimeout
from bellwire.drivers.roles import CurrentLaser, Oven, PumpLaser

SETTLED_C = 0.05
SETTLED_LOOKS = 3
LOOK_S = 0.5
OVEN_S = 600.0
PUMP_SHARE = 0.05
"""A pump that is farther than this share from its setting is no longer as it was set."""


async def wait_for_oven(
    name: str,
    oven: Oven,
    temperature_c: float,
    *,
    tolerance_c: float = SETTLED_C,
    look_s: float = LOOK_S,
    within_s: float = OVEN_S,
) -> None:
    """Return when the crystal has been within `tolerance_c` for three looks in turn. Raises LinkTimeout."""
    near = 0
    for _ in range(max(1, int(within_s / look_s))):
        near = near + 1 if abs(await oven.read_temperature_c() - temperature_c) <= tolerance_c else 0
        if near >= SETTLED_LOOKS:
            return
        await asyncio.sleep(look_s)
    found_c = await oven.read_temperature_c()
    raise LinkTimeout(name, f"the oven is at {found_c:g} C after {within_s:g} s, wanted {temperature_c:g} C")


async def at_temperature(oven: Oven, tolerance_c: float) -> bool:
    """Whether an oven is on and at its set temperature."""
    if not await oven.read_heating():
        return False
    set_c = await oven.read_temperature_set_c()
    return abs(await oven.read_temperature_c() - set_c) <= tolerance_c


async def pumps_as_set(pump: PumpLaser | CurrentLaser, wanted: float) -> bool:
    """Whether a pump gives what it was set to, in its own unit, within PUMP_SHARE of it."""
    found = await (pump.read_power_mw() if isinstance(pump, PumpLaser) else pump.read_current_ma())
    return abs(found - wanted) <= PUMP_SHARE * abs(wanted)


class PairSource:
    """Pump and oven as one source.

    `tolerance_c`: how near the crystal must come; no finer than the oven's own reading. `on_standing` is
    told what is being waited for.
    """

    def __init__(
        self,
        name: str,
        pump: PumpLaser | CurrentLaser,
        oven: Oven,
        *,
        tolerance_c: float = SETTLED_C,
        look_s: float = LOOK_S,
        within_s: float = OVEN_S,
        on_standing: Callable[[str], None] | None = None,
    ) -> None:
        self.name = name
        self._pump = pump
        self._oven = oven
        self._tolerance_c = tolerance_c
        self._look_s = look_s
        self._within_s = within_s
        self._on_standing = on_standing or (lambda standing: None)
        self._emits = False
        self._pump_wanted: float | None = None

    @property
    def pump_unit(self) -> str:
        """mW where the pump is set by its power, mA where it is set by its current."""
        return "mW" if isinstance(self._pump, PumpLaser) else "mA"

    async def set_operating_point(self, pump: float, crystal_temperature_c: float) -> None:
        """Heat first, then set the pump; emission stays as it is. Raises the faults of either instrument."""
        await self._oven.set_temperature_c(crystal_temperature_c)
        await self._oven.set_heating(True)
        self._on_standing(f"waiting for {crystal_temperature_c:g} C")
        await wait_for_oven(
            self.name,
            self._oven,
            crystal_temperature_c,
            tolerance_c=self._tolerance_c,
            look_s=self._look_s,
            within_s=self._within_s,
        )
        if isinstance(self._pump, PumpLaser):
            await self._pump.set_power_mw(pump)
        else:
            await self._pump.set_current_ma(pump)
        self._pump_wanted = pump
        self._on_standing("settled")

    async def set_emission(self, on: bool) -> None:
        """Pump light on or off; the oven stays as it is."""
        await self._pump.set_emission(on)
        self._emits = on

    async def read_emission(self) -> bool:
        """Whether the pump emits."""
        return await self._pump.read_emission()

    async def is_settled(self) -> bool:
        """Whether the crystal is at its set temperature, and the pump as it was set; an instrument that was
        switched off and on again is neither.
        """
        if not await at_temperature(self._oven, self._tolerance_c):
            return False
        if await self._pump.read_emission() != self._emits:
            return False
        if not self._emits or self._pump_wanted is None:
            return True
        return await pumps_as_set(self._pump, self._pump_wanted)

    async def safe_state(self) -> None:
        """Pump off, confirmed; then the heater off. The second is tried although the first has failed."""
        try:
            await self.set_emission(False)
        finally:
            await self._oven.set_heating(False)
