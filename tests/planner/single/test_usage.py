"""The programme with usage quanta against every tree with every split of every node.

Owns the tests of single/usage.py and of the shares in single/subtrees.py.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.planner.assessment import max_age_s, outlook
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.methods import plan_pair
from bellwire.planner.requests import Limits, Options, PairRequest
from bellwire.planner.single import exact, usage
from bellwire.planner.single.usage import UsageTrees
from bellwire.planner.structures import (
    LinkLeaf,
    StoredLeaf,
    Tree,
    is_simple,
    leaves,
    retimed,
    route_of,
    swapped,
    throttled,
)
from bellwire.planner.topology import Node, Topology, link_between, pair_of
from tests.planner.single.brute_force import (
    eq1_s,
    link_latency_s,
    networks,
    simple_routes,
    trees_over,
    uneven_network,
)
from tests.planner.single.test_exact import asked, chain

PERFECT = (1.0, 0.0, 0.0, 0.0)


def all_splits(
    topology: Topology, source: str, destination: str, quanta: int
) -> Iterator[tuple[float, tuple[str, ...], object, list[float]]]:
    """(latency, route, tree, leaf latencies) for every split of every inner node between its links."""
    for route in simple_routes(topology, source, destination):
        for splits in product(range(1, quanta), repeat=len(route) - 2):
            left = [quanta, *(quanta - split for split in splits)]  # what each link gets of its left node
            right = [*splits, quanta]
            leaf_s = [
                link_latency_s(topology, a, b, x / quanta, y / quanta)
                for (a, b), x, y in zip(pairwise(route), left, right, strict=True)
            ]
            if math.inf not in leaf_s:
                for tree in trees_over(0, len(leaf_s)):
                    yield eq1_s(topology, route, tree, leaf_s)[0], route, tree, leaf_s


def tree_of(topology: Topology, route: tuple[str, ...], shape: object, leaf_s: list[float]) -> Tree:
    if isinstance(shape, int):
        return LinkLeaf(route[shape], route[shape + 1], leaf_s[shape])
    assert isinstance(shape, tuple)
    one, other = (tree_of(topology, route, child, leaf_s) for child in shape)
    return swapped(topology, one, other)


def loop_pays() -> Topology:
    """A reaches C over the near B, or around it: D has nearly all its attempts for whoever is not C.

    B-C is a poor link, and both want B: a walk that comes to B twice would spend more of B than there is.
    """
    places = {"A": (0.0, 0.0), "B": (1.0, 0.0), "C": (2.0, 0.0), "D": (1.0, 1.0)}
    nodes = {
        name: Node(name=name, position_km=place, swap_probability=1.0, swap_s=0.0)
        for name, place in places.items()
    }
    chances = {("A", "B"): 0.001, ("B", "C"): 0.001, ("B", "D"): 0.5}
    links = [
        link_between(nodes[a], nodes[b], 1.0, success_probability=q, attempt_s=0.0)
        for (a, b), q in chances.items()
    ]
    return Topology.of(nodes.values(), links)


def test_one_link_may_take_both_its_ends_whole() -> None:
    found = plan_pair(Residual(chain(10.0)), asked(), "dp-usage")
    assert 1e3 * found.latency_s == pytest.approx(3.784943229, abs=5e-10)
    assert found.method == "dp-usage"
    assert found.use.attempts_hz == pytest.approx({"A": 20_000.0, "B": 20_000.0}, rel=1e-12)


def test_two_equal_links_are_as_fast_as_in_the_half_and_half_programme() -> None:
    """Both want half of the middle node; the grid of fifths leaves 2/5, the grid of halves the very half."""
    residual = Residual(chain(10.0, 10.0))
    halves = plan_pair(residual, asked("A", "C"), "dp-usage", Options(quantum=0.5))
    assert 1e3 * halves.latency_s == pytest.approx(28.53707422, abs=5e-9)
    fifths = plan_pair(residual, asked("A", "C"), "dp-usage", Options(quantum=0.2))
    link_s = residual.link_latency_s(residual.topology.links["A", "B"], 1.0, 0.4)
    assert fifths.latency_s == pytest.approx((1.5 * link_s + 10e-6 + 50e-6) / 0.4, rel=1e-12)


def test_an_uneven_split_gives_the_longer_link_more() -> None:
    """10 km and 40 km: q differs by e^1.5 = 4.48, so the middle gives 1/5 and 4/5 of what it has."""
    found = plan_pair(Residual(chain(10.0, 40.0)), asked("A", "C"), "dp-usage", Options(throttle=False))
    residual = Residual(chain(10.0, 40.0))
    near, far = residual.topology.links["A", "B"], residual.topology.links["B", "C"]
    options = [
        (x, residual.link_latency_s(near, 1.0, x), residual.link_latency_s(far, 1.0 - x, 1.0))
        for x in (0.2, 0.4, 0.6, 0.8)
    ]
    best = min(options, key=lambda each: max(each[1:]))
    assert best[0] == 0.2
    assert [leaf.latency_s for leaf in leaves(found.tree)] == pytest.approx(list(best[1:]), rel=1e-12)
    assert found.latency_s < plan_pair(residual, asked("A", "C")).latency_s


@settings(deadline=None, derandomize=True, max_examples=500)
@given(networks(5), st.sampled_from([0.5, 0.25, 0.2]))
def test_no_tree_with_any_split_is_faster(topology: Topology, quantum: float) -> None:
    residual, options = Residual(topology), Options(quantum=quantum)
    for other in list(topology.nodes)[1:]:
        best_s = min(
            (each[0] for each in all_splits(topology, "A", other, round(1.0 / quantum))), default=math.inf
        )
        if best_s == math.inf:
            with pytest.raises(NoPlan):
                usage.plan(residual, asked("A", other), options)
            continue
        found = usage.plan(residual, asked("A", other, age_s=math.inf), options)
        assert found.latency_s == pytest.approx(best_s, rel=1e-9)
        assert is_simple(found.tree)
        assert retimed(found.tree, topology).latency_s == pytest.approx(found.latency_s, rel=1e-9)


def test_no_tree_with_any_split_is_faster_where_links_differ_by_a_thousand() -> None:
    """Among them are pairs for which a walk that spends a node twice would be faster."""
    walks = 0
    for seed in range(110):
        topology = uneven_network(seed)
        residual, options = Residual(topology), Options(quantum=0.25)
        trees = UsageTrees(residual, options)
        for other in "BCDE":
            best_s = min((each[0] for each in all_splits(topology, "A", other, 4)), default=math.inf)
            fastest = trees.tree("A", other)
            if fastest is None:
                assert best_s == math.inf
                continue
            walks += not is_simple(fastest)
            found = usage.plan(residual, asked("A", other, age_s=math.inf), options)
            assert found.latency_s == pytest.approx(best_s, rel=1e-9)
            assert is_simple(found.tree)
    assert walks > 0


@pytest.mark.parametrize("quanta", [4, 5])
@pytest.mark.parametrize("limit", ["age_s", "fidelity"])
def test_the_fastest_tree_within_a_limit_is_found(quanta: int, limit: str) -> None:
    """The limit is a figure of a tree that outdoes the fastest one in it, so that the fastest breaks it."""
    seen = 0
    for seed in range(75):
        topology = uneven_network(seed)
        trees = [
            throttled(tree_of(topology, route, shape, leaf_s), topology)
            for _, route, shape, leaf_s in all_splits(topology, "A", "E", quanta)
        ]
        if not trees:
            continue

        def loss(tree: Tree, topology: Topology = topology) -> float:
            return max_age_s(tree, topology) if limit == "age_s" else 1.0 - outlook(tree, topology).state[0]

        fastest = min(trees, key=lambda tree: tree.latency_s)
        better = [tree for tree in trees if loss(tree) < loss(fastest) * (1.0 - 1e-6)]
        if not better:
            continue
        seen += 1
        most = loss(better[seed * 7919 % len(better)]) * (1.0 + 1e-9)
        limits = Limits(age_s=most) if limit == "age_s" else Limits(fidelity=1.0 - most)
        best_s = min(tree.latency_s for tree in trees if loss(tree) < most)
        request = PairRequest(request="r", source="A", destination="E", limits=limits)
        found = usage.plan(Residual(topology), request, Options(quantum=1.0 / quanta))
        assert found.latency_s == pytest.approx(best_s, rel=1e-9)
        assert is_simple(found.tree)
    assert seen > 15


@settings(deadline=None, derandomize=True, max_examples=300)
@given(networks(6), st.sampled_from([0.5, 0.25, 0.2]), st.booleans())
def test_plans_take_no_more_than_a_node_has(topology: Topology, quantum: float, throttle: bool) -> None:
    residual, options = Residual(topology), Options(quantum=quantum, throttle=throttle)
    trees = UsageTrees(residual, options)
    for other in list(topology.nodes)[1:]:
        if trees.tree("A", other) is None:
            continue
        found = usage.plan(residual, asked("A", other), options)
        spent = dict.fromkeys(topology.nodes, 0.0)
        for leaf in leaves(found.tree):
            link = topology.links[pair_of(leaf.left, leaf.right)]
            assert 1.0 / leaf.latency_s <= link.capacity_hz * (1.0 + 1e-9)
            for name in link.ends:
                spent[name] += 1.0 / leaf.latency_s / link.success_probability
        for name, attempts_hz in spent.items():
            assert attempts_hz <= topology.nodes[name].attempts_hz * (1.0 + 1e-9)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(networks(6))
def test_with_halves_it_is_never_slower_than_the_half_and_half_programme(topology: Topology) -> None:
    """Every tree of "50-50" is one of these, with more at its ends; quarters contain halves."""
    residual = Residual(topology)
    trees = exact.all_trees(residual)
    for other in list(topology.nodes)[1:]:
        tree = trees.tree("A", other)
        if tree is None:
            continue
        halves = usage.plan(residual, asked("A", other, age_s=math.inf), Options(quantum=0.5))
        quarters = usage.plan(residual, asked("A", other, age_s=math.inf), Options(quantum=0.25))
        assert halves.latency_s <= tree.latency_s * (1.0 + 1e-12)
        assert quarters.latency_s <= halves.latency_s * (1.0 + 1e-12)


def test_a_walk_that_spends_a_node_twice_is_not_taken_for_a_tree() -> None:
    """The sweeps are content with A-B, B-D, D-B, B-C; the plan is the best simple tree."""
    topology = loop_pays()
    residual, options = Residual(topology), Options(quantum=0.2)
    walk = UsageTrees(residual, options).tree("A", "C")
    assert walk is not None
    assert route_of(walk) == ("A", "B", "D", "B", "C")
    found = usage.plan(residual, asked("A", "C"), options)
    assert route_of(found.tree) == ("A", "B", "C")
    assert found.latency_s == pytest.approx(
        min(each[0] for each in all_splits(topology, "A", "C", 5)), rel=1e-12
    )
    assert found.latency_s > walk.latency_s


def test_stored_pairs_take_no_share_of_their_nodes() -> None:
    """B is whole for the link A-B when B-D is there already: T = (T_link(1, 1) + t_b + t_c)/p_b."""
    topology = chain(10.0, 10.0, 10.0)
    pair = StoredLeaf("B", "D", "kept", PERFECT, 0.0, 1.0)
    request = PairRequest(request="r", source="A", destination="D", stored=(pair,))
    found = plan_pair(Residual(topology), request, "dp-usage")
    assert found.latency_s == pytest.approx((3.784943229e-3 + 10e-6 + 100e-6) / 0.4, rel=1e-9)
    assert found.use.stored == ("kept",)
    dying = replace(request, stored=(replace(pair, life_s=3.7e-3),))
    late = plan_pair(Residual(topology), dying, "dp-usage")
    assert late.use.stored == ()
    assert late.latency_s == plan_pair(Residual(topology), asked("A", "D"), "dp-usage").latency_s


def test_what_other_plans_spend_is_not_spent_again() -> None:
    """A first plan at share 1/2 of its ends: each share of the next is counted less what is in use (1.1)."""
    topology = chain(10.0, 10.0)
    residual = Residual(topology)
    residual.claim("first", plan_pair(residual, asked("A", "B")).use)
    found = plan_pair(residual, asked("A", "B"), "dp-usage")
    assert 1e3 * found.latency_s == pytest.approx(7.569886459, abs=5e-10)
    residual.claim("second", found.use)
    with pytest.raises(NoPlan, match="no route between A and B is left"):
        plan_pair(residual, asked("A", "B"), "dp-usage")


def test_a_quantum_of_one_leaves_nothing_for_swaps() -> None:
    residual, whole = Residual(chain(10.0, 10.0)), Options(quantum=1.0)
    assert 1e3 * plan_pair(residual, asked("A", "B"), "dp-usage", whole).latency_s == pytest.approx(
        3.784943229, abs=5e-10
    )
    with pytest.raises(NoPlan, match="no route between A and C is left"):
        plan_pair(residual, asked("A", "C"), "dp-usage", whole)


@pytest.mark.parametrize("quantum", [0.3, 0.0, -0.5, math.nan, 1.5])
def test_a_quantum_must_divide_the_whole(quantum: float) -> None:
    with pytest.raises(NoPlan, match="does not divide 1"):
        Options(quantum=quantum)


def test_no_tree_with_any_split_is_faster_when_waits_are_exponential() -> None:
    options = Options(waiting="exponential", quantum=0.25)
    topology = chain(10.0, 20.0, 5.0, 15.0)
    found = plan_pair(Residual(topology), asked("A", "E"), "dp-usage", options)
    best_s = math.inf
    for _, route, shape, leaf_s in all_splits(topology, "A", "E", 4):
        best_s = min(best_s, eq1_s(topology, route, shape, leaf_s, exponential=True)[0])
    assert found.latency_s == pytest.approx(best_s, rel=1e-12)
