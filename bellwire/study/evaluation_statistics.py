"""Means and ratios over networks, with the intervals that networks drawn anew would give.

Owns the bootstrap over seeds, paired: each draw takes whole networks, with the runs of all policies on them.
Refuses to choose: what is compared stands in evaluation_claims.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

DRAWS: Final = 4000
"""Bootstrap samples of one interval: its ends are then known to about 2 % of its width."""

BOOTSTRAP_SEED: Final = 20_240_531

CONFIDENCE: Final = 0.95

NETWORKS_MIN: Final = 5
"""A bootstrap over fewer says too little about what was not seen."""

HALF: Final = 0.5
"""Added to both counts of a paired ratio, so that a run without a delivery has a finite one."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval. low, high: None for fewer than NETWORKS_MIN."""

    value: float
    low: float | None
    high: float | None
    networks: int
    routes: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One policy on one route."""

    delivered: int
    duration_s: float


Groups = Sequence[Sequence[tuple[Sample, Sample]]]
"""Networks, and the paired runs of two policies on the routes of each."""


def ratio_of_means(groups: Groups, confidence: float = CONFIDENCE) -> Estimate | None:
    """Mean rate of the first policy over that of the second; None when the second delivered nothing."""
    counts = np.array(
        [
            [sum(one.delivered for one, _ in group), sum(other.delivered for _, other in group)]
            for group in groups
        ],
        dtype=float,
    )
    if not len(counts) or counts[:, 1].sum() == 0.0:
        return None
    routes = sum(len(group) for group in groups)
    return _estimate(len(counts), routes, lambda chosen: _quotient(counts[chosen]), confidence)


def _quotient(counts: Numbers) -> Numbers:
    """(..., networks, 2) to (...)."""
    first, second = counts[..., 0].sum(axis=-1), counts[..., 1].sum(axis=-1)
    return np.asarray(first / np.maximum(second, HALF))


def mean_paired_ratio(groups: Groups, confidence: float = CONFIDENCE) -> Estimate | None:
    """Geometric mean over routes of the ratio of rates; every route counts alike, however fast it is."""
    if not groups:
        return None
    logs = np.array([sum(_log_ratio(*pair) for pair in group) for group in groups])
    sizes = np.array([len(group) for group in groups], dtype=float)
    return _estimate(
        len(groups),
        int(sizes.sum()),
        lambda chosen: np.exp(logs[chosen].sum(axis=-1) / sizes[chosen].sum(axis=-1)),
        confidence,
    )


def _log_ratio(one: Sample, other: Sample) -> float:
    return float(
        np.log((one.delivered + HALF) / one.duration_s) - np.log((other.delivered + HALF) / other.duration_s)
    )


def mean(groups: Sequence[Sequence[float]], confidence: float = CONFIDENCE) -> Estimate | None:
    """Mean over routes."""
    filled = [group for group in groups if len(group)]
    if not filled:
        return None
    sums = np.array([sum(group) for group in filled])
    sizes = np.array([len(group) for group in filled], dtype=float)
    return _estimate(
        len(filled),
        int(sizes.sum()),
        lambda chosen: sums[chosen].sum(axis=-1) / sizes[chosen].sum(axis=-1),
        confidence,
    )


def mean_difference(
    groups: Sequence[Sequence[tuple[float, float]]], confidence: float = CONFIDENCE
) -> Estimate | None:
    """Mean over routes of the first number less the second."""
    return mean([[first - second for first, second in group] for group in groups], confidence)


def _estimate(
    networks: int, routes: int, statistic: Callable[[NDArray[np.int64]], Numbers], confidence: float
) -> Estimate:
    """The statistic of all networks, and its expanded percentile interval.

    Percentiles of the bootstrap are too narrow for few networks; they are taken farther out, by the t
    quantile and the factor sqrt(n/(n-1)) (Hesterberg, The American Statistician 69, 371 (2015)).
    """
    value = float(statistic(np.arange(networks)))
    if networks < NETWORKS_MIN:
        return Estimate(value=value, low=None, high=None, networks=networks, routes=routes)
    chance = np.random.default_rng(BOOTSTRAP_SEED)
    drawn = statistic(chance.integers(0, networks, size=(DRAWS, networks)))
    farther = sqrt(networks / (networks - 1)) * float(stats.t.ppf((1.0 - confidence) / 2.0, networks - 1))
    tail = float(stats.norm.cdf(farther))
    low, high = np.quantile(drawn, [tail, 1.0 - tail])
    return Estimate(value=value, low=float(low), high=float(high), networks=networks, routes=routes)
