"""Fits against closed forms: constants, weighted means, and likelihood-ratio intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import chi2

from bellwire.calibration.estimates.likelihood import (
    BinomialCounts,
    Fit,
    Floats,
    GaussianValues,
    Goodness,
    NoEstimate,
    PoissonCounts,
    fit,
)

COUNTS = np.array([3.0, 7.0, 5.0, 0.0, 9.0])


def constant(values: Floats) -> Floats:
    return np.full(5, values[0])


def test_the_likeliest_constant_rate_is_the_mean_count() -> None:
    found = fit(PoissonCounts(COUNTS), constant, [1.0])
    assert found.values[0] == pytest.approx(4.8, rel=1e-6)
    assert found.sigma(0) == pytest.approx(math.sqrt(4.8 / 5.0), rel=1e-6)
    deviance = 2.0 * sum(n * math.log(n / 4.8) for n in COUNTS if n > 0)
    assert found.deviance == pytest.approx(deviance, rel=1e-7)
    assert found.goodness.reduced == pytest.approx(deviance / 4.0, rel=1e-7)
    assert found.goodness.degrees == 4


def test_the_likeliest_probability_is_the_pooled_share() -> None:
    found = fit(BinomialCounts(COUNTS, np.full(5, 10.0)), constant, [0.3])
    assert found.values[0] == pytest.approx(0.48, rel=2e-6)
    assert found.sigma(0) == pytest.approx(math.sqrt(0.48 * 0.52 / 50.0), rel=1e-6)


def test_gaussian_values_give_the_weighted_mean() -> None:
    sigmas = np.array([1.0, 2.0, 1.0, 0.5, 3.0])
    found = fit(GaussianValues(COUNTS, sigmas), constant, [0.0])
    weights = sigmas**-2
    assert found.values[0] == pytest.approx(float(weights @ COUNTS / weights.sum()), rel=1e-9)
    assert found.sigma(0) == pytest.approx(weights.sum() ** -0.5, rel=1e-9)


def test_a_profile_is_where_the_likelihood_has_fallen_by_its_95_percent_quantile() -> None:
    low, high = fit(PoissonCounts(COUNTS), constant, [4.0]).profile(0)

    def fallen(mean: float) -> float:
        return 2.0 * (5.0 * (mean - 4.8) - 24.0 * math.log(mean / 4.8)) - float(chi2.ppf(0.95, 1))

    # The search ends within 0.01 of 1.96 standard deviations, here 0.0098 counts.
    assert low == pytest.approx(brentq(fallen, 1.0, 4.8), abs=0.015)
    assert high == pytest.approx(brentq(fallen, 4.8, 12.0), abs=0.015)


def line(values: Floats) -> Floats:
    return np.asarray(values[0] + values[1] * np.arange(5.0))


def test_a_profile_over_a_gaussian_line_is_the_standard_interval() -> None:
    found = fit(GaussianValues(COUNTS, np.ones(5)), line, [0.0, 0.0])
    low, high = found.profile(1)
    assert found.sigma(1) == pytest.approx(10.0**-0.5, rel=1e-9)
    assert high - found.values[1] == pytest.approx(1.96 * 10.0**-0.5, rel=0.006)
    assert found.values[1] - low == pytest.approx(1.96 * 10.0**-0.5, rel=0.006)


def test_a_derived_quantity_takes_correlations_along() -> None:
    found = fit(GaussianValues(COUNTS, np.ones(5)), line, [0.0, 0.0])
    middle = found.derived(lambda values: float(values[0] + 2.0 * values[1]))
    assert middle.value == pytest.approx(4.8)
    assert middle.sigma == pytest.approx(5.0**-0.5, rel=1e-6)


def test_the_best_of_several_starts_is_kept() -> None:
    def wavy(values: Floats) -> Floats:
        return np.asarray(100.0 + 50.0 * np.cos(values[0] + np.arange(5.0)) + values[0] ** 2)

    counts = wavy(np.array([1.0]))
    found: Fit = fit(PoissonCounts(counts), wavy, [7.0], [0.7])
    assert found.values[0] == pytest.approx(1.0, abs=1e-6)


def test_a_parameter_without_any_effect_is_reported_and_not_invented() -> None:
    with pytest.raises(NoEstimate, match="undetermined"):
        fit(PoissonCounts(COUNTS), lambda values: np.full(5, values[0] + 0.0 * values[1]), [4.0, 1.0])


def test_two_parameters_with_the_same_effect_are_reported() -> None:
    with pytest.raises(NoEstimate, match="told apart"):
        fit(PoissonCounts(COUNTS), lambda values: np.full(5, values[0] + values[1]), [2.0, 2.0])


def test_a_step_into_negative_rates_turns_back() -> None:
    counts = np.array([40.0, 30.0, 20.0, 10.0, 1.0])
    found = fit(PoissonCounts(counts), line, [1.0, 5.0])
    assert np.all(found.expected > 0.0)
    assert found.expected.sum() == pytest.approx(101.0, rel=1e-5)


def test_limits_of_the_reduced_deviance_widen_where_there_are_few_degrees() -> None:
    """The right curve exceeds either end once in 1000, from chi square."""
    few, many = Goodness(2.5, 10).check(0.7, 1.5), Goodness(1.6, 1000).check(0.7, 1.5)
    assert few.high == pytest.approx(float(chi2.ppf(0.999, 10)) / 10.0)
    assert few.low == pytest.approx(float(chi2.ppf(0.001, 10)) / 10.0)
    assert few.passed
    assert (many.low, many.high) == (0.7, 1.5)
    assert not many.passed
    assert not Goodness(float("nan"), 0).check(None, 2.0).passed


def test_the_worst_of_many_right_curves_is_not_taken_for_a_wrong_one() -> None:
    """16 peaks of 20 degrees: with a limit for one, every third set has a peak beyond 1.6."""
    chance = np.random.default_rng(171)
    refused = 0
    for _ in range(500):
        found = [Goodness(float(chance.chisquare(20)) / 20.0, 20) for _ in range(16)]
        worst = max(found, key=lambda one: one.sigmas)
        refused += not worst.check(0.4, 1.6, of=16).passed
    assert refused <= 5  # 0.001 and its like below: more than 5 of 500 once in ten thousand sets of seeds
    assert not Goodness(3.5, 20).check(0.4, 1.6, of=16).passed
