"""The time base that a framed device announces: ticks and fine units, and how they belong to unix time.

Owns integer conversions only. Refuses floats and a default tick: a device says what its clock is.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm

from bellwire.core.errors import ConfigError

SECOND_NS = 1_000_000_000
FS_PER_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Clock:
    """Time base that a device announces: femtoseconds per coarse tick, and fine bits below it."""

    tick_fs: int
    fine_bits: int

    def ticks(self, duration_ns: int, what: str) -> int:
        """Whole coarse ticks. Raises ConfigError when the duration is not a multiple."""
        ticks, rest = divmod(duration_ns * FS_PER_NS, self.tick_fs)
        if rest:
            raise ConfigError(f"{what} = {duration_ns} ns is not a multiple of the tick of {self.tick_fs} fs")
        return ticks

    @property
    def step_ns(self) -> int:
        """The shortest span of whole ticks that is whole ns too."""
        return lcm(self.tick_fs, FS_PER_NS) // FS_PER_NS

    def whole_ticks_ns(self, duration_ns: int) -> int:
        """The longest span of whole ticks and whole ns up to `duration_ns`."""
        return duration_ns - duration_ns % self.step_ns

    def fine(self, duration_ns: int) -> int:
        """Nearest count of fine units."""
        return ((duration_ns * FS_PER_NS << self.fine_bits) + self.tick_fs // 2) // self.tick_fs

    def femtoseconds(self, fine: int) -> int:
        """Fine units as femtoseconds, rounded down."""
        return fine * self.tick_fs >> self.fine_bits

    def nanoseconds(self, fine: int) -> int:
        """Fine units as whole nanoseconds, rounded down."""
        return self.femtoseconds(fine) // FS_PER_NS


@dataclass(frozen=True, slots=True)
class TimeBase:
    """One PPS: at unix second `pps_s` the coarse counter stood at `pps_ticks`.

    Valid within one time epoch.
    """

    pps_s: int
    pps_ticks: int
    epoch: int
    clock: Clock

    def _fine_since_pps(self, stamp: int) -> int:
        return stamp - (self.pps_ticks << self.clock.fine_bits)

    def unix_ns(self, stamp: int) -> int:
        """Unix nanoseconds of a stamp in fine units."""
        return self.pps_s * SECOND_NS + self.clock.nanoseconds(self._fine_since_pps(stamp))

    def unix_ps(self, stamp: int) -> int:
        """Unix picoseconds of a stamp in fine units."""
        return self.pps_s * SECOND_NS * 1000 + self.clock.femtoseconds(self._fine_since_pps(stamp)) // 1000
