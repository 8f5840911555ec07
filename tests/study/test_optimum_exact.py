"""Exact optima of short routes against closed forms, hand-made chains, and the model of a route."""

import numpy as np
import pytest

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.planner.intervals import tree_of_shape
from bellwire.study import optimum_average
from bellwire.study.optimum_average import best_rate
from bellwire.study.optimum_segments import least_time_s, states_of
from bellwire.study.route_model import follow_tree, simulate
from bellwire.study.route_model_numbers import plain_route
from bellwire.study.trees_search import shapes
from bellwire.study.tuning import settings, try_mode

RATES_HZ = tuple(float(rate) for rate in np.random.default_rng(1).uniform(0.3, 1.5, 5))


# ---- 7.2: one pair, memory two, no ageing


@pytest.mark.parametrize(("hops", "number"), [(1, 2), (2, 5), (3, 13), (4, 34), (10, 10946)])
def test_a_route_has_as_many_partitions_as_fibonacci_counted(hops: int, number: int) -> None:
    assert len(set(states_of(hops))) == number


@pytest.mark.parametrize("hops", [1, 2, 3, 5])
def test_with_certain_swaps_the_time_is_that_of_the_last_of_all_links(hops: int) -> None:
    """The greatest of n exponential times of mean 1 has mean 1 + 1/2 + ... + 1/n."""
    harmonic = sum(1.0 / number for number in range(1, hops + 1))
    assert least_time_s([1.0] * hops, [1.0] * (hops + 1)) == pytest.approx(harmonic, rel=1e-9)


def test_two_unequal_links_take_the_time_of_the_closed_form() -> None:
    """(1/a + 1/b - 1/(a + b) + t_b) / p_b."""
    time_s = least_time_s([0.7, 2.5], [0.0, 0.4, 0.0], [0.0, 0.3, 0.0])
    assert time_s == pytest.approx((1 / 0.7 + 1 / 2.5 - 1 / 3.2 + 0.3) / 0.4, rel=1e-9)


def test_of_a_certain_and_an_uncertain_swap_the_uncertain_one_is_tried_first() -> None:
    """Three links of rate 1. The pair of the last two, swapped with p = 1/2, takes X: E[X] = 3 and, from the
    transform 1/3 of the greater of two exponential times, E[exp(-X)] = (1/6) / (1 - 1/6) = 1/5. Waiting for
    the first link beside it takes E[max(X, Y)] = E[X] + E[exp(-X)] = 3.2; the other order takes 11/3."""
    assert least_time_s([1.0, 1.0, 1.0], [1.0, 1.0, 0.5, 1.0]) == pytest.approx(3.2, rel=1e-9)


def test_a_longer_route_takes_longer_and_slower_swaps_too() -> None:
    probability = [0.4] * 6
    times = [least_time_s(RATES_HZ[:hops], probability[: hops + 1]) for hops in (2, 3, 4, 5)]
    assert times == sorted(times)
    assert least_time_s(RATES_HZ, probability, [0.1] * 6) > times[-1]


def test_numbers_of_another_route_and_too_long_routes_are_refused() -> None:
    with pytest.raises(LocalMisuse, match="2 links need 3"):
        least_time_s([1.0, 1.0], [0.5, 0.5])
    with pytest.raises(ConfigError, match="exact up to 10"):
        least_time_s([1.0] * 11, [0.5] * 12)


# ---- 8.5: average rate, memories of their own on each side


def test_two_links_with_a_memory_a_side_have_the_rate_of_two_exponential_times() -> None:
    best = best_rate(RATES_HZ[:2], 0.4, 1)
    a, b = RATES_HZ[:2]
    assert best.rate_hz == pytest.approx(0.4 / (1 / a + 1 / b - 1 / (a + b)), rel=2e-6)


@pytest.mark.parametrize(("memories", "mean"), [(1, 1.5), (2, 1.25), (3, 7.0 / 6.0)])
def test_buffers_of_two_equal_links_bring_the_rate_of_a_random_walk_with_walls(
    memories: int, mean: float
) -> None:
    """The difference of links in store walks over 2m + 1 places alike often; a pair comes with every step but
    those away from 0: a rate of 2m / (2m + 1) swaps a second for links of rate 1."""
    assert best_rate([1.0, 1.0], 0.5, memories).rate_hz == pytest.approx(0.5 / mean, rel=2e-6)


@pytest.mark.parametrize(
    ("hops", "memories", "least", "most"), [(3, 1, 1.01, 1.15), (3, 2, 1.01, 1.15), (5, 1, 1.11, 1.30)]
)
def test_the_optimum_beats_the_best_tree_by_what_the_specification_found(
    hops: int, memories: int, least: float, most: float
) -> None:
    """8.5: 1 to 15 % at 3 hops, 11 to 30 % at 5."""
    route = plain_route(
        [1.0 / rate for rate in RATES_HZ[:hops]], 0.4, memories=2 * memories, side_max=memories
    )
    trees = [tree_of_shape(route.times, shape) for shape in shapes(0, hops)]
    best = max(best_rate(RATES_HZ[:hops], 0.4, memories, tree=tree).rate_hz for tree in trees)
    assert least < best_rate(RATES_HZ[:hops], 0.4, memories).rate_hz / best < most


@pytest.mark.parametrize(("hops", "memories"), [(3, 1), (3, 2), (5, 1)])
def test_the_model_of_a_route_gives_a_fixed_tree_its_exact_rate(hops: int, memories: int) -> None:
    """4 standard errors (batches): one false alarm in 1,300."""
    route = plain_route(
        [1.0 / rate for rate in RATES_HZ[:hops]], 0.4, memories=2 * memories, side_max=memories
    )
    tree = tree_of_shape(route.times, shapes(0, hops)[0])
    exact = best_rate(RATES_HZ[:hops], 0.4, memories, tree=tree)
    figures = simulate(route, follow_tree(route, tree), deliveries=30_000)
    assert figures.rate_hz == pytest.approx(exact.rate_hz, abs=4.0 * figures.error_hz + exact.gap_hz)


@pytest.mark.parametrize(("hops", "memories"), [(3, 1), (3, 2), (4, 1), (5, 1)])
def test_the_calibrated_score_comes_close_to_the_optimum_and_never_above(hops: int, memories: int) -> None:
    """Best of the settings on their own chance, run again: within 5 % (8.5), and 4 standard errors."""
    route = plain_route(
        [1.0 / rate for rate in RATES_HZ[:hops]], 0.4, memories=2 * memories, side_max=memories
    )
    exact = best_rate(RATES_HZ[:hops], 0.4, memories).rate_hz
    tried = [try_mode(route, mode, 2000, seed=3) for mode in settings(1)]
    mode = max(tried, key=lambda one: one.figures.rate_hz).mode
    figures = try_mode(route, mode, 30_000, seed=4).figures
    assert 0.95 * exact - 4.0 * figures.error_hz < figures.rate_hz < exact + 4.0 * figures.error_hz


def test_too_many_states_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a limit of 2000 here: to count to that of the study takes seconds."""
    monkeypatch.setattr(optimum_average, "STATES_MAX", 2_000)
    with pytest.raises(ConfigError, match="8 links with 4 memories a side have more than 2000 states"):
        best_rate([1.0] * 8, 0.4, 4)
