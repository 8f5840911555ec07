"""The coarse search: what it finds, how often noise deceives it, and what it refuses with which advice."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.clocks.offset_search import search_offset
from bellwire.drivers.clocks.refusals import NoTiming
from bellwire.drivers.clocks.search_plan import (
    BIN_MIN_PS,
    SIGNIFICANCE_PLANNED,
    SearchPlan,
    expected_significance,
    plan_search,
)
from tests.drivers.clocks.streams import SECOND, draw

MS = 10**9
E15 = 10**15


def small_plan(rates_e15: tuple[int, ...] = (0,)) -> SearchPlan:
    """0.2 s in bins of 20 us, +-2 ms: a transform of 2^14."""
    return SearchPlan(14, 20_000_000, SECOND // 5, 2 * MS, rates_e15)


# -- plan ---------------------------------------------------------------------------------------------------


def test_the_plan_follows_the_formulas_of_the_correlation() -> None:
    """N r above the uncertainty and the stretch, r >= |df| T at the nearest rate, S as planned."""
    plan = plan_search(
        1e5, 8e4, 2000.0, record_ps=2 * SECOND, uncertainty_ps=500 * MS, rate_uncertainty_e15=10**10
    )
    assert plan.n_bins * plan.bin_ps >= plan.span_ps + 2 * plan.uncertainty_ps
    steps = np.diff(plan.rates_e15)
    assert (steps * (plan.span_ps / E15) <= plan.bin_ps).all()
    assert plan.rates_e15[1] <= -(10**10)
    assert plan.rates_e15[-2] >= 10**10
    planned = expected_significance(1e5, 8e4, 2000.0, plan.span_ps, plan.bin_ps)
    assert planned >= min(SIGNIFICANCE_PLANNED) * 0.999


def test_the_significance_is_that_of_the_published_formula() -> None:
    """S = R_c sqrt(T / (R_A R_B r)): 2000 pairs/s, 10^5 tags/s twice, 1 s, 1 us."""
    assert expected_significance(1e5, 1e5, 2000.0, 1e12, 1e6) == pytest.approx(2000 / 1e5 * sqrt(1e6))


def test_a_known_rate_needs_one_correlation() -> None:
    plan = plan_search(1e5, 1e5, 2000.0, record_ps=2 * SECOND, uncertainty_ps=MS, rate_uncertainty_e15=0)
    assert plan.rates_e15 == (0,)


def test_too_few_pairs_for_the_record_are_refused_before_anything_is_computed() -> None:
    with pytest.raises(NoTiming, match=f"the limit is {BIN_MIN_PS} ps .*record longer"):
        plan_search(1e6, 1e6, 100.0, record_ps=SECOND, uncertainty_ps=MS, rate_uncertainty_e15=0)


def test_a_range_that_needs_too_many_bins_is_refused() -> None:
    with pytest.raises(NoTiming, match=r"2\^24: narrow"):
        plan_search(1e5, 1e5, 800.0, record_ps=SECOND, uncertainty_ps=10 * SECOND, rate_uncertainty_e15=0)


def test_a_plan_whose_offsets_would_wrap_around_is_refused() -> None:
    with pytest.raises(LocalMisuse, match="mistaken"):
        SearchPlan(10, 1000, 1_000_000, 100_000, (0,))


@pytest.mark.parametrize("rate_e15", [5 * 10**10 + 1, 10**12])
def test_rates_beyond_any_crystal_are_refused(rate_e15: int) -> None:
    with pytest.raises(LocalMisuse, match="50 ppm"):
        plan_search(1e5, 1e5, 2e3, record_ps=SECOND, uncertainty_ps=MS, rate_uncertainty_e15=rate_e15)


# -- finding ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset_ps", "uncertainty_ps", "rate"),
    [
        (2_345_678_000, 5 * MS, 2e-6),
        (-2_345_678_000, 5 * MS, -2e-6),
        (323_456_789_012, 500 * MS, -9.7e-6),
        (-723_456_789_012, 900 * MS, 3e-6),
        (0, 5 * MS, 0.0),
    ],
)
def test_milliseconds_to_most_of_a_second_at_up_to_ten_ppm_are_found(
    offset_ps: int, uncertainty_ps: int, rate: float
) -> None:
    """10^5 tags/s each, 2000 pairs/s, 2 s; within a bin of the truth and a step of the rate."""
    pairs = draw(3, offset_ps=offset_ps, rate=rate)
    plan = plan_search(
        1e5,
        1e5,
        2000.0 * (1 - abs(offset_ps) / (2 * SECOND)),
        record_ps=2 * SECOND,
        uncertainty_ps=uncertainty_ps,
        rate_uncertainty_e15=10**10,
    )
    found = search_offset(pairs.reference, pairs.stream, plan)
    truth = offset_ps + rate * (found.at_ps - pairs.middle_ps)
    # where the records overlap in part, the pairs are not centred: a step of the rate moves them, too
    assert abs(found.offset_ps - truth) <= 2 * plan.bin_ps
    assert abs(found.rate_e15 - rate * E15) <= 1.5 * found.rate_step_e15
    assert found.significance > found.threshold


def test_an_expected_offset_moves_the_range() -> None:
    pairs = draw(4, offset_ps=300 * MS)
    plan = plan_search(
        1e5, 1e5, 1700.0, record_ps=2 * SECOND, uncertainty_ps=MS, rate_uncertainty_e15=3 * 10**9
    )
    found = search_offset(pairs.reference, pairs.stream, plan, expected_ps=300 * MS + 300_000_000)
    assert abs(found.offset_ps - 300 * MS) <= 2 * plan.bin_ps


def test_the_measured_significance_is_the_predicted_one() -> None:
    """Offset in the middle of a bin, no rate: the whole peak is in one bin. S scatters by 1 and by the pairs'
    own noise, S^2 / R_c T: the mean of 30 within 4 of its sigmas (false alarm 6e-5).
    """
    plan = small_plan()
    seen = []
    for seed in range(30):
        pairs = draw(seed, first_hz=2e4, second_hz=2e4, pairs_hz=2000.0, seconds=0.2, offset_ps=MS, rate=0.0)
        seen.append(search_offset(pairs.reference, pairs.stream, plan).significance)
    # the triangle of two bins: pairs at random places within a bin and no shift fall into one lag
    expected = expected_significance(2e4, 2e4, 2000.0, plan.span_ps, plan.bin_ps)
    sigma = sqrt((1 + expected**2 / 400) / 30)
    assert np.mean(seen) == pytest.approx(expected, abs=4 * sigma)


# -- not deceived -------------------------------------------------------------------------------------------


def test_no_lock_on_streams_without_pairs() -> None:
    """200 searches, each at 3 rates, false alarm 1e-6 each: one lock at all has probability 2e-4."""
    locks = 0
    plan = small_plan((-(10**9), 0, 10**9))
    for seed in range(200):
        pairs = draw(seed, first_hz=2e4, second_hz=2e4, pairs_hz=0.0, seconds=0.2)
        try:
            search_offset(pairs.reference, pairs.stream, plan)
            locks += 1
        except NoTiming:
            pass
    assert locks == 0


@pytest.mark.parametrize("rate_hz", [2e3, 2e4])
def test_the_stated_false_alarm_is_kept_and_not_by_far(rate_hz: float) -> None:
    """At 0.1 in 300 searches, without the floor of 6 sigma: between the quantiles of 0.1 and half of it, for
    Poisson's counts are steps (false alarm 1e-4 on either side). At 2000 tags/s a bin holds 0.08 on average.
    """
    plan = small_plan()
    locks = 0
    for seed in range(300):
        pairs = draw(seed, first_hz=rate_hz, second_hz=rate_hz, pairs_hz=0.0, seconds=0.2)
        try:
            search_offset(pairs.reference, pairs.stream, plan, false_alarm=0.1, significance_min=0.0)
            locks += 1
        except NoTiming as refused:  # a second peak or one at the edge has passed the threshold as well
            locks += "standard deviations above" not in str(refused)
    assert binom.ppf(1e-4, 300, 0.05) <= locks <= binom.ppf(1 - 1e-4, 300, 0.1)


def test_slow_changes_of_both_rates_are_no_peak() -> None:
    """Both streams are gated by the same light of 7 Hz: a wide hill in the correlation, which is no peak."""
    chance = np.random.default_rng(8)

    def gated() -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        times = chance.uniform(0, SECOND, 100_000)
        kept = chance.uniform(size=times.size) < 0.75 + 0.25 * np.sin(2 * np.pi * 7 * times / SECOND)
        return np.sort(times[kept].astype(np.int64))

    plan = SearchPlan(17, 10_000_000, SECOND, 5 * MS, (0,))
    with pytest.raises(NoTiming, match="standard deviations"):
        search_offset(gated(), gated(), plan)


# -- refused ------------------------------------------------------------------------------------------------


def test_a_peak_at_the_edge_is_refused_with_the_advice_to_widen() -> None:
    pairs = draw(2, first_hz=2e4, second_hz=2e4, seconds=0.2, offset_ps=2 * MS, rate=0.0)
    with pytest.raises(NoTiming, match=r"edge of the range .* widen"):
        search_offset(pairs.reference, pairs.stream, small_plan())


def test_a_rate_at_the_end_of_the_scan_is_refused_with_the_advice_to_widen() -> None:
    pairs = draw(2, seconds=2.0, rate=6e-6)
    plan = plan_search(
        1e5, 1e5, 2000.0, record_ps=2 * SECOND, uncertainty_ps=5 * MS, rate_uncertainty_e15=2 * 10**9
    )
    beyond = replace(plan, rates_e15=tuple(rate + 1_400_000_000 for rate in plan.rates_e15))
    with pytest.raises(NoTiming, match=r"range of rates"):
        search_offset(pairs.reference, pairs.stream, beyond)


def test_an_offset_outside_the_range_is_not_found_elsewhere() -> None:
    pairs = draw(2, first_hz=2e4, second_hz=2e4, seconds=0.2, offset_ps=7 * MS, rate=0.0)
    with pytest.raises(NoTiming, match="record longer"):
        search_offset(pairs.reference, pairs.stream, small_plan())


def test_periodic_light_has_two_peaks_and_is_refused() -> None:
    pairs = draw(2, first_hz=2e4, second_hz=2e4, pairs_hz=4000, seconds=0.2, offset_ps=MS // 2, rate=0.0)
    echo = np.sort(np.concatenate([pairs.reference, pairs.reference + MS]))
    with pytest.raises(NoTiming, match="second peak"):
        search_offset(echo, pairs.stream, small_plan())


def test_records_that_hardly_overlap_are_refused() -> None:
    pairs = draw(2, first_hz=2e4, second_hz=2e4, seconds=0.2)
    plan = SearchPlan(15, 20_000_000, SECOND // 5, 190 * MS, (0,))
    with pytest.raises(NoTiming, match="overlap"):
        search_offset(pairs.reference, pairs.stream, plan)
    with pytest.raises(NoTiming, match="no time in common"):
        search_offset(pairs.reference + 9 * SECOND, pairs.stream, small_plan())


def test_floats_and_empty_streams_are_refused() -> None:
    times = np.arange(10, dtype=np.int64)
    floats: Any = times.astype(np.float64)
    with pytest.raises(NoTiming, match="0 and 10 tags"):
        search_offset(times[:0], times, small_plan())
    with pytest.raises(LocalMisuse, match="int64"):
        search_offset(floats, times, small_plan())
