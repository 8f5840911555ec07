"""A Gaussian peak on a flat background in a histogram: where it is, how wide, how much stands on it.

Shared by jitter, delays and the coincidence window, whose peak is one of many unlike detectors together and
therefore more pointed. Refuses histograms without a significant peak.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bellwire.calibration.estimates.curves import (
    FWHM_PER_SIGMA,
    Curve,
    bin_edges,
    counted,
    gaussian_bins,
    peaked_bins,
)
from bellwire.calibration.estimates.likelihood import Fit, Floats, Goodness, NoEstimate, PoissonCounts, fit
from bellwire.calibration.records import Quantity

MINIMUM_BINS = 8
SIGNIFICANCE_MIN = 6.0
"""Peak over its background in standard deviations; the limit of procedure 1, step 3."""
KURTOSIS_MAX = 4.0
"""Above it the peak of `peaked_bins` would be negative somewhere."""


@dataclass(frozen=True, slots=True)
class Peak:
    """`centre`, `sigma` (rms), `fwhm`: in the unit of the edges. `counts`: in the peak; `background`: per
    bin. `kurtosis`: beyond that of a Gaussian."""

    centre: Quantity
    sigma: Quantity
    fwhm: Quantity
    counts: Quantity
    background: Quantity
    goodness: Goodness
    curve: Curve
    kurtosis: float = 0.0


def fit_peak(edges: object, counts: object, *, unit: str = "ps", mixed: bool = False) -> Peak:
    """Fit one peak. `edges` (n + 1,) evenly spaced, `counts` (n,), at least 8 bins. `mixed`: of Gaussians of
    unlike widths with one centre, which no peak flatter than a Gaussian is; the width found is then the rms
    of all, and `fwhm` of a Gaussian with it.

    Raises NoEstimate when nothing stands out by 6 standard deviations.
    """
    measured = counted(counts, "counts", minimum=MINIMUM_BINS)
    at = bin_edges(edges, measured)
    width = float(np.mean(np.diff(at)))
    middle = float(at[0] + at[-1]) / 2.0
    bins = (at - middle) / width
    start = np.append(_start(measured), [0.0] if mixed else [])

    def model(values: Floats) -> Floats:
        centre, log_sigma, log_counts, log_background = values[:4]
        spread = float(np.exp(min(log_sigma, 50.0)))
        if mixed:
            share = peaked_bins(bins, centre, spread, float(values[4]))
        else:
            share = gaussian_bins(bins, centre, spread)
        return np.asarray(np.exp(log_counts) * share + np.exp(log_background))

    found = fit(PoissonCounts(measured), model, start)
    centre, log_sigma, log_counts, log_background = (float(value) for value in found.values[:4])
    kurtosis = float(found.values[4]) if mixed else 0.0
    if mixed and not 0.0 <= kurtosis <= KURTOSIS_MAX:
        return fit_peak(edges, counts, unit=unit)
    spread = math.exp(log_sigma)
    if not (bins[0] <= centre <= bins[-1] and spread < bins.size):
        raise NoEstimate("the peak lies outside the histogram or is wider than it: widen the range")
    return Peak(
        Quantity(middle + width * centre, width * found.sigma(0), unit),
        _log_quantity(found, 1, width, unit),
        _log_quantity(found, 1, width * FWHM_PER_SIGMA, unit),
        _log_quantity(found, 2, 1.0, ""),
        _log_quantity(found, 3, 1.0, ""),
        found.goodness,
        Curve(
            (at[:-1] + at[1:]) / 2.0,
            measured,
            np.sqrt(np.maximum(measured, 1.0)),
            fine := np.linspace(at[0], at[-1], 8 * measured.size + 1),
            math.exp(log_counts) / spread * _density(((fine - middle) / width - centre) / spread, kurtosis)
            + math.exp(log_background),
            f"delay ({unit})",
            "counts per bin",
        ),
        kurtosis,
    )


def _density(z: Floats, kurtosis: float) -> Floats:
    gaussian = np.exp(-0.5 * z**2) / math.sqrt(2.0 * math.pi)
    return np.asarray(gaussian * (1.0 + kurtosis / 24.0 * (z**4 - 6.0 * z**2 + 3.0)))


def _log_quantity(found: Fit, index: int, scale: float, unit: str) -> Quantity:
    value, sigma = scale * math.exp(float(found.values[index])), found.sigma(index)
    reach = math.exp(min(1.959963984540054 * sigma, 500.0))
    return Quantity(value, value * sigma, unit, value / reach, value * reach)


def _start(measured: Floats) -> Floats:
    """The window of a few widths whose excess over the rest is the most significant."""
    total, n = float(measured.sum()), measured.size
    level = float(np.median(measured))
    before = np.concatenate(([0.0], np.cumsum(measured)))
    best = (0.0, 0, 1)
    length = 1
    while length <= n // 2:
        inside = before[length:] - before[:-length]
        rest = (total - inside) / (n - length)
        noise = np.sqrt(np.maximum(rest * length, 1.0))
        excess = (inside - rest * length) / noise
        index = int(np.argmax(excess))
        if excess[index] > best[0]:
            best = (float(excess[index]), index, length)
        length = max(length + 1, int(length * 1.4))
    significance, first, length = best
    if significance < SIGNIFICANCE_MIN:
        raise NoEstimate(
            f"the highest peak stands out by {significance:.1f} sigma, {SIGNIFICANCE_MIN:g} are "
            "needed: count longer, or check the channels"
        )
    part = slice(first, first + length)
    excess_counts = np.maximum(measured[part] - level, 0.0)
    positions = np.arange(first, first + length) + 0.5 - n / 2.0
    weight = max(float(excess_counts.sum()), 1.0)
    centre = float((excess_counts * positions).sum()) / weight
    variance = float((excess_counts * (positions - centre) ** 2).sum()) / weight
    return np.array(
        [centre, math.log(max(math.sqrt(variance), 0.4)), math.log(weight), math.log(max(level, 0.1))]
    )
