"""When photons of a pulsed source arrive, on the clock of its pulses: arms and cables told by arrival times.

Owns the phase of one detector's clicks within the period, and what the phases of several detectors say
together. The tagger and the pulses must share a clock. Refuses delays beyond half a period.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bellwire.calibration.estimates.counting import weighted_sum
from bellwire.calibration.estimates.likelihood import NoEstimate
from bellwire.calibration.estimates.peak import Peak, fit_peak
from bellwire.calibration.records import Quantity
from bellwire.core.errors import LocalMisuse

COARSE_BINS = 128
BIN_PS = 10
REACH_PS = 1000
CLICKS_MIN = 200


@dataclass(frozen=True, slots=True)
class PulsePhase:
    """`phase`: of the arrival, in ps from 0 to the period, by a clock that begins with the tagger's.

    `peak`: around it.
    """

    phase: Quantity
    peak: Peak
    period_ps: int


def pulse_phase(times_ps: NDArray[np.int64], period_ps: int) -> PulsePhase:
    """Of the clicks of one detector (n,). Raises NoEstimate when they do not come with the pulses."""
    if times_ps.size < CLICKS_MIN:
        raise NoEstimate(
            f"{times_ps.size} clicks are too few, {CLICKS_MIN} are needed: count longer, or more light"
        )
    folded = np.mod(times_ps, period_ps)
    coarse = np.bincount(folded * COARSE_BINS // period_ps, minlength=COARSE_BINS)
    around = coarse + np.roll(coarse, 1) + np.roll(coarse, -1)
    middle = round((int(np.argmax(around)) + 0.5) * period_ps / COARSE_BINS)
    reach = min(REACH_PS, period_ps // 2 // BIN_PS * BIN_PS)
    edges = np.arange(-reach, reach + BIN_PS, BIN_PS)
    beside = np.mod(folded - middle + period_ps // 2, period_ps) - period_ps // 2
    peak = fit_peak(edges, np.histogram(beside, edges)[0])
    # A click of the whole ps t came in [t, t + 1).
    at = (middle + peak.centre.value) % period_ps
    return PulsePhase(Quantity(at, peak.centre.sigma, "ps"), peak, period_ps)


def later(second: PulsePhase, first: PulsePhase) -> Quantity:
    """How much later the second is, -period/2..period/2."""
    if first.period_ps != second.period_ps:
        raise LocalMisuse(f"phases of periods {first.period_ps} ps and {second.period_ps} ps")
    period = float(first.period_ps)
    found = weighted_sum([(1.0, second.phase), (-1.0, first.phase)], unit="ps")
    turned = (found.value + period / 2.0) % period - period / 2.0
    return Quantity(turned, found.sigma, "ps")


def common(each: Sequence[Quantity]) -> Quantity:
    """The weighted mean of one delay as several detectors see it."""
    weights = [1.0 / one.sigma**2 for one in each]
    whole = sum(weights)
    return weighted_sum([(w / whole, one) for w, one in zip(weights, each, strict=True)], unit="ps")
