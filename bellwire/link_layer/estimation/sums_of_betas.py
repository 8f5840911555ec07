"""Quantiles of a sum of three beta distributed numbers, each stretched: plain floats, no tables.

Owns the discretisation on a common lattice and the convolution. Refuses meaning (intervals.py).

Each distribution becomes masses on multiples of one step, an eighth of the widest standard deviation, by the
trapezoid rule; one that is narrower than the step becomes a point of the same mean. The sum is their exact
convolution; quantiles are read by linear interpolation. Against a quadrature with scipy the error is below
0.02 standard deviations of the sum for an interval of 95 %, and below 0.1 for one of 99.9 % (tests).
"""

from math import exp, floor, log, sqrt
from operator import mul
from typing import Final, NamedTuple

STEPS_PER_DEVIATION: Final = 8
"""Lattice steps in one standard deviation of the widest distribution."""

TAIL_BELOW: Final = 6.0
TAIL_ABOVE: Final = 12.0
"""Standard deviations from the mean beyond which nothing is kept: 2e-6 of an exponential, far less of
others."""


class StretchedBeta(NamedTuple):
    """1/2 + (x - 1/2) / contrast for a beta distributed x; may leave 0..1, as the sum then must.

    alpha, beta: integers of at least one, or one of them zero for a point at 0 (alpha = 0) or at 1 (beta =
    0).
    """

    alpha: int
    beta: int
    contrast: float

    def placed(self, x: float) -> float:
        """Where x comes to lie."""
        return 0.5 + (x - 0.5) / self.contrast

    @property
    def mean(self) -> float:
        """Of x, not stretched."""
        return self.alpha / (self.alpha + self.beta)

    @property
    def deviation(self) -> float:
        """Standard deviation of x, not stretched; 0.0 for a point."""
        total = self.alpha + self.beta
        return sqrt(self.alpha * self.beta / (total * total * (total + 1.0)))


Lattice = tuple[int, list[float]]
"""Number of the first step, and masses from there on; they sum to one."""


def _point(at: float, step: float) -> Lattice:
    below = floor(at / step)
    part = at / step - below
    return (below, [1.0 - part, part])


def _lattice(one: StretchedBeta, step: float) -> Lattice:
    deviation = one.deviation
    if deviation / one.contrast < step:
        return _point(one.placed(one.mean), step)
    low = max(0.0, one.mean - TAIL_BELOW * deviation)
    high = min(1.0, one.mean + TAIL_ABOVE * deviation)
    count = max(2, round((high - low) / (step * one.contrast)))
    width = (high - low) / count
    # Logarithms, because the densities of thousands of tests overflow; the largest is scaled to one.
    logs = [_log_density(one, low + width * place) for place in range(count + 1)]
    top = max(logs)
    densities = [exp(each - top) for each in logs]
    densities[0] /= 2.0
    densities[-1] /= 2.0
    total = sum(densities)
    # Each sample is shared between its two neighbours on the lattice, so that the mean is kept.
    first = floor(one.placed(low) / step)
    masses = [0.0] * (floor(one.placed(high) / step) - first + 2)
    for place, density in enumerate(densities):
        at = one.placed(low + width * place) / step
        below = floor(at)
        part = at - below
        masses[below - first] += density / total * (1.0 - part)
        masses[below - first + 1] += density / total * part
    return (first, masses)


def _log_density(one: StretchedBeta, x: float) -> float:
    value = 0.0
    if one.alpha > 1:
        value += (one.alpha - 1) * log(x) if x > 0.0 else -1e9
    if one.beta > 1:
        value += (one.beta - 1) * log(1.0 - x) if x < 1.0 else -1e9
    return value


def _convolved(one: Lattice, two: Lattice) -> Lattice:
    (first, short), (second, long) = (one, two) if len(one[1]) < len(two[1]) else (two, one)
    turned = short[::-1]
    size = len(short)
    padded = [0.0] * (size - 1) + long + [0.0] * (size - 1)
    return (
        first + second,
        [sum(map(mul, turned, padded[place : place + size])) for place in range(len(long) + size - 1)],
    )


def sum_quantile(parts: tuple[StretchedBeta, StretchedBeta, StretchedBeta], probability: float) -> float:
    """The value below which the sum of the three lies with this probability (0..1, exclusive)."""
    widest = max(one.deviation / one.contrast for one in parts)
    if widest == 0.0:
        return sum(one.placed(one.mean) for one in parts)
    step = widest / STEPS_PER_DEVIATION
    one, two, three = (_lattice(part, step) for part in parts)
    first, masses = _convolved(_convolved(one, two), three)
    below = 0.0  # probability up to the middle of the step before
    before = 0.0
    for place, mass in enumerate(masses):
        middle = below + (before + mass) / 2.0
        if middle >= probability:
            if place == 0 or middle == below:
                return (first + place) * step
            return (first + place - 1 + (probability - below) / (middle - below)) * step
        below, before = middle, mass
    return (first + len(masses) - 1) * step
