"""Corrections of counts against detectors that are simulated and against Poisson statistics."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.tags.corrections import (
    Estimate,
    accidentals_of_singles,
    accidentals_off_peak,
    rate_hz,
    without_accidentals,
    without_dead_time_hz,
)

DEAD_PS = 100_000
TRUE_HZ = 4e6


def counts_with_dead_time(chance: np.random.Generator, span_ps: int) -> int:
    """A non-paralysable detector: after each count it is blind, then waits an exponential time."""
    mean_ps = 1e12 / TRUE_HZ
    waits = chance.exponential(mean_ps, int(2 * span_ps / mean_ps)) + DEAD_PS
    return int(np.searchsorted(np.cumsum(waits), span_ps))


def test_dead_time_is_corrected_and_the_error_is_the_scatter() -> None:
    """400 runs of 10 ms with 28,571 counts each, 40 % of all missed. The mean is within 4.5 standard errors
    (one seed in 150,000 would fail); the spread has a standard error of 3.5 %, the band is 4.5 of it.
    """
    chance = np.random.default_rng(31)
    runs = [without_dead_time_hz(counts_with_dead_time(chance, 10**10), 10**10, DEAD_PS) for _ in range(400)]
    values = np.array([run.value for run in runs])
    stated = float(np.mean([run.sigma for run in runs]))
    assert abs(values.mean() - TRUE_HZ) < 4.5 * stated / math.sqrt(400)
    assert values.std(ddof=1) == pytest.approx(stated, rel=0.16)


def test_dead_time_in_numbers() -> None:
    """R' = 1e6/s and 100 ns: R = 1e6 / 0.9; 1 ns of doubt about the dead time adds R² x 1 ns."""
    found = without_dead_time_hz(1_000_000, 10**12, 100_000)
    assert found.value == pytest.approx(1e6 / 0.9)
    assert found.sigma == pytest.approx(1e3 / 0.9)
    doubted = without_dead_time_hz(1_000_000, 10**12, 100_000, 1000.0)
    assert doubted.sigma == pytest.approx(math.hypot(found.sigma, found.value**2 * 1e-9))
    assert without_dead_time_hz(400, 10**12, 0) == rate_hz(400, 10**12) == Estimate(400.0, 20.0)


def test_accidentals_of_singles_scatter_as_stated() -> None:
    """20,000 draws of singles: the spread has a standard error of 0.5 %, the band is 4.5 of it."""
    chance = np.random.default_rng(32)
    drawn = [
        accidentals_of_singles(int(a), int(b), 2001, 10**10)
        for a, b in zip(chance.poisson(1000, 20_000), chance.poisson(3000, 20_000), strict=True)
    ]
    values = np.array([one.value for one in drawn])
    assert values.mean() == pytest.approx(1000 * 3000 * 2001 / 1e10, rel=0.002)
    assert values.std() == pytest.approx(float(np.mean([one.sigma for one in drawn])), rel=0.0225)


def test_off_peak_windows_and_what_remains_without_them() -> None:
    accidentals = accidentals_off_peak([90, 110, 95, 105])
    assert accidentals == Estimate(100.0, 5.0)
    assert without_accidentals(300, accidentals) == Estimate(200.0, math.sqrt(325.0))
    assert accidentals_off_peak([0, 0]) == Estimate(0.0, 0.5)


def test_values_that_no_correction_can_mend_are_refused() -> None:
    with pytest.raises(LocalMisuse, match="more than a dead time of 100000 ps allows"):
        without_dead_time_hz(10_000_000, 10**12, 100_000)
    with pytest.raises(LocalMisuse, match="negative"):
        without_dead_time_hz(1, 10**12, -1)
    with pytest.raises(LocalMisuse, match="no live time"):
        rate_hz(1, 0)
    with pytest.raises(LocalMisuse, match="no live time"):
        accidentals_of_singles(1, 1, 1, 0)
    with pytest.raises(LocalMisuse, match="no off-peak"):
        accidentals_off_peak([])
