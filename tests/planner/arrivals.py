"""Arrivals of requests whose law is known, and how far forecasts of them are off.

Owns what the tests of the forecast and its figures have in common. Counts are those of hours.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bellwire.planner.predistribution_forecast import absolute_error, chosen, forecasts

DAY = 24
Counts = NDArray[np.float64]


def daily(chance: np.random.Generator, windows: int) -> Counts:
    """A pair that is wanted mostly at its own time of the day: mean 3 in an hour, between 0.3 and 5.7."""
    phase = chance.uniform(0.0, 2.0 * math.pi)
    hours = np.arange(windows)
    return chance.poisson(3.0 + 2.7 * np.sin(2.0 * math.pi * hours / DAY + phase)).astype(float)


def steady(chance: np.random.Generator, windows: int) -> Counts:
    """Poisson, mean 3."""
    return chance.poisson(3.0, size=windows).astype(float)


def wandering(chance: np.random.Generator, windows: int) -> Counts:
    """A mean that takes steps of 10: what was last is the best that can be said."""
    return np.abs(np.cumsum(chance.normal(0.0, 10.0, size=windows)) + 300.0).round()


KINDS: dict[str, Callable[[np.random.Generator, int], Counts]] = {
    "daily": daily,
    "steady": steady,
    "wandering": wandering,
}


def errors_of(kind: str, *, histories: int, windows: int) -> dict[str, float]:
    """Mean absolute error of one window ahead, over the second half of each history, of each forecast and of
    the choice among them."""
    total: dict[str, float] = {}
    for seed in range(histories):
        counts = KINDS[kind](np.random.default_rng([seed, len(kind)]), windows)
        every = {**forecasts(counts, DAY), "chosen": chosen(counts, DAY)}
        for name, forecast in every.items():
            total[name] = total.get(name, 0.0) + absolute_error(forecast, counts, windows // 2) / histories
    return total
