"""One comparison of bench/link_layer.py: what was measured, what it should be, and whether it is.

Owns the form of the rows and the counting of verdicts. Refuses to measure.
"""

from math import comb, erfc, sqrt
from typing import Any, Final, NamedTuple

SIGMAS: Final = 4.0
"""Standard errors within which a measured value must lie of a closed form."""

FALSE_ALARM: Final = erfc(SIGMAS / sqrt(2.0))
"""Probability that one right comparison lies outside, normal distribution, both sides: 6.3e-5."""

ROUNDING: Final = 1e-9
"""Difference of two fidelities that counts as rounding."""

Row = dict[str, Any]


class Comparison(NamedTuple):
    """One figure beside its closed form."""

    part: str
    what: str
    measured: float
    expected: float
    error: float  # standard error of `measured`
    samples: int

    @property
    def deviation(self) -> float:
        """In standard errors; without an error, rounding is none and anything else infinite."""
        off = self.measured - self.expected
        if self.error > 0.0:
            return off / self.error
        return 0.0 if abs(off) <= ROUNDING else float("inf")

    @property
    def held(self) -> bool:
        """True within SIGMAS."""
        return abs(self.deviation) <= SIGMAS

    def row(self) -> Row:
        """For the table of the README."""
        return {
            "part": self.part,
            "what": self.what,
            "measured": self.measured,
            "should be": self.expected,
            "standard error": self.error if self.error > 0.0 else None,
            "standard errors off": self.deviation if self.error > 0.0 else None,
            "limit": f"{SIGMAS:g} standard errors" if self.error > 0.0 else f"{ROUNDING:g}",
            "samples": self.samples,
            "held": told(self.held),
        }


def told(held: bool) -> str:
    """A verdict as the table says it."""
    return "yes" if held else "NO"


def limited(part: str, what: str, measured: float, limit: float, samples: int, **more: Any) -> Row:
    """A row of a figure that may not be above its limit."""
    return {
        "part": part,
        "what": what,
        "measured": measured,
        **more,
        "limit": f"at most {limit:.4g}",
        "samples": samples,
        "held": told(measured <= limit),
    }


def several_beyond(comparisons: int, found: int) -> float:
    """Probability that `found` or more of so many right comparisons lie beyond SIGMAS."""
    below = sum(
        comb(comparisons, k) * FALSE_ALARM**k * (1.0 - FALSE_ALARM) ** (comparisons - k) for k in range(found)
    )
    return 1.0 - below
