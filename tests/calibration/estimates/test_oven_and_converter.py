"""Phase matching, its adaptive scan, and converters of known truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq

from bellwire.calibration.estimates.converter import Converter, converter, efficiency_curve
from bellwire.calibration.estimates.curves import SINC2_HALF, sinc2
from bellwire.calibration.estimates.likelihood import Floats, NoEstimate
from bellwire.calibration.estimates.oven import next_temperatures, oven_hold, phase_matching
from bellwire.calibration.records import Quantity
from tests.calibration.estimates.coverage import Counts, Draw, assert_draws_cover, failed


def _counts(
    chance: np.random.Generator, at: Floats, best: float, fwhm: float, top: float, floor: float
) -> Counts:
    counts: Counts = chance.poisson(top * sinc2((at - best) * 2.0 * SINC2_HALF / fwhm) + floor)
    return counts


def test_the_half_of_sinc_squared_is_where_we_say() -> None:
    assert pytest.approx(brentq(lambda x: (np.sin(x) / x) ** 2 - 0.5, 1.0, 2.0)) == SINC2_HALF


def test_the_best_temperature_is_covered_from_scans_that_begin_several_widths_off() -> None:
    """200 draws; scans reach to side lobes, off centre by up to 3 FWHM."""
    chance = np.random.default_rng(151)

    def draw() -> Draw:
        fwhm, best = chance.uniform(0.6, 2.8), chance.uniform(20.0, 60.0)
        at = best + chance.uniform(-3.0, 3.0) * fwhm + np.arange(-6.0, 6.01, 0.4) * fwhm
        counts = _counts(chance, at, best, fwhm, chance.uniform(300.0, 5000.0), chance.uniform(5.0, 200.0))
        found = phase_matching(at, counts, fwhm * chance.uniform(0.5, 2.0))
        return {"best": (found.temperature, best), "fwhm": (found.fwhm, fwhm)}

    assert_draws_cover(draw, 200)


def test_the_adaptive_scan_finds_the_maximum_in_a_wide_range() -> None:
    """30 random ovens in a range of 25 K, widths of 0.7 to 2 times the guess: all found to 0.03 K (1.5 sigma
    of the goal is exceeded by chance in 13 %; 5 sigma, 0.1 K, by none in 10^5)."""
    chance = np.random.default_rng(152)
    for _ in range(30):
        best, fwhm = chance.uniform(28.0, 47.0), chance.uniform(0.7, 2.0)
        at, counts, rounds = np.empty(0), np.empty(0), 0
        while ask := next_temperatures(at, counts, 25.0, 50.0, 1.0):
            rounds += 1
            assert rounds < 12
            assert list(ask) == sorted(ask)
            assert 25.0 <= ask[0] <= ask[-1] <= 50.0
            new = np.array(ask)
            at = np.concatenate((at, new))
            counts = np.concatenate((counts, _counts(chance, new, best, fwhm, 800.0, 20.0)))
        assert at.size < 160
        found = phase_matching(at, counts, 1.0)
        assert abs(found.temperature.value - best) < 0.1
        assert not failed(found.checks()) - {"reduced deviance"}


def test_an_oven_without_a_maximum_ends_the_scan() -> None:
    chance = np.random.default_rng(153)
    at, counts = np.empty(0), np.empty(0)

    def search() -> None:
        nonlocal at, counts
        while ask := next_temperatures(at, counts, 25.0, 35.0, 1.0):
            at = np.concatenate((at, ask))
            counts = np.concatenate((counts, chance.poisson(np.full(len(ask), 50.0))))

    with pytest.raises(NoEstimate, match="widen the range"):
        search()
    assert at.size < 200


def test_a_scan_that_misses_the_maximum_fails() -> None:
    at = np.arange(30.0, 33.0, 0.1)
    counts = _counts(np.random.default_rng(154), at, 33.4, 2.0, 5000.0, 20.0)
    assert "best temperature" in failed(phase_matching(at, counts, 2.0).checks())


def test_a_saturated_detector_fails_the_phase_matching_curve() -> None:
    at = np.arange(30.0, 40.0, 0.2)
    counts = _counts(np.random.default_rng(155), at, 35.0, 1.5, 5000.0, 20.0)
    assert not failed(phase_matching(at, counts, 1.5).checks())
    assert "reduced deviance" in failed(phase_matching(at, np.minimum(counts, 3000), 1.5).checks())


def test_an_oven_must_hold_for_ten_minutes() -> None:
    assert not failed(oven_hold([35.01, 34.98, 35.0], 35.0, 600.0).checks())
    assert failed(oven_hold([35.01, 34.92, 35.0], 35.0, 500.0).checks()) == {"oven error", "time watched"}


POWER = np.linspace(25.0, 450.0, 16)


def _sweep(
    chance: np.random.Generator,
    *,
    top: float = 0.46,
    power_max: float = 250.0,
    dark: float = 100.0,
    slope: float = 1.0,
    entering: float = 3e4,
    noise_left: float = 0.0,
    saturated: float = np.inf,
    link: float = 2000.0,
    seconds: float = 10.0,
) -> Converter:
    noise = dark + slope * POWER
    signal = entering * efficiency_curve(POWER, top, power_max)
    lit, unlit = (
        chance.poisson(seconds * (signal + noise)),
        chance.poisson(seconds * noise * (1.0 - noise_left)),
    )
    told = Quantity(entering * float(1.0 + chance.normal(0.0, 0.01)), 0.01 * entering)
    return converter(POWER, np.minimum(lit, saturated), unlit, seconds, told, link_signal_hz=link)


def test_all_of_a_converter_is_covered() -> None:
    """200 draws, the calibration of the input drawn as well."""
    chance = np.random.default_rng(156)

    def draw() -> Draw:
        top, power_max = chance.uniform(0.2, 0.6), chance.uniform(180.0, 600.0)
        dark, slope = chance.uniform(20.0, 300.0), chance.uniform(0.2, 4.0)
        entering = chance.uniform(5e3, 1e5)
        found = _sweep(chance, top=top, power_max=power_max, dark=dark, slope=slope, entering=entering)
        eta = float(efficiency_curve(np.array([found.power]), top, power_max)[0])
        noise = dark + slope * found.power
        return {
            "eta max": (found.efficiency_max, top),
            "P max": (found.power_max, power_max),
            "dark": (found.dark_rate, dark),
            "slope": (found.noise_slope, slope),
            "eta": (found.efficiency, eta),
            "noise": (found.noise_rate, noise),
            "snr": (found.snr, 2000.0 * eta / noise),
        }

    assert_draws_cover(draw, 200)


def test_the_published_device_is_found() -> None:
    """46 % at 250 mW, Strassmann et al. 2019, arXiv 1902.02728."""
    found = _sweep(np.random.default_rng(157), slope=0.05, dark=5.0)
    assert abs(found.efficiency_max.value - 0.46) < 4.0 * found.efficiency_max.sigma
    assert abs(found.power_max.value - 250.0) < 4.0 * found.power_max.sigma
    assert not failed(found.checks(snr_min=10.0))


def test_noise_moves_the_working_point_below_the_maximum() -> None:
    quiet = _sweep(np.random.default_rng(158), slope=0.001, dark=1.0)
    noisy = _sweep(np.random.default_rng(158), slope=0.3, dark=10.0)
    hopeless = _sweep(np.random.default_rng(158), slope=30.0, dark=10.0)
    assert quiet.power == pytest.approx(250.0, rel=0.03)
    assert hopeless.power < noisy.power < 0.95 * quiet.power
    assert "signal over noise" in failed(hopeless.checks(snr_min=5.0))


def test_planted_faults_of_a_converter_fail() -> None:
    """A saturated detector bends the curve; swapped columns leave no signal."""
    chance = np.random.default_rng(159)
    bent = failed(_sweep(chance, saturated=9e4).checks(snr_min=1.0))
    assert {"reduced deviance", "deviation from the efficiency curve"} <= bent
    with pytest.raises(NoEstimate, match="more light"):
        converter(POWER, np.full(16, 50), np.full(16, 5000), 1.0, Quantity(1e4, 10.0), link_signal_hz=100.0)


def test_noise_that_is_not_subtracted_bends_the_curve() -> None:
    weak = {"slope": 4.0, "dark": 300.0, "entering": 5e3, "link": 2e4}
    right = _sweep(np.random.default_rng(160), **weak)
    wrong = _sweep(np.random.default_rng(160), **weak, noise_left=0.95)
    assert not failed(right.checks(snr_min=2.0))
    assert "reduced deviance" in failed(wrong.checks(snr_min=2.0))
