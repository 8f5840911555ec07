"""Swapping trees: the worked numbers of the algorithm specification, and the laws that trees obey.

Owns the tests of planner/intervals.py and planner/predictions.py. The link latencies are those of the
planner's textbook link model (algorithms.md 1.1), fed in as numbers.
"""

import itertools
import random

import msgspec
import pytest

from bellwire.core.bell import Walsh, bsm_cost, decay, decay_rates, fidelity_of, join, to_walsh, werner
from bellwire.core.errors import LocalMisuse
from bellwire.core.settings import HeraldEstimate, LinkSettings, MemorySettings
from bellwire.planner.intervals import (
    RouteTimes,
    Shape,
    best_tree,
    throttled,
    tree_latency,
    tree_of_shape,
    waiting_s,
)
from bellwire.planner.meetings import meeting
from bellwire.planner.predictions import ceiling, outlook

LINK_10_KM_S = 7.569886459e-3  # half of both nodes' capacity (1.7)
LINK_5_KM_S = 5.895433502e-3
DEFAULTS = {"swap_probability": 0.4, "swap_s": 10e-6, "hop_delay_s": 50e-6}


@pytest.mark.parametrize(
    ("links", "shape", "latency_ms"),
    [
        ([LINK_10_KM_S] * 2, None, 28.53707422),
        ([LINK_10_KM_S] * 3, None, 107.28902833),
        ([LINK_10_KM_S] * 4, None, 107.28902833),
        ([LINK_10_KM_S] * 4, ((0, 1), (2, 3)), 107.28902833),
        ([LINK_10_KM_S] * 4, (((0, 1), 2), 3), 402.733856),
    ],
)
def test_worked_latencies_come_out(links: list[float], shape: Shape | None, latency_ms: float) -> None:
    assert tree_latency(links, shape=shape, **DEFAULTS) * 1e3 == pytest.approx(latency_ms, rel=1e-8)


def worked_route(*lengths_km: float) -> RouteTimes:
    places = [0.0, *itertools.accumulate(lengths_km)]
    latency = {10: LINK_10_KM_S, 5: LINK_5_KM_S}
    n = len(places)
    return RouteTimes(
        tuple(latency[round(length)] for length in lengths_km),
        (0.4,) * n,
        (10e-6,) * n,
        lambda a, b: abs(places[a] - places[b]) * 5e-6,
    )


def test_the_slow_child_rules_and_throttling_slows_the_fast_one() -> None:
    times = worked_route(10, 5)
    tree = best_tree(times)
    assert tree.latency_s * 1e3 == pytest.approx(28.53707422, rel=1e-8)
    assert [leaf.latency_s for leaf in throttled(tree, times).leaves()] == pytest.approx(
        [LINK_10_KM_S, LINK_10_KM_S], rel=1e-9
    )


def test_eq_1_read_bottom_up_on_a_throttled_tree_gives_the_same_latency_everywhere() -> None:
    generator = random.Random(11)
    for _ in range(20):
        n = generator.randint(2, 7)
        times = RouteTimes(
            tuple(generator.uniform(1e-3, 1e-2) for _ in range(n)),
            tuple(generator.uniform(0.3, 1.0) for _ in range(n + 1)),
            (1e-5,) * (n + 1),
            lambda a, b: abs(a - b) * 5e-5,
        )
        slowed = throttled(best_tree(times), times)
        for subtree, _depth in slowed.swaps():
            assert subtree.children is not None
            left, right = subtree.children
            at = subtree.at
            busy_s = times.swap_s[at] + times.told_s(at, subtree.left, subtree.right)
            again = (1.5 * max(left.latency_s, right.latency_s) + busy_s) / times.swap_probability[at]
            assert again == pytest.approx(subtree.latency_s, rel=1e-12)


def every_shape(first: int, last: int) -> list[Shape]:
    """All nestings of links first..last."""
    if first == last:
        return [first]
    return [
        (left, right)
        for cut in range(first, last)
        for left in every_shape(first, cut)
        for right in every_shape(cut + 1, last)
    ]


@pytest.mark.parametrize("waiting", ["three_halves", "exponential"])
def test_the_programme_finds_the_best_of_all_nestings(waiting: str) -> None:
    generator = random.Random(5)
    for n in range(2, 7):
        times = RouteTimes(
            tuple(generator.uniform(1e-3, 3e-2) for _ in range(n)),
            tuple(generator.uniform(0.3, 1.0) for _ in range(n + 1)),
            (1e-5,) * (n + 1),
            lambda a, b: abs(a - b) * 5e-5,
        )
        shapes = every_shape(0, n - 1)
        fastest_s = min(tree_of_shape(times, shape, waiting).latency_s for shape in shapes)  # type: ignore[arg-type]
        assert best_tree(times, waiting).latency_s == pytest.approx(fastest_s, rel=1e-12)  # type: ignore[arg-type]
    assert len(every_shape(0, 5)) == 42  # Catalan number: the search above saw them all


def test_a_chain_of_equal_links_gets_the_balanced_tree() -> None:
    tree = best_tree(worked_route(10, 10, 10, 10, 10, 10, 10, 10))
    assert [(subtree.at, depth) for subtree, depth in tree.swaps()] == [
        (4, 0),
        (2, 1),
        (1, 2),
        (3, 2),
        (6, 1),
        (5, 2),
        (7, 2),
    ]


def test_between_equally_fast_trees_the_one_cut_nearest_its_middle_is_taken() -> None:
    n = 6  # without delays 2 + 4, 3 + 3 and 4 + 2 links tie under the 3/2 rule
    times = RouteTimes((1.0,) * n, (0.5,) * (n + 1), (0.0,) * (n + 1), lambda a, b: 0.0)
    assert best_tree(times).at == 3


def test_edge_cases_of_the_specification_hold() -> None:
    assert tree_latency([0.25], swap_probability=0.4) == 0.25
    # p_b = 1 and zero times: 1.5 to the height.
    for height in range(1, 5):
        assert tree_latency([1.0] * 2**height, swap_probability=1.0) == pytest.approx(1.5**height)
    with pytest.raises(LocalMisuse, match="at least one link"):
        tree_latency([], swap_probability=1.0)
    with pytest.raises(LocalMisuse, match="share no node"):
        tree_latency([1.0] * 3, shape=(0, 2), swap_probability=1.0)


def test_the_wait_for_two_exponential_children_is_exact_when_asked_for() -> None:
    assert waiting_s(2.0, 2.0, "exponential") == pytest.approx(waiting_s(2.0, 2.0))
    assert waiting_s(1.0, 3.0, "exponential") == pytest.approx(3.25)


def test_a_tree_says_its_nesting() -> None:
    tree = best_tree(worked_route(10, 10))
    assert tree.text(("alice", "relay", "bob")) == "((alice relay) (relay bob))"


# --- predictions ------------------------------------------------------------------------------------------


def test_one_lane_meets_with_the_three_halves_rule() -> None:
    met = meeting(2.0, 1, 2.0, 1)
    assert met == pytest.approx((3.0, 1.0, 1.0))  # 1.5 T between meetings, T/2 waited by each side
    assert meeting(1.0, 1, 3.0, 1).latency_s == pytest.approx(waiting_s(1.0, 3.0, "exponential"))


def simulated_meeting(
    left_s: float, left_lanes: int, right_s: float, right_lanes: int, meetings: int
) -> float:
    """Mean time between meetings, by playing the two birth processes (exponential times, memoryless)."""
    chance = random.Random(7)
    surplus, clock, met = 0, 0.0, 0
    while met < meetings:
        left_hz = (left_lanes - max(0, surplus)) / left_lanes / left_s
        right_hz = (right_lanes - max(0, -surplus)) / right_lanes / right_s
        clock += chance.expovariate(left_hz + right_hz)
        came_left = chance.random() * (left_hz + right_hz) < left_hz
        met += surplus < 0 if came_left else surplus > 0
        surplus += 1 if came_left else -1
    return clock / met


@pytest.mark.parametrize(
    ("left_s", "left_lanes", "right_s", "right_lanes"), [(1, 5, 1, 5), (1, 3, 2, 8), (3, 2, 1, 1)]
)
def test_lanes_meet_as_often_as_when_played(
    left_s: float, left_lanes: int, right_s: float, right_lanes: int
) -> None:
    # 20,000 meetings: the standard error is below 1 % of the mean, so that 4 % is a false alarm below 1e-4.
    played_s = simulated_meeting(left_s, left_lanes, right_s, right_lanes, 20_000)
    assert meeting(left_s, left_lanes, right_s, right_lanes).latency_s == pytest.approx(played_s, rel=0.04)


MEMORY = MemorySettings(
    slots=2,
    rates=decay_rates(10_000_000_000, 100_000_000, None),
    bsm_signs=bsm_cost(0.98, 0.99).signs,
    bsm_cost=bsm_cost(0.98, 0.99).cost,
    bsm_success_probability=0.5,
    operation_limit_ns=1,
)


def textbook_link(name: str, fidelity: float = 0.95) -> LinkSettings:
    state = to_walsh(werner(fidelity))
    return LinkSettings(
        link=name,
        nodes=("a", "b"),
        station=None,
        period_ns=1_000_000,
        lanes=1,
        slots=((0,), (0,)),
        success_probability=0.1,
        heralds=(HeraldEstimate(code=1, frame=2, signs=state.signs, cost=state.cost),),
        click_delay_ns=1_000_000,
        herald_delay_ns=(0, 0),
        length_km=0.0,
    )


def test_fidelity_follows_link_states_swap_noise_and_mean_waiting() -> None:
    links = (textbook_link("l"), textbook_link("r"))
    times = RouteTimes((0.01, 0.01), (1.0, 0.5, 1.0), (0.0, 0.0, 0.0), lambda a, b: 0.0)
    seen = outlook(best_tree(times), times, links, (MEMORY, MEMORY, MEMORY))
    assert seen.latency_s == pytest.approx(0.03)
    assert seen.age_s == pytest.approx(0.005)
    one = to_walsh(werner(0.95))
    fresh = join(join(one, one), Walsh(MEMORY.bsm_signs, MEMORY.bsm_cost))
    # Each of the two pairs waits 5 ms on average, and both of its qubits decay: 4 x 5 ms of storage.
    assert seen.fidelity == pytest.approx(fidelity_of(decay(fresh, MEMORY.rates, 20_000_000)), rel=1e-12)
    assert ceiling(best_tree(times), links, (MEMORY, MEMORY, MEMORY)) == pytest.approx(
        fidelity_of(fresh), rel=1e-12
    )
    assert seen.prediction(2).latency_ns == 30_000_000


def test_a_chain_of_werner_links_has_the_published_fidelity() -> None:
    perfect = MemorySettings(
        slots=2,
        rates=(0, 0, 0),
        bsm_signs=0,
        bsm_cost=(0, 0, 0),
        bsm_success_probability=1.0,
        operation_limit_ns=1,
    )
    for n, expected in ((2, 0.9033333), (4, 0.8191259), (8, 0.6818724)):  # algorithms.md 11.6
        links = tuple(textbook_link(str(index)) for index in range(n))
        times = RouteTimes((0.01,) * n, (1.0,) * (n + 1), (0.0,) * (n + 1), lambda a, b: 0.0)
        assert ceiling(best_tree(times), links, (perfect,) * (n + 1)) == pytest.approx(expected, abs=5e-8)


def test_a_busy_lane_costs_only_its_own_share_of_time() -> None:
    links = tuple(msgspec.structs.replace(textbook_link(name), lanes=4) for name in "lr")
    at_once = RouteTimes((0.0025, 0.0025), (1.0, 0.5, 1.0), (0.0, 0.0, 0.0), lambda a, b: 0.0)
    busy = RouteTimes((0.0025, 0.0025), (1.0, 0.5, 1.0), (0.0, 0.001, 0.0), lambda a, b: 0.0)
    seen = [outlook(best_tree(times), times, links, (MEMORY,) * 3) for times in (at_once, busy)]
    assert seen[1].latency_s - seen[0].latency_s == pytest.approx(0.001 / 4 / 0.5)


def test_classical_delay_and_swap_time_lengthen_and_age_the_pair() -> None:
    links = (textbook_link("l"), textbook_link("r"))
    busy = RouteTimes((0.01, 0.01), (1.0, 0.5, 1.0), (0.0, 0.001, 0.0), lambda a, b: 0.002 * abs(a - b))
    seen = outlook(best_tree(busy), busy, links, (MEMORY, MEMORY, MEMORY))
    assert seen.latency_s == pytest.approx((0.015 + 0.003) / 0.5)
    assert seen.age_s == pytest.approx(0.008)
