"""Values of the segments of a route, and the bound of its rate, against enumerations and another solver."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from bellwire.core.errors import LocalMisuse
from bellwire.planner.intervals import RouteTimes
from bellwire.planner.route_bound import route_bound
from bellwire.planner.segment_values import (
    SegmentValues,
    dual_costs,
    latencies,
    segment_values,
    values,
    worths,
)

Segment = tuple[int, int]


def times_of(
    link_s: tuple[float, ...],
    swap: float | tuple[float, ...] = 0.4,
    *,
    swap_s: float = 0.0,
    hop_s: float = 0.0,
) -> RouteTimes:
    n = len(link_s) + 1
    swaps = swap if isinstance(swap, tuple) else (swap,) * n
    return RouteTimes(link_s, swaps, (swap_s,) * n, lambda a, b: abs(a - b) * hop_s)


class Tree(NamedTuple):
    """Cost of a tree and its swaps (left, at, right), by enumeration."""

    cost: float
    swaps: tuple[tuple[int, int, int], ...]


def trees(left: int, right: int, costs: tuple[float, ...], swap: tuple[float, ...]) -> Iterator[Tree]:
    """Every tree over a segment."""
    if right == left + 1:
        yield Tree(costs[left], ())
    for at in range(left + 1, right):
        for one in trees(left, at, costs, swap):
            for other in trees(at, right, costs, swap):
                yield Tree((one.cost + other.cost) / swap[at], ((left, at, right), *one.swaps, *other.swaps))


def of(rows: tuple[tuple[float, ...], ...], segment: Segment) -> float:
    return rows[segment[0]][segment[1] - segment[0] - 1]


# ---- numbers of the specification


def test_latencies_are_those_of_the_worked_numbers() -> None:
    """algorithms.md 1.7: 7.569886459, 28.53707422 and 107.28902833 ms for 1, 2 and 3 or 4 links of 10 km."""
    seen = latencies(times_of((7.569886459e-3,) * 4, swap_s=10e-6, hop_s=50e-6))
    assert seen[0] == pytest.approx(
        (7.569886459e-3, 28.53707422e-3, 107.28902833e-3, 107.28902833e-3), abs=5e-12
    )
    assert [len(row) for row in seen] == [4, 3, 2, 1]


def test_uniform_routes_have_the_values_and_worths_of_the_specification() -> None:
    """algorithms.md 8.2: V = 1, 5, 15, 25 for 1..4 links; U(R1,R3) = 2.6 and U(3 links) = 9 of 4 links; of 8
    links 2.6 for two that are odd-aligned, 9 for every three, 13 for (1,5), (2,6), (3,7)."""
    four = segment_values(times_of((1.0,) * 4), (1.0,) * 4)
    assert four.value_s[0] == pytest.approx((1.0, 5.0, 15.0, 25.0))
    assert of(four.worth_s, (1, 3)) == pytest.approx(2.6)
    assert of(four.worth_s, (0, 2)) == of(four.worth_s, (2, 4)) == pytest.approx(5.0)
    assert of(four.worth_s, (0, 3)) == of(four.worth_s, (1, 4)) == pytest.approx(9.0)
    eight = segment_values(times_of((1.0,) * 8), (1.0,) * 8)
    assert [of(eight.worth_s, (x, x + 2)) for x in (1, 3, 5)] == pytest.approx([2.6] * 3)
    assert [of(eight.worth_s, (x, x + 3)) for x in range(6)] == pytest.approx([9.0] * 6)
    assert [of(eight.worth_s, (x, x + 4)) for x in (1, 2, 3)] == pytest.approx([13.0] * 3)
    assert [of(eight.worth_s, (x, x + 4)) for x in (0, 4)] == pytest.approx([25.0] * 2)


def test_the_partner_of_a_segment_is_the_one_that_gives_it_its_worth() -> None:
    """Uniform 4 links: the first link waits for the second, (0,2) for (2,4), and the odd pair (1,3) for (3,4)
    or (0,1)."""
    times = times_of((1.0,) * 4)
    seen = segment_values(times, (1.0,) * 4)
    two_s, four_s = of(seen.latency_s, (0, 2)), of(seen.latency_s, (0, 4))
    assert of(seen.partner_s, (0, 1)) == pytest.approx(1.0)
    assert of(seen.partner_s, (0, 2)) == of(seen.partner_s, (2, 4)) == pytest.approx(two_s)
    assert of(seen.partner_s, (1, 3)) == pytest.approx(1.0)
    assert of(seen.partner_s, (0, 4)) == pytest.approx(four_s)


# ---- properties

ROUTES = st.integers(2, 6).flatmap(
    lambda hops: st.tuples(
        st.tuples(*[st.floats(0.5, 5.0)] * hops), st.tuples(*[st.floats(0.15, 0.95)] * (hops + 1))
    )
)


def values_of(costs: tuple[float, ...], swap: tuple[float, ...]) -> SegmentValues:
    return segment_values(times_of(costs, swap), costs)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(ROUTES)
def test_the_value_of_a_segment_is_the_cost_of_its_cheapest_tree(
    route: tuple[tuple[float, ...], tuple[float, ...]],
) -> None:
    costs, swap = route
    seen = values_of(costs, swap)
    for i in range(len(costs)):
        for j in range(i + 1, len(costs) + 1):
            cheapest = min(tree.cost for tree in trees(i, j, costs, swap))
            assert of(seen.value_s, (i, j)) == pytest.approx(cheapest, rel=1e-12)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(ROUTES)
def test_worth_lies_between_nothing_and_value_and_is_value_exactly_on_optimal_trees(
    route: tuple[tuple[float, ...], tuple[float, ...]],
) -> None:
    costs, swap = route
    seen, hops = values_of(costs, swap), len(costs)
    whole = list(trees(0, hops, costs, swap))
    cheapest = min(tree.cost for tree in whole)
    on_plan = {(0, hops)}
    off_by: dict[Segment, float] = {}
    for tree in whole:
        segments = {part for x, at, y in tree.swaps for part in ((x, at), (at, y))}
        if tree.cost <= cheapest * (1.0 + 1e-12):
            on_plan |= segments
        for segment in segments:
            off_by[segment] = min(off_by.get(segment, 9e9), tree.cost / cheapest - 1.0)
    for i in range(hops):
        for j in range(i + 1, hops + 1):
            worth, value = of(seen.worth_s, (i, j)), of(seen.value_s, (i, j))
            assert 0.0 <= worth <= value * (1.0 + 1e-12)
            if (i, j) in on_plan:
                assert worth == pytest.approx(value, rel=1e-9)
            elif off_by[i, j] > 1e-6:
                assert worth < value


@settings(derandomize=True, deadline=None, max_examples=60)
@given(ROUTES)
def test_swaps_of_optimal_trees_break_even_and_none_with_a_partner_on_one_brings_more(
    route: tuple[tuple[float, ...], tuple[float, ...]],
) -> None:
    costs, swap = route
    seen, hops = values_of(costs, swap), len(costs)
    best = min(trees(0, hops, costs, swap), key=lambda tree: tree.cost)

    def gain(x: int, at: int, y: int) -> float:
        parts = of(seen.worth_s, (x, at)) + of(seen.worth_s, (at, y))
        return (swap[at] * of(seen.worth_s, (x, y)) - parts) / seen.value_s[0][-1]

    for one in best.swaps:
        assert gain(*one) == pytest.approx(0.0, abs=1e-12)
    on_plan = {(0, hops)} | {part for x, at, y in best.swaps for part in ((x, at), (at, y))}
    for x in range(hops):
        for at in range(x + 1, hops):
            for y in range(at + 1, hops + 1):
                if (x, at) in on_plan or (at, y) in on_plan:
                    assert gain(x, at, y) <= 1e-12


@settings(derandomize=True, deadline=None, max_examples=20)
@given(ROUTES, st.floats(0.01, 100.0))
def test_values_scale_with_costs_and_with_the_unit_of_time(
    route: tuple[tuple[float, ...], tuple[float, ...]], unit: float
) -> None:
    costs, swap = route
    one, other = values_of(costs, swap), values_of(tuple(unit * cost for cost in costs), swap)
    for field in ("latency_s", "value_s", "worth_s", "partner_s"):
        for row, scaled in zip(getattr(one, field), getattr(other, field), strict=True):
            assert scaled == pytest.approx([unit * number for number in row], rel=1e-9, abs=1e-9 * unit)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(ROUTES)
def test_a_route_read_backwards_has_the_same_values(
    route: tuple[tuple[float, ...], tuple[float, ...]],
) -> None:
    costs, swap = route
    one, other = values_of(costs, swap), values_of(costs[::-1], swap[::-1])
    hops = len(costs)
    for field in ("latency_s", "value_s", "worth_s", "partner_s"):
        for i in range(hops):
            for j in range(i + 1, hops + 1):
                mirrored = of(getattr(other, field), (hops - j, hops - i))
                assert of(getattr(one, field), (i, j)) == pytest.approx(mirrored, rel=1e-9, abs=1e-9)


# ---- the bound


def bound_by_scipy(rates_hz: tuple[float, ...], swap: tuple[float, ...]) -> tuple[float, list[float]]:
    """The programme of algorithms.md 8.5 with dense rows and another solver call: rate, and link duals."""
    hops = len(rates_hz)
    segments = [(i, j) for i in range(hops) for j in range(i + 1, hops + 1)]
    tried = [(i, r, j) for i, j in segments for r in range(i + 1, j)]
    rows = np.zeros((len(segments), len(tried) + 1))
    for row, (i, j) in enumerate(segments):
        for column, (x, r, y) in enumerate(tried):
            rows[row, column] = ((x, r) == (i, j)) + ((r, y) == (i, j)) - swap[r] * ((x, y) == (i, j))
    rows[segments.index((0, hops)), -1] = 1.0
    room = [rates_hz[i] if j == i + 1 else 0.0 for i, j in segments]
    cost = np.zeros(len(tried) + 1)
    cost[-1] = -1.0
    found = linprog(cost, A_ub=rows, b_ub=room, method="highs-ds")
    assert found.status == 0
    return -found.fun, [-found.ineqlin.marginals[segments.index(link)] for link in pairwise(range(hops + 1))]


@settings(derandomize=True, deadline=None, max_examples=40)
@given(ROUTES)
def test_the_bound_is_that_of_scipy_and_its_duals_are_a_price_of_it(
    route: tuple[tuple[float, ...], tuple[float, ...]],
) -> None:
    rates_hz, swap = route
    rate_hz, _ = bound_by_scipy(rates_hz, swap)
    seen = route_bound(rates_hz, swap)
    assert seen.rate_hz == pytest.approx(rate_hz, rel=1e-7)
    assert min(seen.link_duals) >= 0.0
    # Strong duality: links are the only limits, so the bound is what they are worth.
    paid = sum(dual * rate for dual, rate in zip(seen.link_duals, rates_hz, strict=True))
    assert paid == pytest.approx(rate_hz, rel=1e-7)
    # Duals are a supergradient of a concave function: elsewhere they promise at least what there is.
    for link in range(len(rates_hz)):
        other = tuple(rate * (1.3 if index == link else 1.0) for index, rate in enumerate(rates_hz))
        promised = sum(dual * rate for dual, rate in zip(seen.link_duals, other, strict=True))
        assert bound_by_scipy(other, swap)[0] <= promised * (1.0 + 1e-7)


def test_the_duals_are_those_of_scipy_where_there_is_one_answer() -> None:
    """Random rates make one vertex optimal; of 20 routes all have the same duals by both solvers."""
    draws = np.random.default_rng(5)
    for _ in range(20):
        hops = int(draws.integers(2, 7))
        rates_hz = tuple(draws.uniform(50.0, 200.0, hops))
        seen = route_bound(rates_hz, (0.4,) * (hops + 1))
        assert seen.link_duals == pytest.approx(bound_by_scipy(rates_hz, (0.4,) * (hops + 1))[1], abs=1e-7)


def test_two_links_give_the_slower_one_times_the_swap_s_success() -> None:
    seen = route_bound((30.0, 70.0), (1.0, 0.4, 1.0))
    assert seen.rate_hz == pytest.approx(12.0)
    assert seen.link_duals == pytest.approx((0.4, 0.0))


@pytest.mark.parametrize(
    ("rates_hz", "swap"), [((1.0, 2.0), (0.4, 0.4)), ((1.0, float("nan")), (0.4, 0.4, 0.4))]
)
def test_numbers_of_no_route_are_refused(rates_hz: tuple[float, ...], swap: tuple[float, ...]) -> None:
    with pytest.raises(LocalMisuse):
        route_bound(rates_hz, swap)


# ---- link costs


def test_costs_keep_the_sum_of_latencies_and_mirror_with_the_route() -> None:
    link_s = (1.0, 3.0, 2.0, 3.0, 1.0)
    costs = dual_costs(times_of(link_s), 0.1)
    assert sum(costs) == pytest.approx(sum(link_s))
    assert costs == pytest.approx(costs[::-1], rel=1e-9)
    assert min(costs) > 0.0


def test_a_slow_link_costs_more_than_its_share_of_latency() -> None:
    """Its rate limits the route, that of the fast ones does not."""
    link_s = (1.0, 1.0, 4.0, 1.0)
    costs = dual_costs(times_of(link_s), 0.1)
    assert costs[2] == max(costs)
    assert costs[2] / sum(costs) > link_s[2] / sum(link_s)


def test_a_high_floor_makes_all_links_cost_alike() -> None:
    costs = dual_costs(times_of((1.0, 5.0, 2.0)), 1e9)
    assert costs == pytest.approx((8.0 / 3.0,) * 3, rel=1e-6)


def test_worth_of_the_whole_route_is_its_value_and_its_partner_is_itself() -> None:
    times = times_of((1.0, 2.0, 1.5), (0.9, 0.3, 0.5, 0.9))
    value_s, latency_s = values(times, times.link_s), latencies(times)
    worth_s, partner_s = worths(times, value_s, latency_s)
    assert worth_s[0][-1] == value_s[0][-1]
    assert partner_s[0][-1] == latency_s[0][-1]
