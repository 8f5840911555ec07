"""Figures of the summary, against worked examples."""

import pytest

from bellwire.cli.figures import mean, percentile, standard_error


def test_a_mean_comes_with_the_standard_error_of_a_sample() -> None:
    values = [1.0, 2.0, 3.0, 4.0]
    assert mean(values) == 2.5
    # sample variance 5/3, divided by four values
    assert standard_error(values) == pytest.approx((5 / 12) ** 0.5)


def test_percentiles_lie_between_order_statistics() -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], 50) == 2.5
    assert percentile([4.0, 1.0, 3.0, 2.0], 100) == 4.0
    assert percentile(list(map(float, range(101))), 99) == pytest.approx(99.0)


def test_too_few_values_give_no_figure() -> None:
    assert (mean([]), percentile([], 50), standard_error([1.0])) == (None, None, None)
