"""Super-links: cost and latency by hand, and choices against every choice there is on small networks."""

import math
from itertools import combinations

import numpy as np
import pytest

from bellwire.planner.capacity import NoPlan
from bellwire.planner.predistribution import Demand, SuperLinks, attempts_of
from bellwire.planner.predistribution_clusters import clustered
from bellwire.planner.predistribution_greedy import Chosen, greedy
from bellwire.planner.structures import route_of
from bellwire.planner.topology import Node, Topology, link_between
from tests.planner.batch.small_networks import SWAP_S, T_LINK_S, WORD_S, line

P_B = 0.4
TWO_HOPS_S = 28.53707422e-3
THREE_HOPS_S = 107.28902833e-3


def drawn(seed: int, count: int = 7) -> tuple[Topology, list[Demand]]:
    """Some nodes at random places, the nearest ones linked, and some pairs that are wanted."""
    chance = np.random.default_rng(seed)
    spots = chance.uniform(0.0, 30.0, size=(count, 2))
    nodes = [
        Node(
            name=f"n{index}",
            position_km=(float(x), float(y)),
            memories=50,
            swap_probability=float(chance.uniform(0.3, 0.9)),
        )
        for index, (x, y) in enumerate(spots)
    ]
    by_length = sorted(
        combinations(range(count), 2), key=lambda ends: float(np.hypot(*(spots[ends[0]] - spots[ends[1]])))
    )
    joined = {index: index for index in range(count)}
    links = []
    for number, (a, b) in enumerate(by_length):
        if number < count or joined[a] != joined[b]:
            links.append(link_between(nodes[a], nodes[b], float(np.hypot(*(spots[a] - spots[b])))))
            old, new = joined[b], joined[a]
            joined = {index: new if group == old else group for index, group in joined.items()}
    ends = [by_length[int(index)] for index in chance.choice(len(by_length), size=4, replace=False)]
    demands = [Demand(f"n{a}", f"n{b}", float(chance.integers(1, 4))) for a, b in ends]
    return Topology.of(nodes, links), demands


def through_by_hand(known: SuperLinks, demand: Demand, x: str, y: str) -> float:
    """The formulas of algorithms.md 3 once more, node by node, in one orientation."""
    topology = known.topology

    def route(a: str, b: str) -> tuple[str, ...]:
        if a == b:
            return (a,)
        tree = known.trees.tree(a, b)
        return () if tree is None else route_of(tree)

    def made_s(a: str, b: str) -> float:
        tree = known.trees.tree(a, b)
        return math.inf if tree is None else tree.latency_s

    def swapped_s(wait_s: float, at: str, *ends: str) -> float:
        node = topology.nodes[at]
        return (wait_s + node.swap_s + max(topology.delay_s(at, end) for end in ends)) / node.swap_probability

    s, d = demand.source, demand.destination
    if s == y or d == x:
        return math.inf
    walk = (*route(s, x), *route(x, y)[1:], *route(y, d)[1:])
    if len(set(walk)) != len(walk) or walk[0] != s or walk[-1] != d:
        return math.inf
    if (s, d) == (x, y):
        return 0.0
    if s == x:
        return swapped_s(made_s(y, d), y, x, d)
    if d == y:
        return swapped_s(made_s(s, x), x, s, y)
    left, right = made_s(s, x), made_s(y, d)
    return min(
        swapped_s(1.5 * max(swapped_s(left, x, s, y), right), y, s, d),
        swapped_s(1.5 * max(left, swapped_s(right, y, x, d)), x, s, d),
    )


def best_of_all_choices(known: SuperLinks) -> float:
    """The least total latency of any disjoint candidates within the budget, by trying every set of them."""
    helpful = [
        index for index in range(len(known.candidates)) if (known.through_s[:, index] < known.plain_s).any()
    ]
    best_s = known.total_s(())
    open_choices: list[tuple[int, ...]] = [()]
    while open_choices:
        chosen = open_choices.pop()
        best_s = min(best_s, known.total_s(chosen))
        for index in helpful:
            if chosen and index <= chosen[-1]:
                continue
            longer = (*chosen, index)
            if sum(known.costs[one] for one in longer) > known.budget_attempts:
                continue
            if all(known.candidates[index].is_disjoint(known.candidates[one]) for one in chosen):
                open_choices.append(longer)
    return best_s


def holds_together(known: SuperLinks, found: Chosen) -> None:
    """A choice keeps the budget, its super-links share nothing, and its figures are those of its parts."""
    assert found.cost <= known.budget_attempts
    assert found.cost == pytest.approx(sum(each.cost for each in found.super_links))
    assert all(one.is_disjoint(other) for one, other in combinations(found.super_links, 2))
    assert set(found.super_links) == {each for each in found.taken if each is not None}
    total_s = 0.0
    for demand, taken, latency_s, plain_s in zip(
        known.demands, found.taken, found.latency_s, found.plain_s, strict=True
    ):
        ways = [plain_s]
        for each in found.super_links:
            ways += [
                through_by_hand(known, demand, each.left, each.right),
                through_by_hand(known, demand, each.right, each.left),
            ]
        assert latency_s == pytest.approx(min(ways), rel=1e-12)
        assert (taken is None) == (latency_s == plain_s)
        total_s += demand.weight * latency_s
    assert found.total_s == pytest.approx(total_s)


def test_the_cost_of_a_super_link_is_that_of_all_attempts_below_it() -> None:
    known = SuperLinks(line(10.0, 10.0, 10.0), [Demand("A", "D")])
    two = known.candidates[known.index_of("A", "C") or 0]
    assert two.cost == pytest.approx(378.494, abs=1e-3)  # algorithms.md 3
    one = known.candidates[known.index_of("A", "B") or 0]
    assert one.cost == pytest.approx(1.0 / 0.01321023777, rel=1e-9)
    assert attempts_of(two.tree, known.topology, 3.0) == pytest.approx(3.0 * two.cost)


def test_three_hops_through_a_super_link_over_the_last_two_take_what_the_specification_says() -> None:
    known = SuperLinks(line(10.0, 10.0, 10.0), [Demand("A", "D")])
    index = known.index_of("D", "B")
    assert index is not None
    assert known.plain_s[0] == pytest.approx(THREE_HOPS_S, rel=1e-9)
    assert known.through_s[0, index] == pytest.approx(19.1997e-3, abs=1e-7)
    assert known.through_s[0, index] == pytest.approx((T_LINK_S + SWAP_S + 2.0 * WORD_S) / P_B, rel=1e-9)


def test_a_super_link_in_the_middle_is_joined_on_its_better_side_first() -> None:
    known = SuperLinks(line(10.0, 10.0, 5.0), [Demand("A", "D")])
    index = known.index_of("B", "C")
    assert index is not None
    busy_s = SWAP_S + WORD_S  # 10 km to the farther end
    short_s = 5.895433502e-3
    left_first = (1.5 * max((T_LINK_S + busy_s) / P_B, short_s) + SWAP_S + 2.0 * WORD_S) / P_B
    right_first = (1.5 * max(T_LINK_S, (short_s + busy_s) / P_B) + SWAP_S + 1.5 * WORD_S) / P_B
    assert right_first < left_first
    assert known.through_s[0, index] == pytest.approx(right_first, rel=1e-9)


def test_a_pair_in_store_between_the_very_ends_is_there_at_once() -> None:
    known = SuperLinks(line(10.0, 10.0), [Demand("C", "A")])
    assert known.through_s[0, known.index_of("A", "C")] == 0.0


def test_a_request_does_not_go_back_the_way_it_came() -> None:
    known = SuperLinks(line(10.0, 10.0, 10.0), [Demand("A", "B")])
    for ends in (("B", "C"), ("B", "D"), ("C", "D")):
        assert known.through_s[0, known.index_of(*ends)] == math.inf


@pytest.mark.parametrize("seed", range(12))
def test_latencies_through_every_super_link_are_those_by_hand(seed: int) -> None:
    topology, demands = drawn(seed)
    known = SuperLinks(topology, demands)
    finite = 0
    for row, demand in enumerate(demands):
        for index, each in enumerate(known.candidates):
            by_hand = min(
                through_by_hand(known, demand, each.left, each.right),
                through_by_hand(known, demand, each.right, each.left),
            )
            assert known.through_s[row, index] == pytest.approx(by_hand, rel=1e-12)
            finite += math.isfinite(by_hand)
    assert finite > len(demands)


@pytest.mark.parametrize("budget", [300.0, 1500.0, 1e4])
def test_no_choice_beats_all_choices_and_the_greedy_one_comes_near(budget: float) -> None:
    saved, greedily, in_groups = 0.0, 0.0, 0.0
    for seed in range(12):
        topology, demands = drawn(seed)
        known = SuperLinks(topology, demands, budget_attempts=budget)
        best_s, plain_s = best_of_all_choices(known), known.total_s(())
        for found in (greedy(known), clustered(known, seed)):
            holds_together(known, found)
            assert best_s - 1e-12 <= found.total_s <= plain_s
        saved += plain_s - best_s
        greedily += plain_s - greedy(known).total_s
        in_groups += plain_s - clustered(known, seed).total_s
    assert greedily >= 0.85 * saved
    assert in_groups >= 0.5 * saved


def test_the_greedy_choice_cannot_be_bettered_by_one_more_super_link() -> None:
    for seed in range(12):
        topology, demands = drawn(seed)
        known = SuperLinks(topology, demands, budget_attempts=1500.0)
        found = greedy(known)
        for each in known.candidates:
            beside = [one for one in found.super_links if one.is_disjoint(each)]
            choice = [known.index_of(one.left, one.right) or 0 for one in (*beside, each)]
            if sum(known.costs[one] for one in choice) <= known.budget_attempts:
                assert known.total_s(choice) >= found.total_s * (1.0 - 1e-9)


def test_a_better_super_link_takes_the_place_of_those_it_meets() -> None:
    """Cheap super-links on one line come first; the one over all of it saves more and replaces them."""
    known = SuperLinks(line(10.0, 10.0, 10.0), [Demand("A", "D")], budget_attempts=1200.0)
    found = greedy(known)
    assert [(each.left, each.right) for each in found.super_links] == [("A", "D")]
    assert found.total_s == 0.0
    short = greedy(SuperLinks(line(10.0, 10.0, 10.0), [Demand("A", "D")], budget_attempts=400.0))
    assert [len(each.route) for each in short.super_links] == [3]
    assert short.total_s == pytest.approx(19.1997e-3, abs=1e-7)


def test_weights_decide_who_is_served() -> None:
    star = line(10.0, 10.0, 10.0, 10.0)
    light, heavy = Demand("A", "C"), Demand("C", "E")
    for one, other in ((1.0, 5.0), (5.0, 1.0)):
        demands = [
            Demand(light.source, light.destination, one),
            Demand(heavy.source, heavy.destination, other),
        ]
        known = SuperLinks(star, demands, budget_attempts=400.0)
        ends = {(each.left, each.right) for each in greedy(known).super_links}
        assert ends == ({("C", "E")} if other > one else {("A", "C")})


def test_super_links_that_are_made_too_slowly_are_none() -> None:
    known = SuperLinks(line(10.0, 10.0, 10.0), [Demand("A", "D")], latency_max_s=TWO_HOPS_S * 1.001)
    assert known.index_of("A", "D") is None
    assert known.index_of("A", "C") is not None


def test_end_nodes_that_do_not_relay_join_nothing() -> None:
    nodes = [
        Node(name=name, position_km=(x, 0.0), memories=9, relays=name == "B")
        for name, x in zip("ABCD", (0.0, 10.0, 20.0, 30.0), strict=True)
    ]
    links = [link_between(nodes[0], nodes[1], 10.0), link_between(nodes[1], nodes[2], 10.0)]
    known = SuperLinks(Topology.of(nodes[:3], links), [Demand("A", "C")])
    assert known.through_s[0, known.index_of("A", "B")] < known.plain_s[0]
    with pytest.raises(NoPlan, match="no way joins A and D"):
        SuperLinks(Topology.of(nodes, links), [Demand("A", "D")])


def test_nonsense_is_refused() -> None:
    with pytest.raises(NoPlan, match="no entanglement with itself"):
        Demand("A", "A")
    with pytest.raises(NoPlan, match="weight 0"):
        Demand("A", "B", 0.0)
    with pytest.raises(NoPlan, match="which pairs are wanted"):
        SuperLinks(line(10.0), [])
