"""Whether 95 % intervals hold the truth in 95 % of repetitions.

A binomial test of the hits, two-sided, or of too few alone where exact intervals of small counts hold more
than they must. The false-alarm rate of 0.1 % is shared by ESTIMATES tests of this folder (Bonferroni), so
that all of them together raise a false alarm in one of a thousand sets of seeds; the seeds are fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from bellwire.calibration.records import Check, Quantity

Counts = NDArray[np.int64]

FALSE_ALARMS = 1e-3
ESTIMATES = 80
"""Coverages that are tested in this folder, counted generously."""


def holds(quantity: Quantity, truth: float) -> bool:
    low, high = quantity.interval
    assert {type(quantity.value), type(quantity.sigma), type(low), type(high)} == {float}
    assert low <= quantity.value <= high
    assert 0.0 <= quantity.sigma < inf
    return low <= truth <= high


def assert_coverage(hits: Iterable[bool], *, name: str = "", conservative: bool = False) -> None:
    """`hits`: one per draw, at least 200. `conservative`: too many hits are allowed, too few are not."""
    seen = list(hits)
    assert len(seen) >= 200
    found = binomtest(sum(seen), len(seen), 0.95, alternative="less" if conservative else "two-sided")
    assert found.pvalue > FALSE_ALARMS / ESTIMATES, (
        f"{name}: {sum(seen)} of {len(seen)} intervals hold the truth"
    )


def failed(checks: Iterable[Check]) -> set[str]:
    """Names of the limits that are not met."""
    return {check.quantity for check in checks if not check.passed}


Draw = dict[str, tuple[Quantity, float]]
"""What one repetition found and what is true, by name."""


def assert_draws_cover(
    draw: Callable[[], Draw], draws: int, *, conservative: frozenset[str] = frozenset()
) -> None:
    """Repeat `draw` and test the coverage of each quantity; names in `conservative` may hold more often."""
    hits: dict[str, list[bool]] = {}
    for _ in range(draws):
        for name, (quantity, truth) in draw().items():
            hits.setdefault(name, []).append(holds(quantity, truth))
    assert hits
    for name, seen in hits.items():
        assert_coverage(seen, name=name, conservative=name in conservative)
