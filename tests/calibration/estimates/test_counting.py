"""Exact intervals against scipy's own, and the intervals of sums and products."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest, chi2

from bellwire.calibration.estimates.counting import (
    binomial_interval,
    live_rate,
    poisson_interval,
    poisson_rate,
    product,
    share,
    weighted_sum,
)
from bellwire.calibration.records import Quantity
from bellwire.core.errors import LocalMisuse
from tests.calibration.estimates.coverage import Draw, assert_draws_cover


@pytest.mark.parametrize("counts", [1, 2, 10, 137, 10_000])
def test_a_poisson_interval_is_that_of_the_chi_square(counts: int) -> None:
    low, high = poisson_interval(counts)
    assert low == pytest.approx(chi2.ppf(0.025, 2 * counts) / 2.0, rel=1e-9)
    assert high == pytest.approx(chi2.ppf(0.975, 2 * counts + 2) / 2.0, rel=1e-9)


def test_no_counts_leave_rates_up_to_3_7_possible() -> None:
    assert pytest.approx((0.0, -math.log(0.025))) == poisson_interval(0)
    assert pytest.approx((0.0, 0.3689), rel=1e-4) == poisson_rate(0, 10.0).interval


@pytest.mark.parametrize(("successes", "trials"), [(0, 9), (1, 9), (4, 9), (9, 9), (37, 1000)])
def test_a_binomial_interval_is_that_of_clopper_and_pearson(successes: int, trials: int) -> None:
    exact = binomtest(successes, trials).proportion_ci(0.95, "exact")
    assert pytest.approx((exact.low, exact.high)) == binomial_interval(successes, trials)
    assert share(successes, trials).sigma > 0.0


def test_a_sum_of_symmetric_quantities_adds_in_quadrature() -> None:
    total = weighted_sum([(2.0, Quantity(1.0, 0.3)), (-1.0, Quantity(5.0, 0.8))], 10.0)
    assert total.value == pytest.approx(7.0)
    assert total.sigma == pytest.approx(1.0)
    assert pytest.approx((7.0 - 1.96, 7.0 + 1.96), abs=1e-4) == total.interval


def test_a_negative_weight_exchanges_the_ends() -> None:
    skew = Quantity(0.1, 0.05, "", 0.08, 0.3)
    assert pytest.approx((0.4, 0.84)) == weighted_sum([(-2.0, skew)], 1.0).interval


def test_a_product_with_nothing_counted_has_an_upper_end_only() -> None:
    none = product([(poisson_rate(0, 1.0), 1), (Quantity(10.0, 0.0), -1)])
    assert pytest.approx((0.0, 0.3689), rel=1e-4) == none.interval


def test_dead_time_is_undone_exactly() -> None:
    true = 2.5e6
    measured = true / (1.0 + true * 50e-9)
    assert live_rate(measured, 50e-9) == pytest.approx(true)
    with pytest.raises(LocalMisuse, match="no live time"):
        live_rate(2e7, 50e-9)


def test_intervals_of_few_counts_hold_the_truth_at_least_as_often_as_promised() -> None:
    """400 draws; exact intervals hold more. False alarms: coverage.py."""
    chance = np.random.default_rng(101)

    def draw() -> Draw:
        mean, error = chance.uniform(0.3, 30.0), chance.uniform(0.002, 0.2)
        one, other = chance.uniform(20.0, 200.0, 2)
        return {
            "rate": (poisson_rate(int(chance.poisson(10.0 * mean)), 10.0), mean),
            "share": (share(int(chance.binomial(300, error)), 300), error),
            "product": (
                product(
                    [
                        (poisson_rate(int(chance.poisson(one)), 1.0), 1),
                        (poisson_rate(int(chance.poisson(other)), 1.0), -1),
                    ]
                ),
                one / other,
            ),
        }

    assert_draws_cover(draw, 400, conservative=frozenset({"rate", "share", "product"}))
