"""Bias sweeps of known truth, and sweeps that no plateau explains."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtr

from bellwire.calibration.estimates.likelihood import NoEstimate
from bellwire.calibration.estimates.plateau import bias_plateau
from bellwire.core.errors import LocalMisuse
from tests.calibration.estimates.coverage import Counts, Draw, assert_draws_cover, failed

BIAS = np.linspace(2.0, 20.0, 19)
SWITCHING = 20.5


def test_all_of_a_plateau_is_covered() -> None:
    """200 draws."""
    chance = np.random.default_rng(121)

    def draw() -> Draw:
        half, width, rate = chance.uniform(8.0, 13.0), chance.uniform(1.0, 2.5), chance.uniform(2e3, 4e4)
        dark, growth = chance.uniform(10.0, 200.0), chance.uniform(0.2, 0.6)
        darks = dark * np.exp(growth * (BIAS - 20.0))
        light = chance.poisson(rate * ndtr((BIAS - half) / width) + darks)
        found = bias_plateau(BIAS, light, chance.poisson(darks), 1.0, SWITCHING)
        z = (found.bias - half) / width
        slope = math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi) / width / float(ndtr(z))
        return {
            "half": (found.half_bias, half),
            "width": (found.width, width),
            "rate": (found.plateau_rate, rate),
            "slope": (found.slope, slope),
            "dark": (found.dark_at_bias, dark * math.exp(growth * (found.bias - 20.0))),
        }

    assert_draws_cover(draw, 200)


def _sweep(half: float, width: float, seed: int) -> tuple[Counts, Counts]:
    chance = np.random.default_rng(seed)
    darks = 20.0 * np.exp(0.3 * (BIAS - 20.0))
    return chance.poisson(2e4 * ndtr((BIAS - half) / width) + darks), chance.poisson(darks)


def test_the_lowest_flat_bias_of_the_allowed_band_is_taken_on_the_steps_of_the_source() -> None:
    found = bias_plateau(BIAS, *_sweep(8.0, 1.5, 122), 1.0, SWITCHING, step=0.25)
    assert found.bias == 18.5  # 90 % of 20.5 is 18.45
    assert not failed(found.checks())
    with pytest.raises(LocalMisuse, match="finer step"):
        bias_plateau(BIAS, *_sweep(8.0, 1.5, 122), 1.0, SWITCHING, step=7.0)


def test_a_detector_that_has_not_reached_its_plateau_fails_at_the_highest_bias_allowed() -> None:
    found = bias_plateau(BIAS, *_sweep(16.0, 3.0, 123), 1.0, SWITCHING)
    assert found.bias == pytest.approx(0.95 * SWITCHING)
    assert failed(found.checks()) == {"plateau slope"}


def test_a_detector_that_latches_or_saturates_fails() -> None:
    light, dark = _sweep(8.0, 1.5, 124)
    latched = np.where(BIAS > 17.0, dark, light)
    saturated = np.where(BIAS < 8.0, light, np.minimum(light, 9000 + 300 * np.arange(19)))
    for counts in (latched, saturated):
        assert "reduced deviance" in failed(bias_plateau(BIAS, counts, dark, 1.0, SWITCHING).checks())


def test_a_sweep_in_the_dark_is_refused() -> None:
    _, dark = _sweep(8.0, 1.5, 125)
    with pytest.raises(NoEstimate, match="more light"):
        bias_plateau(BIAS, dark, dark, 1.0, SWITCHING)
