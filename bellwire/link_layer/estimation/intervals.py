"""What counts of test rounds say about the fidelity, whatever one believed before.

Owns the confidence interval. Refuses priors: a table that is wrong would make an interval lie (beliefs.py
joins the two for the best guess).

F = (1 + lambda_1 + lambda_2 + lambda_3)/4 = 1 - (e_1 + e_2 + e_3)/2 with the error probability e_k = (1 -
lambda_k)/2 of each basis, corrected for readout and decay. Of k errors in n tests the exact one-sided
confidence distributions are Beta(k, n - k + 1) from below and Beta(k + 1, n - k) from above (Clopper, Pearson
1934); the ends of the interval are quantiles of the sums of three of each, which keeps the coverage of the
single ones for functions that rise in every argument ("melded" intervals: Fay, Proschan, Brittain 2015,
Biometrics 71, 146). Small samples: without a single error the upper end is exactly 1, without tests the
interval is 0..1, and with one basis untested it is wide. Tests of unequal contrast are counted with their
mean, which errs to the safe side (Hoeffding 1956: unequal chances spread less than equal ones of the same
mean).

Enumerated exactly for few tests, and drawn for many, the coverage of the 95 % interval was never below 95 %
(tests/link_layer/test_estimation_intervals.py).
"""

from typing import NamedTuple

from bellwire.link_layer.estimation.counts import BasisCounts, Counts
from bellwire.link_layer.estimation.sums_of_betas import StretchedBeta, sum_quantile


class Interval(NamedTuple):
    """Both ends of a confidence interval of the fidelity, 0..1."""

    low: float
    high: float


def fidelity_interval(counts: Counts, confidence: float = 0.95) -> Interval:
    """Interval that contains the true fidelity with at least this confidence (0..1, exclusive)."""
    tail = (1.0 - confidence) / 2.0
    x, z, y = counts.bases
    most = sum_quantile((_from_above(x), _from_above(z), _from_above(y)), 1.0 - tail)
    least = sum_quantile((_from_below(x), _from_below(z), _from_below(y)), tail)
    # Fewer errors than the readout alone should make, or more than a coin, leave the physical range.
    return Interval(_cut(1.0 - most / 2.0), _cut(1.0 - least / 2.0))


def _cut(fidelity: float) -> float:
    return min(1.0, max(0.0, fidelity))


def _from_above(one: BasisCounts) -> StretchedBeta:
    return StretchedBeta(one.errors + 1, one.tests - one.errors, one.contrast)


def _from_below(one: BasisCounts) -> StretchedBeta:
    return StretchedBeta(one.errors, one.tests - one.errors + 1, one.contrast)
