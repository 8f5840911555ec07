"""What kind of oscillator a clock has, and with it how it wanders and how long a line describes it.

Owns the table. The noise of a clock is white noise of frequency and a random walk of frequency, of
one-sided spectral densities h0 and h-2; the two-state model of a clock has the diffusion coefficients q1 =
h0 / 2 and q2 = 2 pi^2 h-2 (Zucca and Tavella, IEEE Trans. UFFC 52, 289 (2005)). Values of h: Brown and
Hwang, Introduction to Random Signals and Applied Kalman Filtering, 3rd ed. (1997) for quartz and oven, 4th
ed. (2012), section 9.3, for rubidium. Refuses a default kind: who has not looked at the oscillator does not
know.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import pi, sqrt
from typing import Final

PS2_PER_S2: Final = 1e24


class ClockKind(StrEnum):
    """What keeps the time of a node."""

    LOCKED = "locked"
    """Fed by the reference itself: White Rabbit, or one 10 MHz for all."""
    RUBIDIUM = "rubidium"
    """Rubidium, or a receiver of satellites that disciplines one."""
    OVEN = "oven"
    """Quartz in an oven (OCXO)."""
    QUARTZ = "quartz"
    """Quartz, compensated for temperature (TCXO) or not."""


@dataclass(frozen=True, slots=True)
class ClockNoise:
    """Diffusion of a clock: `offset_ps2_per_s` of its offset (q1), `rate_ps2_per_s3` of its rate (q2)."""

    offset_ps2_per_s: float
    rate_ps2_per_s3: float

    def of_fit(self, span_ps: float) -> tuple[float, float]:
        """Variances (ps^2, (ps/s)^2) that the wander adds to a line fitted over `span_ps`: of the offset at
        its middle, and of the rate at its end.

        From the covariances of Brownian motion and its integral, evenly weighted: q1 T / 12 + q2 T^3 / 320,
        and 6 q1 / (5 T) + 13 q2 T / 35.
        """
        t, q1, q2 = span_ps / 1e12, self.offset_ps2_per_s, self.rate_ps2_per_s3
        return q1 * t / 12 + q2 * t**3 / 320, 1.2 * q1 / t + 13 * q2 * t / 35

    def at_end_of_fit(self, span_ps: float) -> float:
        """Variance (ps^2) of the offset at the end of such a line: 2 q1 T / 15 + q2 T^3 / 105."""
        t = span_ps / 1e12
        return 2 * self.offset_ps2_per_s * t / 15 + self.rate_ps2_per_s3 * t**3 / 105

    def __add__(self, other: ClockNoise) -> ClockNoise:
        """Noise of the difference of two independent clocks."""
        return ClockNoise(
            self.offset_ps2_per_s + other.offset_ps2_per_s, self.rate_ps2_per_s3 + other.rate_ps2_per_s3
        )

    @property
    def walk_fs(self) -> int:
        """Rms of the walk of the offset in one second, in femtoseconds."""
        return round(sqrt(self.offset_ps2_per_s) * 1000)

    @property
    def wander_e15(self) -> int:
        """Rms of the change of the rate in one second, in parts in 10^15."""
        return round(sqrt(self.rate_ps2_per_s3) * 1000)


@dataclass(frozen=True, slots=True)
class ClockModel:
    """How a kind of clock behaves.

    `rate_limit_e15`: no healthy one is off by more. `fit_half_s`: a line is fitted to PPS captures up to so
    many seconds on either side. `line`: whether its rate is an unknown; a locked clock has none.
    """

    noise: ClockNoise
    rate_limit_e15: int
    fit_half_s: int
    line: bool


def _from_spectrum(h0_s: float, h_minus_2_hz: float) -> ClockNoise:
    return ClockNoise(h0_s / 2 * PS2_PER_S2, 2 * pi**2 * h_minus_2_hz * PS2_PER_S2)


MODELS: Final[dict[ClockKind, ClockModel]] = {
    # Our own choice: what is left is the fibre, 37 ps/km/K; 50 km at 1 K/h drift by 0.5 ps/s.
    ClockKind.LOCKED: ClockModel(ClockNoise(1.0, 1e-4), 10_000, 20, line=False),
    ClockKind.RUBIDIUM: ClockModel(_from_spectrum(2e-22, 1e-30), 1_000_000, 20, line=True),
    ClockKind.OVEN: ClockModel(_from_spectrum(8e-20, 4e-23), 1_000_000_000, 20, line=True),
    ClockKind.QUARTZ: ClockModel(_from_spectrum(2e-19, 2e-20), 20_000_000_000, 4, line=True),
}
