"""Dips of known truth in all three shapes, their plan, and dips that must not pass."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bellwire.calibration.estimates.hom import HALF_WIDTH, DipShape, HomDip, hom_dip
from bellwire.calibration.estimates.hom_plan import (
    coherence_time_ps,
    dwell_s,
    exponential_dip_fwhm,
    gaussian_dip_fwhm_ps,
    scan_points,
    splitter_visibility_max,
)
from bellwire.calibration.estimates.likelihood import Floats, NoEstimate
from bellwire.core.errors import LocalMisuse
from bellwire.core.photonics import exponential_visibility, gaussian_visibility
from tests.calibration.estimates.coverage import Draw, assert_draws_cover, failed


def _form(shape: DipShape, x: Floats) -> Floats:
    form: Floats
    match shape:
        case DipShape.GAUSSIAN:
            form = np.array([gaussian_visibility(1.0, float(t), 2.0**-0.5) for t in x])
        case DipShape.EXPONENTIAL:
            form = np.array([exponential_visibility(1.0, float(t), 1.0) for t in x])
        case DipShape.TRIANGLE:
            form = np.interp(np.abs(x), [0.0, 1.0], [1.0, 0.0])
    return form


def _scan(
    chance: np.random.Generator,
    shape: DipShape = DipShape.GAUSSIAN,
    *,
    visibility: float = 0.95,
    width: float = 21.0,
    centre: float = 0.0,
    level: float = 1000.0,
    slope: float = 0.0,
    accidentals: float = 0.0,
    told: bool = True,
    only: bool = True,
    spread: float = 1.0,
) -> HomDip:
    """One scan of 31 points; `told`: the off-peak accidentals are handed in, from 10 windows per point."""
    fwhm = 2.0 * HALF_WIDTH[shape] * width
    at = scan_points(centre + 0.2 * fwhm, fwhm * spread, chance, points=31)
    mean = level * (1.0 + slope * at) * (1.0 - visibility * _form(shape, (at - centre) / width)) + accidentals
    return hom_dip(
        at,
        chance.poisson(mean),
        off_peak_counts=int(chance.poisson(310.0 * accidentals)) if told else 0,
        off_peak_windows=10,
        width_guess=1.2 * fwhm / 2.3548,
        shapes=(shape,) if only else tuple(DipShape),
    )


def _cover(shape: DipShape, seed: int, draws: int) -> None:
    chance = np.random.default_rng(seed)

    def draw() -> Draw:
        visibility, width, centre = (
            chance.uniform(0.5, 0.97),
            chance.uniform(15.0, 40.0),
            chance.uniform(-20.0, 20.0),
        )
        level, accidentals = chance.uniform(400.0, 1200.0), chance.uniform(5.0, 60.0)
        found = _scan(
            chance,
            shape,
            visibility=visibility,
            width=width,
            centre=centre,
            level=level,
            slope=chance.uniform(-1e-3, 1e-3),
            accidentals=accidentals,
        )
        return {
            "raw": (found.visibility_raw, visibility * level / (level + accidentals)),
            "net": (found.visibility, visibility),
            "centre": (found.centre, centre),
            "width": (found.width, width),
            "fwhm": (found.fwhm, 2.0 * HALF_WIDTH[shape] * width),
        }

    assert_draws_cover(draw, draws)


@pytest.mark.parametrize("shape", [DipShape.GAUSSIAN, DipShape.EXPONENTIAL])
def test_visibility_centre_and_width_are_covered(shape: DipShape) -> None:
    """200 draws; false alarms: coverage.py."""
    _cover(shape, 141, 200)


@pytest.mark.slow
@pytest.mark.parametrize("shape", list(DipShape))
def test_visibility_centre_and_width_are_covered_in_many_draws(shape: DipShape) -> None:
    """2000 draws; false alarms: coverage.py."""
    _cover(shape, 142, 2000)


@pytest.mark.parametrize("shape", list(DipShape))
def test_the_likelihood_knows_the_shape(shape: DipShape) -> None:
    found = _scan(np.random.default_rng(143), shape, level=20_000.0, only=False)
    assert found.shape is shape
    assert set(found.deviances) == set(DipShape)
    assert not failed(found.checks(expected_fwhm=2.0 * HALF_WIDTH[shape] * 21.0))


@pytest.mark.parametrize("shape", list(DipShape))
def test_half_widths_are_where_half_of_the_depth_is_left(shape: DipShape) -> None:
    assert _form(shape, np.array([HALF_WIDTH[shape]]))[0] == pytest.approx(0.5)


def test_accidentals_that_are_not_subtracted_fail_a_good_dip() -> None:
    good = _scan(np.random.default_rng(144), accidentals=150.0)
    left_in = _scan(np.random.default_rng(144), accidentals=150.0, told=False)
    assert not failed(good.checks(expected_fwhm=49.4))
    assert failed(left_in.checks(expected_fwhm=49.4)) == {"visibility"}
    assert good.visibility_raw.value == pytest.approx(0.95 / 1.15, abs=0.02)


def test_distinguishable_photons_show_no_quantum_interference() -> None:
    found = _scan(np.random.default_rng(145), visibility=0.45)
    assert {"visibility", "lower end of the visibility"} <= failed(found.checks(visibility_min=0.7))


def test_a_dip_of_the_wrong_width_fails() -> None:
    found = _scan(np.random.default_rng(146), width=30.0)
    assert failed(found.checks(expected_fwhm=49.4)) == {"dip width over expected width"}


def test_a_saturated_counter_fails() -> None:
    """The level cut off looks like a narrower dip."""
    chance = np.random.default_rng(147)
    at = scan_points(0.0, 50.0, chance, points=31)
    counts = np.minimum(chance.poisson(2000.0 * (1.0 - 0.95 * _form(DipShape.GAUSSIAN, at / 21.0))), 800)
    found = hom_dip(at, counts, width_guess=21.0)
    assert "dip width over expected width" in failed(found.checks(expected_fwhm=49.4))


def test_a_drift_that_the_singles_follow_is_taken_out() -> None:
    chance = np.random.default_rng(148)
    at = scan_points(0.0, 50.0, chance, points=31)
    drift = np.linspace(0.6, 1.4, 31)  # in the order of time, which the random order of points scrambles
    counts = chance.poisson(2000.0 * drift * (1.0 - 0.95 * _form(DipShape.GAUSSIAN, at / 21.0)))
    with_singles = hom_dip(at, counts, singles_product=drift, width_guess=21.0)
    assert not failed(with_singles.checks(expected_fwhm=49.4))
    assert "reduced deviance" in failed(hom_dip(at, counts, width_guess=21.0).checks())


def test_a_scan_too_weak_to_tell_is_refused() -> None:
    with pytest.raises(NoEstimate, match="dwell longer"):
        hom_dip(np.arange(20.0), np.full(20, 3), width_guess=3.0)
    with pytest.raises(NoEstimate, match="as many accidentals"):
        _scan(np.random.default_rng(149), visibility=0.01, level=1.0, accidentals=500.0)


def test_the_plan_expects_the_widths_of_the_procedures() -> None:
    coherence = coherence_time_ps(1550.0, 0.1)
    assert coherence == pytest.approx(35.0, rel=0.02)
    assert gaussian_dip_fwhm_ps(coherence) == pytest.approx(50.0, rel=0.01)
    assert gaussian_dip_fwhm_ps(coherence) / 2.3548 == pytest.approx(0.60 * coherence, rel=0.01)
    # Field packets of intensity FWHM t_c give the dip of photonics.gaussian_visibility.
    half = gaussian_dip_fwhm_ps(coherence) / 2.0
    assert gaussian_visibility(1.0, half, coherence / 2.3548) == pytest.approx(0.5, rel=1e-4)
    assert exponential_visibility(1.0, exponential_dip_fwhm(7.0) / 2.0, 7.0) == pytest.approx(0.5)


def test_the_splitter_limits_the_visibility() -> None:
    assert splitter_visibility_max(0.5, 0.5) == 1.0
    assert splitter_visibility_max(0.6, 0.4) == pytest.approx(0.48 / 0.52)


def test_points_span_three_widths_in_an_order_of_the_generator() -> None:
    at = scan_points(100.0, 50.0, np.random.default_rng(150), points=25)
    again = scan_points(100.0, 50.0, np.random.default_rng(150), points=25)
    assert np.array_equal(at, again)
    assert not np.array_equal(at, np.sort(at))
    assert (at.min(), at.max()) == (pytest.approx(-50.0), pytest.approx(250.0))
    assert np.sum(np.abs(at - 100.0) <= 50.0) >= 12
    assert np.unique(at).size == 25
    with pytest.raises(LocalMisuse, match="20 are needed"):
        scan_points(0.0, 50.0, np.random.default_rng(1), points=19)


def test_the_dwell_gives_the_planned_counts() -> None:
    assert dwell_s(20.0) == 20.0
    assert math.isclose(dwell_s(100.0, 1000), 10.0)
