"""Ticks of an instrument and picoseconds, exactly: the resolution is a fraction, times are integers.

Owns the rounding (to the nearest ps, halves up). A tick of 1 ps or more survives ps and back.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from bellwire.core.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

PARTS_MAX = 10_000
"""Largest denominator of a resolution in ps."""
RESOLUTION_PS_MAX = 10**9
"""With it, products of times and resolutions stay within 64 bits."""
TIME_PS_MAX = 1 << 61
"""26 days: beyond it, sums of times would not fit into 64 bits."""


def resolution_of(seconds: float, *, where: str) -> Fraction:
    """A resolution that a file states as a float, as the fraction of ps that was meant.

    Raises ConfigError when it is none.
    """
    if not 1e-16 < seconds < 1e-3:
        raise ConfigError(f"a resolution of {seconds!r} s: between 1e-16 and 1e-3 is possible", where=where)
    return checked(Fraction(seconds * 1e12).limit_denominator(PARTS_MAX), where=where)


def finer_than_ps(resolution_ps: Fraction) -> tuple[str, ...]:
    """What is to be said of a resolution below 1 ps."""
    if resolution_ps >= 1:
        return ()
    return (f"its unit of {float(resolution_ps):g} ps is finer than 1 ps: times were rounded to 1 ps",)


def checked(resolution_ps: Fraction, *, where: str) -> Fraction:
    """The same resolution. Raises ConfigError when times in it cannot be computed exactly."""
    if not 0 < resolution_ps <= RESOLUTION_PS_MAX or resolution_ps.denominator > PARTS_MAX:
        raise ConfigError(
            f"a resolution of {resolution_ps} ps: up to {RESOLUTION_PS_MAX} ps, with a denominator up to"
            f" {PARTS_MAX}, can be used",
            where=where,
        )
    return resolution_ps


def to_ps(ticks: NDArray[np.int64], resolution_ps: Fraction) -> NDArray[np.int64]:
    """Times in ps, rounded to the nearest. Raises OverflowError beyond TIME_PS_MAX."""
    limit = int(TIME_PS_MAX / resolution_ps)
    if len(ticks) and not (-limit < int(ticks.min()) and int(ticks.max()) < limit):
        raise OverflowError(f"a time beyond {TIME_PS_MAX} ps")
    return _scaled(ticks, resolution_ps)


def to_ticks(time_ps: NDArray[np.int64], resolution_ps: Fraction) -> NDArray[np.int64]:
    """The nearest ticks."""
    return _scaled(time_ps, 1 / resolution_ps)


def rounding_ps(
    time_ps: NDArray[np.int64], ticks: NDArray[np.int64], resolution_ps: Fraction
) -> NDArray[np.int64]:
    """By how much ticks would give other times than those that they were made of, in ps."""
    rounded: NDArray[np.int64] = np.abs(_scaled(ticks, resolution_ps) - time_ps)
    return rounded


def _scaled(numbers: NDArray[np.int64], factor: Fraction) -> NDArray[np.int64]:
    if factor == 1:
        return numbers
    above, below = factor.numerator, factor.denominator
    if below == 1:
        return numbers * above
    whole, rest = np.divmod(numbers, below)
    scaled: NDArray[np.int64] = whole * above + (rest * (2 * above) + below) // (2 * below)
    return scaled
