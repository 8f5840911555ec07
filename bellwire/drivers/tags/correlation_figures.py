"""Figures of correlation with errors: g2 unheralded and heralded, and the coincidence-to-accidental ratio.

Owns the estimators. A sigma is one standard deviation by the delta method from Poisson counts that do not
overlap; zero counts are given the error of one. Raises LocalMisuse where a denominator is zero: measure
longer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.tags.corrections import Estimate, accidentals_off_peak
from bellwire.drivers.tags.histograms import DelayHistogram

if TYPE_CHECKING:
    from numpy.typing import NDArray


def g2_by_delay(histogram: DelayHistogram) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """g2 in each bin, and its sigma: counts over S_a S_b w / T, the counts of unrelated light.

    For light that is stationary over the live time; shapes (bins.count,).
    """
    expected = histogram.starts * histogram.stops * histogram.bins.width_ps
    if expected == 0:
        raise LocalMisuse(f"g2 of {histogram.starts} starts and {histogram.stops} stops: measure longer")
    scale = histogram.live_ps / expected
    from_singles = 1.0 / histogram.starts + 1.0 / histogram.stops
    counts = histogram.counts.astype(np.float64)
    value = counts * scale
    sigma = np.hypot(np.sqrt(np.maximum(counts, 1.0)) * scale, value * math.sqrt(from_singles))
    return value, sigma


def g2_of_pulses(centre: int, side_peaks: Sequence[int]) -> Estimate:
    """g2(0) of pulsed light, unheralded: pairs in the central peak over the mean of side peaks of the same
    width.
    """
    total, number = sum(side_peaks), len(side_peaks)
    if total == 0:
        raise LocalMisuse(f"g2 against {number} side peaks without a count: measure longer")
    value = centre * number / total
    return Estimate(value, number / total * math.sqrt(max(centre, 1) + centre**2 / total))


def heralded_g2(heralds: int, with_second: int, with_third: int, threefold: int) -> Estimate:
    """g2_h(0) = N123 N1 / (N12 N13), all of one window and one live time.

    heralds: N1, singles of the first channel. with_second, with_third: N12, N13, coincidences of the
    patterns (1, 2) and (1, 3). threefold: N123, those of (1, 2, 3), which are contained in the others: the
    four kinds of herald (both, one or the other, none) are the Poisson counts of the error.
    """
    if not 0 <= threefold <= min(with_second, with_third) or heralds < with_second + with_third - threefold:
        raise LocalMisuse(
            f"{heralds} heralds cannot have {with_second} and {with_third} partners and {threefold} both:"
            " count coincidences (not combinations) of patterns that begin with the herald"
        )
    if with_second * with_third == 0:
        raise LocalMisuse(f"heralded g2 of {with_second} and {with_third} coincidences: measure longer")
    per_threefold = heralds / (with_second * with_third)
    value = threefold * per_threefold
    by_herald, by_second, by_third = value / heralds, value / with_second, value / with_third
    gradient = (
        (per_threefold + by_herald - by_second - by_third, max(threefold, 1)),
        (by_herald - by_second, with_second - threefold),
        (by_herald - by_third, with_third - threefold),
        (by_herald, heralds - with_second - with_third + threefold),
    )
    return Estimate(value, math.sqrt(sum(slope**2 * count for slope, count in gradient)))


def coincidence_to_accidental_ratio(coincidences: int, accidentals: Estimate | Sequence[int]) -> Estimate:
    """CAR = (C - A) / A, the convention of this house; C / A, which also occurs, is greater by one.

    accidentals: counts of off-peak windows of the same width, or A with its error.
    """
    if not isinstance(accidentals, Estimate):
        accidentals = accidentals_off_peak(accidentals)
    if accidentals.value <= 0.0:
        raise LocalMisuse(f"CAR with {accidentals.value} accidentals: take more off-peak windows")
    ratio = coincidences / accidentals.value
    from_coincidences = math.sqrt(max(coincidences, 1)) / accidentals.value
    return Estimate(ratio - 1.0, math.hypot(from_coincidences, ratio * accidentals.sigma / accidentals.value))
