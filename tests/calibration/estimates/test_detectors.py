"""Dark rate, dead time, afterpulses, jitter and efficiency from counts of known truth.

Coverage: 200 random truths per estimator, false alarms as in coverage.py; seeds fixed.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from bellwire.calibration.estimates.counting import poisson_rate
from bellwire.calibration.estimates.curves import FWHM_PER_SIGMA, gaussian_bins, rising_edge_bins
from bellwire.calibration.estimates.detectors import (
    PHOTON_ENERGY_J_NM,
    afterpulsing,
    dark_rate,
    dead_time,
    efficiency,
    jitter,
)
from bellwire.calibration.estimates.likelihood import NoEstimate
from bellwire.calibration.records import Quantity
from tests.calibration.estimates.coverage import Counts, Draw, assert_draws_cover, failed

NOTCH = np.arange(0.0, 200.0, 2.0)


def test_darks_are_judged_against_twice_the_data_sheet() -> None:
    found = dark_rate(1500, 30.0)
    assert found.rate.value == 50.0
    assert found.rate.sigma == pytest.approx(math.sqrt(1500) / 30.0)
    assert not failed(found.checks(30.0))
    assert failed(found.checks(20.0)) == {"dark rate"}


def test_an_edge_averaged_over_bins_is_that_of_a_quadrature() -> None:
    fine = np.linspace(0.0, 10.0, 100_001)
    step = (1.0 + np.array([math.erf((t - 4.3) / (0.7 * math.sqrt(2.0))) for t in fine])) / 2.0
    averages = [step[(fine >= k) & (fine <= k + 1)].mean() for k in range(10)]
    assert rising_edge_bins(np.arange(11.0), 4.3, 0.7) == pytest.approx(averages, abs=1e-4)


def _notch(chance: np.random.Generator, at: float, smear: float, level: float) -> Counts:
    counts: Counts = chance.poisson(level * (0.01 + 0.99 * rising_edge_bins(NOTCH, at, smear)))
    return counts


def test_dead_times_are_covered_also_where_the_edge_is_sharper_than_a_bin() -> None:
    chance = np.random.default_rng(111)

    def draw() -> Draw:
        at = chance.uniform(20.0, 100.0)
        counts = _notch(chance, at, chance.uniform(0.05, 4.0), chance.uniform(20.0, 400.0))
        return {"dead time": (dead_time(NOTCH, counts).dead_time, at)}

    assert_draws_cover(draw, 200)


def test_a_stored_dead_time_that_is_off_by_two_fails() -> None:
    found = dead_time(NOTCH, _notch(np.random.default_rng(112), 50.0, 1.0, 300.0))
    assert not failed(found.checks(50.0))
    assert failed(found.checks(100.0)) == failed(found.checks(25.0)) == {"dead time over stored value"}


def test_a_notch_full_of_clicks_of_another_detector_fails() -> None:
    """Swapped channels: the correlation of two detectors has no dead time, or a shallow one of crosstalk."""
    chance = np.random.default_rng(113)
    with pytest.raises(NoEstimate, match="no notch"):
        dead_time(NOTCH, chance.poisson(np.full(99, 300.0)))
    shallow = chance.poisson(300.0 * (0.3 + 0.7 * rising_edge_bins(NOTCH, 50.0, 1.0)))
    assert "counts in the notch over the level" in failed(dead_time(NOTCH, shallow).checks(50.0))


def test_afterpulses_are_the_excess_behind_the_notch() -> None:
    chance = np.random.default_rng(114)

    def draw() -> Draw:
        probability, clicks, level = chance.uniform(0.0, 0.05), 100_000, chance.uniform(50.0, 2000.0)
        near = int(chance.poisson(level + probability * clicks))
        return {
            "p": (
                afterpulsing(near, 1.0, int(chance.poisson(5.0 * level)), 5.0, clicks).probability,
                probability,
            )
        }

    assert_draws_cover(draw, 400)
    assert failed(afterpulsing(7000, 1.0, 10_000, 5.0, 100_000).checks(0.01)) == {"afterpulse probability"}


def test_jitter_is_covered_with_the_pulse_taken_off() -> None:
    chance = np.random.default_rng(115)
    edges = np.arange(-600.0, 601.0, 20.0)

    def draw() -> Draw:
        alone, pulse = chance.uniform(50.0, 200.0), chance.uniform(10.0, 60.0)
        centre = chance.uniform(-100.0, 100.0)
        sigma = math.hypot(alone, pulse) / FWHM_PER_SIGMA
        mean = chance.uniform(500.0, 5000.0) * gaussian_bins(edges, centre, sigma) + chance.uniform(0.5, 30.0)
        found = jitter(edges, chance.poisson(mean), pulse_fwhm=pulse)
        return {"fwhm": (found.fwhm, alone), "centre": (found.peak.centre, centre)}

    assert_draws_cover(draw, 200)


def test_a_peak_that_the_pulse_explains_alone_is_refused() -> None:
    edges = np.arange(-600.0, 601.0, 20.0)
    counts = np.random.default_rng(116).poisson(2000.0 * gaussian_bins(edges, 0.0, 40.0) + 1.0)
    with pytest.raises(NoEstimate, match="not wider than the pulse"):
        jitter(edges, counts, pulse_fwhm=120.0)


def test_a_saturated_detector_has_no_gaussian_peak() -> None:
    """A counter that stops at 200 per bin cuts the top off."""
    edges = np.arange(-600.0, 601.0, 20.0)
    mean = 5000.0 * gaussian_bins(edges, 0.0, 60.0) + 5.0
    counts = np.random.default_rng(117).poisson(mean)
    assert not failed(jitter(edges, counts).checks(200.0))
    assert "reduced deviance" in failed(jitter(edges, np.minimum(counts, 200)).checks(200.0))


def _eta(chance: np.random.Generator, eta: float, dark: Quantity, dead_s: float, photons: float) -> Quantity:
    power = photons * PHOTON_ENERGY_J_NM / 1550.0
    rate = eta * photons + 100.0
    counts = int(chance.poisson(10.0 * rate / (1.0 + rate * 50e-9)))
    seen = Quantity(1e6 * power * (1.0 + chance.normal(0.0, 0.005)), 5e3 * power)
    through = Quantity(1e-6 * (1.0 + chance.normal(0.0, 0.005)), 5e-9)
    return efficiency(counts, 10.0, dark, dead_s, seen, through, 1550.0).efficiency


def test_efficiency_is_covered_and_wrong_darks_or_dead_times_show() -> None:
    """A true efficiency, then darks left in and a dead time twice too long: never within 3 sigma."""
    chance = np.random.default_rng(118)

    def draw() -> Draw:
        eta = chance.uniform(0.1, 0.9)
        dark = poisson_rate(int(chance.poisson(6000)), 60.0)
        return {"eta": (_eta(chance, eta, dark, 50e-9, 10.0 ** chance.uniform(4.0, 6.5)), eta)}

    assert_draws_cover(draw, 400)
    left_in = _eta(chance, 0.2, Quantity(0.0, 0.0), 50e-9, 1e3)
    assert left_in.value - 0.2 > 3.0 * left_in.sigma
    too_long = _eta(chance, 0.5, Quantity(100.0, 1.0), 100e-9, 5e6)
    assert too_long.value - 0.5 > 3.0 * too_long.sigma


def test_dead_time_magnifies_the_error_of_the_counts() -> None:
    """R = R'/(1 - R' t_d): dR/dR' = (R/R')^2, 4 where half of the time is dead; exact calibration."""
    exact = (Quantity(1e-6, 0.0), Quantity(1e-4, 0.0), 1550.0)
    found = efficiency(1_000_000, 0.1, Quantity(0.0, 0.0), 50e-9, *exact).efficiency
    assert found.sigma / found.value == pytest.approx(2.0 / 1000.0, rel=1e-6)


def test_an_efficiency_above_one_fails() -> None:
    dark = Quantity(0.0, 0.0)
    found = efficiency(20_000, 1.0, dark, 0.0, Quantity(1e-9, 1e-12), Quantity(1e-6, 1e-9), 1550.0)
    assert found.photon_rate.value == pytest.approx(7803.0, rel=1e-3)
    assert failed(found.checks(0.5)) == {"detection efficiency"}
