"""The model of one route against closed forms, exact chains and its own books."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from bellwire.core.errors import ConfigError
from bellwire.labs.paper_network import chain_lab
from bellwire.planner.intervals import best_tree, tree_of_shape
from bellwire.study.route_model import Behaviour, adaptive, connectionless, follow_tree, simulate, swap_asap
from bellwire.study.route_model_numbers import RouteNumbers, plain_route, route_of

ERRORS = 4.0
"""Standard errors allowed; batches of 20 make that a false alarm in about 1,300 comparisons (Student's t)."""


def paper_chain(*lengths_km: float) -> RouteNumbers:
    network = chain_lab(lengths_km).network
    return route_of(network, sorted(network.nodes))


def assert_rate(route: RouteNumbers, behaviour: Behaviour, rate_hz: float, deliveries: int = 40_000) -> None:
    figures = simulate(route, behaviour, deliveries=deliveries)
    assert figures.rate_hz == pytest.approx(rate_hz, abs=ERRORS * figures.error_hz)
    assert figures.error_hz < 0.02 * rate_hz


@pytest.mark.parametrize(("success", "swap_success"), [(0.1, 0.5), (0.5, 0.5), (0.3, 1.0)])
def test_two_segments_with_a_memory_each_take_the_time_of_the_closed_form(
    success: float, swap_success: float
) -> None:
    """(3 - 2p) / (p (2 - p) p_s) slots (algorithms.md 12.1); 29.47368421 for p = 0.1, p_s = 0.5."""
    route = plain_route([1.0 / success] * 2, swap_success, memories=2, side_max=1, slot_s=1.0)
    slots = (3.0 - 2.0 * success) / (success * (2.0 - success) * swap_success)
    assert_rate(route, swap_asap(route), 1.0 / slots)


@pytest.mark.parametrize(("success", "slots"), [(0.3, 5.634451019), (0.5, 2.8)])
def test_two_segments_with_a_cutoff_take_the_time_of_the_closed_form(success: float, slots: float) -> None:
    """Deterministic swaps, two attempts after the first link (12.1)."""
    route = plain_route([1.0 / success] * 2, 1.0, memories=2, side_max=1, slot_s=1.0)
    cut = np.full((3, 3), 2.0 + 1e-9)
    figures = simulate(route, replace(swap_asap(route), cutoff_s=cut), deliveries=40_000)
    assert figures.rate_hz == pytest.approx(1.0 / slots, abs=ERRORS * figures.error_hz)


def test_one_link_delivers_at_its_own_rate() -> None:
    route = paper_chain(10.0)
    assert_rate(route, swap_asap(route), route.link_rates_hz[0])


def test_two_links_with_a_memory_a_side_reach_the_rate_of_two_exponential_times() -> None:
    """1 / (1/a + 1/b - 1/(a + b)) times p_b (12.1)."""
    route = plain_route([1.0, 0.4], 0.4, memories=2, side_max=1)
    assert_rate(route, swap_asap(route), 0.4 / (1.0 + 0.4 - 1.0 / (1.0 + 2.5)))


def test_a_paper_link_has_the_latency_of_the_specification() -> None:
    """10 km at half of the node's attempts: 7.569886 ms (1.7)."""
    assert paper_chain(10.0, 10.0).link_s[0] == pytest.approx(7.569886459e-3, rel=1e-6)


def test_inner_nodes_of_a_bank_leave_one_memory_to_each_side() -> None:
    route = paper_chain(10.0, 12.0, 14.0)
    assert route.memories == (5, 5, 5, 5)
    assert route.left_max[1:3] == route.right_max[1:3] == (4, 4)
    assert (route.right_max[0], route.left_max[3]) == (5, 5)


def test_a_throttled_tree_delivers_less_than_the_same_tree_at_full_speed() -> None:
    route = paper_chain(6.0, 11.0, 17.0, 23.0)
    tree = best_tree(route.times)
    full = simulate(route, follow_tree(route, tree), deliveries=4000)
    slow = simulate(route, follow_tree(route, tree, throttled=True), deliveries=4000)
    assert slow.rate_hz < full.rate_hz
    assert slow.links_hz < full.links_hz


def test_a_run_that_cannot_deliver_ends_at_the_limit_of_time() -> None:
    """Nodes 1 and 3 may not swap: memories fill, and nothing more happens but the looks."""
    route = plain_route([1.0] * 4, 0.4, memories=2, side_max=1)
    behaviour = follow_tree(route, best_tree(route.times))
    behaviour.allowed[0, 1, 2] = behaviour.allowed[2, 3, 4] = False
    figures = simulate(route, behaviour, deliveries=1000, limit_s=1e4)
    assert figures.deliveries == 0
    assert figures.duration_s >= 1e4


def test_the_books_of_a_run_agree_with_each_other() -> None:
    """Failed swaps are 1 - p_b of all: 6 standard errors of the share, one false alarm in 10**9."""
    route = paper_chain(9.0, 14.0, 21.0)
    figures = simulate(route, adaptive(route, "score"), deliveries=8000)
    swaps = figures.swaps_hz * figures.duration_s
    assert figures.failed_share == pytest.approx(0.6, abs=6.0 * (0.24 / swaps) ** 0.5)
    assert figures.rate_hz < figures.swaps_hz < figures.links_hz
    assert 0.0 < figures.occupied <= 1.0
    assert figures.age_s < 2.0 * best_tree(route.times).latency_s


def test_the_same_seed_gives_the_same_run_and_another_one_another() -> None:
    route = paper_chain(9.0, 14.0, 21.0)
    behaviour = adaptive(route, "oldest")
    once = simulate(route, behaviour, deliveries=500, seed=3)
    assert once == simulate(route, behaviour, deliveries=500, seed=3)
    assert once != simulate(route, behaviour, deliveries=500, seed=4)


def test_a_left_deep_tree_does_what_connectionless_routing_does() -> None:
    """The same swaps are allowed: the same run, draw for draw."""
    route = paper_chain(9.0, 14.0, 21.0, 12.0)
    tree = tree_of_shape(route.times, (((0, 1), 2), 3))
    one = simulate(route, follow_tree(route, tree, first="oldest", cutoff_s=inf), deliveries=1000)
    assert one == simulate(route, connectionless(route), deliveries=1000)


@pytest.mark.parametrize("mode", ["oldest > score", "score(form=A)", "oldest(cutoff=depth)", "fixed_tree"])
def test_modes_that_the_model_lacks_are_refused(mode: str) -> None:
    with pytest.raises(ConfigError, match="the model of a route has"):
        adaptive(paper_chain(9.0, 14.0), mode)


def test_a_route_over_nodes_without_a_link_is_refused() -> None:
    network = chain_lab([9.0, 14.0]).network
    with pytest.raises(ConfigError, match="no link between c00 and c02"):
        route_of(network, ["c00", "c02"])
