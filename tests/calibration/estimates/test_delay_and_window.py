"""Delays and coincidence windows from histograms of known truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import erf

from bellwire.calibration.estimates.curves import gaussian_bins
from bellwire.calibration.estimates.delay import align, optical_checks, path_mm
from bellwire.calibration.estimates.likelihood import NoEstimate
from bellwire.calibration.estimates.peak import fit_peak
from bellwire.calibration.estimates.window import coincidence_window
from bellwire.calibration.records import Quantity
from bellwire.core.errors import LocalMisuse
from tests.calibration.estimates.coverage import Counts, Draw, assert_draws_cover, failed

EDGES = np.arange(-1000.0, 1001.0, 20.0)


def _histogram(
    chance: np.random.Generator, centre: float, sigma: float, pairs: float, floor: float
) -> Counts:
    counts: Counts = chance.poisson(pairs * gaussian_bins(EDGES, centre, sigma) + floor)
    return counts


def test_peaks_are_covered() -> None:
    """300 draws."""
    chance = np.random.default_rng(131)

    def draw() -> Draw:
        centre, sigma = chance.uniform(-400.0, 400.0), chance.uniform(25.0, 90.0)
        pairs, floor = chance.uniform(300.0, 5000.0), chance.uniform(0.5, 30.0)
        found = fit_peak(EDGES, _histogram(chance, centre, sigma, pairs, floor))
        return {
            "centre": (found.centre, centre),
            "sigma": (found.sigma, sigma),
            "counts": (found.counts, pairs),
            "background": (found.background, floor),
        }

    assert_draws_cover(draw, 300)


def test_a_centroid_is_known_to_the_jitter_over_the_root_of_the_counts() -> None:
    """procedures: 100 ps and 1000 pairs give 3 ps; finite bins and the background add a little."""
    found = fit_peak(EDGES, _histogram(np.random.default_rng(132), 0.0, 100.0, 1000.0, 0.05))
    assert found.centre.sigma == pytest.approx(100.0 / math.sqrt(1000.0), rel=0.1)


def test_corrections_are_covered_and_bring_the_peaks_together() -> None:
    """200 draws of three detectors."""
    chance = np.random.default_rng(133)

    def draw() -> Draw:
        places = dict(zip(("a", "b", "c"), chance.uniform(-300.0, 300.0, 3), strict=True))
        found = align({n: (EDGES, _histogram(chance, p, 60.0, 3000.0, 2.0)) for n, p in places.items()}, "a")
        return {name: (found.corrections[name], places["a"] - places[name]) for name in ("b", "c")}

    assert_draws_cover(draw, 200)


@pytest.mark.parametrize(("sign", "names"), [(1.0, set()), (-1.0, {"residual delay of b"})])
def test_a_correction_of_the_wrong_sign_fails_the_next_measurement(sign: float, names: set[str]) -> None:
    chance = np.random.default_rng(134)
    places = {"a": 40.0, "b": -110.0}
    first = align({n: (EDGES, _histogram(chance, p, 60.0, 9000.0, 2.0)) for n, p in places.items()}, "a")
    places["b"] += sign * first.corrections["b"].value
    second = align({n: (EDGES, _histogram(chance, p, 60.0, 9000.0, 2.0)) for n, p in places.items()}, "a")
    assert failed(second.checks()) == names


def test_paths_follow_the_speed_of_light() -> None:
    assert path_mm(Quantity(650.0, 1.0)).value == pytest.approx(194.865, rel=1e-5)
    fibre = path_mm(Quantity(1.0, 0.1), group_index=1.468)
    assert pytest.approx((0.2042, 0.02042), rel=1e-3) == (fibre.value, fibre.sigma)


def test_the_delay_line_keeps_away_from_its_ends() -> None:
    assert not failed(optical_checks(Quantity(2.0, 0.5), 50.0, 300.0, 0.0, 650.0))
    assert failed(optical_checks(Quantity(-8.0, 0.5), 50.0, 640.0, 0.0, 650.0)) == {
        "optical residual over dip width",
        "place in the range of the line",
    }


def test_no_peak_and_unknown_references_are_refused() -> None:
    flat = np.random.default_rng(135).poisson(np.full(100, 20.0))
    with pytest.raises(NoEstimate, match="sigma"):
        fit_peak(EDGES, flat)
    with pytest.raises(LocalMisuse, match="one of at least two"):
        align({"a": (EDGES, flat)}, "a")


def test_the_window_maximises_signal_over_its_error() -> None:
    """Against a dense scan of the true figure: the maximum is flat, so that 1 % of it is generous."""
    chance = np.random.default_rng(136)
    for floor in (0.2, 5.0, 80.0):
        found = coincidence_window(EDGES, _histogram(chance, 30.0, 66.0, 4000.0, floor))
        widths = np.linspace(30.0, 466.2, 500)
        signal = 4000.0 * erf(widths / (2.0 * math.sqrt(2.0) * 66.0))
        figures = signal / np.sqrt(signal + floor / 20.0 * widths)
        at_found = np.interp(found.width, widths, figures)
        assert at_found > 0.99 * figures.max()
        assert found.starting_width == pytest.approx(3.0 * 2.3548 * 66.0, rel=0.05)
        assert not failed(found.checks())
        assert found.accidentals.value == pytest.approx(floor / 20.0 * found.width, rel=0.4)


def test_a_peak_of_many_unlike_detectors_is_one_peak_and_its_window_holds_what_it_says() -> None:
    """200 receivers of four by four detectors of 30 to 80 ps FWHM, 31,000 pairs each. A plain Gaussian would
    refuse some of them. Limits of the checks are passed by chance once in some thousand."""
    chance = np.random.default_rng(140)

    def draw() -> Draw:
        first, second = chance.uniform(30.0, 80.0, (2, 4)) / 2.3548
        pairs = np.hypot(first[chance.integers(0, 4, 31_000)], second[chance.integers(0, 4, 31_000)])
        rms = math.sqrt(float(np.mean(first**2) + np.mean(second**2)))
        edges = round(rms / 3.5) * np.arange(-70, 71)
        delays = np.append(pairs * chance.standard_normal(31_000), chance.uniform(edges[0], edges[-1], 200))
        found = coincidence_window(edges, np.histogram(delays, edges)[0])
        assert not failed(found.checks())
        inside = float(np.mean(np.abs(delays[:31_000]) < found.width / 2.0))
        assert found.captured == pytest.approx(inside, abs=0.002)
        return {"jitter": (found.jitter, rms)}

    assert_draws_cover(draw, 200)


def test_more_background_means_a_narrower_window() -> None:
    chance = np.random.default_rng(137)
    widths = [
        coincidence_window(EDGES, _histogram(chance, 0.0, 60.0, 9000.0, b)).width for b in (0.5, 20.0, 400.0)
    ]
    assert widths[0] > widths[1] > widths[2] > 2.0 * 60.0


def test_bins_as_wide_as_the_jitter_fail() -> None:
    found = coincidence_window(EDGES, _histogram(np.random.default_rng(138), 0.0, 25.0, 5000.0, 1.0))
    assert failed(found.checks()) == {"bin over jitter"}


def test_two_peaks_of_swapped_channels_are_not_one() -> None:
    chance = np.random.default_rng(139)
    both = _histogram(chance, -250.0, 60.0, 3000.0, 1.0) + _histogram(chance, 250.0, 60.0, 3000.0, 1.0)
    assert "reduced deviance" in failed(coincidence_window(EDGES, both).checks())
