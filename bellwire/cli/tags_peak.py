"""The peak of a delay histogram: a Gaussian over a flat background, fitted as Poisson counts.

Owns the fit and the question whether there is a peak at all. Refuses peaks that noise makes once in a
million histograms.
"""

from dataclasses import dataclass
from math import log, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FALSE_ALARM = 1e-6
PASSES = 4
"""Weighted fits, each with the variance of the one before: they end at the likeliest values."""
FWHM_PER_SIGMA = 2 * sqrt(2 * log(2))


@dataclass(frozen=True, slots=True)
class Peak:
    """`at_ps`, `sigma_ps` and `pairs` with standard deviations; `background`: counts per bin.

    `fitted`: the curve, shape (n,).
    """

    at_ps: float
    at_sigma_ps: float
    sigma_ps: float
    sigma_sigma_ps: float
    pairs: float
    pairs_sigma: float
    background: float
    fitted: "NDArray[np.float64]"

    @property
    def fwhm_ps(self) -> float:
        """Full width at half maximum."""
        return FWHM_PER_SIGMA * self.sigma_ps


def fit_peak(edges_ps: "NDArray[np.int64]", counts: "NDArray[np.int64]") -> Peak | None:
    """The highest peak; edges of shape (n + 1,) in whole ps, counts of shape (n,). None: there is none.

    A bin holds the whole delays from its lower edge to before its upper one, so that its true limits are
    half a ps below both. The highest bin must stand above the background (the median) by more than Poisson's
    law allows once in 1 / FALSE_ALARM histograms.
    """
    from scipy.optimize import curve_fit
    from scipy.special import ndtr
    from scipy.stats import poisson

    limits = edges_ps.astype(np.float64) - 0.5
    width_ps = float(limits[1] - limits[0])
    background = float(np.median(counts))
    highest = int(np.argmax(counts))
    # a median of 0 still allows a mean of up to log 2
    above = max(background, log(2)) if background == 0 else background
    if len(counts) < 8 or poisson.sf(counts[highest] - 1, above) * len(counts) > FALSE_ALARM:
        return None

    def model(_: Any, at: float, sigma: float, pairs: float, flat: float) -> "NDArray[np.float64]":
        found: NDArray[np.float64] = flat + pairs * np.diff(ndtr((limits - at) / sigma))
        return found

    half = background + (counts[highest] - background) / 2
    low, high = highest, highest
    while low > 0 and counts[low - 1] > half:
        low -= 1
    while high < len(counts) - 1 and counts[high + 1] > half:
        high += 1
    middle = (limits[low] + limits[high + 1]) / 2
    sigma = max((limits[high + 1] - limits[low]) / FWHM_PER_SIGMA, width_ps / 4)
    pairs = max(float((counts[low : high + 1] - background).sum()) / 0.76, 1.0)
    values = np.array([middle, sigma, pairs, max(background, 1e-3)])
    limit = ([limits[0], width_ps / 100, 0.0, 0.0], [limits[-1], limits[-1] - limits[0], np.inf, np.inf])
    covariance = np.full((4, 4), np.inf)
    for _ in range(PASSES):
        scatter = np.sqrt(np.maximum(model(None, *values), 0.5))
        values = np.clip(values, limit[0], limit[1])
        try:
            values, covariance = curve_fit(
                model, limits[:-1], counts, p0=values, sigma=scatter, absolute_sigma=True, bounds=limit
            )
        except RuntimeError:  # it found no end: what is there is no such peak
            return None
    errors = np.sqrt(np.diag(covariance))
    return Peak(
        at_ps=float(values[0]),
        at_sigma_ps=float(errors[0]),
        sigma_ps=float(values[1]),
        sigma_sigma_ps=float(errors[1]),
        pairs=float(values[2]),
        pairs_sigma=float(errors[2]),
        background=float(values[3]),
        fitted=model(None, *values),
    )
