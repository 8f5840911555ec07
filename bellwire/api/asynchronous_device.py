"""An instrument of an open lab, to be awaited: its parameters, read without and written under a lease.

Owns the device as scripts see it. Refuses roles: what a laser is for is said by procedures.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from bellwire.api.reach import Described, Reach
from bellwire.api.text_tables import spoken, text_table
from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.core.registry import nearest
from bellwire.drivers.parameters import Parameter
from bellwire.drivers.readings import Quality, Reading, Value

WRITE_LEASE_S: Final = 10.0


class DoubtfulValue(UserWarning):
    """The instrument itself doubts the value that it gave: alarm, overflow, not homed."""


@contextmanager
def as_typed() -> Iterator[None]:
    """What a person typed wrong (a name, a value beyond its limits, somebody else's instrument) is no bug."""
    try:
        yield
    except LocalMisuse as problem:
        raise ConfigError(str(problem)) from None


@dataclass(frozen=True, slots=True)
class Description:
    """An instrument with its parameters and what was read of them; None: it cannot be read."""

    who: Described
    readings: Mapping[str, Reading | None]

    def __getitem__(self, parameter: str) -> Reading:
        found = self.readings.get(parameter)
        if found is None:
            raise ConfigError(f'{self.who.name} tells no "{parameter}"{nearest(parameter, self.readings)}')
        return found

    def __repr__(self) -> str:
        who = self.who
        held = "" if who.held_by is None else f", held by {who.held_by}"
        presented = " ".join(filter(None, (who.model, who.serial_number, who.firmware)))
        return text_table(
            ["parameter", "value", "unit", "set", "meaning"],
            [self._row(one) for one in who.parameters],
            title=f"{who.name}: {presented}, {who.condition}, {who.reason}{held}",
        )

    def _row(self, one: Parameter) -> list[str]:
        reading = self.readings.get(one.name)
        value = "-" if reading is None else spoken(reading.value)
        if reading is not None and reading.quality is not Quality.GOOD:
            value += f" ({reading.quality.value})"
        return [one.name, value, one.unit, limits_of(one), one.meaning]


def limits_of(parameter: Parameter) -> str:
    """What may be set, in words."""
    if parameter.write is None:
        return "read only"
    if parameter.choices:
        return " | ".join(parameter.choices)
    if parameter.kind == "switch":
        return "on | off"
    if parameter.low is None or parameter.high is None:
        return "any"
    return f"{parameter.low:g} to {parameter.high:g}"


class Device:
    """One instrument. `name`: its full name, OWNER-NAME; `driver`: as the lab file has it."""

    def __init__(self, name: str, driver: str, reach: Reach, holder: str) -> None:
        self.name = name
        self.driver = driver
        self._reach = reach
        self._holder = holder

    async def read(self, parameter: str) -> Value:
        """A parameter as the instrument says it now. Warns with DoubtfulValue where the instrument doubts it.

        Raises ConfigError with the nearest name for one that it does not have, DeviceFault.
        """
        reading = await self.reading(parameter)
        if reading.quality is not Quality.GOOD:
            warnings.warn(f"{self.name}: {parameter} is {reading.quality.value}", DoubtfulValue, stacklevel=2)
        return reading.value

    async def reading(self, parameter: str) -> Reading:
        """The same with its unit, its quality and when it was taken (monotonic)."""
        with as_typed():
            return await self._reach.read(self.name, parameter)

    async def write(self, parameter: str, value: Value) -> Value:
        """Set a parameter under a lease for this one write; returns its read-back.

        Raises ConfigError for a value beyond its limits, and for an instrument that somebody else holds, by
        the name of the holder; DeviceFault when the read-back disagrees.
        """
        with as_typed():
            async with self._reach.access.hold(
                [self.name], self._holder, lease_s=WRITE_LEASE_S, on_loss="restore"
            ) as held:
                return await held.write(self.name, parameter, value)

    async def describe(self) -> Description:
        """Who it is, how it stands, and all its parameters, each read once."""
        who = await self._reach.describe(self.name)
        readings: dict[str, Reading | None] = {}
        for one in who.parameters:
            readings[one.name] = None if one.read is None else await self._reach.read(self.name, one.name)
        return Description(who, readings)

    async def safe(self) -> None:
        """Bring it to its safe state, confirmed by read-back."""
        with as_typed():
            await self._reach.safe(self.name)

    def __repr__(self) -> str:
        return f"{self.name} ({self.driver})"
