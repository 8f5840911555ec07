"""Figures of a list of numbers: mean, standard error, percentiles.

Owns the three formulas. Refuses to round: tables do.
"""

from collections.abc import Sequence
from math import sqrt


def mean(values: Sequence[float]) -> float | None:
    """The mean; None without values."""
    return sum(values) / len(values) if values else None


def standard_error(values: Sequence[float]) -> float | None:
    """Standard deviation of the sample over the root of its size; None for fewer than two values."""
    size = len(values)
    if size < 2:
        return None
    centre = sum(values) / size
    return sqrt(sum((value - centre) ** 2 for value in values) / (size - 1) / size)


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Linear interpolation between order statistics, `percent` in 0..100; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    place = percent / 100 * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
