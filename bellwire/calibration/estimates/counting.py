"""Intervals of counted things: exact for Poisson and binomial counts, and joined for sums and products.

Owns the closed forms that need no fit. Refuses curves (likelihood.py).

Sources: Garwood, Biometrika 28, 437 (1936); Clopper and Pearson, Biometrika 26, 404 (1934); for joined
intervals the method of variance estimates recovery, Zou and Donner, Stat. Med. 27, 1693 (2008).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.special import betaincinv, gammainc, gammaincinv, gammaln, ndtri, xlogy

from bellwire.calibration.records import Quantity
from bellwire.core.errors import LocalMisuse

_TAIL = 0.025


def poisson_interval(counts: int) -> tuple[float, float]:
    """The exact 95 % interval of the mean behind `counts`; 0 gives (0, 3.689)."""
    if counts < 0:
        raise LocalMisuse(f"{counts} counts: a count cannot be negative")
    low = 0.0 if counts == 0 else float(gammaincinv(counts, _TAIL))
    return low, float(gammaincinv(counts + 1, 1.0 - _TAIL))


def binomial_interval(successes: int, trials: int) -> tuple[float, float]:
    """The exact 95 % interval of the probability behind `successes` of `trials`."""
    if not 0 <= successes <= trials or trials == 0:
        raise LocalMisuse(f"{successes} of {trials}: successes must lie in 0..trials, trials above 0")
    low = 0.0 if successes == 0 else float(betaincinv(successes, trials - successes + 1, _TAIL))
    high = 1.0 if successes == trials else float(betaincinv(successes + 1, trials - successes, 1.0 - _TAIL))
    return low, high


def poisson_rate(counts: int, duration_s: float, unit: str = "1/s") -> Quantity:
    """Events per second behind `counts` in `duration_s`, sigma sqrt(N)/T (of one event, when none came)."""
    if not duration_s > 0.0:
        raise LocalMisuse(f"duration {duration_s} s must be above 0")
    low, high = poisson_interval(counts)
    return Quantity(
        counts / duration_s,
        math.sqrt(max(counts, 1)) / duration_s,
        unit,
        low / duration_s,
        high / duration_s,
    )


def poisson_distance(seen: int, expected: float, variance: float) -> float:
    """How many standard deviations a count lies from its expectation of relative `variance`."""
    if expected >= 50.0:
        return (seen - expected) / math.sqrt(expected + expected**2 * variance)
    above = float(gammainc(seen, expected)) if seen > 0 else 1.0  # chance of as many or more
    here = math.exp(float(xlogy(seen, expected) - gammaln(seen + 1)) - expected)
    return -float(ndtri(min(max(above - 0.5 * here, 1e-16), 1.0 - 1e-16)))


def share(successes: int, trials: int) -> Quantity:
    """A probability 0..1 from counts."""
    low, high = binomial_interval(successes, trials)
    value = successes / trials
    # The uncertainty of an empty or full count is that of half an event: never zero.
    inside = (successes + 0.5) / (trials + 1.0)
    return Quantity(value, math.sqrt(inside * (1.0 - inside) / trials), "", low, high)


def weighted_sum(terms: Sequence[tuple[float, Quantity]], constant: float = 0.0, unit: str = "") -> Quantity:
    """constant + sum of weight x quantity, of independent quantities, with the interval of the sum."""
    value = constant + sum(weight * term.value for weight, term in terms)
    sigma = math.sqrt(sum((weight * term.sigma) ** 2 for weight, term in terms))
    below = above = 0.0
    for weight, term in terms:
        low, high = term.interval
        down, up = weight * (term.value - low), weight * (high - term.value)
        if weight < 0.0:
            down, up = -up, -down
        below += down**2
        above += up**2
    return Quantity(value, sigma, unit, value - math.sqrt(below), value + math.sqrt(above))


def product(factors: Sequence[tuple[Quantity, int]], scale: float = 1.0, unit: str = "") -> Quantity:
    """scale x product of quantity^power (power 1 or -1), of independent quantities that are not negative.

    Intervals join in the logarithm. A factor of value 0 makes the result 0, with an upper end only.
    """
    value, relative = scale, 0.0
    below = above = 0.0
    zero_high: float | None = None
    for factor, power in factors:
        if power not in (1, -1):
            raise LocalMisuse(f"power {power} of a factor must be 1 or -1")
        if factor.value < 0.0 or (factor.value == 0.0 and (power < 0 or zero_high is not None)):
            raise LocalMisuse(f"a product cannot take {factor.value:g} to the power {power} here")
        low, high = factor.interval
        if factor.value == 0.0:
            zero_high = high
            continue
        value *= factor.value**power
        relative += (factor.sigma / factor.value) ** 2
        down = math.log(factor.value / low) if low > 0.0 else math.inf
        up = math.log(high / factor.value)
        if power < 0:
            down, up = up, down
        below += down**2
        above += up**2
    if zero_high is not None:
        high = value * zero_high * math.exp(math.sqrt(above))
        return Quantity(0.0, high / 3.689, unit, 0.0, high)
    return Quantity(
        value,
        value * math.sqrt(relative),
        unit,
        value * math.exp(-math.sqrt(below)),
        value * math.exp(math.sqrt(above)),
    )


def live_rate(measured_rate_hz: float, dead_time_s: float) -> float:
    """The rate that a detector without dead time would see: R = R' / (1 - R' t_d).

    Raises LocalMisuse when the detector would have been dead all the time.
    """
    live = 1.0 - measured_rate_hz * dead_time_s
    if not 0.0 < live <= 1.0:
        raise LocalMisuse(
            f"{measured_rate_hz:g} counts per s with a dead time of {dead_time_s:g} s: no live time is left"
        )
    return measured_rate_hz / live
