"""The two-state Kalman filter of a clock: offset and rate, driven by the noise of its oscillator.

Owns the linear algebra, in ps and ps/s about whole picoseconds, so that an offset of seconds costs no digit.
Refuses to go back in time: blocks are measured in order.

Source: Zucca and Tavella, IEEE Trans. UFFC 52, 289 (2005), equations of the clock without drift.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.clocks.clock_kinds import ClockNoise

PS_PER_S = 1e12


@dataclass(frozen=True, slots=True)
class ClockState:
    """At `at_ps`: the offset is `base_ps` + `offset_ps`, changing by `rate_ps_per_s`.

    `p_offset` (ps^2), `p_cross` (ps^2/s) and `p_rate` (ps^2/s^2) are the covariance.
    """

    at_ps: int
    base_ps: int
    offset_ps: float
    rate_ps_per_s: float
    p_offset: float
    p_cross: float
    p_rate: float

    @property
    def sigma_ps(self) -> float:
        """Of the offset."""
        return sqrt(self.p_offset)

    def later(self, at_ps: int, noise: ClockNoise) -> ClockState:
        """Predicted, never backwards."""
        if at_ps < self.at_ps:
            raise LocalMisuse(f"{at_ps} ps is before the state of {self.at_ps} ps: blocks come in order")
        t = (at_ps - self.at_ps) / PS_PER_S
        q1, q2 = noise.offset_ps2_per_s, noise.rate_ps2_per_s3
        moved = self.offset_ps + self.rate_ps_per_s * t
        whole = round(moved)
        return ClockState(
            at_ps=at_ps,
            base_ps=self.base_ps + whole,
            offset_ps=moved - whole,
            rate_ps_per_s=self.rate_ps_per_s,
            p_offset=self.p_offset + 2 * t * self.p_cross + t * t * self.p_rate + q1 * t + q2 * t**3 / 3,
            p_cross=self.p_cross + t * self.p_rate + q2 * t * t / 2,
            p_rate=self.p_rate + q2 * t,
        )

    def innovation(self, offset_ps: int, sigma_ps: float) -> float:
        """How many of its own sigmas a measurement is away from what was predicted for its time."""
        beside = offset_ps - self.base_ps - self.offset_ps
        return beside / sqrt(self.p_offset + sigma_ps**2)

    def corrected(self, offset_ps: int, sigma_ps: float) -> ClockState:
        """With a measurement of the offset at this very time."""
        beside = offset_ps - self.base_ps - self.offset_ps
        variance = sigma_ps**2
        total = self.p_offset + variance
        gain, gain_rate = self.p_offset / total, self.p_cross / total
        return replace(
            self,
            offset_ps=self.offset_ps + gain * beside,
            rate_ps_per_s=self.rate_ps_per_s + gain_rate * beside,
            p_offset=self.p_offset * variance / total,
            p_cross=self.p_cross * variance / total,
            p_rate=self.p_rate - gain_rate * self.p_cross,
        )
