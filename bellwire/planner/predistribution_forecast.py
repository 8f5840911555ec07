"""What will be wanted in the next window, from how often each pair of nodes was wanted in earlier ones.

Owns three forecasts of a count (last window, exponential smoothing, smoothing with a season) and the choice
among them by their own errors in the past. Refuses history itself: counts come in as arrays.

All forecasts look one window ahead and see nothing but earlier windows. Exponential smoothing is the mean
with weights (1 - a)^age; with a season it is that of the counts over that of the mean profile of a cycle,
times the profile of the window to come (multiplicative, as counts are).
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import NodeId

Floats = NDArray[np.float64]

SMOOTHING: Final = 0.2
"""Weight of the newest window: the memory is about nine windows long."""

PATIENCE: Final = 8
"""Windows of errors that a forecast must have before it may be preferred to the last window."""


def last_window(counts: Floats) -> Floats:
    """For each window the count of the one before. counts: (n,); result: (n + 1,), the last is the future."""
    return np.concatenate(([np.nan], counts))


def smoothed(counts: Floats, weight: float = SMOOTHING) -> Floats:
    """For each window the exponentially smoothed mean of all before it; the mean begins unbiased."""
    found = np.full(len(counts) + 1, np.nan)
    total = weights = 0.0
    for index, count in enumerate(counts):
        total = (1.0 - weight) * total + weight * float(count)
        weights = (1.0 - weight) * weights + weight
        found[index + 1] = total / weights
    return found


def seasonal(counts: Floats, period: int, weight: float = SMOOTHING) -> Floats:
    """The same with the mean profile of earlier cycles; unknown before one cycle is over.

    period: windows in a cycle, 2 or more. Half a count is added to every place of the profile, so that a
    place that was empty once is not empty for ever.
    """
    if period < 2:
        raise LocalMisuse(f"a cycle has 2 windows or more, not {period}")
    found = np.full(len(counts) + 1, np.nan)
    for now in range(period, len(counts) + 1):
        past = counts[:now]
        whole = past[now % period :]  # whole cycles, the newest ones
        places = (np.arange(len(past))[now % period :]) % period
        sums = np.bincount(places, weights=whole, minlength=period) + 0.5
        profile = sums / sums.mean()
        # Smoothed counts over the smoothed profile: a count in a quiet place says little of the level.
        level = smoothed(past, weight)[-1] / smoothed(profile[np.arange(now) % period], weight)[-1]
        found[now] = level * profile[now % period]
    return found


def absolute_error(forecast: Floats, counts: Floats, since: int = 0) -> float:
    """Mean absolute error over the windows from `since` on in which there was a forecast; inf for none."""
    errors = np.abs(forecast[since : len(counts)] - counts[since:])
    known = errors[np.isfinite(errors)]
    return float(known.mean()) if len(known) else float("inf")


def forecasts(counts: Floats, period: int | None) -> dict[str, Floats]:
    """Every forecast by name, each (n + 1,). period: windows in a cycle, None: no season is looked for."""
    found = {"last": last_window(counts), "smoothed": smoothed(counts)}
    if period is not None:
        found["seasonal"] = seasonal(counts, period)
    return found


def chosen(counts: Floats, period: int | None) -> Floats:
    """For each window the forecast that had the least mean absolute error before it; the last window until
    the others have shown PATIENCE windows."""
    every = forecasts(counts, period)
    found = every["last"].copy()
    for now in range(PATIENCE + 1, len(counts) + 1):
        past = counts[:now]
        errors = {name: absolute_error(each[: now + 1], past) for name, each in every.items()}
        known = [name for name, each in every.items() if np.isfinite(each[:now]).sum() >= PATIENCE]
        found[now] = every[min(known, key=lambda name: errors[name])][now]
    return found


def next_demand(
    history: Mapping[tuple[NodeId, NodeId], Floats],
    period: int | None = None,
    forecast: Callable[[Floats, int | None], Floats] = chosen,
) -> dict[tuple[NodeId, NodeId], float]:
    """Requests of each pair in the next window, those that none is expected of left out."""
    expected = {ends: float(forecast(counts, period)[-1]) for ends, counts in history.items() if len(counts)}
    return {ends: count for ends, count in expected.items() if count > 0.0}
