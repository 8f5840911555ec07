"""A value with its unit, age and quality: what everybody outside of a driver sees of an instrument.

Owns what quality means, and the form in which an instrument is told of. Stale looks stale: a value never
outlives its connection as a good one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

Value = float | int | bool | str
"""What a parameter may hold."""


class Quality(StrEnum):
    """How far a value may be believed."""

    GOOD = "good"
    STALE = "stale"  # true once: the instrument has not been heard since, or for too long
    SUSPECT = "suspect"  # the instrument itself says so: alarm, overflow, not homed


@dataclass(frozen=True, slots=True)
class Reading:
    """One value. `taken_at_ns` is monotonic; `unit` is empty for switches, choices and texts."""

    parameter: str
    value: Value
    unit: str
    quality: Quality
    taken_at_ns: int

    def age_s(self, now_ns: int) -> float:
        """Seconds since it was taken, on `time.monotonic_ns`."""
        return max(0, now_ns - self.taken_at_ns) / 1e9

    def as_stale(self) -> Reading:
        """The same value after its connection has gone."""
        return replace(self, quality=Quality.STALE)


@dataclass(frozen=True, slots=True)
class InstrumentSeen:
    """An instrument that took part, as it presented itself."""

    name: str
    driver: str
    serial_number: str = ""
    firmware: str = ""
