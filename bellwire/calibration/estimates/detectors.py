"""What a detector counts by itself and how well it counts light: darks, dead time, afterpulses, jitter, eta.

Owns procedure 7 except the bias sweep (plateau.py). Refuses tags: histograms come in.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from bellwire.calibration.estimates.counting import live_rate, poisson_rate
from bellwire.calibration.estimates.curves import Curve, bin_edges, counted, rising_edge_bins
from bellwire.calibration.estimates.likelihood import Floats, Goodness, NoEstimate, PoissonCounts, fit
from bellwire.calibration.estimates.peak import Peak, fit_peak
from bellwire.calibration.records import Check, Quantity
from bellwire.core.errors import LocalMisuse

PHOTON_ENERGY_J_NM: Final = 6.62607015e-34 * 299_792_458.0 * 1e9
"""h c, in J x nm: energy of a photon is this over its wavelength."""
_LOG_SHARPEST: Final = math.log(0.2)
"""Smear of an edge, in bins, below which it is not fitted."""


@dataclass(frozen=True, slots=True)
class DarkRate:
    """Counts without light. `rate` in 1/s."""

    rate: Quantity

    def checks(self, data_sheet_hz: float) -> tuple[Check, ...]:
        """Within twice the rate of the data sheet (procedure 7)."""
        return (Check("dark rate", self.rate.value, None, 2.0 * data_sheet_hz, "1/s"),)


def dark_rate(counts: int, duration_s: float) -> DarkRate:
    """Rate behind `counts` in `duration_s`, with the exact Poisson interval."""
    return DarkRate(poisson_rate(counts, duration_s))


@dataclass(frozen=True, slots=True)
class DeadTime:
    """`dead_time`: half height of the edge after the notch. `edge_sigma`: its smear. Unit of the edges."""

    dead_time: Quantity
    edge_sigma: Quantity
    notch_filling: Quantity
    goodness: Goodness
    curve: Curve

    def checks(self, stored: float) -> tuple[Check, ...]:
        """Within 10 % of the stored value, and a notch that is empty (procedure 7)."""
        return (
            Check("dead time over stored value", self.dead_time.value / stored, 0.9, 1.1),
            Check("counts in the notch over the level", self.notch_filling.value, None, 0.1),
        )


def dead_time(edges: object, counts: object, *, unit: str = "ns") -> DeadTime:
    """From the autocorrelation of one detector's clicks: empty up to the dead time, flat behind it.

    `edges` (n + 1,) from 0 or more, `counts` (n,) of all pairs of clicks at such a delay. Illuminate so
    weakly that few clicks come per histogram length: then the level is flat and the counts are independent.
    Keep the range to a few dead times, so that afterpulses, too, leave the level flat.

    Raises NoEstimate without a notch.
    """
    measured = counted(counts, "counts", minimum=8)
    at = bin_edges(edges, measured)
    level = float(np.mean(measured[-(measured.size // 4) :]))
    if level < 5.0:
        raise NoEstimate(
            f"{level:.1f} counts per bin behind the notch are too few, 5 are needed: count longer"
        )
    smooth = np.convolve(np.pad(measured, 1, mode="edge"), np.ones(3) / 3.0, mode="valid")
    below = np.flatnonzero(smooth < level / 2.0)
    if below.size == 0 or below[-1] + 1 >= measured.size * 0.9:
        raise NoEstimate("the histogram has no notch that ends inside it: choose a range of a few dead times")
    width = float(np.mean(np.diff(at)))
    bins = (at - at[0]) / width

    def model(values: Floats, log_smear: float | None = None) -> Floats:
        """Place of the edge, logarithms of level and filling, and of the smear if it is not given."""
        smear = math.exp(min(max(values[3] if log_smear is None else log_smear, -15.0), 20.0))
        filling = np.exp(np.clip(values[2], -50.0, 20.0))
        edge = filling + (1.0 - filling) * rising_edge_bins(bins, values[0], smear)
        return np.asarray(np.exp(values[1]) * edge)

    crossing = float(below[-1] + 1)
    inside = max(float(np.mean(measured[: max(int(crossing) - 1, 1)])), 0.05) / level
    start = [crossing, math.log(level), math.log(min(inside, 0.5))]
    noise = PoissonCounts(measured)
    found = None
    with contextlib.suppress(NoEstimate):
        found = fit(noise, model, [*start, -0.5], [*start, 1.0])
    if found is None or found.values[3] < _LOG_SHARPEST:
        # An edge much sharper than a bin leaves no trace of how sharp it is.
        found = fit(noise, lambda values: model(values, _LOG_SHARPEST), start)
        smear, smear_sigma = math.exp(_LOG_SHARPEST), math.exp(_LOG_SHARPEST)
    else:
        smear = math.exp(found.values[3])
        smear_sigma = smear * found.sigma(3)
    edge, filling = found.values[0], math.exp(found.values[2])
    low, high = found.profile(0)
    return DeadTime(
        Quantity(
            float(at[0] + width * edge),
            width * found.sigma(0),
            unit,
            float(at[0] + width * low),
            float(at[0] + width * high),
        ),
        Quantity(width * smear, width * smear_sigma, unit),
        Quantity(filling, filling * found.sigma(2)),
        found.goodness,
        Curve(
            middles := (at[:-1] + at[1:]) / 2.0,
            measured,
            np.sqrt(np.maximum(measured, 1.0)),
            middles,
            found.expected,
            f"delay ({unit})",
            "pairs of clicks per bin",
        ),
    )


@dataclass(frozen=True, slots=True)
class Afterpulsing:
    """`probability`: further clicks that a click causes inside the near range."""

    probability: Quantity

    def checks(self, probability_max: float) -> tuple[Check, ...]:
        """Below the limit of the data sheet."""
        return (Check("afterpulse probability", self.probability.value, None, probability_max),)


def afterpulsing(
    near_counts: int, near_length: float, far_counts: int, far_length: float, clicks: int
) -> Afterpulsing:
    """Excess of the autocorrelation just behind the notch over its far level.

    `near_counts`, `far_counts`: pairs of clicks in the two ranges of delays, of lengths in any one unit.
    `clicks`: that started them. No shape of the tail is assumed.
    """
    if not (near_length > 0.0 and far_length > 0.0 and clicks > 0):
        raise LocalMisuse("afterpulsing needs two ranges of some length and at least one click")
    ratio = near_length / far_length
    excess = near_counts - ratio * far_counts
    sigma = math.sqrt(max(near_counts, 1) + ratio**2 * max(far_counts, 1))
    return Afterpulsing(Quantity(excess / clicks, sigma / clicks))


@dataclass(frozen=True, slots=True)
class Jitter:
    """`fwhm`: of the detector alone, pulse removed in quadrature; `peak`: as measured."""

    fwhm: Quantity
    peak: Peak

    def checks(self, fwhm_max: float) -> tuple[Check, ...]:
        """Not above the data sheet, and a Gaussian peak."""
        return (
            Check("jitter FWHM", self.fwhm.value, None, fwhm_max, self.fwhm.unit),
            self.peak.goodness.check(0.5, 1.5),
        )


def jitter(edges: object, counts: object, *, pulse_fwhm: float = 0.0, unit: str = "ps") -> Jitter:
    """From the histogram of clicks against a pulsed laser. `pulse_fwhm`: known width of pulse and trigger.

    Raises NoEstimate when the peak is not wider than the pulse.
    """
    return jitter_of(fit_peak(edges, counts, unit=unit), pulse_fwhm)


def jitter_of(peak: Peak, pulse_fwhm: float = 0.0) -> Jitter:
    """The same, of a peak that was fitted. Raises NoEstimate."""
    unit = peak.fwhm.unit

    def without_pulse(fwhm: float) -> float:
        return math.sqrt(max(fwhm**2 - pulse_fwhm**2, 0.0))

    alone = without_pulse(peak.fwhm.value)
    if alone == 0.0:
        raise NoEstimate(
            f"a peak of {peak.fwhm.value:.3g} {unit} is not wider than the pulse of {pulse_fwhm:g} {unit}: "
            "use a shorter pulse"
        )
    low, high = peak.fwhm.interval
    sigma = peak.fwhm.sigma * peak.fwhm.value / alone
    return Jitter(Quantity(alone, sigma, unit, without_pulse(low), without_pulse(high)), peak)


@dataclass(frozen=True, slots=True)
class Efficiency:
    """`efficiency`: of the detector with everything behind the calibrated plane, 0..1."""

    efficiency: Quantity
    photon_rate: Quantity

    def checks(self, efficiency_min: float, *, saturation_max: float = 1.0) -> tuple[Check, ...]:
        """At least what the data sheet says, and not above what is possible."""
        return (Check("detection efficiency", self.efficiency.value, efficiency_min, saturation_max),)


def efficiency(
    counts: int,
    duration_s: float,
    dark: Quantity,
    dead_time_s: float,
    power_w: Quantity,
    attenuation: Quantity,
    wavelength_nm: float,
) -> Efficiency:
    """eta = R / (P T_att / h nu), R without darks and dead time.

    `dark`: rate in 1/s. `power_w` before the attenuators, `attenuation` their power transmission 0..1; their
    uncertainties are those of the calibration and enter in full.
    """
    measured = counts / duration_s
    rate = live_rate(measured, dead_time_s)
    steepness = (rate / measured) ** 2 if counts else 1.0  # d R / d R' of the dead-time correction
    light = rate - dark.value
    light_sigma = math.hypot(steepness * math.sqrt(max(counts, 1)) / duration_s, dark.sigma)
    photons = power_w.value * attenuation.value * wavelength_nm / PHOTON_ENERGY_J_NM
    if not photons > 0.0:
        raise LocalMisuse(f"a power of {power_w.value:g} W behind {attenuation.value:g} holds no photon")
    relative = math.hypot(power_w.sigma / power_w.value, attenuation.sigma / attenuation.value)
    value = light / photons
    return Efficiency(
        Quantity(value, math.hypot(light_sigma / photons, value * relative)),
        Quantity(photons, photons * relative, "1/s"),
    )
