"""What the deviance of a Poisson count is on average: less than 1 where hardly any counts come."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import xlogy

from bellwire.calibration.estimates.likelihood import PoissonCounts


@pytest.mark.parametrize("mean", [0.02, 0.3, 1.5, 8.0, 40.0])
def test_it_is_the_mean_over_many_counts(mean: float) -> None:
    """200,000 counts each; five comparisons at 4.5 standard errors: one in 30,000 runs fails by chance."""
    counts = np.random.default_rng(7).poisson(mean, 200_000)
    deviance = 2.0 * (xlogy(counts, counts / mean) - (counts - mean))
    (usual,) = PoissonCounts(np.zeros(1)).usual_deviance(np.array([mean]))
    assert abs(deviance.mean() - usual) < 4.5 * deviance.std() / 200_000**0.5 + 2e-4
