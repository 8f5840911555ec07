"""Composites of one machine, kept at their operating points for as long as their instruments are ready.

Owns the task of each composite: it waits for the parts, brings the thing to its values in the composite's
own order, switches it on, looks now and then whether it is still there, and begins again after a fault.
Refuses the instruments' own recovery, which is their drivers', and to move an instrument that somebody holds:
then it is not kept, and says by whom.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, cast

from bellwire.core.errors import ConfigError, DeviceFault
from bellwire.drivers.analyser_optics import AnalyserOptics
from bellwire.drivers.converter_unit import ConverterUnit
from bellwire.drivers.instrument import Condition, Instrument
from bellwire.drivers.pair_source import PairSource
from bellwire.runtime.lab_words import CompositeEntry

LOOK_S = 2.0
RETRY_S = 0.5
SOURCE_WRITES = frozenset(
    {"set_temperature_c", "set_heating", "set_emission", "set_power_mw", "set_current_ma"}
)
STATION_WRITES = frozenset({"set_enabled"})
"""Methods of drivers by which composites set their parts."""


class KeptComposite:
    """One composite. `standing` is "settled", or what is being waited for."""

    def __init__(
        self,
        entry: CompositeEntry,
        drivers: Mapping[str, Instrument],
        on_standing: Callable[[], None],
        *,
        tolerance_c: float = 0.11,
    ) -> None:
        self.name = f"{entry.owner}-{entry.name}"
        self.standing = "waiting for its instruments"
        self.part_names = frozenset(name for names in entry.parts.values() for name in names)
        self.writes = STATION_WRITES if entry.kind == "bsa_station" else SOURCE_WRITES
        self._entry = entry
        self._parts = [drivers[name] for names in entry.parts.values() for name in names]
        self._on_standing = on_standing
        self.thing = self._make(drivers, tolerance_c)

    @property
    def settled(self) -> bool:
        """At its operating point, all parts ready."""
        return self.standing == "settled"

    def _make(
        self, drivers: Mapping[str, Instrument], tolerance_c: float
    ) -> PairSource | ConverterUnit | AnalyserOptics:
        def part(place: str) -> Any:
            names = self._entry.parts.get(place, ())
            return drivers[names[0]] if names else None

        match self._entry.kind:
            case "pair_source":
                return PairSource(
                    self.name, part("pump"), part("oven"), tolerance_c=tolerance_c, on_standing=self._stand
                )
            case "frequency_converter":
                return ConverterUnit(
                    self.name,
                    part("pump"),
                    part("oven"),
                    amplifier=part("amplifier"),
                    seed_mw=self._entry.values.get("seed_mw"),
                    tolerance_c=tolerance_c,
                )
            case "bsa_station":
                controllers = self._entry.parts.get("polarization", ())
                return AnalyserOptics(
                    self.name,
                    part("detectors"),
                    tagger=part("tagger"),
                    delay=part("delay"),
                    polarization=[cast(Any, drivers[name]) for name in controllers],
                    switch=part("switch"),
                )

    def move_to(self, entry: CompositeEntry) -> None:
        """The operating point to be kept from the next time on that it is brought up."""
        self._entry = entry

    def leave(self, why: str) -> None:
        """Nobody keeps it from now on; whoever cancelled `keep` says why."""
        self._stand(why)

    async def keep(self) -> None:
        """Bring it up and hold it until cancelled."""
        while True:
            try:
                await self._wait_for_parts()
                await self._bring_up()
                self._stand("settled")
                await self._hold()
            except (DeviceFault, ConfigError) as fault:
                self._stand(str(fault))
                await asyncio.sleep(RETRY_S)

    async def _wait_for_parts(self) -> None:
        while missing := [part.name for part in self._parts if part.state.condition is not Condition.READY]:
            self._stand(f"waiting for {', '.join(missing)}")
            await asyncio.sleep(RETRY_S)

    async def _bring_up(self) -> None:
        values = self._entry.values
        match self.thing:
            case PairSource():
                await self.thing.set_operating_point(values["pump_value"], values["crystal_temperature_c"])
                await self.thing.set_emission(True)
            case ConverterUnit():
                self._stand(f"waiting for {values['crystal_temperature_c']:g} C")
                await self.thing.set_crystal_temperature_c(values["crystal_temperature_c"])
                await self.thing.set_emission(True)
                await self.thing.set_pump(values["pump_value"])
            case AnalyserOptics():
                await self.thing.detectors.set_enabled(True)

    async def _hold(self) -> None:
        """Look now and then; returns when it has to be brought up again."""
        while all(part.state.condition is Condition.READY for part in self._parts):
            await asyncio.sleep(LOOK_S)
            if not isinstance(self.thing, AnalyserOptics) and not await self.thing.is_settled():
                self._stand("it has left its operating point")
                return

    def _stand(self, standing: str) -> None:
        if standing != self.standing:
            self.standing = standing
            self._on_standing()
